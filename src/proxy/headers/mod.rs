//! The header fields that cross the gateway, and those that are removed.
//!
//! Every field that the gateway itself sends to an upstream is first removed from the client's
//! request, in every spelling (`transform::is_twin`). Hop-by-hop fields are never forwarded (RFC
//! 9110 §7.6.1).

mod claims;
mod credentials;
mod hop_by_hop;
mod trailers;

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

pub(super) use credentials::query_without_tokens;
pub(super) use trailers::to_client as trailers_to_client;

use credentials::Credentials;
use hop_by_hop::is_hop_by_hop;

use crate::config::Server;
pub(super) use crate::decision::answer::REQUEST_ID;
use crate::decision::forwarded::ForwardedFacts;
use crate::decision::hygiene::remove_where;
use crate::net::Peer;
use crate::policy::{Claims, Principal};
use crate::snapshot::Route;
use crate::telemetry::may_hold_token;
use crate::token::{Carrier, ForwardedClaim};
use crate::transform::{FieldSet, is_impersonation, is_impersonation_in_trailers};
use crate::upstream::AddedFields;

/// The facts that the header fields of a forwarded request are made from.
pub(super) struct Forwarding<'a> {
    pub(super) peer: &'a Peer,
    /// The server's settings, with the proxies that it trusts.
    pub(super) server: &'a Server,
    pub(super) route: &'a Route,
    /// The header fields that some route of the snapshot sets from claims.
    pub(super) claim_headers: &'a FieldSet,
    pub(super) principal: Option<&'a Principal>,
    /// The part of the request that carried the token; `None` on a public route.
    pub(super) carrier: Option<Carrier>,
    pub(super) request_id: &'a HeaderValue,
    /// The host that the client asked for.
    pub(super) host: Option<HeaderValue>,
    /// The HTTP version of the client's request.
    pub(super) version: Version,
}

/// Turns the header fields of a client's request into those of the upstream's request. The
/// gateway's own fields are returned apart: no field of their names is left in `headers` but `Via`,
/// whose values are a list.
pub(super) fn to_upstream(headers: &mut HeaderMap, forwarding: &Forwarding<'_>) -> AddedFields {
    let mut own = AddedFields::with_capacity(8);
    let facts = ForwardedFacts::of(headers, forwarding.peer, forwarding.server);
    let wants_trailers = lists(headers, &TE, "trailers");
    remove_hop_by_hop(headers);
    remove_untrusted(headers, forwarding);
    if wants_trailers {
        own.push((TE, HeaderValue::from_static("trailers")));
    }
    let route = forwarding.route;
    let named = route.host.as_ref().or(forwarding.host.as_ref());
    if let Some(host) = named.or(route.unnamed_host.as_ref())
        && headers.get(HOST) != Some(host)
    {
        headers.insert(HOST, host.clone());
    }
    facts.add_to(
        &mut own,
        forwarding.server.forwarded,
        forwarding.peer,
        forwarding.host.as_ref(),
    );
    let via = received_by(forwarding.version);
    own.push((VIA, HeaderValue::from_static(via)));
    own.push((REQUEST_ID, forwarding.request_id.clone()));
    if let Some(principal) = forwarding.principal {
        add_claims(
            &mut own,
            &principal.claims,
            &forwarding.route.config.forward,
        );
    }
    own
}

/// Removes the fields that only the gateway or a proxy may set, and the credentials that the
/// upstream must not get.
fn remove_untrusted(headers: &mut HeaderMap, forwarding: &Forwarding<'_>) {
    let credentials = Credentials::of(forwarding.route, forwarding.carrier);
    remove_where(headers, |name| {
        is_impersonation(name) && !credentials.forwards_field(name)
            || forwarding.claim_headers.contains(name)
    });
    credentials.remove(headers);
}

/// Adds the claims that the route forwards.
fn add_claims(own: &mut AddedFields, claims: &Claims, forward: &[ForwardedClaim]) {
    for forwarded in forward {
        let claim = claims.find(&forwarded.claim);
        if let Some(value) = claim.and_then(claims::header_value) {
            own.push((forwarded.header.clone(), value));
        }
    }
}

/// Turns the header fields of an upstream's response, which has this HTTP version, into those of
/// the client's response.
pub(super) fn to_client(headers: &mut HeaderMap, version: Version, request_id: &HeaderValue) {
    // If both fields occur, the transfer coding has framed the body, and the length means something
    // else (requirements.md#d62).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    if version == Version::HTTP_2 {
        trailers::trim(headers);
    }
    headers.append(VIA, HeaderValue::from_static(received_by(version)));
    headers.insert(REQUEST_ID, request_id.clone());
}

/// Returns the entry of `Via`: the version of the received message, and the name of the gateway
/// (RFC 9110 §7.6.3).
fn received_by(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0 scopegate",
        Version::HTTP_2 => "2.0 scopegate",
        _ => "1.1 scopegate",
    }
}

/// Marks a response as private, because the token was in the URI of its request (RFC 6750 §2.3).
/// The upstream did not see the token and cannot know; of two contradicting directives, caches obey
/// the stricter one.
pub(super) fn keep_from_shared_caches(headers: &mut HeaderMap) {
    headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
}

