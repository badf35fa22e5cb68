//! From socket to request: listening, accepting, and the connections of each worker.

mod acceptor;
mod connection;
mod connections;
mod descriptors;
mod handshake;
mod inherited;
mod listener;
mod proxy_protocol;
mod stream;
mod task_pool;
mod timer_wheel;
mod worker;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use acceptor::{Backlog, Opened};
pub use descriptors::{
    DescriptorError, check_descriptor_limit, connection_room, raise_descriptor_limit,
};
pub use inherited::Inherited;
pub use listener::{Binding, ListenerSettings, Socket, bind};

use crate::net::Address;
use crate::proxy::Worker;
use crate::snapshot::Live;
use acceptor::Order;
use worker::{Message, Total};

/// How long a worker may take to say that it is alive.
const PING: Duration = Duration::from_secs(1);

/// The workers, the first of which accepts for all.
#[derive(Debug)]
pub struct Server {
    orders: mpsc::UnboundedSender<Order>,
    workers: Arc<Pool>,
    /// Whether workers end, each when its last connection has.
    draining: Cell<bool>,
}

/// The workers, as the acceptor sees them.
#[derive(Debug)]
struct Pool {
    workers: Vec<worker::Handle>,
    total: Arc<Total>,
    /// The client connections that there are descriptors for.
    room: usize,
}

impl Server {
    /// Starts `count` workers, each made on its own thread, for at most `room` client connections
    /// at a time. Nothing is accepted before [`Server::change`].
    ///
    /// # Errors
    /// If a thread or a runtime cannot be created.
    pub fn start(
        count: usize,
        room: usize,
        live: Arc<Live>,
        make: impl Fn() -> Rc<Worker> + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let workers = (0..count)
            .map(|index| worker::start(index, make.clone()))
            .collect::<io::Result<_>>()?;
        let workers = Arc::new(Pool {
            workers,
            total: Arc::default(),
            room,
        });
        let (orders, inbox) = mpsc::unbounded_channel();
        if let Some(first) = workers.workers.first() {
            // It has room: this is its first message.
            let _ = first
                .messages
                .try_send(Message::Accept(inbox, live, workers.clone()));
        }
        Ok(Self {
            orders,
            workers,
            draining: Cell::new(false),
        })
    }

    /// Starts accepting on `opened`, stops on `closed`. Connections already accepted or queued on
    /// `closed` are served. The receiver fires when the closed addresses are free.
    pub fn change(&self, opened: Vec<Opened>, closed: Vec<Address>) -> oneshot::Receiver<()> {
        let (done, changed) = oneshot::channel();
        // The acceptor ends with the server alone.
        let _ = self.orders.send(Order::Change {
            opened,
            closed,
            done,
        });
        changed
    }

    /// Whether every worker answers. In the drain a gateway is alive while those do that have not
    /// ended: a supervisor is not to kill it for that.
    pub async fn is_alive(&self) -> bool {
        for worker in &self.workers.workers {
            if self.draining.get() && worker.messages.is_closed() {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            let sent = worker.messages.try_send(Message::Ping(answer)).is_ok();
            if !sent || timeout(PING, answered).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Ends the drain that is under way, as the end of its time would.
    pub async fn hasten_drain(&self) {
        for worker in &self.workers.workers {
            // One that takes no message now is stuck, and does not end for this either.
            let _ = timeout(PING, worker.messages.send(Message::Hasten)).await;
        }
    }

    /// Stops accepting at once, lets connections finish for `limit`, and returns when the threads
    /// have ended.
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
