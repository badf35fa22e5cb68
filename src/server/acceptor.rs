//! The one task that accepts and hands connections to the worker with the fewest. It lives on the
//! first worker: with a thread of its own every connection would cost two switches between threads,
//! and its socket two event loops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::listener::{Accepted, ListenerSettings, Listening, Socket, is_haste};
use super::worker::{Message, OpenGuard, WorkerContext};
use super::{Pool, worker};
use crate::config::Listener;
use crate::net::Address;
use crate::snapshot::Live;

/// After an accept that failed for want of descriptors or memory: trying again at once would spin
/// (requirements.md#l06).
const PAUSE: Duration = Duration::from_millis(50);

/// How often a listener that waits for room looks by itself: a reload may raise the cap, and of
/// several listeners that wait the one that is told may have nobody to let in.
const LOOK: Duration = Duration::from_secs(1);

/// What the acceptor is told.
pub(super) enum Order {
    /// Accept on the sockets of one list, and no more on those of the other's addresses, whose
    /// backlogs are served; answered when that has been done.
    Change {
        opened: Vec<Opened>,
        closed: Vec<Address>,
        done: oneshot::Sender<()>,
    },
    /// Accept no more; answered when every connection that was accepted is with its worker.
    Stop(Backlog, oneshot::Sender<()>),
}

/// A socket to accept on.
#[derive(Debug)]
pub struct Opened {
    /// Its address in the configuration.
    pub address: Address,
    /// The settings of its connections.
    pub settings: ListenerSettings,
    /// The socket, which is listened on.
    pub socket: Socket,
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
struct Acceptor {
    stop: oneshot::Sender<Backlog>,
    task: JoinHandle<()>,
}

impl Acceptor {
    fn begin(socket: Socket, settings: ListenerSettings, workers: Workers) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop,
            task: spawn_local(accept(socket, settings, workers, stopped)),
        }
    }

    /// Stops accepting. The future ends when every accepted connection has reached its worker.
    fn stop(self, backlog: Backlog) -> JoinHandle<()> {
        // An error is a socket that could not be used from the start.
        let _ = self.stop.send(backlog);
        self.task
    }
}

/// The workers, as the acceptor sees them.
#[derive(Clone)]
pub(super) struct Workers {
    pub(super) pool: Arc<Pool>,
    /// The first of them, on whose thread it is.
    pub(super) context: Option<WorkerContext>,
    pub(super) live: Arc<Live>,
}

/// Runs the acceptor until it is stopped.
pub(super) async fn run(mut orders: mpsc::UnboundedReceiver<Order>, workers: Workers) {
    let mut accepting: BTreeMap<Address, Acceptor> = BTreeMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Change {
                opened,
                closed,
                done,
            } => {
                let closed = closed
                    .iter()
                    .filter_map(|address| accepting.remove(address));
                let tasks: Vec<_> = closed.map(|one| one.stop(Backlog::Serve)).collect();
                for Opened {
                    address,
                    settings,
                    socket,
                } in opened
                {
                    accepting.insert(address, Acceptor::begin(socket, settings, workers.clone()));
                }
                // Beside the next order: a worker may be behind.
                spawn_local(answer(tasks, done));
            }
            Order::Stop(backlog, done) => {
                let tasks = accepting
                    .into_values()
                    .map(|one| one.stop(backlog))
                    .collect();
                return answer(tasks, done).await;
            }
        }
    }
}

async fn answer(tasks: Vec<JoinHandle<()>>, done: oneshot::Sender<()>) {
    for task in tasks {
        let _ = task.await;
    }
    let _ = done.send(());
}

