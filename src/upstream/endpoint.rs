//! One endpoint of an upstream.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use super::addresses::Addresses;
use super::endpoint_state::EndpointState;
use crate::net::Url;

/// A place where an upstream listens; each worker has a pool of connections to it.
#[derive(Debug)]
pub struct Endpoint {
    id: u64,
    /// The URL of the endpoint.
    pub url: Url,
    /// The host and port of the endpoint, for `Host`.
    pub(super) host: Option<HeaderValue>,
    /// The health of the endpoint, and its recent failures.
    pub(super) state: EndpointState,
    /// The addresses of the endpoint's name.
    pub(super) addresses: Addresses,
}

impl Endpoint {
    /// Creates an endpoint with an id of its own.
    #[must_use]
    pub fn new(url: Url) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let host = HeaderValue::try_from(url.authority()).ok();
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            url,
            host,
            state: EndpointState::new(),
            addresses: Addresses::default(),
        }
    }

    /// Returns whether its host is a name, which has to be resolved.
    pub(super) fn has_name(&self) -> bool {
        self.url.socket().is_none() && self.url.host_name().parse::<IpAddr>().is_err()
    }

    /// Returns a number that no other endpoint of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}
