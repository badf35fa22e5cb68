//! Listening sockets: bound, accepted on, and closed so that nobody who waits is lost.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::time::Duration;

use http::HeaderValue;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::stream::Stream;
use crate::net::{Address, Peer, Presence};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;

/// After so long a silence the system asks a client whether it is there, and then again and again. Deadlines of ours look
/// after every wait, but a tunnel's and a stream's may be set to hours, in which a client that is gone without a word would
/// hold both of its connections.
const PRESENCE: Presence = Presence { idle: Duration::from_secs(60), interval: Duration::from_secs(15) };

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// Of TCP.
    Tcp(StdListener),
    /// A Unix-domain socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// A connection on the event loop of the worker that accepted it.
pub(super) enum Accepted {
    /// With the port of ours that the client connected to.
    Tcp { stream: TcpStream, client: SocketAddr, port: HeaderValue },
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// The same on its way to another worker.
pub(super) enum Detached {
    Tcp {
        stream: StdStream,
        client: SocketAddr,
        port: HeaderValue,
    },
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Where it listens, which for port 0 is where the system chose.
    #[must_use]
    pub fn address(&self, configured: &Address) -> Address {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| configured.clone(), Address::Ip),
            #[cfg(unix)]
            Self::Unix(_) => configured.clone(),
        }
    }

    /// The same socket once more. It is closed when both are.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            #[cfg(unix)]
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }
}

impl Accepted {
    /// What is read and written, and whose it is.
    pub(super) fn open(self) -> (Stream, Peer) {
        match self {
            Self::Tcp { stream, client, port } => (Stream::tcp(stream), Peer::new(client, Some(port))),
            #[cfg(unix)]
            Self::Unix(stream) => (Stream::unix(stream), Peer::unix()),
        }
    }

    /// Takes it off the event loop.
    pub(super) fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp { stream, client, port } => Detached::Tcp { stream: stream.into_std()?, client, port },
            #[cfg(unix)]
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
        })
    }
}

impl Detached {
    /// Puts it on the event loop of this thread.
    pub(super) fn attach(self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp { stream, client, port } => {
                Accepted::Tcp { stream: TcpStream::from_std(stream)?, client, port }
            }
            #[cfg(unix)]
            Self::Unix(stream) => Accepted::Unix(tokio::net::UnixStream::from_std(stream)?),
        })
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Binds a listening socket. An address that was just left by another process can be taken at once, and so can the file
/// of a socket on which nobody listens any more; `unix_mode` is the mode of its successor.
///
/// # Errors
/// What the system says, such as "address in use".
pub fn bind(address: &Address, unix_mode: u32) -> io::Result<Socket> {
    match address {
        Address::Ip(address) => bind_tcp(*address).map(Socket::Tcp),
        #[cfg(unix)]
        Address::Unix(path) => bind_unix(path, unix_mode).map(Socket::Unix),
        #[cfg(not(unix))]
        Address::Unix(_) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("no such sockets ({unix_mode})")))
        }
    }
}

/// Binds a listening socket of TCP.
///
/// # Errors
/// What the system says.
pub fn bind_tcp(address: SocketAddr) -> io::Result<StdListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(unix)]
fn bind_unix(path: &std::path::Path, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before anybody is heard, so that nobody gets in under another mode.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket as the runtime has it.
pub(super) enum Listening {
    /// With the port that it listens on, as each of its connections has it.
    Tcp(TcpListener, HeaderValue),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listening {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => {
                // What is accepted has the options of the socket that it came by, at no cost of its own.
                let socket = SockRef::from(&listener);
                PRESENCE.ask(&socket);
                // Answers are written whole; waiting to fill a segment only delays them.
                let _ = socket.set_tcp_nodelay(true);
                let port = listener.local_addr()?.port().into();
                Self::Tcp(TcpListener::from_std(listener)?, port)
            }
            #[cfg(unix)]
            Socket::Unix(listener) => Self::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, port) => {
                let (stream, client) = listener.accept().await?;
                Ok(Accepted::Tcp { stream, client, port: port.clone() })
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }

    /// Closes the socket. What the kernel kept for it until now is given out, whatever room there is.
    pub(super) fn close(self) -> io::Result<Vec<Detached>> {
        let mut accept: Box<dyn FnMut() -> io::Result<Detached>> = match self {
            Self::Tcp(listener, port) => {
                let listener = listener.into_std()?;
                Box::new(move || {
                    let (stream, client) = listener.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Detached::Tcp { stream, client, port: port.clone() })
                })
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let listener = listener.into_std()?;
                Box::new(move || {
                    let (stream, _) = listener.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Detached::Unix(stream))
                })
            }
        };
        let mut rest = Vec::new();
        for _ in 0..BACKLOG {
            match accept() {
                Ok(detached) => rest.push(detached),
                Err(error) if is_haste(&error) => {}
                // None is left, or no descriptor is.
                Err(_) => break,
            }
        }
        Ok(rest)
    }
}

/// Whether accepting failed by the client's haste, which is not worth a pause. A shortage of ours is.
pub(super) fn is_haste(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_accepted_has_the_options_of_its_listener() {
        let listener = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let listening = Listening::new(Socket::Tcp(listener)).unwrap();
        let _client = StdStream::connect(address).unwrap();
        let accepted = listening.accept().await.unwrap();
        let Accepted::Tcp { stream, port, .. } = accepted else { panic!("it is of TCP") };
        assert_eq!(port, address.port().to_string());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), PRESENCE.idle);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(PRESENCE.limit()));
    }
}
