//! One worker's client of one upstream: it picks an endpoint for each request, and retries on
//! another.

use std::cell::Cell;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{Response, StatusCode};
use http_body::Body;

use super::active_request::{ActiveRequest, ActiveRequests};
use super::exchange::{Failed, Outgoing};
use super::load_balancing::LoadBalancer;
use super::outlier_detection::{self, HalfOpenProbe};
use super::pool::{Download, Pool};
use super::reply::Reply;
use super::request_limit::RequestPermit;
use super::retry::Budget;
use super::upload_progress::Progress;
use super::{Endpoint, Fault, HostHeader, UploadProgress, Upstream};
use crate::carry_over::CarryOver;
use crate::clock;
use crate::net::timer_wheel::{Timer, TimerWheel};

/// One worker's connections to the endpoints of one upstream, for requests with bodies of type `B`.
pub struct UpstreamClient<B> {
    upstream: Arc<Upstream>,
    /// The endpoints of the upstream, in their order.
    endpoints: Vec<EndpointPool<B>>,
    load_balancer: LoadBalancer,
    budget: Budget,
    timer_wheel: Rc<TimerWheel>,
    /// Set when `Host` names the endpoint that a request is sent to.
    names_host: bool,
}

/// One endpoint, with this worker's connections to it.
struct EndpointPool<B> {
    pool: Rc<Pool<B>>,
    /// The requests that this worker has under way at the endpoint.
    active_requests: ActiveRequests,
}

impl<B> EndpointPool<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Creates a pool without connections.
    fn new(upstream: &Arc<Upstream>, endpoint: &Arc<Endpoint>) -> Self {
        Self {
            pool: Pool::new(upstream.clone(), endpoint.clone()),
            active_requests: ActiveRequests::default(),
        }
    }

    /// Returns another handle to the same pool.
    fn share(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            active_requests: self.active_requests.clone(),
        }
    }

    fn endpoint(&self) -> &Arc<Endpoint> {
        self.pool.endpoint()
    }
}

