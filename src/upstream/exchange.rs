//! One exchange with an upstream: what goes, what comes back, and what it leaves behind.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body::{Body, Frame, SizeHint};

use super::balance::UnderWay;
use super::kept::Kept;
use super::pool::{Download, Switched};
use super::request_limit::RequestPermit;
use super::{Broken, Fault};
use crate::clock;

/// Fields that the gateway adds to a request. A list is enough where nobody looks anything up.
pub type OwnFields = Vec<(HeaderName, HeaderValue)>;

/// Times that a request is sent again because no upstream had processed it.
const MOST_RESENDS: u8 = 2;

/// A request on its way. Its head stays at hand, so that it can go again without a copy.
pub struct Outgoing<B> {
    pub(super) head: Parts,
    /// They go with those of the head. None of them is there already.
    pub(super) own: OwnFields,
    pub(super) departed: Instant,
    pub(super) body: Content<B>,
    has_body: bool,
    /// Whether its fields are gone: then it goes no more.
    is_spent: bool,
    /// It takes no memory before something failed.
    resends: Option<Box<Resends>>,
}

/// The body of a request that goes out.
pub(super) enum Content<B> {
    /// There is none, or it has gone from where it does not come back.
    Gone,
    /// Nothing of it was sent.
    Untouched(B),
    /// It is sent over HTTP/2.
    Kept(Rc<Kept<B>>),
}

/// The times that a request was sent again because no upstream had processed it, and the
/// connections that refused it.
#[derive(Default)]
struct Resends {
    count: u8,
    /// The connections on which it was refused.
    connections: Vec<u64>,
    /// Whether the last of them comes to its end.
    is_ending: bool,
}

/// The target of a request as an upstream wants it (RFC 9112 §3.2.1): of an absolute one the path
/// may be missing.
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
    /// The connection of HTTP/2 that did not process the request.
    pub(super) refusal: Option<Refusal>,
}

/// A connection of HTTP/2 that certainly did not process a request (RFC 9113 §8.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Which connection.
    pub(super) connection: u64,
    /// Whether it was because the connection ends, and not because of this request.
    pub(super) is_ending: bool,
}

impl Failed {
    /// An exchange that did not begin.
    pub(super) fn unsent(fault: Fault) -> Self {
        Self {
            fault,
            is_unsent: true,
            is_unanswered: true,
            refusal: None,
        }
    }

    /// An exchange that the upstream may have begun to process.
    pub(super) fn sent(fault: Fault) -> Self {
        Self {
            fault,
            is_unsent: false,
            is_unanswered: false,
            refusal: None,
        }
    }
}

impl<B> Content<B> {
    /// Takes it, and leaves nothing.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Gone)
    }

    /// The body, if nothing of it was sent.
    pub(super) fn untouched(self) -> Option<B> {
        match self {
            Self::Untouched(body) => Some(body),
            Self::Gone | Self::Kept(_) => None,
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Gone => false,
            Self::Untouched(_) => true,
            Self::Kept(kept) => kept.is_whole(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Content<B> {
    /// The body, of which from now on at most `limit` bytes are kept; `None` when there is none.
    pub(super) fn keep(&mut self, limit: usize) -> Option<Rc<Kept<B>>> {
        let kept = match self.take() {
            Self::Gone => return None,
            Self::Untouched(body) => Kept::new(body, limit),
            Self::Kept(kept) => kept,
        };
        *self = Self::Kept(kept.clone());
        Some(kept)
    }
}

impl<B: Body> Outgoing<B> {
    /// A request that departs now, with fields of the gateway's own, none of which its head has.
    #[must_use]
    pub fn new(head: Parts, own: OwnFields, body: B) -> Self {
        let has_body = !body.is_end_stream();
        let body = if has_body {
            Content::Untouched(body)
        } else {
            Content::Gone
        };
        Self {
            head,
            own,
            departed: clock::monotonic(),
            has_body,
            body,
            is_spent: false,
            resends: None,
        }
    }

    /// Its method, and what gives the memory of its fields away, empty, for those of its response:
    /// a map is two pieces of memory, one of them large.
    pub(super) fn spend(&mut self) -> (&Method, impl FnMut() -> HeaderMap) {
        let Self {
            head: Parts {
                method, headers, ..
            },
            is_spent,
            ..
        } = self;
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

    /// Whether it may be sent once more: if the upstream did nothing with it for certain and its
    /// body is there from the first byte, or if it was not answered, is safe to repeat and has no
    /// body (RFC 9110 §9.2.2).
    pub(super) fn may_go_again(&self, failed: &Failed) -> bool {
        if self.is_spent {
            false
        } else if self.has_body {
            failed.is_unsent && self.body.is_whole()
        } else {
            failed.is_unsent || (failed.is_unanswered && is_idempotent(&self.head.method))
        }
    }

    /// Whether it is sent again whatever its method, because a connection of HTTP/2 did not process
    /// it (RFC 9113 §8.7): that is no retry, and counts for none. After such a connection one that
    /// could not be reached counts as well.
    pub(super) fn is_sent_again(&mut self, failed: &Failed) -> bool {
        let is_unprocessed =
            failed.refusal.is_some() || (failed.is_unsent && self.resends.is_some());
        if !is_unprocessed || !self.may_go_again(failed) {
            return false;
        }
        let resends = self.resends.get_or_insert_default();
        resends
            .connections
            .extend(failed.refusal.map(|refusal| refusal.connection));
        resends.is_ending = failed.refusal.is_some_and(|refusal| refusal.is_ending);
        let may = resends.count < MOST_RESENDS;
        resends.count += u8::from(may);
        may
    }

    /// The connections that refused the request, to be avoided; `None` if only a new connection
    /// will do. That is so for the last attempt after a connection that was ending: servers end
    /// connections after so many requests, and of many requests that wait for an open one all but a
    /// few would be refused again. The first request on a new connection is not refused for that
    /// reason.
    pub(super) fn avoids(&self) -> Option<&[u64]> {
        match &self.resends {
            None => Some(&[]),
            Some(resends) if resends.is_ending && resends.count == MOST_RESENDS => None,
            Some(resends) => Some(&resends.connections),
        }
    }
}

/// Whether a request of this method may be sent twice when it may have arrived (RFC 9110 §9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}

/// The body of a response as it comes, and the connection that it comes on. With it the exchange
/// ends: a connection on which both messages have ended is used again, any other is closed, and a
/// stream is reset (attacks.md#advisory-14).
pub struct Reply<B: Body<Data = Bytes>> {
    pub(super) download: Download<B>,
    pub(super) _under_way: Option<UnderWay>,
    pub(super) _admission: Option<RequestPermit>,
}

impl<B: Body<Data = Bytes>> Reply<B> {
    /// Gives back the memory that the next piece would be read into, until it is read.
    pub fn release_buffer(&mut self) {
        self.download.release_buffer();
    }

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

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.get_mut().download.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.download.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.download.size_hint()
    }
}
