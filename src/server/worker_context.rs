//! The way of an accepted connection into a task of its worker.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_local;

use super::connection::Connection;
use super::connections::Registry;
use super::listener::{Accepted, Detached};
use super::messages::OpenGuard;
use super::task_pool::TaskPool;
use crate::config::Listener;
use crate::proxy::Worker;

/// The parts of a worker that its connections use.
#[derive(Clone)]
pub(super) struct WorkerContext {
    pub(super) worker: Rc<Worker>,
    pub(super) registry: Rc<Registry>,
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
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        let registry = Registry::new(worker.timer_wheel().clone());
        Self {
            worker,
            registry: Rc::new(registry),
            task_pool: Rc::new(TaskPool::new()),
        }
    }

    /// Serves a connection that another worker accepted.
    pub(super) fn attach(&self, detached: Detached, listener: Arc<Listener>, open: OpenGuard) {
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
            // Boxed: plain connections need no handshake, and their tasks stay small. To go this
            // way as well costs a connection with one request 3.8 % more instructions.
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
