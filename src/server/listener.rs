//! Listening sockets, and the one thread that accepts and hands connections to the worker with the fewest.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::worker::{Message, OpenGuard};
use super::{Pool, worker};
use crate::snapshot::Live;

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;

/// After an accept that failed for want of descriptors or memory: trying again at once would spin (checklist L06).
const PAUSE: Duration = Duration::from_millis(50);

/// How often a listener that waits for room looks by itself: a reload may raise the cap, and of several listeners that
/// wait the one that is told may have nobody to let in.
const LOOK: Duration = Duration::from_secs(1);

/// Binds a listening socket. An address that was just left by another process can be taken at once.
///
/// # Errors
/// What the system says, such as "address in use".
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What the acceptor is told.
pub(super) enum Order {
    /// Accept on these sockets, each for its configured address, and on no others.
    Serve(Vec<(SocketAddr, StdListener)>, Vec<SocketAddr>),
    /// Accept no more; answered when it is so.
    Stop(oneshot::Sender<()>),
}

/// Runs the acceptor until it is stopped.
pub(super) async fn run(mut orders: mpsc::UnboundedReceiver<Order>, live: Arc<Live>, workers: Arc<Pool>) {
    let local = LocalSet::new();
    local
        .run_until(async move {
            let mut accepting: BTreeMap<SocketAddr, JoinHandle<()>> = BTreeMap::new();
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
                        for (address, listener) in listeners {
                            let task = accept(listener, live.clone(), workers.clone());
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

async fn accept(listener: StdListener, live: Arc<Live>, workers: Arc<Pool>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listening socket cannot be used");
            return;
        }
    };
    loop {
        workers.room(&live).await;
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // The client's haste is not worth a pause; a shortage of ours is.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
                {
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        if let Ok(stream) = stream.into_std() {
            workers.hand_over(stream, address).await;
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
    async fn hand_over(&self, stream: std::net::TcpStream, address: SocketAddr) {
        let fewest = self.workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed));
        let Some(worker::Handle { messages, open, .. }) = fewest else { return };
        let guard = OpenGuard::new(open, &self.total);
        // A worker that is gone is being shut down, and the connection with it.
        let _ = messages.send(Message::Connection(stream, address, guard)).await;
    }
}
