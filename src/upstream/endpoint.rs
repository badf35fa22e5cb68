//! One endpoint of an upstream.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use super::dns::Addresses;
use super::outlier_detection::EndpointState;
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

    /// Returns a number that no other endpoint of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}
