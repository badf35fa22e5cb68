//! What a client connection is doing, and until when it may.
//!
//! Only changes of phase read the clock, and only a phase that lasts sets a timer: a request that is there at once and
//! answered at once costs neither.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;
use crate::config::Timeouts;

/// The phase of a connection and its deadline.
pub(super) struct Activity {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Since when the client takes nothing of what is written.
    blocked: Cell<Option<Instant>>,
    has_body: Cell<bool>,
    timeouts: Timeouts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A head has begun. Further bytes do not extend its deadline.
    Head,
    /// A request is being answered; its bodies have deadlines of their own.
    Busy,
}

impl Activity {
    pub(super) fn new(timeouts: Timeouts) -> Rc<Self> {
        let (phase, since) = (Cell::new(Phase::Idle), Cell::new(clock::monotonic()));
        Rc::new(Self { phase, since, blocked: Cell::new(None), has_body: Cell::new(false), timeouts })
    }

    /// When the connection has to have made progress; `None` while others watch.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase.get() {
            Phase::Idle => Some(self.since.get() + self.timeouts.idle),
            Phase::Head => Some(self.since.get() + self.timeouts.request_head),
            Phase::Busy => None,
        };
        let write = self.blocked.get().map(|since| since + self.timeouts.idle_body);
        match (phase, write) {
            (Some(phase), Some(write)) => Some(phase.min(write)),
            (phase, write) => phase.or(write),
        }
    }

    /// How long a connection that is busy is left alone before it is looked at again.
    pub(super) fn patience(&self) -> Duration {
        self.timeouts.idle
    }

    /// A request has come, with or without a body.
    pub(super) fn busy(&self, has_body: bool) {
        self.phase.set(Phase::Busy);
        self.has_body.set(has_body);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.phase.get() == Phase::Busy
    }

    /// Whether the last request came with a body.
    pub(super) fn had_body(&self) -> bool {
        self.has_body.get()
    }

    fn idle(&self) {
        self.phase.set(Phase::Idle);
        self.since.set(clock::monotonic());
    }

    fn received(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.since.set(clock::monotonic());
        }
    }

    fn wrote<T>(&self, result: &Poll<T>) {
        match result {
            Poll::Ready(_) if self.blocked.get().is_some() => self.blocked.set(None),
            Poll::Pending if self.blocked.get().is_none() => self.blocked.set(Some(clock::monotonic())),
            _ => {}
        }
    }
}

/// A stream that tells its [`Activity`] of what it reads and writes.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Rc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.activity.received();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.activity.wrote(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.activity.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// A response body whose end is the end of being busy.
pub(super) struct Answer<B> {
    pub(super) body: B,
    pub(super) activity: Rc<Activity>,
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.activity.idle();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
