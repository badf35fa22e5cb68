//! The body of a request on an HTTP/2 stream, and its cancellation.
//!
//! hyper continues an upload after the response was dropped: the stream would stay open at the
//! upstream, and with it the client's body, for as long as the upstream grants it no window. So the
//! tasks that hyper spawns for a stream end with the exchange, and that resets the stream.

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::super::replay_body::{Position, ReplayBody};

/// Ends the tasks of a stream when it is closed.
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
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    /// The first task, which reads and writes the connection.
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

/// A request body.
pub(super) struct Upload<B> {
    /// `None` if the request has no body.
    body: Option<Attempt<B>>,
    tasks: Tasks,
    /// Present until hyper calls [`Body::is_end_stream`], which it does once when it opens the
    /// stream.
    gate: RefCell<Option<Rc<Gate>>>,
}

/// One attempt at sending a body.
struct Attempt<B> {
    kept: Rc<ReplayBody<B>>,
    position: Position,
}

impl<B> Attempt<B> {
    fn begin(kept: Rc<ReplayBody<B>>) -> Self {
        Self {
            position: kept.begin(),
            kept,
        }
    }
}

impl<B> Upload<B> {
    pub(super) fn new(body: Option<Rc<ReplayBody<B>>>, tasks: Tasks, gate: Rc<Gate>) -> Self {
        Self {
            body: body.map(Attempt::begin),
            tasks,
            gate: RefCell::new(Some(gate)),
        }
    }
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(Attempt { kept, position }) = &mut self.get_mut().body else {
            return Poll::Ready(None);
        };
        // The cause is reported by the client's side; the upstream only learns that the request is
        // cancelled.
        kept.poll_frame(position, cx)
            .map_err(|_| h2::Error::from(Reason::CANCEL).into())
    }

    fn is_end_stream(&self) -> bool {
        if let Some(gate) = self.gate.borrow_mut().take() {
            self.tasks.opening.replace(Some(gate));
        }
        match &self.body {
            Some(Attempt { kept, position }) => kept.is_end_stream(position),
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.kept.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
