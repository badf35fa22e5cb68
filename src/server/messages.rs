//! The workers as other threads see them: their handles, and the messages to them and to the
//! acceptor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::listener::{Detached, ListenerSettings, Socket};
use crate::config::Listener;
use crate::net::Address;
use crate::snapshot::Live;

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

/// A message to the acceptor.
pub(super) enum Order {
    /// Accept on the sockets of `opened`, and stop accepting on the addresses of `closed`, whose
    /// backlogs are served. `done` fires afterwards.
    Change {
        opened: Vec<Opened>,
        closed: Vec<Address>,
        done: oneshot::Sender<()>,
    },
    /// Stop accepting. The sender fires when every accepted connection has reached its worker.
    Stop(Backlog, oneshot::Sender<()>),
}

/// A socket to accept on.
#[derive(Debug)]
pub struct Opened {
    /// The address in the configuration.
    pub address: Address,
    /// The settings of its connections.
    pub settings: ListenerSettings,
    /// The socket, which listens already.
    pub socket: Socket,
}

/// The treatment of connections that are queued in the kernel when a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// Serve them: closing the socket would reset them.
    Serve,
    /// Leave them to another process that has the same socket.
    Leave,
}

/// The side of a worker that other threads use.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) open: Arc<AtomicUsize>,
}

/// The handles of all workers, and the counters that limit their connections.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) workers: Vec<Handle>,
    pub(super) total: Arc<Total>,
    /// The number of client connections for which there are file descriptors.
    pub(super) room: usize,
}

impl Pool {
    /// Returns the worker with the fewest connections, and the guard that counts one more for it.
    pub(super) fn least_loaded(&self) -> Option<(&Handle, OpenGuard)> {
        let fewest = self
            .workers
            .iter()
            .min_by_key(|worker| worker.open.load(Ordering::Relaxed))?;
        Some((fewest, OpenGuard::new(&fewest.open, &self.total)))
    }
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
    fn new(open: &Arc<AtomicUsize>, total: &Arc<Total>) -> Self {
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
