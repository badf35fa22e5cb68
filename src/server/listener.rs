//! Listening sockets: bound, accepted on, and closed so that nobody who waits is lost.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::stream::ClientStream;
use crate::config::Listener;
use crate::net::{Address, Peer, Presence};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;

/// The most connections accepted from a closing socket; its backlog can exceed `BACKLOG`: the
/// kernel keeps one more than it was told, and more come meanwhile.
const MAX_WAITING: usize = 4 * BACKLOG as usize;

/// After so long a silence the system asks a client whether it is there, and then again and again.
/// Deadlines of ours look after every wait, but a tunnel's and a stream's may be set to hours, in
/// which a client that is gone without a word would hold both of its connections.
const PRESENCE: Presence = Presence {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
};

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// Of TCP.
    Tcp(StdListener),
    /// A Unix-domain socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// The settings of a listener's connections, by the configuration in force or the last one that has
/// the listener. A connection keeps the settings of the time when it was accepted, since its
/// listener may be gone from the configuration before it is served.
#[derive(Clone, Debug)]
pub struct ListenerSettings(Arc<ArcSwap<Listener>>);

impl ListenerSettings {
    /// The terms of a listener.
    #[must_use]
    pub fn new(listener: &Listener) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(listener.clone())))
    }

    /// Changes them for the connections that are accepted from now on.
    pub fn change(&self, listener: &Listener) {
        self.0.store(Arc::new(listener.clone()));
    }

    pub(super) fn current(&self) -> Arc<Listener> {
        self.0.load_full()
    }
}

/// A connection on the event loop of the worker that accepted it.
pub(super) enum Accepted {
    Tcp {
        stream: TcpStream,
        client: SocketAddr,
    },
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// The same on its way to another worker.
pub(super) enum Detached {
    Tcp {
        stream: StdStream,
        client: SocketAddr,
    },
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Where it listens, which for port 0 is where the system chose.
    #[must_use]
    pub fn address(&self, configured: &Address) -> Address {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| configured.clone(), Address::Ip),
            #[cfg(unix)]
            Self::Unix(_) => configured.clone(),
        }
    }

    /// Lets clients connect, who then wait until they are accepted. A socket that is only bound
    /// does not listen yet.
    ///
    /// # Errors
    /// What the system says: another process may listen there by now.
    pub fn listen(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => SockRef::from(listener).listen(BACKLOG),
            #[cfg(unix)]
            Self::Unix(listener) => SockRef::from(listener).listen(BACKLOG),
        }
    }

    /// Whether another socket of this user may be bound to its port. Two that have it share the
    /// port.
    pub fn share_port(&self, shared: bool) {
        // A socket that cannot share stays alone on its port; binding the other one then fails.
        #[cfg(unix)]
        if let Self::Tcp(listener) = self {
            let _ = SockRef::from(listener).set_reuse_port(shared);
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
    pub(super) fn open(self) -> (ClientStream, Peer) {
        match self {
            Self::Tcp { stream, client } => (ClientStream::tcp(stream), Peer::new(client)),
            #[cfg(unix)]
            Self::Unix(stream) => (ClientStream::unix(stream), Peer::unix()),
        }
    }

    /// Takes it off the event loop.
    pub(super) fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp { stream, client } => Detached::Tcp {
                stream: stream.into_std()?,
                client,
            },
            #[cfg(unix)]
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
        })
    }
}

impl Detached {
    /// Puts it on the event loop of this thread.
    pub(super) fn attach(self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp { stream, client } => Accepted::Tcp {
                stream: TcpStream::from_std(stream)?,
                client,
            },
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

/// The options with which a socket is bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Binding {
    /// The mode of the file of a Unix-domain socket.
    pub unix_mode: u32,
    /// Whether `[::]` is for IPv6 alone, so that another socket can have the port for IPv4.
    /// Otherwise it is for what the system says, which is both on most.
    pub only_ipv6: bool,
    /// Whether it may share its port: see [`Socket::share_port`].
    pub shares_port: bool,
}

/// Binds a socket, to be listened on. An address that was just left by another process can be taken
/// at once, and so can the file of a socket on which no process listens any more.
///
/// # Errors
/// What the system says, such as "address in use".
pub fn bind(address: &Address, binding: Binding) -> io::Result<Socket> {
    match address {
        Address::Ip(address) => bind_tcp(*address, binding).map(Socket::Tcp),
        #[cfg(unix)]
        Address::Unix(path) => bind_unix(path, binding.unix_mode).map(Socket::Unix),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "no such sockets",
        )),
    }
}

fn bind_tcp(address: SocketAddr, binding: Binding) -> io::Result<StdListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if binding.shares_port {
        socket.set_reuse_port(true)?;
    }
    if binding.only_ipv6 && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(unix)]
fn bind_unix(path: &std::path::Path, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before it is listened on, so that no client gets in under another mode.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(socket.into())
}

/// A socket as the runtime has it.
pub(super) enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listening {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => {
                // What is accepted has the options of the socket that it came by, at no cost of its
                // own.
                let socket = SockRef::from(&listener);
                PRESENCE.ask(&socket);
                // Answers are written whole; waiting to fill a segment only delays them.
                let _ = socket.set_tcp_nodelay(true);
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            #[cfg(unix)]
            Socket::Unix(listener) => Self::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, client) = listener.accept().await?;
                Ok(Accepted::Tcp { stream, client })
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }

    /// Closes the socket. What the kernel kept for it until now is given out, whatever room there
    /// is.
    pub(super) fn close(self) -> io::Result<Vec<Detached>> {
        let mut accept: Box<dyn FnMut() -> io::Result<Detached>> = match self {
            Self::Tcp(listener) => {
                let listener = listener.into_std()?;
                Box::new(move || {
                    let (stream, client) = listener.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Detached::Tcp { stream, client })
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
        for _ in 0..MAX_WAITING {
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

/// Whether accepting failed by the client's haste, which is not worth a pause. A shortage of ours
/// is.
pub(super) fn is_haste(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_accepted_has_the_options_of_its_listener() {
        let any = Address::Ip("127.0.0.1:0".parse().unwrap());
        let socket = bind(&any, Binding::default()).unwrap();
        socket.listen().unwrap();
        let address = socket.address(&any).ip().unwrap();
        let listening = Listening::new(socket).unwrap();
        let _client = StdStream::connect(address).unwrap();
        let accepted = listening.accept().await.unwrap();
        let Accepted::Tcp { stream, .. } = accepted else {
            panic!("it is of TCP")
        };
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), PRESENCE.idle);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(PRESENCE.limit()));
    }
}