impl<B> UpstreamClient<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Creates the client of an upstream, with the timers of its worker. Connections to endpoints
    /// that `before` has as well are kept; those to other endpoints are closed.
    #[must_use]
    pub fn new(
        upstream: Arc<Upstream>,
        before: Option<&Self>,
        timer_wheel: Rc<TimerWheel>,
    ) -> Rc<Self> {
        let before = before.map_or(&[][..], |before| &before.endpoints);
        let mut earlier = CarryOver::new(before, |pool| pool.endpoint().id());
        let mut endpoints = Vec::with_capacity(upstream.endpoints.len());
        for endpoint in &upstream.endpoints {
            endpoints.push(match earlier.take(&endpoint.id()) {
                Some(same) => same.share(),
                None => EndpointPool::new(&upstream, endpoint),
            });
        }
        for removed in earlier.left() {
            removed.pool.retire();
        }
        let settings = &upstream.settings;
        let weights = settings.endpoints.iter().map(|listed| listed.weight);
        let load_balancer = LoadBalancer::new(settings.balance, weights.collect());
        let budget = Budget::new(&settings.retry);
        let names_host = settings.host == HostHeader::Upstream && endpoints.len() > 1;
        Rc::new(Self {
            upstream,
            endpoints,
            load_balancer,
            budget,
            timer_wheel,
            names_host,
        })
    }

    /// Returns the upstream.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Returns the permit for a request that is sent later; `None` if the upstream has no limit of
    /// requests.
    ///
    /// # Errors
    /// [`Fault::Full`]
    pub fn admit(&self) -> Result<Option<RequestPermit>, Fault> {
        RequestPermit::of(&self.upstream)
            .inspect_err(|fault| self.upstream.metrics.faults.increment(fault.kind()))
    }

    /// Sends a request and waits for the head of its response, at most for `limit` since the
    /// request was sent. For a request with a body, `sent` tells when the upstream last took a part
    /// of it, and the limit counts from there. In no case does it wait beyond `until`.
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn send(
        &self,
        request: &mut Outgoing<B>,
        limit: Duration,
        until: Option<Instant>,
        sent: Option<&UploadProgress>,
    ) -> Result<Response<Reply<B>>, Fault> {
        let asked = Cell::new(None);
        let mut deadline = capped(request.departed + limit, until);
        let mut exchange = pin!(self.exchange(request, &asked));
        let timer = self.timer_wheel.timer();
        let result = loop {
            let in_time = poll_fn(|cx| match exchange.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => timer.poll_deadline(cx, deadline).map(|_| None),
            });
            if let Some(result) = in_time.await {
                break result;
            }
            let now = clock::monotonic();
            if until.is_some_and(|until| until <= now) {
                break Err(Fault::ResponseTimeout(limit));
            }
            let Some(next) = next_deadline(sent, limit, now) else {
                self.note_late(asked.get());
                break Err(Fault::ResponseTimeout(limit));
            };
            deadline = capped(next, until);
        };
        // A body that failed on its way to the gateway is not the fault of the upstream.
        if let Err(fault) = &result
            && !matches!(fault, Fault::Request)
        {
            self.upstream.metrics.faults.increment(fault.kind());
        }
        result
    }

    /// Returns a timer of this worker.
    pub(super) fn timer(&self) -> Timer {
        self.timer_wheel.timer()
    }

    /// Notes that the endpoint that was asked did not answer in time.
    pub(super) fn note_late(&self, asked: Option<usize>) {
        if let Some(endpoint) = asked.and_then(|index| self.endpoints.get(index)) {
            self.failed(endpoint);
        }
    }

    /// Sends a request to the upstream. If there is only one endpoint, there is no choice to make
    /// and no other endpoint to retry on.
    pub(super) async fn exchange(
        &self,
        request: &mut Outgoing<B>,
        asked: &Cell<Option<usize>>,
    ) -> Result<Response<Reply<B>>, Fault> {
        let permit = match request.permit.take() {
            None => RequestPermit::of(&self.upstream)?,
            admitted => admitted,
        };
        let (response, active_request) = match &*self.endpoints {
            [only] => match only.pool.exchange(request).await {
                Ok(response) => (response, None),
                // Boxed: it is seldom polled, and would make the future of every request larger.
                Err(failed) => (Box::pin(self.again(only, request, failed)).await?, None),
            },
            _ => self.attempts(request, asked).await?,
        };
        Ok(response.map(|download| Reply {
            download,
            _active_request: active_request,
            request_permit: permit,
        }))
    }

    /// Sends a request again that the only endpoint did not process.
    async fn again(
        &self,
        only: &EndpointPool<B>,
        request: &mut Outgoing<B>,
        mut failed: Failed,
    ) -> Result<Response<Download<B>>, Fault> {
        while failed.refusal.is_some() && request.is_sent_again(&failed) {
            self.upstream.metrics.resent.inc();
            match only.pool.exchange(request).await {
                Ok(response) => return Ok(response),
                Err(next) => failed = next,
            }
        }
        Err(failed.fault)
    }

    /// Tries one endpoint after another, while that is safe and within the retry budget. Sets
    /// `asked` to the endpoint that is being tried.
    async fn attempts(
        &self,
        request: &mut Outgoing<B>,
        asked: &Cell<Option<usize>>,
    ) -> Result<(Response<Download<B>>, Option<ActiveRequest>), Fault> {
        self.budget.deposit();
        // An empty vector has no memory, so nothing is allocated before an attempt failed.
        let mut tried = Vec::new();
        let mut retries = 0;
        loop {
            let (index, _probe) = self.next(&tried).ok_or_else(no_endpoint)?;
            let endpoint = self.endpoints.get(index).ok_or_else(no_endpoint)?;
            asked.set(Some(index));
            self.set_host(request, endpoint.endpoint());
            let active_request = ActiveRequest::new(&endpoint.active_requests);
            // The pool has already replaced a connection that the upstream had closed meanwhile,
            // before it reports that the endpoint failed.
            let failed = match endpoint.pool.exchange(request).await {
                Ok(response) => {
                    self.answered(endpoint, response.status());
                    return Ok((response, Some(active_request)));
                }
                Err(failed) => failed,
            };
            if matches!(failed.fault, Fault::Request) {
                return Err(failed.fault);
            }
            let is_sent_again = request.is_sent_again(&failed);
            if counts_against_endpoint(&failed, is_sent_again) {
                self.failed(endpoint);
            }
            tried.push(index);
            if is_sent_again {
                self.upstream.metrics.resent.inc();
                if tried.len() == self.endpoints.len() {
                    // Every endpoint was tried: any other than this one may be tried again, if
                    // there is one.
                    tried = vec![index];
                }
                continue;
            }
            if retries >= self.upstream.settings.retry.attempts
                || tried.len() == self.endpoints.len()
                || !self.may_retry(request, &failed)
            {
                return Err(failed.fault);
            }
            retries += 1;
            self.upstream.metrics.retries.inc();
        }
    }

    /// Sets the `Host` of a request to that of the endpoint, if each endpoint has its own.
    fn set_host(&self, request: &mut Outgoing<B>, endpoint: &Endpoint) {
        if self.names_host
            && let Some(host) = &endpoint.host
        {
            request.head.headers.insert(HOST, host.clone());
        }
    }

    /// Returns whether a failed request may be retried, and takes the retry from the budget.
    fn may_retry(&self, request: &Outgoing<B>, failed: &Failed) -> bool {
        !matches!(failed.fault, Fault::Protocol(_))
            && request.may_go_again(failed)
            && self.budget.withdraw(clock::monotonic())
    }

    /// Picks the next endpoint among those that were not tried, and begins the half-open probe if
    /// it was ejected. If all of them are ejected or unhealthy, any one is picked: an endpoint that
    /// may have recovered is better than a certain refusal.
    fn next(&self, tried: &[usize]) -> Option<(usize, Option<HalfOpenProbe>)> {
        let active_requests = |index| self.active_requests(index);
        loop {
            let is_available = |index| !tried.contains(&index) && self.is_available(index);
            let Some(index) = self.load_balancer.next(is_available, active_requests) else {
                break;
            };
            // A request of another worker may have begun a probe meanwhile; then the endpoint is no
            // longer available.
            if let Ok(probe) = HalfOpenProbe::begin(self.endpoints.get(index)?.endpoint()) {
                return Some((index, probe));
            }
        }
        let is_untried = |index| !tried.contains(&index);
        let index = self.load_balancer.next(is_untried, active_requests)?;
        Some((index, None))
    }

    fn is_available(&self, index: usize) -> bool {
        match self.endpoints.get(index) {
            Some(endpoint) => endpoint.endpoint().state.is_available(),
            None => false,
        }
    }

    fn active_requests(&self, index: usize) -> usize {
        match self.endpoints.get(index) {
            Some(endpoint) => endpoint.active_requests.get(),
            None => 0,
        }
    }

    fn answered(&self, endpoint: &EndpointPool<B>, status: StatusCode) {
        if matches!(status.as_u16(), 502..=504) {
            self.failed(endpoint);
        } else if endpoint.endpoint().state.succeeded() {
            tracing::info!(
                upstream = %self.upstream.settings.name,
                endpoint = %endpoint.endpoint().url,
                "the endpoint answers again"
            );
        }
    }

    fn failed(&self, failed: &EndpointPool<B>) {
        let endpoint = failed.endpoint();
        let rule = &self.upstream.settings.ejection;
        let all = &self.upstream.endpoints;
        if let Some(time) = outlier_detection::note_failure(rule, endpoint, all) {
            self.upstream.metrics.ejections.inc();
            tracing::warn!(
                upstream = %self.upstream.settings.name,
                endpoint = %endpoint.url,
                "the endpoint failed several times in a row: it gets no requests for {time:?}"
            );
        }
    }

    /// Closes each connection as soon as no request uses it: the upstream was removed from the
    /// configuration.
    pub fn retire(&self) {
        for endpoint in &self.endpoints {
            endpoint.pool.retire();
        }
    }

    /// Closes connections that were not used for the idle timeout.
    pub fn sweep(&self) {
        for endpoint in &self.endpoints {
            endpoint.pool.sweep();
        }
    }
}

