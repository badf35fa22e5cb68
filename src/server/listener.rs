//! Listening sockets, and the one thread that accepts and hands connections to the worker with the fewest.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::worker::{Message, OpenGuard};
use super::{Pool, worker};
use crate::net::Address;
use crate::snapshot::Live;

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;

/// After an accept that failed for want of descriptors or memory: trying again at once would spin (checklist L06).
const PAUSE: Duration = Duration::from_millis(50);

/// How often a listener that waits for room looks by itself: a reload may raise the cap, and of several listeners that
/// wait the one that is told may have nobody to let in.
const LOOK: Duration = Duration::from_secs(1);

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// Of TCP.
    Tcp(StdListener),
    /// A Unix-domain socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// An accepted connection.
pub(super) enum Accepted {
    Tcp(StdStream, SocketAddr),
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

/// What the acceptor is told.
pub(super) enum Order {
    /// Accept on these sockets, each for its configured address, and on no others.
    Serve(Vec<(Address, Socket)>, Vec<Address>),
    /// Accept no more; answered when it is so.
    Stop(oneshot::Sender<()>),
}

/// Runs the acceptor until it is stopped.
pub(super) async fn run(mut orders: mpsc::UnboundedReceiver<Order>, live: Arc<Live>, workers: Arc<Pool>) {
    let local = LocalSet::new();
    local
        .run_until(async move {
            let mut accepting: BTreeMap<Address, JoinHandle<()>> = BTreeMap::new();
            while let Some(order) = orders.recv().await {
                match order {
                    Order::Serve(listeners, keep) => {
                        accepting.retain(|address, task| {
                            let kept = keep.contains(address);
                            if !kept {
                                task.abort();
                            }
                            kept
                        });
                        for (address, socket) in listeners {
                            let task = accept(address.clone(), socket, live.clone(), workers.clone());
                            accepting.insert(address, spawn_local(task));
                        }
                    }
                    Order::Stop(done) => {
                        accepting.values().for_each(JoinHandle::abort);
                        for (_, task) in accepting {
                            // Aborted, so an error; what counts is that its socket is closed.
                            let _ = task.await;
                        }
                        let _ = done.send(());
                        return;
                    }
                }
            }
        })
        .await;
}

/// A socket as the runtime has it.
enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listening {
    fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            #[cfg(unix)]
            Socket::Unix(listener) => Self::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tcp(stream.into_std()?, address))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0.into_std()?)),
        }
    }
}

async fn accept(address: Address, socket: Socket, live: Arc<Live>, workers: Arc<Pool>) {
    let listening = match Listening::new(socket) {
        Ok(listening) => listening,
        Err(error) => {
            tracing::error!(%error, "a listening socket cannot be used");
            return;
        }
    };
    let address = Arc::new(address);
    loop {
        workers.room(&live).await;
        match listening.accept().await {
            Ok(accepted) => workers.hand_over(accepted, address.clone()).await,
            // The client's haste is not worth a pause; a shortage of ours is.
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
                {
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Pool {
    /// Waits until there is room for another connection.
    async fn room(&self, live: &Live) {
        while self.total.open.load(Ordering::Relaxed) >= live.load().config.server.limits.connections {
            // Timed out or told: either way it is worth another look.
            let _ = timeout(LOOK, self.total.closed.notified()).await;
        }
    }

    /// Gives a connection to the worker that has the fewest.
    async fn hand_over(&self, accepted: Accepted, address: Arc<Address>) {
        let fewest = self.workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed));
        let Some(worker::Handle { messages, open, .. }) = fewest else { return };
        let guard = OpenGuard::new(open, &self.total);
        // A worker that is gone is being shut down, and the connection with it.
        let _ = messages.send(Message::Connection(accepted, address, guard)).await;
    }
}