/// Turns the trailers of a client's request into those of the upstream's request. An upstream that
/// joins them to the head must not find a field there that only the gateway may set.
pub(super) fn trailers_to_upstream(trailers: &mut HeaderMap, own: &FieldSet) {
    remove_where(trailers, |name| {
        trailers::is_forbidden(name) || is_impersonation_in_trailers(name) || own.contains(name)
    });
}

/// Returns the client's request id, if it can be logged and forwarded unchanged
/// (requirements.md#h07).
pub(super) fn valid_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let has_valid_length = (1..=128).contains(&id.len());
    if !has_valid_length || !id.as_bytes().iter().all(is_plain) {
        return None;
    }
    // A token has these characters, too, and the id is logged.
    let is_token = id.to_str().is_ok_and(may_hold_token);
    (!is_token).then(|| id.clone())
}

/// Returns whether a response is an event stream.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let name = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    name.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// Returns whether a comma-separated list holds an item, in any case.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    for field in headers.get_all(name) {
        for listed in field.as_bytes().split(is_comma) {
            if listed.trim_ascii().eq_ignore_ascii_case(item.as_bytes()) {
                return true;
            }
        }
    }
    false
}

fn is_comma(byte: &u8) -> bool {
    *byte == b','
}

/// Removes hop-by-hop fields, and the fields that `Connection` names (RFC 9110 §7.6.1), before the
/// gateway adds its own (attacks.md#row-10).
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        return;
    }
    let mut lists: Vec<HeaderValue> = Vec::new();
    for list in headers.get_all(CONNECTION) {
        if nominated(list).next().is_some() {
            lists.push(list.clone());
        }
    }
    // A head can hold thousands of names, so no `HeaderName` is made of each: they are looked up as
    // they are written.
    for name in lists.iter().flat_map(nominated) {
        headers.remove(name);
    }
    remove_where(headers, is_hop_by_hop);
}

/// Returns the fields that a list of connection options names.
fn nominated(list: &HeaderValue) -> impl Iterator<Item = &str> {
    list.as_bytes().split(is_comma).filter_map(nominated_field)
}

/// Returns the field that a connection option names, if it is not an option of its own.
fn nominated_field(option: &[u8]) -> Option<&str> {
    // Field names are ASCII, so an option of other bytes names no field.
    let name = str::from_utf8(option.trim_ascii()).ok()?;
    let is_option = name.eq_ignore_ascii_case("keep-alive") || name.eq_ignore_ascii_case("close");
    (!is_option).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    pub(super) fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop_fields_are_removed() {
        let mut headers = map(&[
            ("connection", "x-a, Keep-Alive"),
            ("connection", "x-b"),
            ("keep-alive", "1"),
            ("x-a", "1"),
            ("x-b", "1"),
            ("x-c", "1"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy-authorization", "x"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["x-c"]);
    }

    // The table in `transform::impersonation` lists the hop-by-hop fields as well, for twins and
    // trailers.
    #[test]
    fn the_lists_of_hop_by_hop_fields_agree() {
        for name in [
            "connection",
            "te",
            "transfer-encoding",
            "upgrade",
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authorization",
            "http2-settings",
        ] {
            assert!(is_hop_by_hop(name) && is_impersonation(name), "{name}");
        }
    }

    #[test]
    fn the_gateways_own_fields_are_removed_in_every_spelling() {
        let mut headers = map(&[
            ("X-User-Id", "a"),
            ("x_user_id", "a"),
            ("x.user.id", "a"),
            ("x-user|id", "a"),
            ("X.Forwarded.For", "a"),
            ("forwarded", "a"),
            ("x-real-ip", "a"),
            ("x.http_method~override", "DELETE"),
            ("x_original.url", "/"),
            ("x-tenant-id", "a"),
            ("content.length", "5"),
            ("transfer^encoding", "chunked"),
            ("proxy+authorization", "a"),
            ("content.type", "text/html"),
            ("content-type", "kept"),
            ("x-user", "kept"),
            ("under_score", "kept"),
            ("x.dots", "kept"),
        ]);
        let claims = [
            HeaderName::from_static("x-user-id"),
            HeaderName::from_static("x_tenant_id"),
        ];
        let claims: FieldSet = claims.map(Into::into).into_iter().collect();
        remove_where(&mut headers, |name| {
            is_impersonation(name) || claims.contains(name)
        });
        assert_eq!(
            names(&headers),
            ["content-type", "under_score", "x-user", "x.dots"]
        );
        let mut trailers = map(&[
            ("x.user.id", "a"),
            ("content-type", "a"),
            ("content.type", "a"),
            ("host", "a"),
            ("cookie", "a"),
            ("x.original.url", "a"),
            ("x-checksum", "kept"),
        ]);
        trailers_to_upstream(&mut trailers, &claims);
        assert_eq!(names(&trailers), ["x-checksum"]);
    }

    #[test]
    fn a_request_id_is_taken_only_if_it_is_plain() {
        assert!(valid_request_id(&map(&[("x-request-id", "a-1_2.3~")])).is_some());
        for id in ["", "a b", "a\"", &"a".repeat(129)] {
            assert!(
                valid_request_id(&map(&[("x-request-id", id)])).is_none(),
                "{id}"
            );
        }
    }
}
