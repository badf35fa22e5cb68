//! The body of a request on an HTTP/2 stream.

use std::error::Error as StdError;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use http_body::{Body, Frame, SizeHint};

use super::super::replay_body::{Position, ReplayBody};
use super::hyper_order::{Gate, Opening, Tasks};

/// A request body.
pub(super) struct Upload<B> {
    /// `None` if the request has no body.
    body: Option<Attempt<B>>,
    opening: Opening,
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
            opening: Opening::new(tasks, gate),
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
        self.opening.asked();
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
