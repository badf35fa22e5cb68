//! Name resolution: the control thread resolves the names of an upstream again and again, so that
//! addresses change without a restart.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Endpoint, Upstream};
use crate::net::{DialError, Stage, Stream, Url};

/// The time limit for resolving one name.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The addresses of a name, as last resolved; unknown before the first answer of the resolver.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: ArcSwapOption<Vec<SocketAddr>>,
    /// Notified when an address was removed.
    pub(super) removed: Notify,
}

impl Addresses {
    fn publish(&self, addresses: Vec<SocketAddr>) {
        let addresses = Arc::new(addresses);
        let Some(before) = self.known.swap(Some(addresses.clone())) else {
            return;
        };
        if before.iter().any(|address| !addresses.contains(address)) {
            self.removed.notify_waiters();
        }
    }

    /// Returns all addresses, with a different one in front each time. Those of the family that the
    /// resolver prefers come first (RFC 8305 §4).
    pub(super) fn rotated(&self, turn: usize) -> Option<Vec<SocketAddr>> {
        let all = self.known.load();
        let all = all.as_deref()?;
        let prefers_ipv6 = all.first()?.is_ipv6();
        let (mut first, rest): (Vec<_>, Vec<_>) = all
            .iter()
            .partition(|address| address.is_ipv6() == prefers_ipv6);
        let steps = turn % first.len();
        first.rotate_left(steps);
        first.extend(rest);
        Some(first)
    }

    /// Returns whether the address is one of them; true while they are unknown. A scope id or flow
    /// label of IPv6 does not matter.
    fn contains(&self, address: SocketAddr) -> bool {
        let known = self.known.load();
        let Some(known) = known.as_deref() else {
            return true;
        };
        known
            .iter()
            .any(|one| one.ip() == address.ip() && one.port() == address.port())
    }
}

/// The limit of a connection's reuse: an age, and the presence of its peer among the addresses of
/// the endpoint.
pub(super) struct ReuseLimit {
    retires: Instant,
    peer: Option<SocketAddr>,
    endpoint: Arc<Endpoint>,
}

impl ReuseLimit {
    pub(super) fn new(endpoint: &Arc<Endpoint>, stream: &Stream, retires: Instant) -> Self {
        let peer = stream.peer_address().filter(|_| is_name(&endpoint.url));
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

fn is_name(url: &Url) -> bool {
    url.socket().is_none() && url.host_name().parse::<IpAddr>().is_err()
}

/// Resolves the names of an upstream until it is dropped.
pub(super) async fn refresh_addresses<R>(weak: Weak<Upstream>, resolve: R)
where
    R: AsyncFn(&str, u16) -> Result<Vec<SocketAddr>, DialError> + Clone + 'static,
{
    let mut tasks = JoinSet::new();
    if let Some(upstream) = weak.upgrade() {
        for endpoint in &upstream.endpoints {
            if is_name(&endpoint.url) {
                let (weak, endpoint) = (weak.clone(), endpoint.clone());
                tasks.spawn_local(refresh_periodically(weak, endpoint, resolve.clone()));
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn refresh_periodically<R>(weak: Weak<Upstream>, endpoint: Arc<Endpoint>, resolve: R)
where
    R: AsyncFn(&str, u16) -> Result<Vec<SocketAddr>, DialError>,
{
    let mut fails = false;
    while let Some(every) = weak.upgrade().map(|upstream| upstream.settings.dns_refresh) {
        refresh(&endpoint, &resolve, &mut fails).await;
        sleep(every).await;
    }
}

/// Resolves the name of an endpoint once. A failure keeps the known addresses.
async fn refresh<R>(endpoint: &Endpoint, resolve: &R, fails: &mut bool)
where
    R: AsyncFn(&str, u16) -> Result<Vec<SocketAddr>, DialError>,
{
    let url = &endpoint.url;
    let resolved = timeout(TIMEOUT, resolve(url.host_name(), url.port())).await;
    let resolved = resolved.unwrap_or_else(|_| {
        Err(DialError::Timeout {
            authority: url.authority().into(),
            stage: Stage::Resolving,
        })
    });
    match resolved {
        Ok(addresses) => {
            if std::mem::take(fails) {
                tracing::info!(endpoint = %url, "the name resolves again");
            }
            endpoint.addresses.publish(addresses);
        }
        Err(error) => {
            if !std::mem::replace(fails, true) {
                tracing::warn!(
                    endpoint = %url,
                    %error,
                    "the name does not resolve: its last addresses stay in use"
                );
            }
        }
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
