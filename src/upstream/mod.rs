//! Upstreams: the servers that permitted requests are forwarded to, and each worker's pools of
//! connections to them.

mod active_request;
mod addresses;
mod background;
mod balance;
mod bounded_count;
mod connection_limit;
mod dns;
mod endpoint;
mod endpoint_state;
mod exchange;
mod fault;
#[cfg(test)]
mod fixture;
mod health;
mod load_balancing;
mod outlier_detection;
mod pool;
mod replay_body;
mod reply;
mod request_limit;
mod retry;
mod reuse_limit;
mod settings;
mod upload_progress;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use background::maintain;
pub use balance::UpstreamClient;
pub use endpoint::Endpoint;
pub use exchange::{AddedFields, Outgoing};
pub use fault::{Fault, StreamError};
pub use load_balancing::Strategy;
pub use outlier_detection::OutlierDetection;
pub use reply::{Reply, SwitchedConnection};
pub use request_limit::RequestPermit;
pub use retry::Retry;
pub use settings::{EndpointSettings, HeadLimits, Health, HostHeader, Protocol, Settings};
pub use upload_progress::UploadProgress;
pub use whole::{WholeAnswer, WholeLimits};

use self::connection_limit::ConnectionLimit;
use crate::carry_over::CarryOver;
use crate::telemetry::{EndpointState, UpstreamMetrics};
use crate::tls::{Tls, TlsError};

/// A compiled upstream. A reload keeps the same one if its settings did not change; its connections
/// are kept then.
#[derive(Debug)]
pub struct Upstream {
    id: u64,
    /// The settings of the configuration.
    pub settings: Settings,
    /// The endpoints of the upstream; never empty.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The TLS client for its endpoints.
    pub tls: Tls,
    /// The metrics of the upstream.
    pub metrics: Arc<UpstreamMetrics>,
    /// The connections and requests of the upstream, under this configuration and earlier ones.
    connection_limit: Arc<ConnectionLimit>,
}

impl Upstream {
    /// Creates an upstream with an id of its own. It shares the endpoints that `before` had as
    /// well, with their state and their connections, if no setting that a connection depends on has
    /// changed.
    ///
    /// # Errors
    /// If its TLS settings cannot be used: a list of roots without a certificate, or an invalid
    /// key.
    pub fn new(
        settings: Settings,
        metrics: Arc<UpstreamMetrics>,
        before: Option<&Self>,
    ) -> Result<Self, TlsError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let connection_limit = match before {
            Some(before) => before.connection_limit.clone(),
            None => ConnectionLimit::new(settings.max_connections),
        };
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            tls: tls_client(&settings)?,
            endpoints: endpoints(&settings, before),
            settings,
            metrics,
            connection_limit,
        })
    }

    /// Returns a number that no other upstream of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the state of each endpoint, for the metrics.
    pub fn endpoint_states(&self) -> impl Iterator<Item = EndpointState> {
        self.endpoints
            .iter()
            .map(|endpoint| self.state_of(endpoint))
    }

    fn state_of(&self, endpoint: &Endpoint) -> EndpointState {
        let is_probed = self.settings.health.is_some();
        let is_ejectable = self.settings.ejection.failures > 0 && self.endpoints.len() > 1;
        EndpointState {
            upstream: self.settings.name.clone(),
            endpoint: endpoint.url.to_string(),
            healthy: is_probed.then(|| endpoint.state.is_healthy()),
            ejected: is_ejectable.then(|| endpoint.state.is_ejected()),
        }
    }
}

fn tls_client(settings: &Settings) -> Result<Tls, TlsError> {
    if !settings.url.is_tls() {
        return Ok(Tls::system());
    }
    if settings.terms.accepts_any_certificate {
        tracing::warn!(
            upstream = %settings.name,
            "the upstream's certificate is not verified (verify = false)"
        );
    }
    Tls::new(&settings.terms, settings.protocol.alpn())
}

/// Returns the endpoints of an upstream. Those that `before` had as well are the same ones, if
/// connections to them can still be used.
fn endpoints(settings: &Settings, before: Option<&Upstream>) -> Vec<Arc<Endpoint>> {
    let before: &[_] = match before {
        Some(before) if before.settings.connects_like(settings) => &before.endpoints,
        _ => &[],
    };
    let mut earlier = CarryOver::new(before, |endpoint| &endpoint.url);
    let mut endpoints = Vec::with_capacity(settings.endpoints.len());
    for listed in &settings.endpoints {
        endpoints.push(match earlier.take(&listed.url) {
            Some(same) => same.clone(),
            None => Arc::new(Endpoint::new(listed.url.clone())),
        });
    }
    endpoints
}