async fn accept(
    socket: Socket,
    settings: ListenerSettings,
    workers: Workers,
    mut stop: oneshot::Receiver<Backlog>,
) {
    let listening = match Listening::new(socket) {
        Ok(listening) => listening,
        Err(error) => {
            tracing::error!(%error, "a listening socket cannot be used");
            return;
        }
    };
    let (backlog, waiting) = loop {
        let accepted = tokio::select! {
            biased;
            backlog = &mut stop => break (backlog, None),
            accepted = workers.next(&listening) => accepted,
        };
        let Some((worker, guard)) = workers.pool.fewest() else {
            return;
        };
        let Some(connection) = workers.divert(worker, accepted, settings.current(), guard) else {
            continue;
        };
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
    let rest = match backlog {
        Ok(Backlog::Serve) => listening.close().unwrap_or_default(),
        Ok(Backlog::Leave) | Err(_) => {
            drop(listening);
            Vec::new()
        }
    };
    if let Some((worker, connection)) = waiting {
        let _ = worker.messages.send(connection).await;
    }
    for detached in rest {
        let Some((worker, guard)) = workers.pool.fewest() else {
            return;
        };
        let _ = worker
            .messages
            .send(Message::Connection(detached, settings.current(), guard))
            .await;
    }
}

impl Workers {
    /// The next connection, as soon as there is room for it.
    async fn next(&self, listening: &Listening) -> Accepted {
        loop {
            self.room().await;
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
    async fn room(&self) {
        let Pool { total, room, .. } = &*self.pool;
        while total.open.load(Ordering::Relaxed)
            >= self.live.load().config.server.limits.connections.min(*room)
        {
            // Timed out or told: either way it is worth another look.
            let _ = timeout(LOOK, total.closed.notified()).await;
        }
    }

    /// What `worker` has to be told of a connection: nothing if it is the one that accepts, which
    /// serves it from here on.
    fn divert(
        &self,
        worker: &worker::Handle,
        accepted: Accepted,
        listener: Arc<Listener>,
        guard: OpenGuard,
    ) -> Option<Message> {
        let is_first = self
            .pool
            .workers
            .first()
            .is_some_and(|first| std::ptr::eq(first, worker));
        if let Some(context) = self.context.as_ref().filter(|_| is_first) {
            context.serve(accepted, listener, guard);
            return None;
        }
        Some(Message::Connection(
            accepted.detach().ok()?,
            listener,
            guard,
        ))
    }
}

impl Pool {
    /// The worker that has the fewest connections, and one more from now on.
    fn fewest(&self) -> Option<(&worker::Handle, OpenGuard)> {
        let fewest = self
            .workers
            .iter()
            .min_by_key(|worker| worker.open.load(Ordering::Relaxed))?;
        Some((fewest, OpenGuard::new(&fewest.open, &self.total)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use tokio::task::LocalSet;

    use super::*;
    use crate::config::Config;
    use crate::server::listener::{Binding, Detached, bind};
    use crate::snapshot::Snapshot;
    use crate::telemetry::Metrics;

    const TEXT: &str = "[upstreams.up]\nurl = \"http://127.0.0.1:1\"\n\
                        [[routes]]\npath = \"/x\"\nupstream = \"up\"\nmethods = [\"GET\"]\npublic = true\n";

    fn live() -> Arc<Live> {
        let config = Config::parse(TEXT, "gateway.toml").unwrap();
        Arc::new(Live::new(
            Snapshot::compile(config, &Metrics::new(&[], &[]).unwrap(), None).unwrap(),
        ))
    }

    /// Lets everything else on this thread run.
    async fn until(mut condition: impl FnMut() -> bool) {
        let waiting = async {
            while !condition() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.unwrap();
    }

    /// One worker with room for one message, three connections, and the end; which of them reached
    /// the worker.
    async fn stop(backlog: Backlog) -> Vec<bool> {
        let (messages, mut inbox) = mpsc::channel(1);
        let worker = worker::Handle {
            messages,
            open: Arc::default(),
        };
        let open = worker.open.clone();
        let pool = Arc::new(Pool {
            workers: vec![worker],
            total: Arc::default(),
            room: usize::MAX,
        });
        let any = Address::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
        let socket = bind(&any, Binding::default()).unwrap();
        socket.listen().unwrap();
        let address = socket.address(&any).ip().unwrap();
        let (orders, taken) = mpsc::unbounded_channel();
        let live = live();
        let settings = ListenerSettings::new(&live.load().config.server.listeners[0]);
        let (done, _changed) = oneshot::channel();
        let opened = vec![Opened {
            address: Address::Ip(address),
            settings,
            socket,
        }];
        orders
            .send(Order::Change {
                opened,
                closed: Vec::new(),
                done,
            })
            .unwrap();
        let clients: Vec<_> = (0..3)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let workers = Workers {
            pool,
            context: None,
            live,
        };
        let (_, reached) = tokio::join!(run(taken, workers), async {
            until(|| open.load(Ordering::Relaxed) == 2).await;
            let (done, mut stopped) = oneshot::channel();
            orders.send(Order::Stop(backlog, done)).unwrap();
            let mut late = Vec::new();
            until(|| {
                TcpStream::connect(address)
                    .map(|stream| late.push(stream))
                    .is_err()
                    || late.len() > 9
            })
            .await;
            assert!(late.len() < 10, "the socket is closed at once");
            assert!(stopped.try_recv().is_err(), "and waits for no worker");
            let mut reached = Vec::new();
            while stopped.try_recv().is_err() {
                let next = timeout(Duration::from_millis(5), inbox.recv()).await;
                if let Ok(Some(Message::Connection(Detached::Tcp { client, .. }, ..))) = next {
                    reached.push(client);
                }
            }
            while let Ok(Message::Connection(Detached::Tcp { client, .. }, ..)) = inbox.try_recv() {
                reached.push(client);
            }
            reached
        });
        clients
            .iter()
            .map(|client| reached.contains(&client.local_addr().unwrap()))
            .collect()
    }

    #[test]
    fn who_waits_when_accepting_stops_reaches_a_worker_that_is_behind() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let stop = |backlog| LocalSet::new().block_on(&runtime, stop(backlog));
        assert_eq!(stop(Backlog::Serve), [true, true, true]);
        // What a successor accepts is not accepted here; what was, is.
        assert_eq!(stop(Backlog::Leave), [true, true, false]);
    }
}
