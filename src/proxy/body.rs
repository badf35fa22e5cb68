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
use crate::decision::hygiene;
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
pub(super) struct BodyTimer {
    idle: Duration,
    until: Option<Instant>,
    /// The timer, made at the first wait: a body that arrives at once needs none.
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl BodyTimer {
    pub(super) fn new(idle: Duration, until: Option<Instant>) -> Self {
        Self {
            idle,
            until,
            sleep: None,
            is_waiting: false,
        }
    }

    /// Checks the deadline of the request when the next piece has arrived. Without this check a
    /// peer that always sends in time could exceed the deadline, since the timer is polled only
    /// while the body waits.
    fn check(&mut self) -> Option<BodyError> {
        self.is_waiting = false;
        self.is_over().then_some(BodyError::Deadline)
    }

    fn is_over(&self) -> bool {
        match self.until {
            Some(until) => clock::monotonic() >= until,
            None => false,
        }
    }

    /// Returns the deadline of a wait that begins now.
    fn next_deadline(&self) -> Instant {
        let idle = clock::monotonic() + self.idle;
        match self.until {
            Some(until) => until.min(idle),
            None => idle,
        }
    }

    /// Polls the timer while the next piece is missing, and returns an error once a deadline has
    /// passed.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Option<BodyError> {
        if !self.is_waiting {
            self.is_waiting = true;
            let deadline = self.next_deadline().into();
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
    Disconnected,
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
    /// The request has no body.
    Empty,
    /// A body that is read from the client as the upstream takes it.
    Streaming(Box<Streaming>),
}

/// A request body that is read from the client while it is forwarded.
pub struct Streaming {
    incoming: Incoming,
    /// The number of bytes that may still arrive, if there is a limit.
    remaining: Option<u64>,
    timer: BodyTimer,
    upload: UploadStatus,
    view: Rc<View>,
    /// Tells the connection that the body is not read to its end yet; dropped at the end of the
    /// body.
    unread: Option<Rc<()>>,
}

impl RequestBody {
    /// Makes the body of a forwarded request, of at most `limit` bytes, which the connection counts
    /// as unread until its end. The second value is the state of the upload; `None` for an empty
    /// body.
    pub(super) fn new(
        incoming: Incoming,
        limit: Option<u64>,
        timer: BodyTimer,
        view: &Rc<View>,
        upgrades: &Upgrades,
    ) -> (Self, Option<UploadStatus>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let upload = UploadStatus::default();
        let streaming = Streaming {
            incoming,
            remaining: limit,
            timer,
            upload: upload.clone(),
            view: view.clone(),
            unread: upgrades.unread_body(),
        };
        (Self::Streaming(Box::new(streaming)), Some(upload))
    }
}

impl Streaming {
    fn end(&mut self) {
        self.upload.progress.ended();
        drop(self.unread.take());
    }

    fn note_failure(&self, error: &BodyError) {
        self.upload.failure.set(Some(match error {
            BodyError::Stalled => UploadFailure::Stalled,
            BodyError::TooLarge => UploadFailure::TooLarge,
            BodyError::Deadline => UploadFailure::Deadline,
            BodyError::Client(error) if is_disconnect(error) => UploadFailure::Disconnected,
            BodyError::Client(_) | BodyError::Upstream(_) | BodyError::Malformed => {
                UploadFailure::Malformed
            }
        }));
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(next) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            self.upload.progress.awaited();
            return match self.timer.poll_overdue(cx) {
                Some(error) => Poll::Ready(Some(Err(error))),
                None => Poll::Pending,
            };
        };
        // A body that has ended did so in time.
        let Some(frame) = next else {
            self.end();
            return Poll::Ready(None);
        };
        if let Some(error) = self.timer.check() {
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(Some(match frame {
            Ok(frame) => self.accept(frame),
            Err(error) => Err(BodyError::Client(error)),
        }))
    }

    /// Checks a frame of the client, and turns it into the upstream's.
    fn accept(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        if let Some(trailers) = frame.trailers_mut() {
            if hygiene::has_padded(trailers) {
                return Err(BodyError::Malformed);
            }
            headers::trailers_to_upstream(trailers, &self.view.snapshot.own_headers);
        }
        if let (Some(remaining), Some(data)) = (self.remaining, frame.data_ref()) {
            let Some(remaining) = remaining.checked_sub(data.len() as u64) else {
                return Err(BodyError::TooLarge);
            };
            self.remaining = Some(remaining);
        }
        if self.incoming.is_end_stream() {
            self.end();
        } else {
            self.upload.progress.taken();
        }
        Ok(frame)
    }
}

/// Returns whether a body ended early because its connection or its stream did. Any other error is
/// about the framing.
fn is_disconnect(error: &hyper::Error) -> bool {
    let Some(source) = error.source() else {
        return error.is_incomplete_message();
    };
    if let Some(error) = source.downcast_ref::<h2::Error>() {
        return error.is_io() || error.is_remote();
    }
    match source.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::InvalidInput | ErrorKind::InvalidData) | None => false,
        Some(_) => true,
    }
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
        match body.poll_next(cx) {
            Poll::Ready(Some(Err(error))) => {
                body.note_failure(&error);
                Poll::Ready(Some(Err(error)))
            }
            next => next,
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

impl Relay {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
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
        match relay.poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
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
    fn a_piece_that_has_arrived_can_be_too_late() {
        let hour = Duration::from_secs(3600);
        assert!(matches!(
            BodyTimer::new(hour, Some(clock::monotonic())).check(),
            Some(BodyError::Deadline)
        ));
        assert!(
            BodyTimer::new(hour, Some(clock::monotonic() + hour))
                .check()
                .is_none()
        );
        assert!(BodyTimer::new(Duration::ZERO, None).check().is_none());
    }
}
