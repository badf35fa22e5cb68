//! A request body whose beginning is kept, so that a request that an upstream did not process can
//! be sent again.
//!
//! The kept bytes are a copy: a slice of the buffer that was read from the client would keep the
//! whole buffer in memory.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// The largest part of the kept bytes that is sent at a time. The h2 crate buffers a whole part,
/// even if the window is smaller.
const PIECE: usize = 16 * 1024;

/// The bytes that a trailer counts for in addition to its name and its value, as in a header list
/// (RFC 9113 §6.5.2).
const FIELD: usize = 32;

/// The body of a request that may be sent more than once. The request and the stream that sends it
/// share it.
pub(super) struct ReplayBody<B>(RefCell<State<B>>);

struct State<B> {
    /// The part of the body that was not read yet; `None` after [`ReplayBody::take_back`].
    body: Option<B>,
    /// The size hint of the whole body.
    hint: SizeHint,
    /// The kept beginning of the body.
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// The most bytes that may be kept.
    limit: usize,
    /// Set while every byte that was read is kept.
    is_whole: bool,
    has_ended: bool,
    has_failed: bool,
    /// The number of attempts that have begun.
    attempts: u32,
}

/// The position of one attempt in the body.
#[derive(Debug)]
pub(super) struct Position {
    attempt: u32,
    /// The number of kept bytes that this attempt has sent.
    sent: usize,
    has_sent_trailers: bool,
}

/// The error of an attempt whose body failed, or that a later attempt has replaced.
#[derive(Debug)]
pub(super) struct Interrupted;

/// A body that HTTP/1.1 sends, after which no further attempt is possible.
pub(super) struct TakenBack<B> {
    /// The bytes that were already read.
    pub(super) bytes: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    /// The rest of the body.
    pub(super) body: B,
    pub(super) has_ended: bool,
    /// The size hint of the whole body.
    pub(super) hint: SizeHint,
}

impl<B> ReplayBody<B> {
    /// Begins an attempt, from the first byte. Earlier attempts get no more of the body.
    pub(super) fn begin(&self) -> Position {
        let mut state = self.0.borrow_mut();
        state.attempts += 1;
        Position {
            attempt: state.attempts,
            sent: 0,
            has_sent_trailers: false,
        }
    }

    /// Returns whether the body can be sent again from its first byte.
    pub(super) fn is_whole(&self) -> bool {
        let state = self.0.borrow();
        state.is_whole && !state.has_failed && state.body.is_some()
    }

    /// Returns whether reading the body from the client failed.
    pub(super) fn has_failed(&self) -> bool {
        self.0.borrow().has_failed
    }

    /// Drops the kept bytes: the body will not be sent again.
    pub(super) fn release(&self) {
        self.0.borrow_mut().release();
    }

    /// Takes the body and the kept bytes; `None` if some bytes were not kept. No attempt gets any
    /// more of the body.
    pub(super) fn take_back(&self) -> Option<TakenBack<B>> {
        if !self.is_whole() {
            return None;
        }
        let state = &mut *self.0.borrow_mut();
        Some(TakenBack {
            bytes: std::mem::take(&mut state.bytes).into(),
            trailers: state.trailers.take(),
            body: state.body.take()?,
            has_ended: state.has_ended,
            hint: state.hint,
        })
    }

    /// Returns the size hint of the whole body.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.0.borrow().hint
    }
}

impl<B: Body<Data = Bytes> + Unpin> ReplayBody<B> {
    /// Creates a body of which at most `limit` bytes are kept.
    pub(super) fn new(body: B, limit: usize) -> Rc<Self> {
        let hint = body.size_hint();
        Rc::new(Self(RefCell::new(State {
            body: Some(body),
            hint,
            bytes: Vec::new(),
            trailers: None,
            limit,
            is_whole: true,
            has_ended: false,
            has_failed: false,
            attempts: 0,
        })))
    }

    /// Returns whether an attempt has sent the whole body.
    pub(super) fn is_end_stream(&self, position: &Position) -> bool {
        let state = self.0.borrow();
        if state.attempts != position.attempt {
            return true;
        }
        let is_at_end = position.sent == state.bytes.len()
            && (position.has_sent_trailers || state.trailers.is_none());
        is_at_end && (state.has_ended || state.body.as_ref().is_none_or(Body::is_end_stream))
    }

    /// Polls the next frame of an attempt: first the kept bytes, then the rest of the body.
    pub(super) fn poll_frame(
        &self,
        position: &mut Position,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let state = &mut *self.0.borrow_mut();
        if state.attempts != position.attempt {
            return Poll::Ready(Some(Err(Interrupted)));
        }
        if let Some(frame) = state.kept_frame(position) {
            return Poll::Ready(Some(Ok(frame)));
        }
        if state.has_ended {
            return Poll::Ready(None);
        }
        let Some(body) = &mut state.body else {
            return Poll::Ready(Some(Err(Interrupted)));
        };
        match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                state.keep(&frame);
                position.sent = state.bytes.len();
                position.has_sent_trailers = frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => {
                state.has_failed = true;
                state.release();
                Poll::Ready(Some(Err(Interrupted)))
            }
            None => {
                state.has_ended = true;
                Poll::Ready(None)
            }
        }
    }
}

impl<B> State<B> {
    fn release(&mut self) {
        self.is_whole = false;
        self.bytes = Vec::new();
        self.trailers = None;
    }

    /// Returns the next frame of an attempt that was kept.
    fn kept_frame(&self, position: &mut Position) -> Option<Frame<Bytes>> {
        let rest = self.bytes.get(position.sent..).unwrap_or_default();
        if !rest.is_empty() {
            let piece = rest.get(..PIECE).unwrap_or(rest);
            position.sent += piece.len();
            return Some(Frame::data(Bytes::copy_from_slice(piece)));
        }
        if position.has_sent_trailers {
            return None;
        }
        let trailers = self.trailers.clone()?;
        position.has_sent_trailers = true;
        Some(Frame::trailers(trailers))
    }

    /// Keeps a frame that was read. If that exceeds the limit, drops everything that was kept.
    fn keep(&mut self, frame: &Frame<Bytes>) {
        self.has_ended |= frame.is_trailers();
        if !self.is_whole {
            return;
        }
        let length =
            frame.data_ref().map_or(0, Bytes::len) + frame.trailers_ref().map_or(0, size_of_fields);
        if self.bytes.len() + length > self.limit {
            self.release();
            return;
        }
        if let Some(data) = frame.data_ref() {
            self.append(data);
        }
        self.trailers = frame.trailers_ref().cloned();
    }

    /// Appends data within the limit.
    fn append(&mut self, data: &[u8]) {
        let whole = self.bytes.len() + data.len();
        if whole > self.bytes.capacity() {
            // A vector doubles its capacity as it grows; this one must not exceed the limit.
            let capacity = whole.max(2 * self.bytes.len()).min(self.limit);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
    }
}

fn size_of_fields(fields: &HeaderMap) -> usize {
    let mut size = 0;
    for (name, value) in fields {
        size += name.as_str().len() + value.len() + FIELD;
    }
    size
}

#[cfg(test)]
#[path = "replay_body_tests.rs"]
mod tests;
