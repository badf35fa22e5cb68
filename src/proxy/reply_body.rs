//! The body of a response: made by the gateway, kept in memory as a whole, or relayed from the
//! upstream as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::body_timer::{BodyError, BodyTimer};
use super::exchange::Exchange;
use super::headers;
use super::request_body::{RequestBody, UploadFailure, UploadStatus};
use crate::upstream::{Reply, RequestPermit, SwitchedConnection};

/// The longest piece of a kept body that is handed on at a time.
const PIECE: usize = 64 * 1024;

/// The body of a response. The exchange ends with it in any case, but for a WebSocket, whose
/// exchange ends with its tunnel.
pub struct ReplyBody {
    source: ReplySource,
    /// The error that ends the body early, kept until the next poll returns it.
    failure: Option<BodyError>,
    /// Set when the end of the body was returned.
    has_ended: bool,
    exchange: Option<Box<Exchange>>,
}

/// The source of a response's body.
pub(super) enum ReplySource {
    /// A body that the gateway made of its configuration and of the request's head, which bound its
    /// length. It is handed on in one piece.
    Own(Option<Bytes>),
    /// A body that the gateway has in memory as a whole, and hands on piece by piece.
    Kept(KeptBody),
    /// The body of the upstream's response, relayed as it arrives.
    Upstream(Relay),
    /// No body: the upstream has switched protocols. The tunnel ends after this time without
    /// traffic.
    Switched(SwitchedConnection, Duration),
}

/// The body of an answer that was read as a whole.
///
/// The client's connection takes the next piece when it has room for one. So a client that reads
/// nothing holds the permit, and the limit of requests bounds how many answers wait in memory.
pub(super) struct KeptBody {
    rest: Bytes,
    timer: BodyTimer,
    _permit: Option<RequestPermit>,
}

/// A response body that is relayed from the upstream as it arrives.
pub(super) struct Relay {
    pub(super) reply: Reply<RequestBody>,
    pub(super) timer: BodyTimer,
    /// The state of the request's body, which may still be arriving.
    pub(super) upload: Option<UploadStatus>,
}

impl ReplyBody {
    pub(super) fn new(source: ReplySource, exchange: Box<Exchange>) -> Self {
        Self {
            source,
            failure: None,
            has_ended: false,
            exchange: Some(exchange),
        }
    }

    /// Turns a frame of the upstream into the frame for the client; `None` for trailers of which no
    /// field is left.
    fn relayed(&self, mut frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let Some(trailers) = frame.trailers_mut() else {
            return Some(frame);
        };
        let rules = match &self.exchange {
            Some(exchange) => exchange.response_rules(),
            None => None,
        };
        headers::trailers_to_client(trailers, rules);
        // Trailers without a field would only mark the end of the body.
        (!trailers.is_empty()).then_some(frame)
    }

    /// Notes in the exchange that an error ends the body early.
    fn note_failure(&mut self, error: &BodyError) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        match &self.source {
            ReplySource::Upstream(relay) if relay.has_client_disconnected() => {
                exchange.abandoned();
            }
            _ => exchange.cut(error),
        }
    }

    /// Frees the buffer for the next piece while the client does not read the piece before it.
    pub fn release_buffer(&mut self) {
        if let ReplySource::Upstream(relay) = &mut self.source {
            relay.reply.release_buffer();
        }
    }

    /// Makes the empty body of a response that switches protocols; the bytes after it belong to the
    /// tunnel.
    pub(super) fn switching() -> Self {
        Self {
            source: ReplySource::Own(None),
            failure: None,
            has_ended: false,
            exchange: None,
        }
    }

    /// Makes the body of a refusal whose exchange is recorded elsewhere.
    pub(super) fn unrecorded(bytes: Bytes) -> Self {
        Self {
            source: ReplySource::Own(Some(bytes)),
            failure: None,
            has_ended: false,
            exchange: None,
        }
    }
}

impl KeptBody {
    pub(super) fn new(bytes: Bytes, timer: BodyTimer, permit: Option<RequestPermit>) -> Self {
        Self {
            rest: bytes,
            timer,
            _permit: permit,
        }
    }

