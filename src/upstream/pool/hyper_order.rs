//! The code that depends on the order in which hyper's HTTP/2 client starts tasks and asks bodies.
//!
//! Its documentation does not promise this order. Each item states its assumptions, and each
//! assumption has a test in `hyper_order_tests.rs`, which fails when hyper or h2 does otherwise.
//! `Cargo.toml` holds both at a minor version.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Ends the tasks of a stream when it is closed.
///
/// Hyper continues an upload after the response was dropped: the stream would stay open at the
/// upstream, and with it the client's body, for as long as the upstream grants it no window. So the
/// tasks that hyper spawns for a stream end with the exchange, and that resets the stream.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: Cell<bool>,
    closing: Notify,
}

impl Gate {
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.closing.notify_waiters();
    }

    async fn closed(&self) {
        let closing = self.closing.notified();
        if !self.closed.get() {
            closing.await;
        }
    }
}

/// Spawns the tasks of one HTTP/2 connection on its worker.
///
/// It assumes that the first task that hyper spawns reads and writes the connection, and that all
/// others belong to streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    connection: Rc<RefCell<Option<AbortHandle>>>,
    /// The gate of the stream that is being opened: it applies to tasks that are spawned now.
    opening: Rc<RefCell<Option<Rc<Gate>>>>,
}

impl Tasks {
    /// Ends the connection, with the exchanges on it.
    pub(super) fn abort(&self) {
        if let Some(connection) = self.connection.borrow().as_ref() {
            connection.abort();
        }
    }
}

impl<F: Future + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let gate = self.opening.borrow().clone();
        let handle = tokio::task::spawn_local(async move {
            let Some(gate) = gate else {
                task.await;
                return;
            };
            tokio::select! {
                biased;
                () = gate.closed() => {}
                _ = task => {}
            }
        });
        self.connection
            .borrow_mut()
            .get_or_insert_with(|| handle.abort_handle());
    }
}

/// The opening of a stream, which the body of its request notices.
///
/// It assumes that hyper asks the body whether it has ended when it opens the stream, and spawns
/// the tasks of the stream before it opens another.
pub(super) struct Opening {
    tasks: Tasks,
    gate: RefCell<Option<Rc<Gate>>>,
}

impl Opening {
    pub(super) fn new(tasks: Tasks, gate: Rc<Gate>) -> Self {
        Self {
            tasks,
            gate: RefCell::new(Some(gate)),
        }
    }

    /// Notes that hyper asks whether the body has ended. Only the first time counts.
    pub(super) fn asked(&self) {
        if let Some(gate) = self.gate.borrow_mut().take() {
            self.tasks.opening.replace(Some(gate));
        }
    }
}

/// Returns whether a response body that has come to its end was cut.
///
/// It assumes that hyper reports a stream that was reset with `NO_ERROR` as a complete body,
/// whether the response is complete (RFC 9113 §8.1) or not, and that `is_end_stream` tells the two
/// apart.
pub(super) fn is_cut(ended: &Incoming) -> bool {
    !ended.is_end_stream()
}

#[cfg(test)]
#[path = "hyper_order_tests.rs"]
mod tests;
