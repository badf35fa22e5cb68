//! The admin listener: metrics, health and the effective policy, read-only, on an address of its
//! own. It shares no route with the public listener and shows no secret.

mod host;

use std::cell::Cell;
use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, DATE, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::sleep;

use crate::clock;
use crate::config::{Ready, effective_policy};
use crate::proxy::http_date;
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::Metrics;
use host::HostError;

/// A head has to be there by then, and so has the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections at a time; scrapers and probes need a few.
const MAX_CONNECTIONS: usize = 64;

/// Routes from which on what tells of each of them is written by a thread of its own.
const MANY_ROUTES: usize = 1000;

/// After an accept that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// The answer to a request that names no host, or several.
const MALFORMED_HOST: &str = "one Host is needed\n";

/// The answer to a request for a host that is not listed. The host is not repeated: a peer wrote
/// it.
const MISDIRECTED: &str = "not for this host: ask by an IP address or localhost, or list the name in server.admin_hosts\n";

/// Asks every worker whether it answers.
pub type AliveCheck = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool>>>>;

/// What the admin listener can see.
pub struct Admin {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    alive: AliveCheck,
    draining: Cell<bool>,
    rendering: Mutex<()>,
}

impl Admin {
    /// A view of the running gateway.
    #[must_use]
    pub fn new(live: Arc<Live>, metrics: Arc<Metrics>, alive: AliveCheck) -> Rc<Self> {
        Rc::new(Self {
            live,
            metrics,
            alive,
            draining: Cell::new(false),
            rendering: Mutex::default(),
        })
    }

    /// From now on the gateway is not ready for more.
    pub fn drain(&self) {
        self.draining.set(true);
    }

    /// Serves a listener until the task is dropped.
    pub async fn serve(self: Rc<Self>, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        // A descriptor that is kept for the time when there is no other: a supervisor that gets no
        // answer from `/livez` would restart a gateway that is merely busy.
        let spare = Rc::new(Cell::new(descriptor()));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = listener.accept().await else {
                if spare.take().is_none() {
                    sleep(PAUSE).await;
                }
                continue;
            };
            spare.set(spare.take().or_else(descriptor));
            let (admin, spare) = (self.clone(), spare.clone());
            spawn_local(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let admin = admin.clone();
                    async move {
                        let mut response = admin.answer(&request).await;
                        if !request.body().is_end_stream() {
                            // The rest of the request is not read, so that no other may follow (RFC
                            // 9112 §9.6).
                            response
                                .headers_mut()
                                .insert(CONNECTION, HeaderValue::from_static("close"));
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                let mut builder = http1::Builder::new();
                // A client may close its side after its request, and gets its answer all the same
                // (RFC 9112 §9.6).
                builder
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .half_close(true);
                // A scraper that goes away is its own affair.
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                spare.set(spare.take().or_else(descriptor));
                drop(permit);
            });
        }
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let admitted = host::admit(request, &self.live.load().config.server.admin_hosts);
        match admitted {
            Ok(()) => {}
            Err(HostError::Malformed) => return text(StatusCode::BAD_REQUEST, MALFORMED_HOST),
            Err(HostError::Misdirected) => {
                return text(StatusCode::MISDIRECTED_REQUEST, MISDIRECTED);
            }
        }
        // A page in somebody's browser has no business here, under whatever name it reached us
        // (attacks.md#row-20).
        if request.headers().contains_key(ORIGIN) {
            return text(
                StatusCode::FORBIDDEN,
                "the request has an Origin: the admin listener answers programs, not pages\n",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/livez" if (self.alive)().await => text(StatusCode::OK, "live\n"),
            "/livez" => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "a worker does not answer\n",
            ),
            "/readyz" => match self.obstacle() {
                None => text(StatusCode::OK, "ready\n"),
                Some(obstacle) => text(StatusCode::SERVICE_UNAVAILABLE, obstacle),
            },
            "/policy" => {
                let snapshot = self.live.load();
                text(
                    StatusCode::OK,
                    aside(&snapshot.clone(), move || {
                        effective_policy(&snapshot.config)
                    })
                    .await,
                )
            }
            "/" => text(StatusCode::OK, "/metrics\n/livez\n/readyz\n/policy\n"),
            _ => text(
                StatusCode::NOT_FOUND,
                "there is /metrics, /livez, /readyz and /policy\n",
            ),
        }
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let snapshot = self.live.load();
        // The metrics of endpoints are replaced as a whole, which two at a time would mix up.
        let _alone = self.rendering.lock().await;
        let metrics = self.metrics.clone();
        let exposition = aside(&snapshot.clone(), move || render(&snapshot, &metrics)).await;
        if exposition.is_empty() {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be encoded\n",
            );
        }
        let mut response = text(StatusCode::OK, exposition);
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    /// What the gateway is not ready for.
    fn obstacle(&self) -> Option<String> {
        if self.draining.get() {
            return Some("draining\n".to_owned());
        }
        let snapshot = self.live.load();
        let waiting: Vec<_> = snapshot
            .issuers()
            .filter(|issuer| {
                let state = issuer.state();
                match snapshot.config.server.ready {
                    Ready::Tried => !state.tried,
                    Ready::Keys => state.keys == 0,
                }
            })
            .map(|issuer| &*issuer.entry().name)
            .collect();
        (!waiting.is_empty()).then(|| format!("no keys yet: {}\n", waiting.join(", ")))
    }
}

/// The exposition of all metrics; empty where they cannot be encoded.
fn render(snapshot: &Snapshot, metrics: &Metrics) -> String {
    for issuer in snapshot.issuers() {
        issuer.publish();
    }
    metrics.show_endpoints(
        snapshot
            .upstreams
            .iter()
            .flat_map(|upstream| upstream.endpoint_states()),
    );
    metrics.render().unwrap_or_default()
}

/// The text that `write` makes of a snapshot: by a thread of its own where there are so many routes
/// that probes and keys would wait for it here.
async fn aside(snapshot: &Snapshot, write: impl FnOnce() -> String + Send + 'static) -> String {
    if snapshot.routes.len() < MANY_ROUTES {
        return write();
    }
    spawn_blocking(write).await.unwrap_or_default()
}

/// A spare descriptor, closed to make room for another.
fn descriptor() -> Option<OwnedFd> {
    std::io::stderr().as_fd().try_clone_to_owned().ok()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The library keeps the last one that it rendered, and says it on when the clock was set back.
    if let Ok(date) = HeaderValue::try_from(http_date(clock::since_epoch())) {
        headers.insert(DATE, date);
    }
    response
}
