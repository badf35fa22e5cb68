//! The facts of a request that its event is made from.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Version};

use super::ApiRoute;
use crate::policy::Principal;
use crate::route::MethodPattern;

/// The facts of a request that its event is made from.
#[derive(Clone, Copy, Debug)]
pub struct EventFacts<'r> {
    /// The method.
    pub method: &'r Method,
    /// The path as the client sent it, not decoded.
    pub path: &'r str,
    /// The query as the client sent it, without tokens.
    pub query: Option<&'r str>,
    /// The header fields that the function gets.
    pub fields: &'r HeaderMap,
    /// The body; empty if the request has none.
    pub body: &'r [u8],
    /// The route that matched.
    pub route: ApiRoute<'r>,
    /// The method of the route that answers the request.
    pub rule: &'r MethodPattern,
    /// The caller; `None` on a public route.
    pub caller: Option<Caller<'r>>,
    /// The address of the client, if it is known.
    pub source: Option<IpAddr>,
    /// The HTTP version of the request.
    pub version: Version,
    /// The host that the client asked for, with a port if there is one.
    pub host: Option<&'r str>,
    /// The id of the request: the one that an API of the same kind has.
    pub request_id: &'r str,
    /// The id of the request that the client gets in `x-request-id`.
    pub extended_request_id: &'r str,
    /// The time of the request, since 1970.
    pub since_epoch: Duration,
}

/// The caller of a route that requires a token.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'r> {
    /// The contents of the token.
    pub principal: &'r Principal,
    /// Set if the route requires scopes.
    pub needs_scopes: bool,
}

impl EventFacts<'_> {
    /// Returns the address of the client. Models of the event demand an address; without one it is
    /// that of no host.
    pub(super) fn source_ip(&self) -> String {
        match self.source {
            Some(address) => address.to_string(),
            None => "0.0.0.0".to_owned(),
        }
    }

    /// Returns the milliseconds since 1970.
    pub(super) fn epoch_millis(&self) -> u64 {
        u64::try_from(self.since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}
