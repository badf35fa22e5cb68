//! The settings of an upstream in the configuration.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::uri::PathAndQuery;

use super::{OutlierDetection, Retry, Strategy};
use crate::lambda::Function;
use crate::net::{DialTimeouts, Stream, Url};
use crate::tls::{Alpn, TlsSettings};

/// The settings of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name in the configuration, in logs and in metrics.
    pub name: Arc<str>,
    /// The URL of the first endpoint; its scheme and the TLS settings apply to all of them. The
    /// path is `/`: a request is forwarded with its own path.
    pub url: Url,
    /// All endpoints; never empty.
    pub endpoints: Vec<EndpointSettings>,
    /// The load-balancing policy.
    pub balance: Strategy,
    /// The retry policy.
    pub retry: Retry,
    /// The outlier detection.
    pub ejection: OutlierDetection,
    /// The health probes, if there are any.
    pub health: Option<Health>,
    /// The `Host` that the upstream receives.
    pub host: HostHeader,
    /// The HTTP version.
    pub protocol: Protocol,
    /// The timeouts for connecting: 504 beyond them.
    pub dial_timeouts: DialTimeouts,
    /// The time that a request waits for a connection while there are as many as there may be: 504
    /// beyond it.
    pub queue_timeout: Duration,
    /// The time between two resolutions of a name.
    pub dns_refresh: Duration,
    /// The time from the last byte of the request to the response head: 504 beyond it.
    pub response_timeout: Duration,
    /// The time that an unused connection is kept.
    pub idle_timeout: Duration,
    /// The number of unused connections that each worker keeps.
    pub max_idle: usize,
    /// The age after which a connection is not used again.
    pub connection_age: Duration,
    /// The limit of connections, for all workers together.
    pub max_connections: usize,
    /// The limit of requests that wait for a connection, for all workers together: 503 beyond it.
    pub max_pending: usize,
    /// The limit of requests under way, for all workers together: 503 beyond it. Without it they
    /// are not counted.
    pub max_requests: Option<usize>,
    /// The bytes of a request body that are kept until the response head, so that a request that an
    /// HTTP/2 upstream did not process can be sent again.
    pub resend_bytes: usize,
    /// The limits of a response head: 502 beyond them.
    pub response_head: HeadLimits,
    /// The function that requests invoke, if the upstream is an Invoke API.
    pub lambda: Option<Box<Function>>,
    /// The trusted roots, the client certificate and other TLS settings; only for https.
    pub terms: TlsSettings,
}

/// The health probes of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The target of the request.
    pub path: PathAndQuery,
    /// The time from the response to the next probe.
    pub interval: Duration,
    /// The time that a probe may take, the connection included.
    pub timeout: Duration,
    /// Successes in a row after which an unhealthy endpoint is healthy.
    pub healthy_after: usize,
    /// Failures in a row after which a healthy endpoint is unhealthy.
    pub unhealthy_after: usize,
    /// The status of a success; without it any below 400.
    pub status: Option<StatusCode>,
}

/// The limits of a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The limit of its bytes. Over HTTP/2 each field counts for 32 bytes more (RFC 9113 §6.5.2).
    pub bytes: usize,
    /// The limit of its fields.
    pub fields: usize,
}

impl HeadLimits {
    /// The message for a head with more bytes.
    pub(super) const TOO_LONG: &str = "its head is too long (response_head_bytes)";
    /// The message for a head with more fields.
    pub(super) const TOO_MANY: &str = "its head has too many fields (response_head_fields)";
}

/// An endpoint in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// The URL of the endpoint.
    pub url: Url,
    /// Its share of the requests, relative to the weights of the others.
    pub weight: u32,
}

impl EndpointSettings {
    /// Returns the only endpoint of an upstream.
    #[must_use]
    pub fn alone(url: Url) -> Vec<Self> {
        vec![Self { url, weight: 1 }]
    }
}

impl Settings {
    /// Returns whether connections that were made under one configuration can be used under the
    /// other. Settings that only choose an endpoint or limit requests do not matter.
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
            lambda,
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
            lambda,
            ..self.clone()
        } == *other
    }
}

/// The HTTP version that is used with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: over TLS by ALPN, otherwise with prior knowledge (RFC 9113 §3.3).
    Http2,
    /// Over TLS the result of ALPN, with HTTP/2 preferred; otherwise HTTP/1.1.
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

    /// Returns whether HTTP/2 is used on a new connection.
    pub(super) fn is_http2(self, stream: &Stream) -> bool {
        match self {
            Self::Http1 => false,
            Self::Http2 => true,
            Self::Auto => stream.agreed_on_http2(),
        }
    }
}

/// The `Host` that an upstream receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The host of the upstream's URL. This is the default, as in nginx and API Gateway.
    Upstream,
    /// The `Host` of the client's request.
    Preserve,
    /// A configured name.
    Named(Box<str>),
}
