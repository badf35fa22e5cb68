//! The body of an answer on its way to the client's connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::activity::OpenRequest;
use crate::proxy::ReplyBody;

/// A response body. Its drop ends the request in the connection's activity.
pub(super) struct TrackedBody {
    pub(super) body: ReplyBody,
    pub(super) open: OpenRequest,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = <ReplyBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let activity = this.open.activity();
        if activity.poll_room(cx).is_pending() {
            if activity.state().is_blocked() {
                this.body.release_buffer();
            }
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            activity
                .write_buffer
                .push(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
