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

use super::exchange::{Failed, Outgoing, Reply};
use super::load_balancing::LoadBalancer;
use super::outlier_detection::{self, HalfOpenProbe};
use super::pool::{Download, Pool};
use super::request_limit::RequestPermit;
use super::retry::Budget;
use super::timers::Timers;
use super::upload_progress::Progress;
use super::{Endpoint, Fault, HostHeader, UploadProgress, Upstream};
use crate::clock;

/// One worker's connections to the endpoints of one upstream, for requests with bodies of type `B`.
pub struct Balance<B> {
    upstream: Arc<Upstream>,
    /// The endpoints of the upstream, in their order.
    endpoints: Vec<EndpointPool<B>>,
    load_balancer: LoadBalancer,
    budget: Budget,
    timers: Timers,
    /// Set when `Host` names the endpoint that a request is sent to.
    names_host: bool,
}

/// One endpoint, with this worker's connections to it.
struct EndpointPool<B> {
    pool: Rc<Pool<B>>,
    /// The requests that this worker has under way at the endpoint.
    active_requests: ActiveRequests,
}

/// The number of requests under way. Those of other workers are not included: a counter that all
/// workers write would cost each request more than its value is worth.
type ActiveRequests = Rc<Cell<usize>>;

/// One request under way at an endpoint, counted until it is dropped.
pub(super) struct ActiveRequest(ActiveRequests);

impl ActiveRequest {
    fn new(active_requests: &ActiveRequests) -> Self {
        active_requests.set(active_requests.get() + 1);
        Self(active_requests.clone())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl<B> Balance<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Creates the client of an upstream. Connections to endpoints that `before` has as well are
    /// kept; those to other endpoints are closed.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, before: Option<&Self>) -> Rc<Self> {
        let target = |endpoint: &Arc<Endpoint>| {
            let mut earlier = before.iter().flat_map(|balance| &balance.endpoints);
            let same = earlier.find(|target| target.pool.endpoint().id() == endpoint.id());
            match same {
                Some(EndpointPool {
                    pool,
                    active_requests,
                }) => EndpointPool {
                    pool: pool.clone(),
                    active_requests: active_requests.clone(),
                },
                None => EndpointPool {
                    pool: Pool::new(upstream.clone(), endpoint.clone()),
                    active_requests: ActiveRequests::default(),
                },
            }
        };
        let endpoints: Vec<_> = upstream.endpoints.iter().map(target).collect();
        let is_kept = |pool: &Rc<Pool<B>>| {
            endpoints
                .iter()
                .any(|target| Rc::ptr_eq(&target.pool, pool))
        };
        let earlier = before.iter().flat_map(|balance| &balance.endpoints);
        earlier
            .filter(|target| !is_kept(&target.pool))
            .for_each(|target| target.pool.retire());
        let settings = &upstream.settings;
        let weights = settings
            .endpoints
            .iter()
            .map(|endpoint| endpoint.weight)
            .collect();
        let load_balancer = LoadBalancer::new(settings.balance, weights);
        let budget = Budget::new(&settings.retry);
        let names_host = settings.host == HostHeader::Upstream && upstream.endpoints.len() > 1;
        Rc::new(Self {
            upstream,
            endpoints,
            load_balancer,
            budget,
            timers: Timers::default(),
            names_host,
        })
    }

