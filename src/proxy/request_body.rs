//! The body of a request: read from the client as the upstream takes it, guarded by timeouts, and
//! counted where a limit applies. A forwarded body is never buffered as a whole; the event of a
//! function is a body that the gateway made.

use std::cell::Cell;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::body_timer::{BodyError, BodyTimer};
use super::headers;
use crate::decision::hygiene;
use crate::transform::FieldSet;
use crate::upstream::UploadProgress;

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
#[derive(Clone, Debug, Default)]
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
    /// A body that the gateway made. Boxed, so that requests without it stay small.
    Whole(Box<Whole>),
}

/// A body that the gateway made.
pub struct Whole {
    /// `None` once it was taken.
    bytes: Option<Bytes>,
    sent: UploadProgress,
}

/// A request body that is read from the client while it is forwarded.
pub struct Streaming {
    incoming: Incoming,
    /// The number of bytes that may still arrive, if there is a limit.
    remaining: Option<u64>,
    timer: BodyTimer,
    upload: UploadStatus,
    /// The fields that the gateway writes itself, which trailers must not have. It is the worker's
    /// view of the configuration, whose type depends on that of bodies.
    own_headers: Rc<dyn AsRef<FieldSet>>,
    /// Tells the connection that the body is not read to its end yet; dropped at the end of the
    /// body.
    unread: Option<Rc<()>>,
}

impl RequestBody {
    /// Makes the body of a forwarded request, of at most `limit` bytes, which the connection counts
    /// as unread until its end by the references to `bodies`. The second value is the state of the
    /// upload; `None` for an empty body.
    pub(super) fn new(
        incoming: Incoming,
        limit: Option<u64>,
        timer: BodyTimer,
        own_headers: &Rc<impl AsRef<FieldSet> + 'static>,
        bodies: &Weak<()>,
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
            own_headers: own_headers.clone(),
            unread: bodies.upgrade(),
        };
        (Self::Streaming(Box::new(streaming)), Some(upload))
    }
}

impl From<Bytes> for Whole {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes: Some(bytes),
            sent: UploadProgress::default(),
        }
    }
}

impl Whole {
    /// Returns the progress of the body, which has ended once a connection has taken it.
    pub(super) fn progress(&self) -> UploadProgress {
        self.sent.clone()
    }

    fn take(&mut self) -> Option<Bytes> {
        self.sent.ended();
        self.bytes.take()
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
            headers::trailers_to_upstream(trailers, (*self.own_headers).as_ref());
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
        let body = match self.get_mut() {
            Self::Streaming(body) => body,
            Self::Empty => return Poll::Ready(None),
            Self::Whole(whole) => {
                return Poll::Ready(whole.take().map(|bytes| Ok(Frame::data(bytes))));
            }
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
            Self::Whole(whole) => whole.bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(body) => body.incoming.size_hint(),
            Self::Whole(whole) => {
                let left = whole.bytes.as_ref();
                SizeHint::with_exact(left.map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
