//! What the configuration says of an upstream.

use std::sync::Arc;
use std::time::Duration;

use crate::net::{Alpn, Patience, Terms, Url};

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name in the configuration, in logs and in metrics.
    pub name: Arc<str>,
    /// Where it listens. The path is `/`: what is forwarded is the request's own.
    pub url: Url,
    /// What the upstream sees in `Host`.
    pub host: HostHeader,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// How long dialling may take: 504 beyond it.
    pub patience: Patience,
    /// From the request's last byte to the response head: 504 beyond it.
    pub response_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections that each worker keeps.
    pub max_idle: usize,
    /// How old a connection may become; it is not used again then.
    pub connection_age: Duration,
    /// Connections of all workers together.
    pub max_connections: usize,
    /// Requests of all workers together that wait for one: 503 beyond it.
    pub max_pending: usize,
    /// Whom it is trusted to be, and who we are to it; only for https.
    pub terms: Terms,
}

/// What is spoken with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: over TLS by ALPN, otherwise by prior knowledge (RFC 9113 §3.3).
    Http2,
    /// Over TLS what ALPN says, HTTP/2 before HTTP/1.1; otherwise HTTP/1.1.
    Auto,
}

impl Protocol {
    pub(super) fn alpn(self) -> Alpn {
        match self {
            Self::Http1 => Alpn::Http1,
            Self::Http2 => Alpn::Http2,
            Self::Auto => Alpn::Both,
        }
    }
}

/// Which `Host` the upstream sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The upstream's own, from its URL. The default, as nginx and API Gateway do.
    Upstream,
    /// The one the client asked for.
    Preserve,
    /// This one.
    Named(Box<str>),
}
