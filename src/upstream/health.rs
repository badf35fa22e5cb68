//! Health probes: the control thread sends requests to the endpoints of an upstream, and marks
//! those that fail as unhealthy.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Endpoint, Health, HostHeader, Upstream};
use crate::net::{self, DialError, DialTimeouts, Stream};
use crate::web::{Protocol, send};

/// The `User-Agent` of a probe.
const AGENT: &str = concat!("scopegate/", env!("CARGO_PKG_VERSION"));

/// The failure of a probe.
#[derive(Debug)]
enum ProbeError {
    Dial(DialError),
    Http(hyper::Error),
    Request(http::Error),
    Timeout(Duration),
    Status(StatusCode),
}

/// Probes the endpoints of an upstream until it or this future is dropped. Returns at once if the
/// upstream has no probes.
pub(super) async fn watch(weak: Weak<Upstream>) {
    let Some(upstream) = weak.upgrade() else {
        return;
    };
    let Some(health) = upstream.settings.health.clone() else {
        // An earlier configuration may have probed them, and left them unhealthy.
        for endpoint in &upstream.endpoints {
            endpoint.state.set_healthy(true);
        }
        return;
    };
    let mut tasks = JoinSet::new();
    for endpoint in &upstream.endpoints {
        tasks.spawn_local(probe_periodically(
            weak.clone(),
            endpoint.clone(),
            health.clone(),
        ));
    }
    drop(upstream);
    tasks.join_all().await;
}

async fn probe_periodically(weak: Weak<Upstream>, endpoint: Arc<Endpoint>, health: Health) {
    let mut streak = Streak::default();
    let mut turn = 0;
    while let Some(upstream) = weak.upgrade() {
        let result = timeout(health.timeout, probe(&upstream, &endpoint, &health, turn)).await;
        let result = result.unwrap_or(Err(ProbeError::Timeout(health.timeout)));
        turn = turn.wrapping_add(1);
        let is_healthy = endpoint.state.is_healthy();
        if streak.record(is_healthy, result.is_ok(), &health) {
            endpoint.state.set_healthy(!is_healthy);
            report(&upstream, &endpoint, &result);
        }
        drop(upstream);
        sleep(health.interval).await;
    }
}

fn report(upstream: &Upstream, endpoint: &Endpoint, result: &Result<(), ProbeError>) {
    let upstream = &upstream.settings.name;
    let endpoint = &endpoint.url;
    match result {
        Ok(()) => tracing::info!(%upstream, %endpoint, "the endpoint is healthy again"),
        Err(error) => {
            tracing::warn!(
                %upstream,
                %endpoint,
                %error,
                "the endpoint is unhealthy: it gets no requests"
            );
        }
    }
}

/// The number of probes in a row whose result contradicts the state of the endpoint.
#[derive(Debug, Default)]
struct Streak(usize);

impl Streak {
    /// Counts a result. Returns whether the state of the endpoint changes.
    fn record(&mut self, is_healthy: bool, is_success: bool, health: &Health) -> bool {
        if is_healthy == is_success {
            self.0 = 0;
            return false;
        }
        let limit = if is_healthy {
            health.unhealthy_after
        } else {
            health.healthy_after
        };
        self.0 += 1;
        if self.0 < limit {
            return false;
        }
        self.0 = 0;
        true
    }
}

async fn probe(
    upstream: &Upstream,
    endpoint: &Endpoint,
    health: &Health,
    turn: usize,
) -> Result<(), ProbeError> {
    let stream = dial(upstream, endpoint, health.timeout, turn)
        .await
        .map_err(ProbeError::Dial)?;
    let host = match &upstream.settings.host {
        HostHeader::Named(name) => name.to_string(),
        HostHeader::Upstream | HostHeader::Preserve => endpoint.url.authority(),
    };
    let is_http2 = upstream.settings.protocol.is_http2(&stream);
    if is_http2 && endpoint.url.is_tls() && !stream.agreed_on_http2() {
        return Err(ProbeError::Dial(DialError::Http2 {
            authority: endpoint.url.authority().into(),
        }));
    }
    let (protocol, request) = if is_http2 {
        (Protocol::Http2, http2_request(endpoint, &host, health)?)
    } else {
        (Protocol::Http1, http1_request(&host, health)?)
    };
    let answer = send(stream, protocol, request)
        .await
        .map_err(ProbeError::Http)?;
    let status = answer.status();
    let is_success = match health.status {
        Some(wanted) => status == wanted,
        None => status.as_u16() < 400,
    };
    if is_success {
        Ok(())
    } else {
        Err(ProbeError::Status(status))
    }
}

/// Connects to the endpoint as a request would. Each probe begins with another address of the name.
async fn dial(
    upstream: &Upstream,
    endpoint: &Endpoint,
    limit: Duration,
    turn: usize,
) -> Result<Stream, DialError> {
    let url = &endpoint.url;
    let Some(addresses) = endpoint.addresses.rotated(turn) else {
        return net::dial(url, &upstream.tls, limit).await;
    };
    let timeouts = DialTimeouts::each(limit);
    net::dial_addresses(url, &addresses, &upstream.tls, timeouts).await
}

/// Returns the request of a probe over HTTP/1.1.
fn http1_request(host: &str, health: &Health) -> Result<Request<Full<Bytes>>, ProbeError> {
    Request::get(health.path.as_str())
        .header(USER_AGENT, AGENT)
        .header(HOST, host)
        .body(Full::default())
        .map_err(ProbeError::Request)
}

/// Returns the request of a probe over HTTP/2, which has the host in its target (RFC 9113 §8.3.1).
fn http2_request(
    endpoint: &Endpoint,
    host: &str,
    health: &Health,
) -> Result<Request<Full<Bytes>>, ProbeError> {
    let scheme = if endpoint.url.is_tls() {
        "https"
    } else {
        "http"
    };
    Request::get(format!("{scheme}://{host}{}", health.path))
        .header(USER_AGENT, AGENT)
        .body(Full::default())
        .map_err(ProbeError::Request)
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Http(error) => write!(f, "the exchange failed: {error}"),
            Self::Request(error) => write!(f, "the request of the probe is invalid: {error}"),
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Status(status) => write!(f, "the answer was {}", status.as_u16()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;

    #[test]
    fn only_answers_in_a_row_change_what_is_believed() {
        let health = Health {
            path: PathAndQuery::from_static("/healthz"),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
            status: None,
        };
        let mut streak = Streak::default();
        let mut turns = |is_healthy, is_good| streak.record(is_healthy, is_good, &health);
        let downs = [false, false, true, false, false, false].map(|is_good| turns(true, is_good));
        assert_eq!(downs, [false, false, false, false, false, true]);
        let ups = [true, false, true, true].map(|is_good| turns(false, is_good));
        assert_eq!(ups, [false, false, false, true]);
    }
}
