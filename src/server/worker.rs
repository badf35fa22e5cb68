//! A worker thread: one runtime and the connections that it serves. Workers share no connection
//! state.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{interval, sleep, timeout};

use super::Pool;
use super::acceptor::{self, Order, Workers};
use super::connection::Connection;
use super::connections::Registry;
use super::listener::{Accepted, Detached};
use super::task_pool::TaskPool;
use crate::config::Listener;
use crate::proxy::Worker;
use crate::snapshot::Live;
use crate::telemetry::ShardSlot;

/// The most messages that wait for one worker. When the queue is full, accepting waits.
const QUEUE: usize = 256;

/// The interval at which expired entries of a worker's caches are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The time that tunnels have to send their close frames when the drain is over.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A message to a worker.
pub(super) enum Message {
    /// Serve this connection, which was accepted on this listener.
    Connection(Detached, Arc<Listener>, OpenGuard),
    /// Run the acceptor for all workers.
    Accept(mpsc::UnboundedReceiver<Order>, Arc<Live>, Arc<Pool>),
    /// Reply, to show that the worker is alive.
    Ping(oneshot::Sender<()>),
    /// Let connections finish within this time, and end.
    Drain(Duration),
    /// Give connections no more time to finish, now or as soon as the drain begins.
    Hasten,
}

/// The side of a worker that other threads use.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) open: Arc<AtomicUsize>,
}

/// Counts a connection from the moment when it is accepted until it is closed.
pub(super) struct OpenGuard {
    open: Arc<AtomicUsize>,
    total: Arc<Total>,
}

/// The number of open connections of all workers.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) open: AtomicUsize,
    /// Notified when a connection closes.
    pub(super) closed: Notify,
}

impl OpenGuard {
    pub(super) fn new(open: &Arc<AtomicUsize>, total: &Arc<Total>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        total.open.fetch_add(1, Ordering::Relaxed);
        Self {
            open: open.clone(),
            total: total.clone(),
        }
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.total.open.fetch_sub(1, Ordering::Relaxed);
        self.total.closed.notify_one();
    }
}

/// Starts a worker thread. `make` and the construction of the runtime run on that thread, because
/// the parts of a worker never leave it.
pub(super) fn start(
    index: usize,
    make: impl FnOnce() -> Rc<Worker> + Send + 'static,
) -> io::Result<Handle> {
    let (messages, inbox) = mpsc::channel(QUEUE);
    // Reserved before the thread starts: no worker may count before every worker has a shard.
    let slot = ShardSlot::reserve();
    let (started, start) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            let _occupied = slot.occupy();
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            // The starting thread waits for this message.
            match runtime {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(run(make(), inbox));
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
    start.recv().map_err(io::Error::other)??;
    Ok(Handle {
        messages,
        open: Arc::default(),
    })
}

/// Serves connections until the drain is over.
async fn run(worker: Rc<Worker>, mut inbox: mpsc::Receiver<Message>) {
    let registry = Rc::new(Registry::new());
    let task_pool = Rc::new(TaskPool::new());
    let context = WorkerContext {
        worker: worker.clone(),
        registry: registry.clone(),
        task_pool,
    };
    let sweeper = spawn_local(sweep(worker.clone()));
    spawn_local({
        let worker = worker.clone();
        async move { worker.deliver_log().await }
    });
    spawn_local(registry.clone().wake_when_due());
    let (mut limit, mut is_hastened) = (Duration::ZERO, false);
    while let Some(message) = inbox.recv().await {
        match message {
            Message::Connection(detached, listener, open) => {
                context.attach(detached, listener, open);
            }
            Message::Accept(orders, live, pool) => {
                let context = Some(context.clone());
                let workers = Workers {
                    pool,
                    context,
                    live,
                };
                spawn_local(acceptor::run(orders, workers));
            }
            // An error means that the sender of the ping waits no longer.
            Message::Ping(answer) => drop(answer.send(())),
            Message::Hasten => is_hastened = true,
            Message::Drain(within) => {
                limit = within;
                break;
            }
        }
    }
    // Connections that were accepted before the drain, but are still in the queue, are served too.
    while let Ok(message) = inbox.try_recv() {
        match message {
            Message::Connection(detached, listener, open) => {
                context.attach(detached, listener, open);
            }
            Message::Hasten => is_hastened = true,
            _ => {}
        }
    }
    let limit = if is_hastened { Duration::ZERO } else { limit };
    drain(&context, &mut inbox, limit).await;
    sweeper.abort();
}

/// Lets the connections finish within `limit`, and cuts the rest.
async fn drain(context: &WorkerContext, inbox: &mut mpsc::Receiver<Message>, limit: Duration) {
    let registry = &context.registry;
    registry.begin_drain(limit);
    tokio::select! {
        biased;
        () = registry.emptied() => return,
        () = hastened(inbox) => {}
        () = sleep(limit) => {}
    }
    context.worker.cut();
    registry.end_drain();
    if timeout(CLOSE_TIMEOUT, registry.emptied()).await.is_err() {
        let connections = registry.count();
        tracing::warn!(
            connections,
            ?limit,
            "connections were cut: they did not finish within the drain"
        );
    }
}

/// Removes expired entries from the caches of a worker, again and again.
async fn sweep(worker: Rc<Worker>) {
    let mut interval = interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        worker.sweep();
    }
}

