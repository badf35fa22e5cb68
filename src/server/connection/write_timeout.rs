//! How long a stream of HTTP/2 waits for its client. The library stops asking for a body whose
//! client takes nothing of it, so nobody else would notice.

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

/// The largest piece that is given to the library at a time: it takes a piece whole, however small
/// the window.
const PIECE: usize = 16 * 1024;

/// What a stream's task met with when it was polled. A worker has one thread, so one cell serves
/// all streams of a connection: it is set and read within one poll.
#[derive(Clone, Default)]
pub(super) struct StreamStep {
    step: Rc<Cell<Step>>,
    /// Whether what is run next belongs to a tunnel, which has a deadline of its own.
    tunnel: Rc<Cell<bool>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    /// Nothing of ours was asked: the client is.
    #[default]
    Client,
    /// The answer is not there: others watch.
    Answer,
    /// A piece of the answer was given out.
    Piece,
}

impl StreamStep {
    /// Polls what makes the answer.
    pub(super) fn watch<T>(&self, poll: Poll<T>) -> Poll<T> {
        self.step.set(if poll.is_pending() {
            Step::Answer
        } else {
            Step::Piece
        });
        poll
    }
}

impl StreamStep {
    /// The library is about to run what sends for a tunnel.
    pub(super) fn tunnels(&self) {
        self.tunnel.set(true);
    }
}

/// Runs the streams of a connection on its worker, each as long as its client takes what it is
/// sent.
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

/// A stream that is given up when its client takes nothing for too long: what is dropped is reset.
struct WriteTimeout<F> {
    stream: Pin<Box<F>>,
    executor: Executor,
    /// Made at the first wait.
    sleep: Option<Pin<Box<Sleep>>>,
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
        let over = this
            .sleep
            .as_mut()
            .is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if !over {
            return Poll::Pending;
        }
        this.executor.stalled.inc();
        Poll::Ready(())
    }
}

/// A body in pieces of a bounded size, that notes what it is asked for.
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

    /// Asked before the first piece alone.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
