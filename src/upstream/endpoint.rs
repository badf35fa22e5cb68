//! One place where an upstream listens.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use super::dns::Addresses;
use super::outlier_detection::EndpointState;
use crate::net::Url;

/// A place where an upstream listens; each worker has a pool of connections to it.
#[derive(Debug)]
pub struct Endpoint {
    id: u64,
    /// Where it is.
    pub url: Url,
    /// Its own name, for `Host`.
    pub(super) host: Option<HeaderValue>,
    /// How it does.
    pub(super) state: EndpointState,
    /// Of its name.
    pub(super) addresses: Addresses,
}

impl Endpoint {
    /// An endpoint with an identity of its own.
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

    /// What tells it from every other endpoint of this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}
