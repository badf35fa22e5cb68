//! The protected resources of a configuration (RFC 9728), at the addresses of this machine.

use std::sync::Arc;

use crate::config::Config;
use crate::net::Url;

/// A resource of the configuration and where it is in the sandbox.
#[derive(Debug, PartialEq)]
pub(super) struct DevResource {
    /// The URL in the sandbox.
    here: Box<str>,
    /// The URL in the configuration, which the issuer's audience is likely to have.
    pub(super) configured: Box<str>,
}

impl DevResource {
    /// Returns whether a client means this resource.
    pub(super) fn is_at(&self, url: &str) -> bool {
        Self::is_same(&self.here, url)
    }

    /// Returns whether two identifiers differ by a final slash at most, which clients add and take
    /// away.
    pub(super) fn is_same(one: &str, other: &str) -> bool {
        one.trim_end_matches('/') == other.trim_end_matches('/')
    }
}

/// Moves the resources of a configuration to its first listener, so that a client which follows
/// the metadata stays on this machine, and returns them. Routes for a host are left as they are: a
/// client reaches them by that host alone.
pub(super) fn move_here(config: &mut Config) -> Vec<DevResource> {
    let origin = origin(config);
    let mut resources: Vec<DevResource> = Vec::new();
    for route in &mut config.routes {
        let Some(url) = &route.resource else {
            continue;
        };
        let here = match &origin {
            Some(origin) if route.host.is_none() => origin.with_path(url.path_and_query()),
            _ => url.clone(),
        };
        let resource = DevResource {
            here: here.to_string().into(),
            configured: url.to_string().trim_end_matches('/').into(),
        };
        if !resources.contains(&resource) {
            resources.push(resource);
        }
        Arc::make_mut(route).resource = Some(here);
    }
    resources
}

/// Returns the origin of the first listener; `None` if the system chooses its port.
fn origin(config: &Config) -> Option<Url> {
    let mut listeners = config.server.listeners.iter();
    let address = listeners.find_map(|listener| listener.address.ip())?;
    Url::parse(&format!("http://{}/", super::example::reachable(address))).ok()
}
