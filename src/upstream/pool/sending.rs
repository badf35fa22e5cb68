//! An exchange whose response has begun before the whole request was sent.
//!
//! Normally the reader of the response drives the connection. But a client may send its whole
//! request before it reads, and an upstream may respond before it has read the whole request. So
//! that they do not wait for each other, a task of its own sends the rest of the request.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{AbortHandle, spawn_local};

use super::super::StreamError;
use super::http1::Http1;

/// A connection that is read by the response body and written by a task.
pub(super) struct Sending<B> {
    shared: Rc<Shared<B>>,
    task: AbortHandle,
}

struct Shared<B> {
    /// Present until the exchange ends.
    connection: RefCell<Option<Box<Http1<B>>>>,
    /// The waker of the task that reads the response.
    reader: RefCell<Option<Waker>>,
}

impl<B> Sending<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) fn begin(connection: Box<Http1<B>>) -> Self {
        let shared = Rc::new(Shared {
            connection: RefCell::new(Some(connection)),
            reader: RefCell::default(),
        });
        let task = spawn_local(send_rest(shared.clone())).abort_handle();
        Self { shared, task }
    }
}

/// Sends the rest of the request.
async fn send_rest<B>(shared: Rc<Shared<B>>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    poll_fn(|cx| match shared.connection.borrow_mut().as_mut() {
        Some(connection) => connection.poll_rest(cx),
        None => Poll::Ready(()),
    })
    .await;
    // The upload may have failed; then the response may never arrive, and the reader must notice.
    if let Some(reader) = shared.reader.take() {
        reader.wake();
    }
}

impl<B> Sending<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.shared.reader.replace(Some(cx.waker().clone()));
        match self.shared.connection.borrow_mut().as_mut() {
            Some(connection) => connection.poll_response(cx),
            None => Poll::Ready(None),
        }
    }
}

impl<B> Sending<B> {
    /// Returns whether the response has ended.
    pub(super) fn has_ended(&self) -> bool {
        match &*self.shared.connection.borrow() {
            Some(connection) => connection.has_ended(),
            None => true,
        }
    }

    /// Returns the number of bytes of the response that are still to come, if known.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &*self.shared.connection.borrow() {
            Some(connection) => connection.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }

    /// Frees the memory for the next part of the response.
    pub(super) fn release_buffer(&self) {
        if let Some(connection) = self.shared.connection.borrow_mut().as_mut() {
            connection.release_buffer();
        }
    }

    /// Ends the exchange, and returns its connection.
    pub(super) fn end(&self) -> Option<Box<Http1<B>>> {
        self.task.abort();
        self.shared.connection.take()
    }
}

impl<B> Drop for Sending<B> {
    fn drop(&mut self) {
        drop(self.end());
    }
}