/// Returns the earlier one of two deadlines.
pub(super) fn capped(deadline: Instant, until: Option<Instant>) -> Instant {
    match until {
        Some(until) => until.min(deadline),
        None => deadline,
    }
}

/// Returns the next deadline of a request whose deadline has passed; `None` if the upstream is too
/// slow. An upload may take longer than a response, but the upstream has to take a part of it
/// within the limit.
fn next_deadline(sent: Option<&UploadProgress>, limit: Duration, now: Instant) -> Option<Instant> {
    match sent?.progress() {
        Progress::Awaited => Some(now + limit),
        Progress::Taken(at) | Progress::Ended(at) if at + limit > now => Some(at + limit),
        Progress::Taken(_) | Progress::Ended(_) => None,
    }
}

/// Returns whether a failure says something about the health of the endpoint. A full queue does
/// not, nor does the regular end of a connection.
fn counts_against_endpoint(failed: &Failed, is_sent_again: bool) -> bool {
    if matches!(failed.fault, Fault::Overloaded) {
        return false;
    }
    match failed.refusal {
        Some(refusal) if refusal.is_ending => !is_sent_again,
        _ => true,
    }
}

/// The configuration is refused if an upstream has no endpoint.
fn no_endpoint() -> Fault {
    Fault::Protocol("the upstream has no endpoint".into())
}
