//! Listening sockets: how they are bound, accepted on, and closed without losing the connections
//! that wait in their backlogs.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::stream::ClientStream;
use crate::config::Listener;
#[cfg(test)]
use crate::net::simulated;
use crate::net::{Address, Peer, Presence};

/// The most connections that the kernel queues on a socket until they are accepted.
const BACKLOG: i32 = 1024;

/// The most connections that are accepted from a closing socket. There can be more than `BACKLOG`:
/// the kernel queues one more than it was told, and others arrive meanwhile.
const MAX_WAITING: usize = 4 * BACKLOG as usize;

/// The TCP keep-alive of client connections. Every wait has a deadline of the gateway, but those of
/// tunnels and streams may be hours long. For all that time a client that has vanished would hold
/// its connection and the one to its upstream.
const PRESENCE: Presence = Presence {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
};

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// A TCP socket.
    Tcp(StdListener),
    /// A Unix-domain socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
    /// A simulated socket, in tests of this library only.
    #[cfg(test)]
    Simulated(simulated::Listener),
}

/// The settings of a listener's connections, from the last configuration that has the listener. A
/// connection keeps the settings of the time when it was accepted, since a reload may remove its
/// listener before it is served.
#[derive(Clone, Debug)]
pub struct ListenerSettings(Arc<ArcSwap<Listener>>);

impl ListenerSettings {
    /// Returns the settings of a listener.
    #[must_use]
    pub fn new(listener: &Listener) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(listener.clone())))
    }

    /// Changes the settings of all connections that are accepted from now on.
    pub fn change(&self, listener: &Listener) {
        self.0.store(Arc::new(listener.clone()));
    }

    pub(super) fn current(&self) -> Arc<Listener> {
        self.0.load_full()
    }
}

/// An accepted connection, registered with the event loop of this thread.
pub(super) enum Accepted {
    Tcp {
        stream: TcpStream,
        client: SocketAddr,
    },
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    #[cfg(test)]
    Simulated {
        stream: turmoil::net::TcpStream,
        client: SocketAddr,
    },
}

/// An accepted connection on its way to another worker, registered with no event loop.
pub(super) enum Detached {
    Tcp {
        stream: StdStream,
        client: SocketAddr,
    },
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
    #[cfg(test)]
    Simulated {
        stream: turmoil::net::TcpStream,
        client: SocketAddr,
    },
}

impl Socket {
    /// Returns the address of the socket. For port 0 this is the port that the system chose.
    #[must_use]
    pub fn address(&self, configured: &Address) -> Address {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| configured.clone(), Address::Ip),
            #[cfg(unix)]
            Self::Unix(_) => configured.clone(),
            #[cfg(test)]
            Self::Simulated(listener) => listener
                .address()
                .map_or_else(|_| configured.clone(), Address::Ip),
        }
    }

    /// Lets clients connect and wait until they are accepted. Before this call, the socket is only
    /// bound.
    ///
    /// # Errors
    /// Returns the error of the system: another process may listen on the address by now.
    pub fn listen(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => SockRef::from(listener).listen(BACKLOG),
            #[cfg(unix)]
            Self::Unix(listener) => SockRef::from(listener).listen(BACKLOG),
            #[cfg(test)]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Sets whether another socket of this user may be bound to the same port (`SO_REUSEPORT`,
    /// which both sockets need).
    pub fn share_port(&self, shared: bool) {
        // If this fails, binding the other socket fails, which is reported.
        #[cfg(unix)]
        if let Self::Tcp(listener) = self {
            let _ = SockRef::from(listener).set_reuse_port(shared);
        }
    }

    /// Returns a second handle to the socket, which is closed when both are dropped.
    ///
    /// # Errors
    /// Returns an error if the process has no file descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            #[cfg(unix)]
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
            #[cfg(test)]
            Self::Simulated(listener) => Ok(Self::Simulated(listener.clone())),
        }
    }
}

impl Accepted {
    /// Returns the stream of the connection, and its peer.
    pub(super) fn open(self) -> (ClientStream, Peer) {
        match self {
            Self::Tcp { stream, client } => (ClientStream::tcp(stream), Peer::new(client)),
            #[cfg(unix)]
            Self::Unix(stream) => (ClientStream::unix(stream), Peer::unix()),
            #[cfg(test)]
            Self::Simulated { stream, client } => {
                (ClientStream::simulated(stream), Peer::new(client))
            }
        }
    }

