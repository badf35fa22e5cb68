//! The limit of a connection's reuse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Endpoint;
use crate::net::Stream;

/// The limit of a connection's reuse: an age, and the presence of its peer among the addresses of
/// the endpoint.
pub(super) struct ReuseLimit {
    retires: Instant,
    peer: Option<SocketAddr>,
    endpoint: Arc<Endpoint>,
}

impl ReuseLimit {
    pub(super) fn new(endpoint: &Arc<Endpoint>, stream: &Stream, retires: Instant) -> Self {
        let peer = stream.peer_address().filter(|_| endpoint.has_name());
        Self {
            retires,
            peer,
            endpoint: endpoint.clone(),
        }
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        if now >= self.retires {
            return false;
        }
        match self.peer {
            Some(peer) => self.endpoint.addresses.contains(peer),
            None => true,
        }
    }
}
