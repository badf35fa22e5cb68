//! The client side of the gateway: listening, accepting, and the connections of each worker.

mod acceptor;
mod connection;
mod connections;
mod descriptors;
mod end;
mod failure;
#[cfg(test)]
mod fuzz;
mod handshake;
mod inherited;
mod listener;
mod messages;
mod proxy_protocol;
mod request_line;
mod stream;
mod task_pool;
mod tls_error;
mod worker;
mod worker_context;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use connection::{HeadRefusal, ParsedHead, parse_head};
pub use descriptors::{
    DescriptorError, check_descriptor_limit, connection_room, raise_descriptor_limit,
};
pub use inherited::{Inherited, InheritedSocket};
pub use listener::{Binding, ListenerSettings, Socket, bind};
pub use messages::{Backlog, Opened};

use crate::net::Address;
use crate::proxy::Worker;
use crate::snapshot::Live;
use messages::{Handle, Message, Order, Pool};

/// The time that a worker has to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The worker threads. The first worker accepts connections for all of them.
#[derive(Debug)]
pub struct Server {
    orders: mpsc::UnboundedSender<Order>,
    workers: Arc<Pool>,
    /// Set when the drain has begun: each worker ends after its last connection.
    draining: Cell<bool>,
}

impl Server {
    /// Starts `count` workers for at most `room` client connections at a time. `make` runs once on
    /// the thread of each worker. No connection is accepted before [`Server::change`].
    ///
    /// # Errors
    /// Returns an error if a thread or a runtime cannot be created.
    pub fn start(
        count: usize,
        room: usize,
        live: Arc<Live>,
        make: impl Fn() -> Rc<Worker> + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let workers = (0..count)
            .map(|index| worker::start(index, make.clone()))
            .collect::<io::Result<_>>()?;
        Ok(Self::of(workers, room, live))
    }

    /// Starts the workers on this thread, in a simulation.
    #[cfg(test)]
    pub(crate) fn start_here(
        count: usize,
        room: usize,
        live: Arc<Live>,
        make: impl Fn() -> Rc<Worker>,
    ) -> Self {
        let workers = (0..count).map(|_| worker::start_here(make())).collect();
        Self::of(workers, room, live)
    }

    /// Returns the server of these workers, the first of which runs the acceptor.
    fn of(workers: Vec<Handle>, room: usize, live: Arc<Live>) -> Self {
        let workers = Arc::new(Pool {
            workers,
            total: Arc::default(),
            room,
        });
        let (orders, inbox) = mpsc::unbounded_channel();
        if let Some(first) = workers.workers.first() {
            // The channel has room: this is its first message.
            let _ = first
                .messages
                .try_send(Message::Accept(inbox, live, workers.clone()));
        }
        Self {
            orders,
            workers,
            draining: Cell::new(false),
        }
    }

    /// Starts accepting on `opened` and stops accepting on `closed`. Connections that are already
    /// accepted or queued on `closed` are served. The receiver fires when the closed addresses are
    /// free.
    pub fn change(&self, opened: Vec<Opened>, closed: Vec<Address>) -> oneshot::Receiver<()> {
        let (done, changed) = oneshot::channel();
        // The acceptor lives as long as the server, so the channel is open.
        let _ = self.orders.send(Order::Change {
            opened,
            closed,
            done,
        });
        changed
    }

    /// Returns whether every worker answers a ping. During the drain, workers that have ended do
    /// not count: a supervisor must not kill a gateway because it drains.
    pub async fn is_alive(&self) -> bool {
        for worker in &self.workers.workers {
            if self.draining.get() && worker.messages.is_closed() {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            let sent = worker.messages.try_send(Message::Ping(answer)).is_ok();
            if !sent || timeout(PING_TIMEOUT, answered).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Ends the drain at once, as if its time were over.
    pub async fn hasten_drain(&self) {
        for worker in &self.workers.workers {
            // A worker that takes no message within this time is stuck; this cannot end it.
            let _ = timeout(PING_TIMEOUT, worker.messages.send(Message::Hasten)).await;
        }
    }

    /// Stops accepting at once, gives connections `limit` to finish, and returns when the worker
    /// threads have ended.
    pub async fn drain(&self, backlog: Backlog, limit: Duration) {
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::Stop(backlog, done)).is_ok() {
            let _ = stopped.await;
        }
        tracing::info!("no connection is accepted any more");
        self.draining.set(true);
        for worker in &self.workers.workers {
            let _ = worker.messages.send(Message::Drain(limit)).await;
        }
        for worker in &self.workers.workers {
            worker.messages.closed().await;
        }
    }
}
