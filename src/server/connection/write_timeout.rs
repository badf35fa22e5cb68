//! The write timeout of HTTP/2 streams. The library does not poll a body while its client reads
//! nothing of it, so that the body's own timeout cannot expire.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus::IntCounter;
use tokio::task::spawn_local;

use super::hyper_order::{Step, StreamStep};
use crate::clock;
use crate::net::timer_wheel::{Timer, TimerWheel};

/// The largest piece that is given to the library at a time. The library buffers a piece whole,
/// even if the client's window is smaller.
const PIECE: usize = 16 * 1024;

/// Runs the tasks of a connection's streams on its worker, each with a write timeout.
#[derive(Clone)]
pub(super) struct Executor {
    pub(super) step: StreamStep,
    pub(super) timer_wheel: Rc<TimerWheel>,
    pub(super) idle: Duration,
    pub(super) stalled: IntCounter,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, stream: F) {
        if self.step.takes_tunnel() {
            spawn_local(async move { drop(stream.await) });
            return;
        }
        spawn_local(WriteTimeout {
            stream: Box::pin(stream),
            executor: self.clone(),
            timer: self.timer_wheel.timer(),
            deadline: None,
        });
    }
}

/// The task of a stream, which ends when the client reads nothing for too long. The library resets
/// the stream when its task is dropped.
struct WriteTimeout<F> {
    stream: Pin<Box<F>>,
    executor: Executor,
    timer: Timer,
    /// The time by which the client has to read; `None` while the task does not wait for it.
    deadline: Option<Instant>,
}

impl<F: Future> Future for WriteTimeout<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Executor { step, idle, .. } = &this.executor;
        let stream = this.stream.as_mut();
        let Some(step) = step.of_poll(|| stream.poll(cx).map(drop)) else {
            return Poll::Ready(());
        };
        let deadline = match (step, this.deadline) {
            (Step::Answer, _) => {
                this.deadline = None;
                return Poll::Pending;
            }
            (Step::Client, Some(deadline)) => deadline,
            (Step::Client | Step::Piece, _) => clock::monotonic() + *idle,
        };
        this.deadline = Some(deadline);
        ready!(this.timer.poll_deadline(cx, deadline));
        this.executor.stalled.inc();
        Poll::Ready(())
    }
}

/// A body that is given out in pieces of bounded size, and notes when it is polled.
pub(super) struct Pieces<B> {
    body: B,
    step: StreamStep,
    rest: Bytes,
}

impl<B> Pieces<B> {
    pub(super) fn new(body: B, step: StreamStep) -> Self {
        Self {
            body,
            step,
            rest: Bytes::new(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match this.step.watch(Pin::new(&mut this.body).poll_frame(cx)) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return other,
            }
        }
        this.step.piece();
        let piece = this.rest.split_to(PIECE.min(this.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    /// Returns the size of the whole body: the library asks only before the first piece.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
