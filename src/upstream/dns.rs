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
        let before = self.known.swap(Some(addresses.clone()));
        if before
            .iter()
            .flat_map(|before| before.iter())
            .any(|one| !addresses.contains(one))
        {
            self.removed.notify_waiters();
        }
    }

    /// Returns all addresses, with a different one in front each time. Those of the family that the
    /// resolver prefers come first (RFC 8305 §4).
    pub(super) fn rotated(&self, turn: usize) -> Option<Vec<SocketAddr>> {
        let all = self.known.load();
        let all = all.as_deref()?;
        let is_preferred =
            |one: &&SocketAddr| all.first().is_some_and(|it| it.is_ipv6() == one.is_ipv6());
        let mut first: Vec<_> = all.iter().filter(is_preferred).copied().collect();
        let places = turn.checked_rem(first.len())?;
        first.rotate_left(places);
        first.extend(all.iter().filter(|one| !is_preferred(one)));
        Some(first)
    }

    /// Returns whether the address is one of them; true while they are unknown.
    fn contains(&self, address: SocketAddr) -> bool {
        let is_it = |one: &SocketAddr| one.ip() == address.ip() && one.port() == address.port();
        self.known
            .load()
            .as_deref()
            .is_none_or(|all| all.iter().any(is_it))
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
        now < self.retires
            && self
                .peer
                .is_none_or(|peer| self.endpoint.addresses.contains(peer))
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
        for endpoint in upstream
            .endpoints
            .iter()
            .filter(|endpoint| is_name(&endpoint.url))
        {
            tasks.spawn_local(refresh_periodically(
                weak.clone(),
                endpoint.clone(),
                resolve.clone(),
            ));
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
    let late = |_| {
        Err(DialError::Timeout {
            authority: url.authority().into(),
            stage: Stage::Resolving,
        })
    };
    match timeout(TIMEOUT, resolve(url.host_name(), url.port()))
        .await
        .unwrap_or_else(late)
    {
        Ok(addresses) => {
            if std::mem::take(fails) {
                tracing::info!(endpoint = %url, "the name resolves again");
            }
            endpoint.addresses.publish(addresses);
        }
        Err(error) => {
            if !std::mem::replace(fails, true) {
                tracing::warn!(endpoint = %url, %error, "the name does not resolve: its last addresses serve on");
            }
        }
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
