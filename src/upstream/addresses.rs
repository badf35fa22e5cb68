//! The addresses of a name, as the control thread resolved them last.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

/// The addresses of a name, as last resolved; unknown before the first answer of the resolver.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: ArcSwapOption<Vec<SocketAddr>>,
    /// Notified when an address was removed.
    pub(super) removed: Notify,
}

impl Addresses {
    /// Replaces the addresses by those that the resolver returned last.
    pub(super) fn publish(&self, addresses: Vec<SocketAddr>) {
        let addresses = Arc::new(addresses);
        let Some(before) = self.known.swap(Some(addresses.clone())) else {
            return;
        };
        if before.iter().any(|address| !addresses.contains(address)) {
            self.removed.notify_waiters();
        }
    }

    /// Returns whether the name has resolved before.
    pub(super) fn are_known(&self) -> bool {
        self.known.load().is_some()
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
    pub(super) fn contains(&self, address: SocketAddr) -> bool {
        let known = self.known.load();
        let Some(known) = known.as_deref() else {
            return true;
        };
        known
            .iter()
            .any(|one| one.ip() == address.ip() && one.port() == address.port())
    }
}
