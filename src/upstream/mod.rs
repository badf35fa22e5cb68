//! Where a permitted request goes: upstreams, and each worker's pool of connections to them.

mod balance;
mod endpoint;
mod fault;
mod pool;
mod sent;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use balance::Balance;
pub use endpoint::Endpoint;
pub use fault::Fault;
pub use pool::{Lease, is_idempotent};
pub use sent::Sent;
pub use settings::{HostHeader, Settings};

use crate::net::{Tls, TlsError};
use crate::telemetry::UpstreamMetrics;

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
}

impl Upstream {
    /// An upstream with an identity of its own.
    ///
    /// # Errors
    /// When there is no certificate to trust in its `ca`.
    pub fn new(settings: Settings, metrics: Arc<UpstreamMetrics>) -> Result<Self, TlsError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let tls = match &settings.ca {
            Some(pem) => Tls::with_roots(pem)?,
            None => Tls::system(),
        };
        if settings.url.is_tls() {
            tls.prepare()?;
        }
        let endpoints = vec![Arc::new(Endpoint::new(settings.url.clone()))];
        Ok(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), settings, endpoints, tls, metrics })
    }

    /// What tells it from every other upstream of this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}
