//! The admin listener: metrics, health and the effective policy, read-only, on an address of its
//! own. It shares no route with the public listener and shows no secret.

mod host;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, DATE, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::blocking;
use crate::clock;
use crate::config::{Ready, effective_policy};
use crate::proxy::http_date;
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::Metrics;
use crate::web;
use host::HostError;

/// The most connections at a time. Scrapers and probes need a few.
const MAX_CONNECTIONS: usize = 64;

/// The number of routes from which on metrics and policy are written on a thread of their own.
const MANY_ROUTES: usize = 1000;

/// The answer to a request that names no host, or several.
const MALFORMED_HOST: &str = "one Host is needed\n";

/// The answer to a request for a host that is not listed. It does not repeat the host, which the
/// peer chose.
const MISDIRECTED: &str = "not for this host: ask by an IP address or localhost, \
                           or list the name in server.admin_hosts\n";

/// A check that every worker answers.
pub type AliveCheck = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool>>>>;

/// The part of the gateway that the admin listener shows.
pub struct Admin {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    alive: AliveCheck,
    draining: Cell<bool>,
    rendering: Mutex<()>,
}

impl Admin {
    /// Returns a view of the running gateway.
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

    /// Begins the drain: the gateway is not ready from now on.
    pub fn drain(&self) {
        self.draining.set(true);
    }

    /// Serves a listener until the future is dropped. Returns at once if the listener was dropped.
    pub async fn serve(self: Rc<Self>, listener: Weak<TcpListener>) {
        let Some(listener) = listener.upgrade() else {
            return;
        };
        let answer = move |request| {
            let admin = self.clone();
            async move { admin.answer_whole(request).await }
        };
        web::serve(&listener, MAX_CONNECTIONS, answer).await;
    }

    /// Answers one request, whose body is not read.
    async fn answer_whole(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = self.answer(&request).await;
        if !request.body().is_end_stream() {
            // The rest of the request is not read, so that no other may follow (RFC 9112 §9.6).
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Answers one request.
    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if let Some(refusal) = self.refusal(request) {
            return refusal;
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
                let config = snapshot.clone();
                let write = move || effective_policy(&config.config);
                text(StatusCode::OK, write_text(&snapshot, write).await)
            }
            "/" => text(StatusCode::OK, "/metrics\n/livez\n/readyz\n/policy\n"),
            _ => text(
                StatusCode::NOT_FOUND,
                "there is /metrics, /livez, /readyz and /policy\n",
            ),
        }
    }

    /// Returns the answer to a request that is refused for its host, its origin or its method.
    fn refusal<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let admitted = host::admit(request, &self.live.load().config.server.admin_hosts);
        match admitted {
            Ok(()) => {}
            Err(HostError::Malformed) => {
                return Some(text(StatusCode::BAD_REQUEST, MALFORMED_HOST));
            }
            Err(HostError::Misdirected) => {
                return Some(text(StatusCode::MISDIRECTED_REQUEST, MISDIRECTED));
            }
        }
        // A page in a browser must not read from this listener, not even under a listed name
        // (attacks.md#row-20).
        if request.headers().contains_key(ORIGIN) {
            return Some(text(
                StatusCode::FORBIDDEN,
                "the request has an Origin: the admin listener answers programs, not pages\n",
            ));
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        Some(response)
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let snapshot = self.live.load();
        // Rendering replaces the metrics of all endpoints; two renderings at a time would mix them.
        let _exclusive = self.rendering.lock().await;
        let metrics = self.metrics.clone();
        let exposition = write_text(&snapshot.clone(), move || render(&snapshot, &metrics)).await;
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

    /// Returns the reason for which the gateway is not ready, if there is one.
    fn obstacle(&self) -> Option<String> {
        if self.draining.get() {
            return Some("draining\n".to_owned());
        }
        let snapshot = self.live.load();
        let mut waiting = Vec::new();
        for issuer in snapshot.issuers() {
            let state = issuer.state();
            let is_ready = match snapshot.config.server.ready {
                Ready::Tried => state.tried,
                Ready::Keys => state.keys > 0,
            };
            if !is_ready {
                waiting.push(issuer.names());
            }
        }
        (!waiting.is_empty()).then(|| format!("no keys yet: {}\n", waiting.join(", ")))
    }
}

/// Returns all metrics in the text format; empty if they cannot be encoded.
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

/// Returns the text that `write` makes of a snapshot. With many routes it runs on a thread of its
/// own: probes and key fetches must not wait for it.
async fn write_text(
    snapshot: &Snapshot,
    write: impl FnOnce() -> String + Send + 'static,
) -> String {
    if snapshot.routes.len() < MANY_ROUTES {
        return write();
    }
    blocking::run(write).await.unwrap_or_default()
}

/// Returns an answer in plain text, which must not be cached.
fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Hyper caches the date that it rendered last, and would send it after the clock was set back.
    if let Ok(date) = HeaderValue::try_from(http_date(clock::since_epoch())) {
        headers.insert(DATE, date);
    }
    response
}
