//! A request to an upstream, and the reasons to send it again.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body::Body;

use super::replay_body::ReplayBody;
use super::{Fault, RequestPermit};
use crate::clock;

/// Fields that the gateway adds to a request. A list is enough, since they are not looked up by
/// name.
pub type AddedFields = Vec<(HeaderName, HeaderValue)>;

/// The number of times that a request is sent again because no upstream had processed it.
const MAX_RESENDS: u8 = 2;

/// A request to an upstream. Its head is kept, so that it can be sent again without a copy.
pub struct Outgoing<B> {
    pub(super) head: Parts,
    /// Fields that are sent after those of the head. None of their names occurs in the head.
    pub(super) own: AddedFields,
    pub(super) departed: Instant,
    pub(super) body: Content<B>,
    has_body: bool,
    /// Set when the memory of its fields was given to the response: the request cannot be sent
    /// again.
    is_spent: bool,
    /// Allocated only after a connection has refused the request.
    resends: Option<Box<Resends>>,
    /// The permit of a request that was admitted before it is sent.
    pub(super) permit: Option<RequestPermit>,
}

/// The body of a request to an upstream.
pub(super) enum Content<B> {
    /// The request has no body, or HTTP/1.1 has taken it and cannot return it.
    Gone,
    /// No byte of it was sent.
    Untouched(B),
    /// It is sent over HTTP/2, and its beginning is kept.
    Replayable(Rc<ReplayBody<B>>),
}

/// The number of times that a request was sent again because no upstream had processed it, and the
/// connections that refused it.
#[derive(Default)]
struct Resends {
    count: u8,
    /// The ids of the connections that refused the request.
    connections: Vec<u64>,
    /// Set when the last of them is being closed by the upstream.
    is_ending: bool,
}

/// Returns the target of a request in origin form (RFC 9112 §3.2.1). An absolute target may have a
/// query and no path.
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
    /// Set when the upstream certainly did not process the request.
    pub(super) is_unsent: bool,
    /// Set when the connection ended before any byte of a response.
    pub(super) is_unanswered: bool,
    /// The HTTP/2 connection that did not process the request.
    pub(super) refusal: Option<Refusal>,
}

/// An HTTP/2 connection that certainly did not process a request (RFC 9113 §8.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The id of the connection.
    pub(super) connection: u64,
    /// Set when the connection is being closed, and the reason is not this request alone.
    pub(super) is_ending: bool,
}

impl Failed {
    /// Creates the failure of an exchange that did not begin.
    pub(super) fn unsent(fault: Fault) -> Self {
        Self {
            fault,
            is_unsent: true,
            is_unanswered: true,
            refusal: None,
        }
    }

    /// Creates the failure of an exchange that the upstream may have processed.
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
    /// Takes the body, and leaves [`Content::Gone`].
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Gone)
    }

    /// Returns the body if no byte of it was sent.
    pub(super) fn untouched(self) -> Option<B> {
        match self {
            Self::Untouched(body) => Some(body),
            Self::Gone | Self::Replayable(_) => None,
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Gone => false,
            Self::Untouched(_) => true,
            Self::Replayable(kept) => kept.is_whole(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Content<B> {
    /// Returns the body, of which at most `limit` bytes are kept from now on; `None` if there is
    /// none.
    pub(super) fn keep(&mut self, limit: usize) -> Option<Rc<ReplayBody<B>>> {
        let kept = match self.take() {
            Self::Gone => return None,
            Self::Untouched(body) => ReplayBody::new(body, limit),
            Self::Replayable(kept) => kept,
        };
        *self = Self::Replayable(kept.clone());
        Some(kept)
    }
}

impl<B: Body> Outgoing<B> {
    /// Creates a request that is sent now. `own` holds fields of the gateway, none of whose names
    /// occurs in the head.
    #[must_use]
    pub fn new(head: Parts, own: AddedFields, body: B) -> Self {
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
            permit: None,
        }
    }

    /// Sets the permit that the upstream has given for the request already. It is held until the
    /// end of the response.
    pub fn admitted(&mut self, permit: Option<RequestPermit>) {
        self.permit = permit;
    }

    /// Returns the method, and a function that hands over the memory of the request's fields,
    /// emptied, for the fields of the response. That saves two allocations per request, one of them
    /// large.
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

    /// Returns the time when the request was first sent.
    #[must_use]
    pub fn departed(&self) -> Instant {
        self.departed
    }

    /// Returns whether the request may be sent once more. It may if the upstream certainly did not
    /// process it and its whole body is at hand; or if no response came, the method is idempotent
    /// and there is no body (RFC 9110 §9.2.2).
    pub(super) fn may_go_again(&self, failed: &Failed) -> bool {
        if self.is_spent {
            false
        } else if self.has_body {
            failed.is_unsent && self.body.is_whole()
        } else {
            failed.is_unsent || (failed.is_unanswered && is_idempotent(&self.head.method))
        }
    }

    /// Returns whether the request is sent again, with any method, because an HTTP/2 connection did
    /// not process it (RFC 9113 §8.7). This is not a retry and is not counted as one. After such a
    /// connection, a failure to connect has the same effect.
    pub(super) fn is_sent_again(&mut self, failed: &Failed) -> bool {
        let is_unprocessed =
            failed.refusal.is_some() || (failed.is_unsent && self.resends.is_some());
        if !is_unprocessed || !self.may_go_again(failed) {
            return false;
        }
        let resends = self.resends.get_or_insert_default();
        resends.is_ending = false;
        if let Some(refusal) = failed.refusal {
            resends.connections.push(refusal.connection);
            resends.is_ending = refusal.is_ending;
        }
        if resends.count == MAX_RESENDS {
            return false;
        }
        resends.count += 1;
        true
    }

    /// Returns the connections that refused the request and must be avoided; `None` if only a new
    /// connection will do. The last attempt after a connection that was being closed needs a new
    /// one: servers close connections after some number of requests, and of many requests that wait
    /// for an open connection all but a few would be refused again. The first request on a new
    /// connection is not refused for that reason.
    pub(super) fn avoids(&self) -> Option<&[u64]> {
        match &self.resends {
            None => Some(&[]),
            Some(resends) if resends.is_ending && resends.count == MAX_RESENDS => None,
            Some(resends) => Some(&resends.connections),
        }
    }
}

/// Returns whether a request with this method may be sent twice although the first may have been
/// processed (RFC 9110 §9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}
