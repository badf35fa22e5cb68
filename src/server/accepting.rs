//! The one thread that accepts and hands connections to the worker with the fewest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::listener::{Accepted, Listening, Socket, is_haste};
use super::worker::{Message, OpenGuard};
use super::{Pool, worker};
use crate::net::Address;
use crate::snapshot::Live;

/// After an accept that failed for want of descriptors or memory: trying again at once would spin (checklist L06).
const PAUSE: Duration = Duration::from_millis(50);

/// How often a listener that waits for room looks by itself: a reload may raise the cap, and of several listeners that
/// wait the one that is told may have nobody to let in.
const LOOK: Duration = Duration::from_secs(1);

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
            accepted = workers.next(&live, &listening) => accepted,
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
    /// The next connection, as soon as there is room for it.
    async fn next(&self, live: &Live, listening: &Listening) -> Accepted {
        loop {
            self.room(live).await;
            match listening.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_haste(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(PAUSE).await;
                }
            }
        }
    }

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
