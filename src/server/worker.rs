//! A worker thread: one runtime, the connections it was given, and nothing that another worker touches.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{interval, timeout};

use super::connection::{self, Protocol};
use super::drain::Drain;
use super::stream::Stream;
use crate::net::Peer;
use crate::proxy::Worker;

/// Accepted connections that wait for a worker to take them; beyond it accepting waits.
const HANDOVER: usize = 256;

/// How often what has expired is let go of.
const SWEEP: Duration = Duration::from_secs(60);

/// How long WebSockets have to say goodbye when the drain is over.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a worker is told.
pub(super) enum Message {
    /// Serve this connection.
    Connection(StdStream, SocketAddr, OpenGuard),
    /// Answer: the worker is alive.
    Ping(oneshot::Sender<()>),
    /// Let connections finish, at most for so long, and end.
    Drain(Duration),
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
        Self { open: open.clone(), total: total.clone() }
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.total.open.fetch_sub(1, Ordering::Relaxed);
        self.total.closed.notify_one();
    }
}

/// Starts a worker thread. `make` runs on it, since a worker's own parts never leave their thread.
pub(super) fn start(index: usize, make: impl FnOnce() -> Rc<Worker> + Send + 'static) -> io::Result<Handle> {
    let (messages, inbox) = mpsc::channel(HANDOVER);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || LocalSet::new().block_on(&runtime, run(make(), inbox)))?;
    Ok(Handle { messages, open: Arc::default() })
}

async fn run(worker: Rc<Worker>, mut inbox: mpsc::Receiver<Message>) {
    let drain = Rc::new(Drain::default());
    let sweeper = spawn_local({
        let worker = worker.clone();
        async move {
            let mut ticks = interval(SWEEP);
            loop {
                ticks.tick().await;
                worker.sweep();
            }
        }
    });
    let mut limit = Duration::ZERO;
    while let Some(message) = inbox.recv().await {
        match message {
            Message::Connection(stream, address, open) => accept(stream, address, open, &worker, &drain),
            // Whoever asked may have stopped waiting.
            Message::Ping(answer) => drop(answer.send(())),
            Message::Drain(within) => {
                limit = within;
                break;
            }
        }
    }
    // Connections that were accepted before the drain are served like the others.
    while let Ok(message) = inbox.try_recv() {
        if let Message::Connection(stream, address, open) = message {
            accept(stream, address, open, &worker, &drain);
        }
    }
    drain.begin();
    if timeout(limit, drain.finished()).await.is_ok() {
        return sweeper.abort();
    }
    drain.expire();
    if timeout(FAREWELL, drain.finished()).await.is_err() {
        tracing::warn!(?limit, "connections were cut: they did not finish within the drain");
    }
    sweeper.abort();
}

fn accept(stream: StdStream, address: SocketAddr, open: OpenGuard, worker: &Rc<Worker>, drain: &Rc<Drain>) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let port = stream.local_addr().map_or(0, |address| address.port());
    let (worker, drain) = (worker.clone(), drain.clone());
    worker.metrics().accepted.inc();
    worker.metrics().connections.inc();
    let member = drain.join();
    spawn_local(async move {
        let peer = Peer::new(address, port);
        connection::serve(Stream::tcp(stream), peer, worker.clone(), member, Protocol::Sniff).await;
        worker.metrics().connections.dec();
        drop(open);
    });
}
