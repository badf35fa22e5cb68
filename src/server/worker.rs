//! A worker thread: one runtime, the connections it was given, and nothing that another worker
//! touches.

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

/// Accepted connections that wait for a worker to take them; beyond it accepting waits.
const HANDOVER: usize = 256;

/// How often what has expired is let go of.
const SWEEP: Duration = Duration::from_secs(60);

/// How long WebSockets have to say goodbye when the drain is over.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// What a worker is told.
pub(super) enum Message {
    /// Serve this connection, which came to this listener.
    Connection(Detached, Arc<Listener>, OpenGuard),
    /// Accept for all workers, as the orders say.
    Accept(mpsc::UnboundedReceiver<Order>, Arc<Live>, Arc<Pool>),
    /// Answer: the worker is alive.
    Ping(oneshot::Sender<()>),
    /// Let connections finish, at most for so long, and end.
    Drain(Duration),
    /// Give connections no more time to finish, in the drain or as soon as it begins.
    Hasten,
}

/// A worker, seen from the other threads.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) open: Arc<AtomicUsize>,
}

/// Counts a connection while it is open, from the moment it is accepted.
pub(super) struct OpenGuard {
    open: Arc<AtomicUsize>,
    total: Arc<Total>,
}

/// Connections of all workers.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) open: AtomicUsize,
    /// Woken when one closes.
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

/// Starts a worker thread. `make` runs on it, since a worker's own parts never leave their thread,
/// and so does what makes the runtime.
pub(super) fn start(
    index: usize,
    make: impl FnOnce() -> Rc<Worker> + Send + 'static,
) -> io::Result<Handle> {
    let (messages, inbox) = mpsc::channel(HANDOVER);
    // Here and not there: no worker is to count before all have a place.
    let slot = ShardSlot::reserve();
    let (started, start) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            let _seated = slot.occupy();
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            // Who starts it waits for this.
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

async fn run(worker: Rc<Worker>, mut inbox: mpsc::Receiver<Message>) {
    let registry = Rc::new(Registry::new());
    let task_pool = Rc::new(TaskPool::new());
    let context = WorkerContext {
        worker: worker.clone(),
        registry: registry.clone(),
        task_pool,
    };
    let sweeper = spawn_local({
        let worker = worker.clone();
        async move {
            let mut wheel = interval(SWEEP);
            loop {
                wheel.tick().await;
                worker.sweep();
            }
        }
    });
    spawn_local({
        let worker = worker.clone();
        async move { worker.deliver_log().await }
    });
    spawn_local(registry.clone().wake_when_due());
    let (mut limit, mut hastened) = (Duration::ZERO, false);
    while let Some(message) = inbox.recv().await {
        match message {
            Message::Connection(detached, listener, open) => {
                context.attach(detached, listener, open);
            }
            Message::Accept(orders, live, pool) => {
                spawn_local(acceptor::run(
                    orders,
                    Workers {
                        pool,
                        context: Some(context.clone()),
                        live,
                    },
                ));
            }
            // Whoever asked may have stopped waiting.
            Message::Ping(answer) => drop(answer.send(())),
            Message::Hasten => hastened = true,
            Message::Drain(within) => {
                limit = within;
                break;
            }
        }
    }
    // Connections that were accepted before the drain are served like the others.
    while let Ok(message) = inbox.try_recv() {
        match message {
            Message::Connection(detached, listener, open) => {
                context.attach(detached, listener, open);
            }
            Message::Hasten => hastened = true,
            _ => {}
        }
    }
    let limit = if hastened { Duration::ZERO } else { limit };
    registry.begin_drain(limit);
    tokio::select! {
        biased;
        () = registry.emptied() => return sweeper.abort(),
        () = hastening(&mut inbox) => {}
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
    sweeper.abort();
}

/// Waits until the drain is to end at once. Until then the worker is as alive as before.
async fn hastening(inbox: &mut mpsc::Receiver<Message>) {
    loop {
        match inbox.recv().await {
            Some(Message::Hasten) => return,
            Some(Message::Ping(answer)) => drop(answer.send(())),
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// What a connection needs of its worker.
#[derive(Clone)]
pub(super) struct WorkerContext {
    worker: Rc<Worker>,
    registry: Rc<Registry>,
    task_pool: Rc<TaskPool<Arrival>>,
}

/// A connection that has come, and its listener as it was configured then: it may have left the
/// configuration since.
struct Arrival {
    connection: Connection,
    listener: Arc<Listener>,
    open: OpenGuard,
}

impl WorkerContext {
    /// Serves a connection that another worker accepted.
    fn attach(&self, detached: Detached, listener: Arc<Listener>, open: OpenGuard) {
        // Without room for another on the event loop it is closed.
        if let Ok(accepted) = detached.attach() {
            self.serve(accepted, listener, open);
        }
    }

    /// Serves a connection that came to this listener.
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

/// Serves a connection as its listener was configured when it was accepted.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn keeps a second place for what it is given"
)]
fn serve(mut arrival: Arrival, worker: &Worker) -> impl Future<Output = ()> {
    async move {
        if arrival.connection.needs_handshake(&arrival.listener) {
            let head = worker.view().snapshot.config.server.timeouts.request_head;
            // Boxed: connections in the clear are many, and not to be as large as this.
            let handshake = Box::pin(arrival.connection.handshake(&arrival.listener, head));
            let Some(greeted) = handshake.await else {
                return;
            };
            arrival.connection = greeted;
        }
        // Its certificates are not kept for as long as the connection lives.
        drop(arrival.listener);
        if arrival.connection.serve().await {
            Box::pin(arrival.connection.serve_http2()).await;
        }
        drop(arrival.open);
    }
}
