//! A request body whose beginning is kept, so that a request that an upstream did not process can
//! be sent again.
//!
//! The kept part is a copy: a slice of what was read of the client would keep the whole of it in
//! memory.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// The largest piece of what was kept that is sent at a time: HTTP/2 takes a piece whole, however
/// small the window.
const PIECE: usize = 16 * 1024;

/// The bytes that a trailer counts for beside its name and its value, as in a header list (RFC 9113
/// §6.5.2).
const FIELD: usize = 32;

/// The body of a request that may be sent more than once. The request has it, and the stream that
/// it is sent on.
pub(super) struct Kept<B>(RefCell<State<B>>);

struct State<B> {
    /// The body from where it was not taken yet; `None` when it was taken back.
    body: Option<B>,
    /// The size hint before sending.
    hint: SizeHint,
    /// The beginning of the body.
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// The most bytes that may be kept.
    limit: usize,
    /// Whether what is kept is all that was taken.
    is_whole: bool,
    has_ended: bool,
    has_failed: bool,
    /// Times that sending it has begun.
    attempts: u32,
}

/// The progress of one attempt at sending a body.
#[derive(Debug)]
pub(super) struct Reading {
    attempt: u32,
    /// Bytes of what was kept that this attempt has sent.
    sent: usize,
    has_sent_trailers: bool,
}

/// A body failed, or another attempt at sending it has begun.
#[derive(Debug)]
pub(super) struct Cut;

/// A body that goes where no other attempt follows.
pub(super) struct TakenBack<B> {
    /// The bytes already sent.
    pub(super) bytes: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    /// The rest of the body.
    pub(super) body: B,
    pub(super) has_ended: bool,
    /// The current size hint.
    pub(super) hint: SizeHint,
}

impl<B> Kept<B> {
    /// Begins to send it, from its first byte. An attempt before this one gets nothing more of it.
    pub(super) fn begin(&self) -> Reading {
        let mut state = self.0.borrow_mut();
        state.attempts += 1;
        Reading {
            attempt: state.attempts,
            sent: 0,
            has_sent_trailers: false,
        }
    }

    /// Whether it can be sent again from its first byte.
    pub(super) fn is_whole(&self) -> bool {
        let state = self.0.borrow();
        state.is_whole && !state.has_failed && state.body.is_some()
    }

    /// Whether it failed on its way here.
    pub(super) fn has_failed(&self) -> bool {
        self.0.borrow().has_failed
    }

    /// Gives up what was kept: it will not be sent again.
    pub(super) fn release(&self) {
        self.0.borrow_mut().release();
    }

    /// Takes the body and what was kept of it; `None` when that is not the whole. No attempt gets
    /// anything more of it.
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

    /// The size hint before sending.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.0.borrow().hint
    }
}

impl<B: Body<Data = Bytes> + Unpin> Kept<B> {
    /// Keeps at most `limit` bytes of a body.
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

    /// Whether an attempt has sent all of it.
    pub(super) fn is_end_stream(&self, reading: &Reading) -> bool {
        let state = self.0.borrow();
        if state.attempts != reading.attempt {
            return true;
        }
        let is_at_end = reading.sent == state.bytes.len()
            && (reading.has_sent_trailers || state.trailers.is_none());
        is_at_end && (state.has_ended || state.body.as_ref().is_none_or(Body::is_end_stream))
    }

    /// Polls what an attempt is to send next: first what was kept, then what comes.
    pub(super) fn poll_frame(
        &self,
        reading: &mut Reading,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let state = &mut *self.0.borrow_mut();
        if state.attempts != reading.attempt {
            return Poll::Ready(Some(Err(Cut)));
        }
        if let Some(rest) = state
            .bytes
            .get(reading.sent..)
            .filter(|rest| !rest.is_empty())
        {
            let piece = rest.get(..PIECE).unwrap_or(rest);
            reading.sent += piece.len();
            return Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(piece)))));
        }
        if let Some(trailers) = state
            .trailers
            .as_ref()
            .filter(|_| !reading.has_sent_trailers)
        {
            reading.has_sent_trailers = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        if state.has_ended {
            return Poll::Ready(None);
        }
        let Some(body) = &mut state.body else {
            return Poll::Ready(Some(Err(Cut)));
        };
        match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                state.keep(&frame);
                reading.sent = state.bytes.len();
                reading.has_sent_trailers = frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => {
                state.has_failed = true;
                state.release();
                Poll::Ready(Some(Err(Cut)))
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

    /// Keeps a frame that was taken, or nothing at all if that is more than may be kept.
    fn keep(&mut self, frame: &Frame<Bytes>) {
        self.has_ended |= frame.is_trailers();
        if !self.is_whole {
            return;
        }
        let length =
            frame.data_ref().map_or(0, Bytes::len) + frame.trailers_ref().map_or(0, size_of_fields);
        let whole = self.bytes.len() + length;
        if whole > self.limit {
            self.release();
            return;
        }
        if let Some(data) = frame.data_ref() {
            if whole > self.bytes.capacity() {
                // No more memory than may be kept, however a vector likes to grow.
                let capacity = whole.max(2 * self.bytes.len()).min(self.limit);
                self.bytes.reserve_exact(capacity - self.bytes.len());
            }
            self.bytes.extend_from_slice(data);
        }
        self.trailers = frame.trailers_ref().cloned();
    }
}

fn size_of_fields(fields: &HeaderMap) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD)
        .sum()
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
