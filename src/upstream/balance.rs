//! One worker's way to one upstream: which of its endpoints takes a request.

use std::error::Error as StdError;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::timeout_at;

use super::pool::Pool;
use super::sent::Progress;
use super::{Endpoint, Fault, Lease, Sent, Upstream};
use crate::clock;

/// One worker's connections to the endpoints of one upstream, for requests with bodies of type `B`.
pub struct Balance<B> {
    upstream: Arc<Upstream>,
    /// One for each of the upstream's endpoints, in their order.
    pools: Vec<Rc<Pool<B>>>,
}

impl<B> Balance<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// No connection yet.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>) -> Rc<Self> {
        let pool = |endpoint: &Arc<Endpoint>| Pool::new(upstream.clone(), endpoint.clone());
        let pools = upstream.endpoints.iter().map(pool).collect();
        Rc::new(Self { upstream, pools })
    }

    /// The upstream it is for.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Sends a request and waits for the head of its response: at most `limit` from when the request had left, or from
    /// when the upstream last took a piece of it, which `sent` tells for one that has a body; and never beyond `until`.
    ///
    /// `again` gives the request a second time, for those that are safe to repeat (RFC 9110 §9.2.2, checklist U02 and
    /// U03).
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn send(
        &self,
        request: Request<B>,
        again: impl FnOnce() -> Option<Request<B>>,
        (limit, until): (Duration, Option<Instant>),
        sent: Option<&Sent>,
    ) -> Result<(Response<Incoming>, Lease<B>), Fault> {
        let pool =
            self.pools.first().ok_or_else(|| Fault::Protocol("the upstream has no endpoint".into()))?;
        let mut exchange = pin!(pool.exchange(request, again));
        let capped = |deadline: Instant| until.map_or(deadline, |until| until.min(deadline));
        let mut deadline = capped(clock::monotonic() + limit);
        let result = loop {
            if let Ok(result) = timeout_at(deadline.into(), &mut exchange).await {
                break result;
            }
            let now = clock::monotonic();
            if until.is_some_and(|until| until <= now) {
                break Err(Fault::ResponseTimeout(limit));
            }
            // An upload may take longer than an answer, but not an upstream that takes nothing of it.
            deadline = capped(match sent.map(Sent::progress) {
                Some(Progress::Awaited) => now + limit,
                Some(Progress::Taken(at) | Progress::Ended(at)) if at + limit > now => at + limit,
                _ => break Err(Fault::ResponseTimeout(limit)),
            });
        };
        // A body that failed on its way here is not the upstream's fault.
        if let Err(fault) = &result
            && !fault.is_of_the_request()
        {
            self.upstream.metrics.faults.increment(fault.index());
        }
        result
    }

    /// Closes connections that nobody has used for long.
    pub fn sweep(&self) {
        self.pools.iter().for_each(|pool| pool.sweep());
    }
}
