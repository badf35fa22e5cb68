//! The bodies of forwarded messages: never buffered as a whole, guarded by timeouts, and counted
//! where a limit applies.

use std::cell::Cell;
use std::error::Error as _;
use std::fmt;
use std::future::Future as _;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::exchange::Exchange;
use super::headers;
use super::upgrade::Upgrades;
use super::worker::View;
use crate::clock;
use crate::upstream::{Broken, Reply, Switched, UploadProgress};

/// An error that ended a body early.
#[derive(Debug)]
pub enum BodyError {
    /// No piece arrived for the idle time.
    Stalled,
    /// The body is longer than the limit.
    TooLarge,
    /// The request as a whole took longer than its limit.
    Deadline,
    /// A trailer field is malformed (RFC 9113 §8.1.1).
    Malformed,
    /// The client's connection failed, or the client broke the framing.
    Client(hyper::Error),
    /// The upstream's connection failed, or the upstream broke the framing.
    Upstream(Broken),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled => f.write_str("the body stopped coming"),
            Self::TooLarge => f.write_str("the body is longer than the limit"),
            Self::Deadline => f.write_str("the request took too long"),
            Self::Malformed => f.write_str("a field of its trailers is malformed"),
            Self::Client(error) => error.fmt(f),
            Self::Upstream(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

/// The deadlines of a body: one for the next piece, and one for the request as a whole.
#[derive(Debug)]
pub(super) struct Watch {
    idle: Duration,
    until: Option<Instant>,
    /// The timer, made at the first wait: a body that arrives at once needs none.
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Watch {
    pub(super) fn new(idle: Duration, until: Option<Instant>) -> Self {
        Self {
            idle,
            until,
            sleep: None,
            waiting: false,
        }
    }

    /// Checks the deadline of the request when the next piece has arrived. Without this check a
    /// peer that always sends in time could exceed the deadline, since the timer is polled only
    /// while the body waits.
    fn progress(&mut self) -> Option<BodyError> {
        self.waiting = false;
        self.is_over().then_some(BodyError::Deadline)
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| clock::monotonic() >= until)
    }

    /// Polls the timer while the next piece is missing, and returns an error once a deadline has
    /// passed.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Option<BodyError> {
        if !self.waiting {
            self.waiting = true;
            let idle = clock::monotonic() + self.idle;
            let deadline = self.until.map_or(idle, |until| until.min(idle)).into();
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        let sleep = self.sleep.as_mut()?;
        if sleep.as_mut().poll(cx).is_pending() {
            return None;
        }
        Some(if self.is_over() {
            BodyError::Deadline
        } else {
            BodyError::Stalled
        })
    }
}

/// The way in which an upload failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadFailure {
    /// No piece arrived for the idle time.
    Stalled,
    /// The body is longer than the limit.
    TooLarge,
    /// The request as a whole took longer than its limit.
    Deadline,
    /// The client broke the framing of its body.
    Malformed,
    /// The client disconnected in the middle of the body.
    Left,
}

/// The state of an upload, shared with the task that waits for the response: the connection to the
/// upstream reports only that the body failed.
#[derive(Clone, Default)]
pub(super) struct UploadStatus {
    pub(super) progress: UploadProgress,
    failure: Rc<Cell<Option<UploadFailure>>>,
}

impl UploadStatus {
    pub(super) fn failure(&self) -> Option<UploadFailure> {
        self.failure.get()
    }
}

/// The body of a request that is forwarded to the upstream.
pub enum RequestBody {
    /// There is none.
    Empty,
    /// A body that is read from the client as the upstream takes it.
    Streaming(Box<Streaming>),
}

/// A request body that is read from the client while it is forwarded.
pub struct Streaming {
    incoming: Incoming,
    left: Option<u64>,
    watch: Watch,
    upload: UploadStatus,
    view: Rc<View>,
    /// Tells the connection that the body is not read to its end yet; dropped at the end of the
    /// body.
    counted: Option<Rc<()>>,
}

impl RequestBody {
    /// Makes the body of a forwarded request, of at most `limit` bytes, which the connection counts
    /// as unread until its end. The second value is the state of the upload; `None` for an empty
    /// body.
    pub(super) fn new(
        incoming: Incoming,
        limit: Option<u64>,
        watch: Watch,
        view: &Rc<View>,
        upgrades: &Upgrades,
    ) -> (Self, Option<UploadStatus>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let upload = UploadStatus::default();
        let streaming = Streaming {
            incoming,
            left: limit,
            watch,
            upload: upload.clone(),
            view: view.clone(),
            counted: upgrades.body(),
        };
        (Self::Streaming(Box::new(streaming)), Some(upload))
    }
}

impl Streaming {
    fn end(&mut self) {
        self.upload.progress.ended();
        drop(self.counted.take());
    }

