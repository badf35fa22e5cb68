//! Name resolution: the control thread resolves the names of an upstream again and again, so that
//! addresses change without a restart.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Endpoint, Upstream};
use crate::net::{DialError, Stage};

/// The time limit for resolving one name.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Resolves the names of an upstream until it is dropped.
pub(super) async fn refresh_addresses<R>(weak: Weak<Upstream>, resolve: R)
where
    R: AsyncFn(&str, u16) -> Result<Vec<SocketAddr>, DialError> + Clone + 'static,
{
    let mut tasks = JoinSet::new();
    if let Some(upstream) = weak.upgrade() {
        for endpoint in &upstream.endpoints {
            if endpoint.has_name() {
                let (weak, endpoint) = (weak.clone(), endpoint.clone());
                tasks.spawn_local(refresh_periodically(weak, endpoint, resolve.clone()));
            }
        }
    }
    tasks.join_all().await;
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
                let consequence = if endpoint.addresses.are_known() {
                    "its last addresses stay in use"
                } else {
                    "it has none, and its requests fail until it does"
                };
                tracing::warn!(endpoint = %url, %error, "the name does not resolve: {consequence}");
            }
        }
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
