//! A worker thread: one runtime and the connections that it serves. Workers share no connection
//! state.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{interval, sleep, timeout};

use super::acceptor::{self, Workers};
use super::failure;
use super::messages::{Handle, Message};
use super::worker_context::WorkerContext;
use crate::proxy::Worker;
use crate::telemetry::ShardSlot;

/// The most messages that wait for one worker. When the queue is full, accepting waits.
const QUEUE: usize = 256;

/// The interval at which expired entries of a worker's caches are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The interval at which the log is told of failures for which it had no room.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The time that tunnels have to send their close frames when the drain is over.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

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

/// Starts a worker on this thread, in a simulation. As at the end of a thread, its tasks end with it.
#[cfg(test)]
pub(super) fn start_here(worker: Rc<Worker>) -> Handle {
    let (messages, inbox) = mpsc::channel(QUEUE);
    spawn_local(async move {
        let tasks = tokio::task::LocalSet::new();
        tasks.run_until(run(worker, inbox)).await;
    });
    Handle {
        messages,
        open: Arc::default(),
    }
}

/// Serves connections until the drain is over.
async fn run(worker: Rc<Worker>, mut inbox: mpsc::Receiver<Message>) {
    let context = WorkerContext::new(worker.clone());
    let sweeper = spawn_local(sweep(worker.clone()));
    let reporter = spawn_local(report(worker.clone()));
    spawn_local({
        let worker = worker.clone();
        async move { worker.deliver_log().await }
    });
    spawn_local(worker.timer_wheel().clone().run());
    let limit = until_drain(&context, &mut inbox).await;
    drain(&context, &mut inbox, limit).await;
    sweeper.abort();
    reporter.abort();
    failure::report_skipped(&worker);
}

/// Obeys messages until the drain, and returns the time that connections have to finish then.
async fn until_drain(context: &WorkerContext, inbox: &mut mpsc::Receiver<Message>) -> Duration {
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
            Message::Accept(..) | Message::Ping(_) | Message::Drain(_) => {}
        }
    }
    if is_hastened { Duration::ZERO } else { limit }
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

/// Reports failures for which the log had no room, again and again.
async fn report(worker: Rc<Worker>) {
    let mut interval = interval(REPORT_INTERVAL);
    loop {
        interval.tick().await;
        failure::report_skipped(&worker);
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