    /// Removes the connection from the event loop.
    pub(super) fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp { stream, client } => Detached::Tcp {
                stream: stream.into_std()?,
                client,
            },
            #[cfg(unix)]
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
            #[cfg(test)]
            Self::Simulated { stream, client } => Detached::Simulated { stream, client },
        })
    }
}

impl Detached {
    /// Registers the connection with the event loop of this thread.
    pub(super) fn attach(self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp { stream, client } => Accepted::Tcp {
                stream: TcpStream::from_std(stream)?,
                client,
            },
            #[cfg(unix)]
            Self::Unix(stream) => Accepted::Unix(tokio::net::UnixStream::from_std(stream)?),
            #[cfg(test)]
            Self::Simulated { stream, client } => Accepted::Simulated { stream, client },
        })
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
            #[cfg(test)]
            Self::Simulated(_) => unreachable!("a simulated socket has no descriptor"),
        }
    }
}

/// The options with which a socket is bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Binding {
    /// The mode of the file of a Unix-domain socket.
    pub unix_mode: u32,
    /// Set if `[::]` accepts IPv6 only, so that another socket can have the port for IPv4.
    /// Otherwise the default of the system applies, which is both families on most.
    pub only_ipv6: bool,
    /// Set if the socket may share its port; see [`Socket::share_port`].
    pub shares_port: bool,
}

/// Binds a socket, which does not listen yet. An address that another process has just left can be
/// bound at once. A socket file on which no process listens any more is replaced.
///
/// # Errors
/// Returns the error of the system, such as "address in use".
pub fn bind(address: &Address, binding: Binding) -> io::Result<Socket> {
    match address {
        #[cfg(test)]
        Address::Ip(address) if turmoil::in_simulation() => {
            simulated::Listener::bind(*address).map(Socket::Simulated)
        }
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
    // The mode is set before the socket listens, so that no client connects under another mode.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(socket.into())
}

/// A listening socket that is registered with the event loop of this thread.
pub(super) enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
    #[cfg(test)]
    Simulated(simulated::Listener),
}

impl Listening {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => {
                // An accepted connection inherits the options of its listener, without a system
                // call of its own.
                let socket = SockRef::from(&listener);
                PRESENCE.ask(&socket);
                // Answers are written in one piece: waiting to fill a segment only delays them.
                let _ = socket.set_tcp_nodelay(true);
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            #[cfg(unix)]
            Socket::Unix(listener) => Self::Unix(tokio::net::UnixListener::from_std(listener)?),
            #[cfg(test)]
            Socket::Simulated(listener) => Self::Simulated(listener),
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
            #[cfg(test)]
            Self::Simulated(listener) => {
                let (stream, client) = listener.accept().await?;
                Ok(Accepted::Simulated { stream, client })
            }
        }
    }

    /// Closes the socket, and returns the connections that waited in its backlog. The limit of
    /// connections does not apply to them.
    pub(super) fn close(self) -> io::Result<Vec<Detached>> {
        match self {
            Self::Tcp(listener) => {
                let listener = listener.into_std()?;
                Ok(accept_all(|| {
                    let (stream, client) = listener.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Detached::Tcp { stream, client })
                }))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let listener = listener.into_std()?;
                Ok(accept_all(|| {
                    let (stream, _) = listener.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Detached::Unix(stream))
                }))
            }
            #[cfg(test)]
            Self::Simulated(listener) => Ok(accept_all(|| {
                let (stream, client) = listener.accept_waiting()?;
                Ok(Detached::Simulated { stream, client })
            })),
        }
    }
}

/// Calls `accept` until the backlog is empty or no file descriptor is left.
fn accept_all(mut accept: impl FnMut() -> io::Result<Detached>) -> Vec<Detached> {
    let mut accepted = Vec::new();
    for _ in 0..MAX_WAITING {
        match accept() {
            Ok(detached) => accepted.push(detached),
            Err(error) if is_client_abort(&error) => {}
            Err(_) => break,
        }
    }
    accepted
}

/// Returns whether accepting failed because the client closed its connection early. The next accept
/// needs no delay then, unlike after a shortage of descriptors or memory.
pub(super) fn is_client_abort(error: &io::Error) -> bool {
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
