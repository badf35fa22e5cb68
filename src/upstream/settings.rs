//! What the configuration says of an upstream.

use std::sync::Arc;
use std::time::Duration;

use super::{Health, OutlierDetection, Retry, Strategy};
use crate::net::{Alpn, DialTimeouts, TlsSettings, Url};

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name in the configuration, in logs and in metrics.
    pub name: Arc<str>,
    /// Where the first of its endpoints listens; scheme and terms are those of all of them. The
    /// path is `/`: what is forwarded is the request's own.
    pub url: Url,
    /// Everywhere it listens; never empty.
    pub endpoints: Vec<Listed>,
    /// Which of them gets a request.
    pub balance: Strategy,
    /// When another of them does.
    pub retry: Retry,
    /// When one of them is left alone.
    pub ejection: OutlierDetection,
    /// How each of them is asked how it does, if it is.
    pub health: Option<Health>,
    /// What the upstream sees in `Host`.
    pub host: HostHeader,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// How long dialling may take: 504 beyond it.
    pub dial_timeouts: DialTimeouts,
    /// How often its names are resolved.
    pub dns_refresh: Duration,
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
    /// Requests of all workers together that are under way: 503 beyond it. Without it nobody counts
    /// them.
    pub max_requests: Option<usize>,
    /// Bytes of a body that are kept until the response head, so that a request that an upstream of
    /// HTTP/2 did not process can be sent again.
    pub resend_bytes: usize,
    /// Bounds of a response's head: 502 beyond them.
    pub response_head: HeadLimits,
    /// Whom it is trusted to be, and who we are to it; only for https.
    pub terms: TlsSettings,
}

/// Bounds of a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Its bytes. Over HTTP/2 each field counts for 32 bytes more (RFC 9113 §6.5.2).
    pub bytes: usize,
    /// Its fields.
    pub fields: usize,
}

impl HeadLimits {
    /// The fault of a head that has more bytes.
    pub(super) const TOO_LONG: &str = "its head is too long (response_head_bytes)";
    /// The fault of a head that has more fields.
    pub(super) const TOO_MANY: &str = "its head has too many fields (response_head_fields)";
}

/// An endpoint as the configuration lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it listens.
    pub url: Url,
    /// Its share of the requests, beside those of the others.
    pub weight: u32,
}

impl Listed {
    /// The one endpoint of an upstream that has no other.
    #[must_use]
    pub fn alone(url: Url) -> Vec<Self> {
        vec![Self { url, weight: 1 }]
    }
}

impl Settings {
    /// Whether connections that were made by one are good for the other: all but where they go and
    /// which is chosen.
    pub(super) fn connects_like(&self, other: &Self) -> bool {
        let Self {
            url,
            endpoints,
            balance,
            retry,
            ejection,
            health,
            dns_refresh,
            max_requests,
            ..
        } = other.clone();
        Self {
            url,
            endpoints,
            balance,
            retry,
            ejection,
            health,
            dns_refresh,
            max_requests,
            ..self.clone()
        } == *other
    }
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
