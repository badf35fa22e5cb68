//! Where a permitted request goes: upstreams, and each worker's pool of connections to them.

mod admission;
mod alarm;
mod balance;
mod choice;
mod ejection;
mod endpoint;
mod exchange;
mod fault;
#[cfg(test)]
mod fixture;
mod health;
mod kept;
mod names;
mod occupancy;
mod pool;
mod retry;
mod sent;
mod settings;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

pub use balance::Balance;
pub use choice::Strategy;
pub use ejection::Ejection;
pub use endpoint::Endpoint;
pub use exchange::{Outgoing, OwnFields, Reply};
pub use fault::{Broken, Fault};
pub use health::Health;
pub use pool::Switched;
pub use retry::Retry;
pub use sent::Sent;
pub use settings::{HeadLimits, HostHeader, Listed, Protocol, Settings};

use self::occupancy::Occupancy;
use crate::net::{self, Tls, TlsError};
use crate::telemetry::{EndpointState, UpstreamMetrics};

/// An upstream, compiled. Across a reload it is the same one if its settings are; its connections are kept then.
#[derive(Debug)]
pub struct Upstream {
    id: u64,
    /// What the configuration says of it.
    pub settings: Settings,
    /// Where it listens; never empty.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Whom it is trusted to be.
    pub tls: Tls,
    /// What is counted of it.
    pub metrics: Arc<UpstreamMetrics>,
    /// What it has to do, under this configuration and earlier ones.
    occupancy: Arc<Occupancy>,
}

impl Upstream {
    /// An upstream with an identity of its own. Endpoints that `before` had as well are the same, with their
    /// standing and their connections, if nothing changed that connections depend on.
    ///
    /// # Errors
    /// When its terms cannot be kept: a list of roots without one, a key that is none.
    pub fn new(
        settings: Settings,
        metrics: Arc<UpstreamMetrics>,
        before: Option<&Self>,
    ) -> Result<Self, TlsError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let tls = if settings.url.is_tls() {
            if settings.terms.trust_anyone {
                tracing::warn!(upstream = %settings.name, "the upstream's certificate is not verified (verify = false)");
            }
            Tls::new(&settings.terms, settings.protocol.alpn())?
        } else {
            Tls::system()
        };
        let occupancy = before.map(|upstream| upstream.occupancy.clone());
        let occupancy = occupancy.unwrap_or_else(|| Occupancy::new(settings.max_connections));
        let before = before.filter(|upstream| upstream.settings.connects_like(&settings));
        let endpoint = |listed: &Listed| {
            let mut earlier = before.iter().flat_map(|upstream| &upstream.endpoints);
            let same = earlier.find(|endpoint| endpoint.url == listed.url);
            same.cloned().unwrap_or_else(|| Arc::new(Endpoint::new(listed.url.clone())))
        };
        let endpoints = settings.endpoints.iter().map(endpoint).collect();
        Ok(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), settings, endpoints, tls, metrics, occupancy })
    }

    /// What tells it from every other upstream of this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How each of its endpoints does.
    pub fn endpoint_states(&self) -> impl Iterator<Item = EndpointState> {
        let Self { settings, endpoints, .. } = self;
        let is_ejectable = settings.ejection.failures > 0 && endpoints.len() > 1;
        endpoints.iter().map(move |endpoint| EndpointState {
            upstream: settings.name.clone(),
            endpoint: endpoint.url.to_string(),
            healthy: settings.health.is_some().then(|| endpoint.standing.is_healthy()),
            ejected: is_ejectable.then(|| endpoint.standing.is_ejected()),
        })
    }
}

/// Looks after an upstream that came into force, until it is dropped or this is: its bounds, its probes, its names. To be run
/// once per upstream, on a runtime that serves no requests.
pub async fn look_after(weak: Weak<Upstream>) {
    if let Some(upstream) = weak.upgrade() {
        upstream.occupancy.allow(upstream.settings.max_connections);
    }
    tokio::join!(health::watch(weak.clone()), names::follow_names(weak, net::resolve));
}