    fn fail(&self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.upload.failure.set(Some(match &error {
            BodyError::Stalled => UploadFailure::Stalled,
            BodyError::TooLarge => UploadFailure::TooLarge,
            BodyError::Deadline => UploadFailure::Deadline,
            BodyError::Client(error) if has_left(error) => UploadFailure::Left,
            BodyError::Client(_) | BodyError::Upstream(_) | BodyError::Malformed => {
                UploadFailure::Malformed
            }
        }));
        Poll::Ready(Some(Err(error)))
    }
}

/// Returns whether a body ended early because its connection or its stream did. Any other error is
/// about the framing.
fn has_left(error: &hyper::Error) -> bool {
    let Some(source) = error.source() else {
        return error.is_incomplete_message();
    };
    if let Some(error) = source.downcast_ref::<h2::Error>() {
        return error.is_io() || error.is_remote();
    }
    let error = source.downcast_ref::<io::Error>();
    error.is_some_and(|error| {
        !matches!(
            error.kind(),
            ErrorKind::InvalidInput | ErrorKind::InvalidData
        )
    })
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Streaming(body) = self.get_mut() else {
            return Poll::Ready(None);
        };
        let Poll::Ready(next) = Pin::new(&mut body.incoming).poll_frame(cx) else {
            body.upload.progress.awaited();
            return body
                .watch
                .poll_overdue(cx)
                .map_or(Poll::Pending, |error| body.fail(error));
        };
        // A body that has ended did so in time.
        if next.is_some()
            && let Some(error) = body.watch.progress()
        {
            return body.fail(error);
        }
        match next {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    if headers::has_padded(trailers) {
                        return body.fail(BodyError::Malformed);
                    }
                    headers::trailers_to_upstream(trailers, &body.view.snapshot.own_headers);
                }
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(left) = body.left {
                    let Some(left) = left.checked_sub(length) else {
                        return body.fail(BodyError::TooLarge);
                    };
                    body.left = Some(left);
                }
                if body.incoming.is_end_stream() {
                    body.end();
                } else {
                    body.upload.progress.taken();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => body.fail(BodyError::Client(error)),
            None => {
                body.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(body) => body.incoming.size_hint(),
        }
    }
}

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
    /// A body that the gateway made.
    Own(Option<Bytes>),
    /// The body of the upstream's response, relayed as it arrives.
    Upstream(Relay),
    /// No body: the upstream has switched protocols. The tunnel ends after this time without
    /// traffic.
    Switched(Switched, Duration),
}

/// A response body that is relayed from the upstream as it arrives.
pub(super) struct Relay {
    pub(super) reply: Reply<RequestBody>,
    pub(super) watch: Watch,
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
        let rules = self
            .exchange
            .as_ref()
            .and_then(|exchange| exchange.response_rules());
        headers::trailers_to_client(trailers, rules);
        // Trailers without a field would only mark the end of the body.
        (!trailers.is_empty()).then_some(frame)
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

impl Relay {
    /// Returns whether the body has no more bytes. A reader that knows the body's length does not
    /// poll for its end.
    fn has_ended(&self) -> bool {
        self.reply.is_end_stream() || self.reply.size_hint().exact() == Some(0)
    }

    /// Returns whether the client disconnected in the middle of its own body.
    fn is_left(&self) -> bool {
        self.upload.as_ref().and_then(UploadStatus::failure) == Some(UploadFailure::Left)
    }
}

impl Drop for ReplyBody {
    /// Notes that the client disconnected if the response is dropped before its end.
    fn drop(&mut self) {
        if let (ReplySource::Upstream(relay), Some(exchange)) = (&self.source, &mut self.exchange)
            && !self.has_ended
            && !relay.has_ended()
        {
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
        let relay = match &mut this.source {
            ReplySource::Own(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            ReplySource::Upstream(relay) => relay,
            ReplySource::Switched(..) => return Poll::Ready(None),
        };
        let next = match Pin::new(&mut relay.reply).poll_frame(cx) {
            // A body that has ended did so in time.
            Poll::Ready(None) => {
                this.has_ended = true;
                None
            }
            Poll::Ready(Some(frame)) => match relay.watch.progress() {
                Some(error) => Some(Err(error)),
                None => Some(frame.map_err(BodyError::Upstream)),
            },
            Poll::Pending => match relay.watch.poll_overdue(cx) {
                Some(error) => Some(Err(error)),
                None => return Poll::Pending,
            },
        };
        let error = match next {
            Some(Err(error)) => error,
            Some(Ok(frame)) => {
                let frame = this.relayed(frame);
                this.has_ended |= frame.is_none();
                return Poll::Ready(frame.map(Ok));
            }
            None => return Poll::Ready(None),
        };
        match &mut this.exchange {
            Some(exchange) if relay.is_left() => exchange.abandoned(),
            Some(exchange) => exchange.cut(&error),
            None => {}
        }
        // The error is returned at the next poll, so that hyper first writes the bytes before it:
        // when a body fails, hyper drops what it has not written yet.
        this.failure = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            ReplySource::Own(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            ReplySource::Upstream(relay) => relay.reply.is_end_stream(),
            ReplySource::Switched(..) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            ReplySource::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            ReplySource::Upstream(relay) => relay.reply.size_hint(),
            ReplySource::Switched(..) => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_is_there_can_be_too_late() {
        let hour = Duration::from_secs(3600);
        assert!(matches!(
            Watch::new(hour, Some(clock::monotonic())).progress(),
            Some(BodyError::Deadline)
        ));
        assert!(
            Watch::new(hour, Some(clock::monotonic() + hour))
                .progress()
                .is_none()
        );
        assert!(Watch::new(Duration::ZERO, None).progress().is_none());
    }
}
