//! Protection against requests that a page of another site makes with its visitor's cookies: forged
//! requests (CSRF), and WebSockets that are opened in the visitor's name.
//!
//! A browser adds a cookie to the requests of any page. A token in a cookie therefore identifies
//! the visitor, but does not show that the visitor's own application made the request. A token in
//! any other place was put there by a page that has the token.

use http::header::{ORIGIN, UPGRADE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method};
use hyper::ext::Protocol;

use super::RequestFacts;
use super::forwarded::{self, RequestedOrigin};
use crate::config::Server;
use crate::net::Peer;
use crate::snapshot::Route;
use crate::transform::{Origins, origin_of};

/// The field in which the browser states how the page relates to the server (the Fetch Metadata
/// standard).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns whether a request whose token is in a cookie must be refused because of the page that
/// made it.
///
/// Only requests that change something, and handshakes of WebSockets, are checked: the same-origin
/// policy keeps a page from reading the response to any other request. A client that is not a
/// browser sends neither `Origin` nor `Sec-Fetch-Site`, and is not refused.
pub(super) fn is_refused(facts: RequestFacts<'_>, route: &Route, server: &Server) -> bool {
    let headers = &facts.head.headers;
    if !is_forgeable(facts.head, route) || route.config.cookie_origins == Some(Origins::Any) {
        return false;
    }
    if !headers.contains_key(ORIGIN) && !headers.contains_key(SEC_FETCH_SITE) {
        return false;
    }
    if matches!(only(headers, &SEC_FETCH_SITE), Some("same-origin" | "none")) {
        return false;
    }
    let Some(origin) = origin_of(headers).and_then(|origin| origin.to_str().ok()) else {
        return true;
    };
    !is_listed(route, origin) && !is_own(origin, facts, server)
}

/// Returns whether a page could do harm with a request even though it cannot read the response. RFC
/// 9110 §9.2.1 defines the safe methods; no page can send TRACE.
fn is_forgeable(head: &Parts, route: &Route) -> bool {
    match head.method {
        Method::GET => route.config.websocket && asks_for_upgrade(head),
        Method::HEAD | Method::OPTIONS => false,
        _ => true,
    }
}

/// Returns whether a GET asks for another protocol, as the handshake of a WebSocket does, even if
/// the handshake is malformed.
fn asks_for_upgrade(head: &Parts) -> bool {
    head.headers.contains_key(UPGRADE) || head.extensions.get::<Protocol>().is_some()
}

/// Returns whether `cookie_origins` lists an origin, or `cors` names it exactly. The patterns of
/// `cors` do not count, since they only state which pages may read responses.
fn is_listed(route: &Route, origin: &str) -> bool {
    if let Some(origins) = &route.config.cookie_origins
        && origins.lists(origin)
    {
        return true;
    }
    match &route.config.heads.cors {
        Some(cors) => cors.origins.names(origin),
        None => false,
    }
}

/// Returns whether an origin is the one that the request was sent to.
fn is_own(origin: &str, facts: RequestFacts<'_>, server: &Server) -> bool {
    let RequestFacts { head, peer } = facts;
    let stated = match peer {
        Some(peer) => forwarded::requested_origin(&head.headers, peer, server),
        None => RequestedOrigin::default(),
    };
    let requested = match stated.host {
        Some(host) => Some(host),
        None => forwarded::requested_host(&head.uri, &head.headers),
    };
    let Some(host) = requested.as_ref().and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let is_over_tls = matches!(peer, Some(Peer { tls: Some(_), .. }));
    is_same(origin, host, stated.port, stated.is_https || is_over_tls)
}

/// Returns whether an origin names this host and the same port, which is in the host, or else
/// stated by a trusted proxy.
///
/// The default ports of http and https count as equal, since a proxy that ends TLS may pass on
/// `Host` and no other field. But a page that was loaded without TLS could have been written by any
/// machine on the network path, so its origin never equals that of a host that is requested over
/// TLS.
fn is_same(origin: &str, host: &str, stated_port: Option<u16>, is_secure: bool) -> bool {
    let Some((scheme, origin)) = origin.split_once("://") else {
        return false;
    };
    if scheme != "https" && (scheme != "http" || is_secure) {
        return false;
    }
    let (Some(origin), Some(host)) = (Site::parse(origin), Site::parse(host)) else {
        return false;
    };
    let (name, other) = (origin.authority.host(), host.authority.host());
    name.eq_ignore_ascii_case(other)
        && non_default(origin.port) == non_default(host.port.or(stated_port))
}

/// A host and its port.
struct Site {
    authority: Authority,
    port: Option<u16>,
}

impl Site {
    /// Parses `host` or `host:port`.
    fn parse(text: &str) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        let port = authority.port_u16();
        let has_port = authority.as_str().len() > authority.host().len();
        let is_plain = !text.contains('@') && has_port == port.is_some();
        is_plain.then_some(Self { authority, port })
    }
}

/// Returns the port, unless it is the default port of http or https.
fn non_default(port: Option<u16>) -> Option<u16> {
    match port {
        Some(80 | 443) => None,
        other => other,
    }
}

/// Returns the value of a field that occurs exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut fields = headers.get_all(name).iter();
    let field = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    field.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_that_of_a_host_and_its_port() {
        for (origin, host, port, is_secure) in [
            ("https://api.test", "api.test", None, false),
            ("https://api.test", "api.test", None, true),
            ("http://api.test", "api.test", None, false),
            ("https://api.test", "API.test:443", None, true),
            ("http://api.test", "api.test:80", None, false),
            ("https://api.test", "api.test", Some(443), true),
            // A proxy that states the port on which it was itself reached.
            ("https://api.test", "api.test", Some(80), true),
            ("https://api.test:8443", "api.test:8443", None, true),
            ("https://api.test:8443", "api.test", Some(8443), true),
            ("https://api.test:8443", "api.test:8443", Some(443), true),
            ("http://[::1]:3000", "[::1]:3000", None, false),
            ("http://127.0.0.1", "127.0.0.1:80", None, false),
        ] {
            assert!(
                is_same(origin, host, port, is_secure),
                "{origin} {host} {port:?}"
            );
        }
        for (origin, host, port, is_secure) in [
            ("http://api.test", "api.test", None, true),
            ("https://api.test:8443", "api.test", None, true),
            ("https://api.test", "api.test:8443", None, true),
            ("https://api.test", "api.test", Some(8443), true),
            ("https://evil.test", "api.test", None, true),
            ("https://api.test.evil.test", "api.test", None, true),
            ("https://evil-api.test", "api.test", None, true),
            ("https://api.test@evil.test", "api.test", None, true),
            ("https://evil.test@api.test", "api.test", None, true),
            ("https://api.test/", "api.test", None, true),
            ("https://evil.test/https://api.test", "api.test", None, true),
            ("https://api.test:99999", "api.test", None, true),
            ("https://", "api.test", None, true),
            ("null", "null", None, false),
            ("api.test", "api.test", None, false),
            ("file://", "", None, false),
            ("capacitor://localhost", "localhost", None, false),
        ] {
            assert!(
                !is_same(origin, host, port, is_secure),
                "{origin} {host} {port:?}"
            );
        }
    }
}
