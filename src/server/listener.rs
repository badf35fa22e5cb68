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

    /// A connection that waits, without waiting for one.
    fn accept(&self) -> io::Result<Accepted> {
        let accepted = match self {
            Self::Tcp(listener) => {
                listener.accept().map(|(stream, address)| Accepted::Tcp(stream, address))?
            }
            #[cfg(unix)]
            Self::Unix(listener) => Accepted::Unix(listener.accept()?.0),
        };
        accepted.set_nonblocking()?;
        Ok(accepted)
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
    /// As the runtime takes it.
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.set_nonblocking(true),
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_nonblocking(true),
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
    /// Accept no more; answered when every connection that was accepted is with its worker.
    Stop(Backlog, oneshot::Sender<()>),
}

/// What becomes of the connections that the kernel keeps for a socket that is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// They are served: to close would reset them.
    Serve,
    /// They stay for another process, which has the same socket.
    Leave,
}

/// A socket that is accepted on.
struct Accepting {
    stop: oneshot::Sender<Backlog>,
    task: JoinHandle<()>,
}

impl Accepting {
    fn begin(address: Address, socket: Socket, live: Arc<Live>, workers: Arc<Pool>) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: spawn_local(accept(address, socket, live, workers, stopped)) }
    }
}

/// Runs the acceptor until it is stopped.
pub(super) async fn run(mut orders: mpsc::UnboundedReceiver<Order>, live: Arc<Live>, workers: Arc<Pool>) {
    let local = LocalSet::new();
    local
        .run_until(async move {
            let mut accepting: BTreeMap<Address, Accepting> = BTreeMap::new();
            while let Some(order) = orders.recv().await {
                match order {
                    Order::Serve(listeners, keep) => {
                        let mut kept = BTreeMap::new();
                        for (address, one) in accepting {
                            if keep.contains(&address) {
                                kept.insert(address, one);
                            } else {
                                let _ = one.stop.send(Backlog::Serve);
                            }
                        }
                        accepting = kept;
                        for (address, socket) in listeners {
                            let one =
                                Accepting::begin(address.clone(), socket, live.clone(), workers.clone());
                            accepting.insert(address, one);
                        }
                    }
                    Order::Stop(backlog, done) => {
                        let mut tasks = Vec::new();
                        for Accepting { stop, task } in accepting.into_values() {
                            // An error is a socket that could not be used from the start.
                            let _ = stop.send(backlog);
                            tasks.push(task);
                        }
                        for task in tasks {
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

    /// The next connection, as soon as there is room for it.
    async fn next(&self, live: &Live, workers: &Pool) -> Accepted {
        loop {
            workers.room(live).await;
            match self.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_haste(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Closes the socket. What the kernel kept for it until now is given out, whatever room there is.
    fn close(self) -> io::Result<Vec<Accepted>> {
        let socket = match self {
            Self::Tcp(listener) => Socket::Tcp(listener.into_std()?),
            #[cfg(unix)]
            Self::Unix(listener) => Socket::Unix(listener.into_std()?),
        };
        let mut rest = Vec::new();
        for _ in 0..BACKLOG {
            match socket.accept() {
                Ok(accepted) => rest.push(accepted),
                Err(error) if is_haste(&error) => {}
                // None is left, or no descriptor is.
                Err(_) => break,
            }
        }
        Ok(rest)
    }
}

/// Whether accepting failed by the client's haste, which is not worth a pause. A shortage of ours is.
fn is_haste(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

async fn accept(
    address: Address,
    socket: Socket,
    live: Arc<Live>,
    workers: Arc<Pool>,
    mut stop: oneshot::Receiver<Backlog>,
) {
    let listening = match Listening::new(socket) {
        Ok(listening) => listening,
        Err(error) => {
            tracing::error!(%error, "a listening socket cannot be used");
            return;
        }
    };
    let address = Arc::new(address);
    let (backlog, waiting) = loop {
        let accepted = tokio::select! {
            biased;
            backlog = &mut stop => break (backlog, None),
            accepted = listening.next(&live, &workers) => accepted,
        };
        let Some((worker, guard)) = workers.fewest() else { return };
        let connection = Message::Connection(accepted, address.clone(), guard);
        tokio::select! {
            biased;
            room = worker.messages.reserve() => {
                // A worker that is gone is being shut down, and the connection with it.
                let _ = room.map(|room| room.send(connection));
            }
            // The socket is closed at once, whatever the worker is busy with.
            backlog = &mut stop => break (backlog, Some((worker, connection))),
        }
    };
    // Nobody stops it where the server is gone.
    let rest = if backlog == Ok(Backlog::Serve) { listening.close() } else { Ok(Vec::new()) };
    if let Some((worker, connection)) = waiting {
        let _ = worker.messages.send(connection).await;
    }
    for accepted in rest.unwrap_or_default() {
        let Some((worker, guard)) = workers.fewest() else { return };
        let _ = worker.messages.send(Message::Connection(accepted, address.clone(), guard)).await;
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

    /// The worker that has the fewest connections, and one more from now on.
    fn fewest(&self) -> Option<(&worker::Handle, OpenGuard)> {
        let fewest = self.workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed))?;
        Some((fewest, OpenGuard::new(&fewest.open, &self.total)))
    }
}
