//! The write timeout of HTTP/2 streams. The library does not poll a body while its client reads
//! nothing of it, so that the body's own timeout cannot expire.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus::IntCounter;
use tokio::task::spawn_local;
use tokio::time::{Sleep, sleep_until};

use crate::clock;

/// The largest piece that is given to the library at a time. The library buffers a piece whole,
/// even if the client's window is smaller.
const PIECE: usize = 16 * 1024;

/// The last step of a stream's task. All streams of a connection share one cell: a worker has one
/// thread, and the cell is set and read within one poll.
#[derive(Clone, Default)]
pub(super) struct StreamStep {
    step: Rc<Cell<Step>>,
    /// Set if the next task that the library starts belongs to a tunnel, which has a deadline of
    /// its own.
    tunnel: Rc<Cell<bool>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    /// The task polled neither the answer nor its body: it waits for the client.
    #[default]
    Client,
    /// The task waits for the answer, which has deadlines of its own.
    Answer,
    /// The task was given a piece of the answer.
    Piece,
}

impl StreamStep {
    /// Notes the result of polling the answer or its body.
    pub(super) fn watch<T>(&self, poll: Poll<T>) -> Poll<T> {
        self.step.set(if poll.is_pending() {
            Step::Answer
        } else {
            Step::Piece
        });
        poll
    }

    /// Notes that the next task that the library starts is the sending side of a tunnel.
    pub(super) fn begin_tunnel(&self) {
        self.tunnel.set(true);
    }
}

/// Runs the tasks of a connection's streams on its worker, each with a write timeout.
#[derive(Clone)]
pub(super) struct Executor {
    pub(super) step: StreamStep,
    pub(super) idle: Duration,
    pub(super) stalled: IntCounter,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, stream: F) {
        if self.step.tunnel.take() {
            spawn_local(async move { drop(stream.await) });
            return;
        }
        spawn_local(WriteTimeout {
            stream: Box::pin(stream),
            executor: self.clone(),
            sleep: None,
            waits: false,
        });
    }
}

/// The task of a stream, which ends when the client reads nothing for too long. The library resets
/// the stream when its task is dropped.
struct WriteTimeout<F> {
    stream: Pin<Box<F>>,
    executor: Executor,
    /// The timer; `None` before the first wait.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Set while the task waits for the client.
    waits: bool,
}

impl<F: Future> Future for WriteTimeout<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let step = &this.executor.step.step;
        step.set(Step::Client);
        if this.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match step.get() {
            Step::Answer => {
                this.waits = false;
                return Poll::Pending;
            }
            Step::Client if this.waits => {}
            Step::Client | Step::Piece => {
                this.waits = true;
                let until = (clock::monotonic() + this.executor.idle).into();
                match &mut this.sleep {
                    Some(sleep) => sleep.as_mut().reset(until),
                    None => this.sleep = Some(Box::pin(sleep_until(until))),
                }
            }
        }
        let is_over = this
            .sleep
            .as_mut()
            .is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if !is_over {
            return Poll::Pending;
        }
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
        this.step.step.set(Step::Piece);
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