/// Waits until the drain has to end at once, and answers pings meanwhile.
async fn hastened(inbox: &mut mpsc::Receiver<Message>) {
    loop {
        match inbox.recv().await {
            Some(Message::Hasten) => return,
            Some(Message::Ping(answer)) => drop(answer.send(())),
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// The parts of a worker that its connections use.
#[derive(Clone)]
pub(super) struct WorkerContext {
    worker: Rc<Worker>,
    registry: Rc<Registry>,
    task_pool: Rc<TaskPool<Arrival>>,
}

/// An accepted connection, and the configuration of its listener at that time. A reload may have
/// removed the listener since.
struct Arrival {
    connection: Connection,
    listener: Arc<Listener>,
    open: OpenGuard,
}

impl WorkerContext {
    /// Serves a connection that another worker accepted.
    fn attach(&self, detached: Detached, listener: Arc<Listener>, open: OpenGuard) {
        // A connection that cannot be registered with the event loop is closed.
        if let Ok(accepted) = detached.attach() {
            self.serve(accepted, listener, open);
        }
    }

    /// Serves a connection that was accepted on this listener.
    pub(super) fn serve(&self, accepted: Accepted, listener: Arc<Listener>, open: OpenGuard) {
        self.worker.metrics().accepted.inc();
        self.worker.metrics().connections.inc();
        let (stream, peer) = accepted.open();
        let connection = Connection::new(stream, peer, self.worker.clone(), self.registry.join());
        if let Some(slot) = self.task_pool.give(Arrival {
            connection,
            listener,
            open,
        }) {
            let (worker, task_pool) = (self.worker.clone(), self.task_pool.clone());
            spawn_local(async move {
                while let Some(served) = task_pool
                    .next(&slot)
                    .await
                    .map(|arrival| serve(arrival, &worker))
                {
                    served.await;
                    worker.metrics().connections.dec();
                }
            });
        }
    }
}

/// Serves a connection by the configuration that its listener had when it was accepted.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn stores its arguments twice"
)]
fn serve(mut arrival: Arrival, worker: &Worker) -> impl Future<Output = ()> {
    async move {
        if arrival.connection.needs_handshake(&arrival.listener) {
            let head = worker.view().snapshot.config.server.timeouts.request_head;
            // Boxed: plain connections need no handshake, and their tasks stay small.
            let handshake = Box::pin(arrival.connection.handshake(&arrival.listener, head));
            let Some(connection) = handshake.await else {
                return;
            };
            arrival.connection = connection;
        }
        // A long connection must not keep the certificates of an old configuration in memory.
        drop(arrival.listener);
        if arrival.connection.serve().await {
            Box::pin(arrival.connection.serve_http2()).await;
        }
        drop(arrival.open);
    }
}