    /// Returns the next piece, or an error once the request has taken too long. The time for which
    /// the client reads nothing is bounded by its connection, which asks for no piece meanwhile.
    fn next(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(error) = self.timer.check() {
            return Some(Err(error));
        }
        let piece = self.rest.split_to(PIECE.min(self.rest.len()));
        // A copy, since a piece that waits to be written would keep the whole answer in memory when
        // the permit is free again.
        Some(Ok(Frame::data(Bytes::copy_from_slice(&piece))))
    }
}

impl Relay {
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let error = match Pin::new(&mut self.reply).poll_frame(cx) {
            // A body that has ended did so in time.
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(frame)) => match self.timer.check() {
                Some(error) => error,
                None => return Poll::Ready(Some(frame.map_err(BodyError::Upstream))),
            },
            Poll::Pending => match self.timer.poll_overdue(cx) {
                Some(error) => error,
                None => return Poll::Pending,
            },
        };
        Poll::Ready(Some(Err(error)))
    }

    /// Returns whether the body has no more bytes. A reader that knows the body's length does not
    /// poll for its end.
    fn has_ended(&self) -> bool {
        self.reply.is_end_stream() || self.reply.size_hint().exact() == Some(0)
    }

    /// Returns whether the client disconnected in the middle of its own body.
    fn has_client_disconnected(&self) -> bool {
        self.upload.as_ref().and_then(UploadStatus::failure) == Some(UploadFailure::Disconnected)
    }
}

impl Drop for ReplyBody {
    /// Notes that the client disconnected if the response is dropped before its end.
    fn drop(&mut self) {
        let is_whole = match &self.source {
            ReplySource::Upstream(relay) => self.has_ended || relay.has_ended(),
            ReplySource::Kept(kept) => kept.rest.is_empty(),
            ReplySource::Own(_) | ReplySource::Switched(..) => true,
        };
        if let (false, Some(exchange)) = (is_whole, &mut self.exchange) {
            exchange.abandoned();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(error) = this.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let next = match &mut this.source {
            ReplySource::Own(bytes) => {
                let bytes = bytes.take();
                if let (Some(bytes), Some(exchange)) = (&bytes, &mut this.exchange) {
                    exchange.sends(bytes.len());
                }
                return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
            }
            ReplySource::Kept(kept) => Poll::Ready(kept.next()),
            ReplySource::Upstream(relay) => relay.poll_next(cx),
            ReplySource::Switched(..) => return Poll::Ready(None),
        };
        match next {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(exchange)) = (frame.data_ref(), &mut this.exchange) {
                    exchange.sends(data.len());
                }
                let frame = this.relayed(frame);
                this.has_ended |= frame.is_none();
                Poll::Ready(frame.map(Ok))
            }
            Poll::Ready(None) => {
                this.has_ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.note_failure(&error);
                // The error is returned at the next poll, so that hyper first writes the bytes
                // before it: when a body fails, hyper drops what it has not written yet.
                this.failure = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            ReplySource::Own(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            ReplySource::Kept(kept) => kept.rest.is_empty(),
            ReplySource::Upstream(relay) => relay.reply.is_end_stream(),
            ReplySource::Switched(..) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            ReplySource::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            ReplySource::Kept(kept) => SizeHint::with_exact(kept.rest.len() as u64),
            ReplySource::Upstream(relay) => relay.reply.size_hint(),
            ReplySource::Switched(..) => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_kept_body_is_handed_on_in_pieces_that_keep_nothing_else() {
        let whole: Bytes = (0..=255).cycle().take(2 * PIECE + 1).collect();
        let mut kept = KeptBody::new(whole.clone(), BodyTimer::new(HOUR, None), None);
        let mut pieces = Vec::new();
        while let Some(piece) = kept.next() {
            pieces.push(piece.unwrap().into_data().unwrap());
        }
        let lengths: Vec<_> = pieces.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [PIECE, PIECE, 1]);
        assert!(pieces.iter().all(Bytes::is_unique));
        assert!(pieces.concat() == whole);
    }

    #[test]
    fn a_kept_body_ends_at_the_deadline_of_the_request() {
        let late = BodyTimer::new(HOUR, Some(clock::monotonic()));
        let mut kept = KeptBody::new(Bytes::from_static(b"body"), late, None);
        assert!(matches!(kept.next(), Some(Err(BodyError::Deadline))));
        // What is whole was in time.
        let late = BodyTimer::new(HOUR, Some(clock::monotonic()));
        assert!(KeptBody::new(Bytes::new(), late, None).next().is_none());
    }
}
