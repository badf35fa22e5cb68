//! One exchange with an upstream: what goes, what comes back, and what it leaves behind.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body::{Body, Frame, SizeHint};

use super::admission::Admission;
use super::balance::UnderWay;
use super::pool::{Download, Switched};
use super::{Broken, Fault};
use crate::clock;

/// Fields that the gateway adds to a request. A list is enough where nobody looks anything up.
pub type OwnFields = Vec<(HeaderName, HeaderValue)>;

/// A request on its way. Its head stays at hand, so that it can go again without a copy.
pub struct Outgoing<B> {
    pub(super) head: Parts,
    /// They go with those of the head. None of them is there already.
    pub(super) own: OwnFields,
    pub(super) departed: Instant,
    /// The body, until something of it was sent.
    pub(super) body: Option<B>,
    has_body: bool,
    /// Whether its fields are gone: then it goes no more.
    is_spent: bool,
}

/// The target of a request as an upstream wants it (RFC 9112 §3.2.1): of an absolute one the path may be missing.
pub(super) fn origin_form(uri: &Uri) -> Cow<'_, str> {
    match uri.path_and_query().map_or("/", |target| target.as_str()) {
        query if query.starts_with('?') => format!("/{query}").into(),
        target => target.into(),
    }
}

/// An exchange that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// Whether the upstream did nothing with the request for certain.
    pub(super) is_unsent: bool,
    /// Whether the connection ended before anything of a response had come.
    pub(super) is_unanswered: bool,
}

impl Failed {
    /// An exchange that did not begin.
    pub(super) fn unsent(fault: Fault) -> Self {
        Self { fault, is_unsent: true, is_unanswered: true }
    }
}

impl<B: Body> Outgoing<B> {
    /// A request that departs now, with fields of the gateway's own, none of which its head has.
    #[must_use]
    pub fn new(head: Parts, own: OwnFields, body: B) -> Self {
        let body = (!body.is_end_stream()).then_some(body);
        Self { head, own, departed: clock::monotonic(), has_body: body.is_some(), body, is_spent: false }
    }

    /// Its method, and what gives the memory of its fields away, empty, for those of its response: a map is two pieces of
    /// memory, one of them large.
    pub(super) fn spend(&mut self) -> (&Method, impl FnMut() -> HeaderMap) {
        let Self { head: Parts { method, headers, .. }, is_spent, .. } = self;
        let spend = || {
            *is_spent = true;
            headers.clear();
            std::mem::take(headers)
        };
        (method, spend)
    }

    /// When it began to be sent.
    #[must_use]
    pub fn departed(&self) -> Instant {
        self.departed
    }

    /// Whether it may be sent once more: if nothing of it was, or if it was not answered, is safe to repeat and has no
    /// body (RFC 9110 §9.2.2, checklist U02 and U03).
    pub(super) fn may_go_again(&self, failed: &Failed) -> bool {
        if self.is_spent {
            false
        } else if self.has_body {
            failed.is_unsent && self.body.is_some()
        } else {
            failed.is_unsent || (failed.is_unanswered && is_idempotent(&self.head.method))
        }
    }
}

/// Whether a request of this method may be sent twice when nobody knows whether it arrived (RFC 9110 §9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// The body of a response as it comes, and the connection that it comes on. With it the exchange ends: a connection on
/// which both messages have ended is used again, any other is closed, and a stream is reset (attacks.md, "Advisories" 14).
pub struct Reply<B: Body<Data = Bytes>> {
    pub(super) download: Download<B>,
    pub(super) _under_way: Option<UnderWay>,
    pub(super) _admission: Option<Admission>,
}

impl<B: Body<Data = Bytes>> Reply<B> {
    /// The connection, if it has switched to another protocol.
    #[must_use]
    pub fn into_switched(self) -> Option<Switched> {
        self.download.into_switched()
    }
}

impl<B> Body for Reply<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.get_mut().download.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.download.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.download.size_hint()
    }
}