    /// Returns the upstream.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
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
        (limit, until): (Duration, Option<Instant>),
        sent: Option<&UploadProgress>,
    ) -> Result<Response<Reply<B>>, Fault> {
        let asked = Cell::new(None);
        let departed = request.departed;
        let mut exchange = pin!(self.exchange(request, &asked));
        let capped = |deadline: Instant| until.map_or(deadline, |until| until.min(deadline));
        let mut deadline = capped(departed + limit);
        let mut timer = self.timers.take(deadline);
        let result = loop {
            let in_time = poll_fn(|cx| match exchange.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => timer.poll_deadline(deadline, cx).map(|()| None),
            });
            if let Some(result) = in_time.await {
                break result;
            }
            let now = clock::monotonic();
            if until.is_some_and(|until| until <= now) {
                break Err(Fault::ResponseTimeout(limit));
            }
            // An upload may take longer than a response, but the upstream has to take a part of it
            // within the limit.
            deadline = capped(match sent.map(UploadProgress::progress) {
                Some(Progress::Awaited) => now + limit,
                Some(Progress::Taken(at) | Progress::Ended(at)) if at + limit > now => at + limit,
                _ => {
                    if let Some(target) = asked.get().and_then(|index| self.endpoints.get(index)) {
                        self.failed(target);
                    }
                    break Err(Fault::ResponseTimeout(limit));
                }
            });
        };
        self.timers.give_back(timer);
        // A body that failed on its way to the gateway is not the fault of the upstream.
        if let Err(fault) = &result
            && !matches!(fault, Fault::Request)
        {
            self.upstream.metrics.faults.increment(fault.index());
        }
        result
    }

    /// Sends a request to the upstream. If there is only one endpoint, there is no choice to make
    /// and no other endpoint to retry on.
    async fn exchange(
        &self,
        request: &mut Outgoing<B>,
        asked: &Cell<Option<usize>>,
    ) -> Result<Response<Reply<B>>, Fault> {
        let permit = RequestPermit::of(&self.upstream)?;
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
            _request_permit: permit,
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
        let mut retried = 0;
        loop {
            let (next, _trial) = self.next(&tried).ok_or_else(no_endpoint)?;
            let target = self.endpoints.get(next).ok_or_else(no_endpoint)?;
            asked.set(Some(next));
            if let Some(host) = target
                .pool
                .endpoint()
                .host
                .as_ref()
                .filter(|_| self.names_host)
            {
                request.head.headers.insert(HOST, host.clone());
            }
            let active_request = ActiveRequest::new(&target.active_requests);
            // The pool has already replaced a connection that the upstream had closed meanwhile,
            // before it reports that the endpoint failed.
            let failed = match target.pool.exchange(request).await {
                Ok(response) => {
                    self.answered(target, response.status());
                    return Ok((response, Some(active_request)));
                }
                Err(failed) => failed,
            };
            if matches!(failed.fault, Fault::Request) {
                return Err(failed.fault);
            }
            let is_sent_again = request.is_sent_again(&failed);
            // A full queue says nothing about the health of the endpoint, nor does the regular end
            // of a connection.
            let is_recycled =
                is_sent_again && failed.refusal.is_some_and(|refusal| refusal.is_ending);
            if !is_recycled && !matches!(failed.fault, Fault::Overloaded) {
                self.failed(target);
            }
            tried.push(next);
            if is_sent_again {
                self.upstream.metrics.resent.inc();
                if tried.len() == self.endpoints.len() {
                    // Every endpoint was tried: any other than this one may be tried again, if
                    // there is one.
                    tried = vec![next];
                }
                continue;
            }
            let may_go_again = request.may_go_again(&failed);
            let fault = failed.fault;
            let is_over = retried >= self.upstream.settings.retry.attempts
                || tried.len() == self.endpoints.len()
                || matches!(fault, Fault::Protocol(_));
            if is_over || !may_go_again || !self.budget.withdraw(clock::monotonic()) {
                return Err(fault);
            }
            retried += 1;
            self.upstream.metrics.retries.inc();
        }
    }

    /// Picks the next endpoint among those that were not tried, and begins the half-open probe if
    /// it was ejected. If all of them are ejected or unhealthy, any one is picked: an endpoint that
    /// may have recovered is better than a certain refusal.
    fn next(&self, tried: &[usize]) -> Option<(usize, Option<HalfOpenProbe>)> {
        let is_new = |index: usize| !tried.contains(&index);
        let endpoint = |index: usize| {
            self.endpoints
                .get(index)
                .map(|target| target.pool.endpoint())
        };
        let is_fit =
            |index| is_new(index) && endpoint(index).is_some_and(|one| one.state.is_available());
        let active_requests = |index: usize| {
            self.endpoints
                .get(index)
                .map_or(0, |target| target.active_requests.get())
        };
        while let Some(index) = self.load_balancer.next(is_fit, active_requests) {
            // A request of another worker may have begun a probe meanwhile; then the endpoint is no
            // longer available.
            if let Ok(probe) = HalfOpenProbe::begin(endpoint(index)?) {
                return Some((index, probe));
            }
        }
        self.load_balancer
            .next(is_new, active_requests)
            .map(|index| (index, None))
    }

    fn answered(&self, target: &EndpointPool<B>, status: StatusCode) {
        if matches!(status.as_u16(), 502..=504) {
            self.failed(target);
        } else if target.pool.endpoint().state.succeeded() {
            let endpoint = target.pool.endpoint();
            tracing::info!(upstream = %self.upstream.settings.name, endpoint = %endpoint.url, "the endpoint answers again");
        }
    }

    fn failed(&self, target: &EndpointPool<B>) {
        let Upstream {
            settings,
            endpoints,
            metrics,
            ..
        } = &*self.upstream;
        let endpoint = target.pool.endpoint();
        if let Some(time) = outlier_detection::note_failure(&settings.ejection, endpoint, endpoints)
        {
            metrics.ejections.inc();
            tracing::warn!(
                upstream = %settings.name,
                endpoint = %endpoint.url,
                "the endpoint failed again and again: it is left alone for {time:?}"
            );
        }
    }

    /// Closes each connection as soon as no request uses it: the upstream was removed from the
    /// configuration.
    pub fn retire(&self) {
        self.endpoints
            .iter()
            .for_each(|target| target.pool.retire());
    }

    /// Closes connections that were not used for the idle timeout.
    pub fn sweep(&self) {
        self.endpoints.iter().for_each(|target| target.pool.sweep());
    }
}

/// The configuration is refused if an upstream has no endpoint.
fn no_endpoint() -> Fault {
    Fault::Protocol("the upstream has no endpoint".into())
}
