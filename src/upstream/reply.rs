//! The body of a response, and the connection that it arrives on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::StreamError;
use super::active_request::ActiveRequest;
use super::pool::{Download, UpgradedConnection};
use super::request_limit::RequestPermit;

/// The body of a response, and the connection that it arrives on. Dropping it ends the exchange: a
/// connection on which both messages have ended is used again, any other is closed, and an HTTP/2
/// stream is reset (attacks.md#advisory-14).
pub struct Reply<B: Body<Data = Bytes>> {
    pub(super) download: Download<B>,
    pub(super) _active_request: Option<ActiveRequest>,
    pub(super) request_permit: Option<RequestPermit>,
}

impl<B: Body<Data = Bytes>> Reply<B> {
    /// Frees the memory for the next part of the body, until the body is polled again.
    pub fn release_buffer(&mut self) {
        self.download.release_buffer();
    }

    /// Takes the permit of the request, which is held from now on by the caller.
    pub(super) fn take_permit(&mut self) -> Option<RequestPermit> {
        self.request_permit.take()
    }

    /// Returns the connection, if it has switched to another protocol.
    #[must_use]
    pub fn into_switched(self) -> Option<SwitchedConnection> {
        Some(SwitchedConnection {
            connection: self.download.into_switched()?,
            request: HeldRequest {
                _active_request: self._active_request,
                _permit: self.request_permit,
            },
        })
    }
}

/// A connection that has switched to another protocol, and the request that asked for it.
pub struct SwitchedConnection {
    connection: UpgradedConnection,
    request: HeldRequest,
}

/// A request that counts as one under way, for load balancing and `max_requests`, until it is
/// dropped: a tunnel occupies its upstream as long as it is open.
pub struct HeldRequest {
    _active_request: Option<ActiveRequest>,
    _permit: Option<RequestPermit>,
}

impl SwitchedConnection {
    /// Returns the byte stream of the other protocol, and the request.
    pub fn into_parts(self) -> (impl AsyncRead + AsyncWrite, HeldRequest) {
        (self.connection.into_stream(), self.request)
    }
}

impl<B> Body for Reply<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.get_mut().download.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.download.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.download.size_hint()
    }
}
