//! The acceptor: one task that accepts connections and gives each to the worker with the fewest. It
//! runs on the thread of the first worker. On a thread of its own, every connection would cost two
//! switches between threads, and its socket would be registered with two event loops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::listener::{Accepted, Detached, ListenerSettings, Listening, Socket, is_client_abort};
use super::messages::{Backlog, Handle, Message, OpenGuard, Opened, Order, Pool};
use super::worker_context::WorkerContext;
use crate::config::Listener;
use crate::net::Address;
use crate::snapshot::Live;

/// The delay after an accept that failed because descriptors or memory ran out. A retry without a
/// delay would spin (requirements.md#l06).
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The interval at which a listener that waits for room checks the limit without being notified. A
/// reload may raise the limit, and a closed connection notifies only one of the waiting listeners,
/// which may have no client to accept.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The task that accepts on one socket.
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

    /// Stops accepting. The task ends when every accepted connection has reached its worker.
    fn stop(self, backlog: Backlog) -> JoinHandle<()> {
        // An error means that the task has ended: its socket could not be used.
        let _ = self.stop.send(backlog);
        self.task
    }
}

/// The workers to which the acceptor gives connections.
#[derive(Clone)]
pub(super) struct Workers {
    pub(super) pool: Arc<Pool>,
    /// The context of the first worker, on whose thread the acceptor runs.
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
                let mut tasks = Vec::new();
                for address in &closed {
                    if let Some(acceptor) = accepting.remove(address) {
                        tasks.push(acceptor.stop(Backlog::Serve));
                    }
                }
                for Opened {
                    address,
                    settings,
                    socket,
                } in opened
                {
                    accepting.insert(address, Acceptor::begin(socket, settings, workers.clone()));
                }
                // In a task of its own: a slow worker must not delay the next order.
                spawn_local(confirm(tasks, done));
            }
            Order::Stop(backlog, done) => {
                let tasks = accepting
                    .into_values()
                    .map(|acceptor| acceptor.stop(backlog))
                    .collect();
                return confirm(tasks, done).await;
            }
        }
    }
}

/// Fires `done` when the tasks have ended.
async fn confirm(tasks: Vec<JoinHandle<()>>, done: oneshot::Sender<()>) {
    for task in tasks {
        let _ = task.await;
    }
    let _ = done.send(());
}

/// Accepts on one socket until `stop` fires.
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
        let Some((worker, guard)) = workers.pool.least_loaded() else {
            return;
        };
        let Some(connection) = workers.serve_or_send(worker, accepted, settings.current(), guard)
        else {
            continue;
        };
        tokio::select! {
            biased;
            room = worker.messages.reserve() => {
                // An error means that the worker has ended: the gateway shuts down.
                let _ = room.map(|room| room.send(connection));
            }
            // The socket is closed at once, even if the worker is busy.
            backlog = &mut stop => break (backlog, Some((worker, connection))),
        }
    };
    // An error means that the server is gone without an order to stop.
    let queued = close(listening, backlog.unwrap_or(Backlog::Leave));
    if let Some((worker, connection)) = waiting {
        let _ = worker.messages.send(connection).await;
    }
    for detached in queued {
        let Some((worker, guard)) = workers.pool.least_loaded() else {
            return;
        };
        let _ = worker
            .messages
            .send(Message::Connection(detached, settings.current(), guard))
            .await;
    }
}

/// Closes a socket, and returns the connections of its backlog that this process serves.
fn close(listening: Listening, backlog: Backlog) -> Vec<Detached> {
    match backlog {
        Backlog::Serve => listening.close().unwrap_or_default(),
        Backlog::Leave => Vec::new(),
    }
}

impl Workers {
    /// Waits for room, and then for the next connection.
    async fn next(&self, listening: &Listening) -> Accepted {
        loop {
            self.wait_for_room().await;
            match listening.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_client_abort(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// Waits until another connection is within the limit and the file descriptors suffice for it.
    async fn wait_for_room(&self) {
        let Pool { total, room, .. } = &*self.pool;
        while total.open.load(Ordering::Relaxed)
            >= self.live.load().config.server.limits.connections.min(*room)
        {
            // The limit is checked again after a notification and after a timeout.
            let _ = timeout(RECHECK_INTERVAL, total.closed.notified()).await;
        }
    }

    /// Serves the connection on this thread if `worker` is the first worker. Otherwise returns the
    /// message that passes the connection to `worker`, or `None` if it cannot leave the event loop.
    fn serve_or_send(
        &self,
        worker: &Handle,
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

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use tokio::task::LocalSet;

    use super::*;
    use crate::config::Config;
    use crate::server::listener::{Binding, bind};
    use crate::snapshot::Snapshot;
    use crate::telemetry::Metrics;

    const TEXT: &str = "[upstreams.up]\nurl = \"http://127.0.0.1:1\"\n\
                        [[routes]]\npath = \"/x\"\nupstream = \"up\"\n\
                        methods = [\"GET\"]\npublic = true\n";

    fn live() -> Arc<Live> {
        let config = Config::parse(TEXT, "gateway.toml").unwrap();
        Arc::new(Live::new(
            Snapshot::compile(config, &Metrics::new(&[]).unwrap(), None).unwrap(),
        ))
    }

    /// Waits for a condition, while the other tasks of this thread run.
    async fn until(mut condition: impl FnMut() -> bool) {
        let waiting = async {
            while !condition() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.unwrap();
    }

    /// Accepts three connections for a worker with room for one message, stops, and returns for
    /// each connection whether it reached the worker.
    async fn stop(backlog: Backlog) -> Vec<bool> {
        let (messages, mut inbox) = mpsc::channel(1);
        let worker = Handle {
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
    fn a_client_that_waits_when_accepting_stops_reaches_a_worker_that_is_behind() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let stop = |backlog| LocalSet::new().block_on(&runtime, stop(backlog));
        assert_eq!(stop(Backlog::Serve), [true, true, true]);
        // The successor accepts the third; the first two were accepted here already.
        assert_eq!(stop(Backlog::Leave), [true, true, false]);
    }
}
