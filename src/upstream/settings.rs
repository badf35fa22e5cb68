//! What the configuration says of an upstream.

use std::sync::Arc;
use std::time::Duration;

use crate::net::Url;

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name in the configuration, in logs and in metrics.
    pub name: Arc<str>,
    /// Where it listens. The path is `/`: what is forwarded is the request's own.
    pub url: Url,
    /// What the upstream sees in `Host`.
    pub host: HostHeader,
    /// From dialling to a usable connection, TLS included: 504 beyond it.
    pub connect_timeout: Duration,
    /// From the request's last byte to the response head: 504 beyond it.
    pub response_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections that each worker keeps.
    pub max_idle: usize,
    /// PEM certificates to trust instead of the system's roots; only for https.
    pub ca: Option<Arc<str>>,
}

/// Which `Host` the upstream sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The upstream's own, from its URL. The default, as nginx and API Gateway do.
    Upstream,
    /// The one the client asked for.
    Preserve,
}
