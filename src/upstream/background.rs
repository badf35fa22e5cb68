//! The work of the control thread for an upstream: probes, names, and its connection limit.

use std::sync::Weak;

use super::{Upstream, dns, health};
use crate::net;

/// Applies the connection limit of an upstream that came into force, then probes its endpoints and
/// resolves their names until the upstream or this future is dropped. The caller runs it once per
/// upstream, on a runtime that serves no requests.
///
/// # Panics
/// If one of these tasks panics.
pub async fn maintain(weak: Weak<Upstream>) {
    if let Some(upstream) = weak.upgrade() {
        upstream
            .connection_limit
            .set_limit(upstream.settings.max_connections);
    }
    tokio::join!(
        health::watch(weak.clone()),
        dns::refresh_addresses(weak, net::resolve)
    );
}
