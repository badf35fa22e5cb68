//! What crosses the gateway in headers, and what does not.
//!
//! Everything that the gateway itself says to an upstream is first removed from what the client
//! said, in every spelling (`route::is_twin`); what is for one connection only goes no further (RFC
//! 9110 §7.6.1).

mod claims;
mod credentials;
mod forwarded;
mod trailers;

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

pub(super) use credentials::query_without_tokens;
pub(super) use forwarded::{asked, client};
pub(super) use trailers::{has_padded, to_client as trailers_to_client};

use credentials::Credentials;
use forwarded::ForwardedFacts;

use crate::config::Server;
use crate::net::Peer;
use crate::policy::Principal;
use crate::route::{FieldSet, is_impersonation, is_impersonation_in_trailers};
use crate::snapshot::Route;
use crate::token::Carrier;
use crate::upstream::OwnFields;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// For one connection only, besides what `Connection` names.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "http2-settings"
    )
}

/// What the headers of a forwarded request are made from.
pub(super) struct Forwarding<'a> {
    pub(super) peer: &'a Peer,
    /// Whom it trusts.
    pub(super) server: &'a Server,
    pub(super) route: &'a Route,
    /// Headers that some route of the snapshot sets from claims.
    pub(super) claim_headers: &'a FieldSet,
    pub(super) principal: Option<&'a Principal>,
    /// The carrier of the token; `None` on a public route.
    pub(super) carrier: Option<Carrier>,
    pub(super) request_id: &'a HeaderValue,
    /// The host the client asked for.
    pub(super) host: Option<HeaderValue>,
    /// What the request came by.
    pub(super) version: Version,
}

/// Whether the framing is one that every reader takes the same: `chunked` alone, or a length. Hyper
/// takes any list that ends in `chunked`; an upstream may not (attacks.md#advisory-8).
pub(super) fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Turns the headers of a client's request into those of the upstream's. What the gateway says
/// itself is given back apart from them: nothing of these names is left among them but `Via`, whose
/// values are a list.
pub(super) fn to_upstream(headers: &mut HeaderMap, forwarding: &Forwarding<'_>) -> OwnFields {
    let mut own = OwnFields::with_capacity(8);
    let facts = ForwardedFacts::of(headers, forwarding.peer, forwarding.server);
    let wants_trailers = accepts_trailers(headers);
    remove_hop_by_hop(headers);
    let credentials = Credentials::of(forwarding.route, forwarding.carrier);
    remove_where(headers, |name| {
        is_impersonation(name) && !credentials.forwards_field(name)
            || forwarding.claim_headers.contains(name)
    });
    credentials.remove(headers);
    if wants_trailers {
        own.push((TE, HeaderValue::from_static("trailers")));
    }
    match forwarding.route.host.as_ref().or(forwarding.host.as_ref()) {
        Some(host) if headers.get(HOST) != Some(host) => {
            headers.insert(HOST, host.clone());
        }
        _ => {}
    }
    facts.tell(
        &mut own,
        forwarding.server.forwarded,
        forwarding.peer,
        forwarding.host.as_ref(),
    );
    own.push((
        VIA,
        HeaderValue::from_static(received_by(forwarding.version)),
    ));
    own.push((REQUEST_ID, forwarding.request_id.clone()));
    if let Some(principal) = forwarding.principal {
        for forwarded in &forwarding.route.forward {
            if let Some(value) = principal
                .claims
                .find(&forwarded.claim)
                .and_then(claims::header_value)
            {
                own.push((forwarded.header.clone(), value));
            }
        }
    }
    own
}

/// Turns the headers of an upstream's response, which came by this version, into those of the
/// client's.
pub(super) fn to_client(headers: &mut HeaderMap, version: Version, request_id: &HeaderValue) {
    // Where both are there the coding framed the body, and the length is about something else
    // (requirements.md#d62).
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

/// The version a message came by, and who took it (RFC 9110 §7.6.3).
fn received_by(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0 scopegate",
        Version::HTTP_2 => "2.0 scopegate",
        _ => "1.1 scopegate",
    }
}

/// Makes one field of cookies that HTTP/2 lets a client send one by one (RFC 9113 §8.2.3): what
/// reads them after that knows of one field.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in [second].into_iter().chain(crumbs) {
        joined.extend(b"; ");
        joined.extend(crumb.as_bytes());
    }
    // Joined by what every value may hold, values are a value.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Removes what has no name in HTTP/1.1: the library takes a quote in a name of HTTP/2, where RFC
/// 9113 §8.2.1 has none.
pub(super) fn remove_misnamed(headers: &mut HeaderMap) {
    remove_where(headers, is_misnamed);
}

fn is_misnamed(name: &str) -> bool {
    name.contains('"')
}

/// What was asked for with a token in the URI is for the one who asked (RFC 6750 §2.3). The
/// upstream did not see the token and cannot know; of two directives that contradict each other
/// caches obey the stricter one.
pub(super) fn keep_from_shared_caches(headers: &mut HeaderMap) {
    headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
}

/// Turns the trailers of a client's request into those of the upstream's: an upstream that joins
/// them to the head would read there what only the gateway says.
pub(super) fn trailers_to_upstream(trailers: &mut HeaderMap, own: &FieldSet) {
    remove_where(trailers, |name| {
        trailers::is_forbidden(name) || is_impersonation_in_trailers(name) || own.contains(name)
    });
}

/// The host a request asks for: of an absolute target before the field (RFC 9112 §3.2.2).
pub(super) fn requested_host(uri: &http::Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    match uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    }
}

/// A client's request id, if it is one that can be logged and passed on as it is
/// (requirements.md#h07).
pub(super) fn valid_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let valid = (1..=128).contains(&id.len()) && id.as_bytes().iter().all(plain);
    valid.then(|| id.clone())
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let listed = |value: &HeaderValue| {
        value
            .as_bytes()
            .split(|b| *b == b',')
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    };
    headers.get_all(TE).iter().any(listed)
}

/// Removes what is for one connection only, and what `Connection` names (RFC 9110 §7.6.1), before
/// anything of ours is added (attacks.md#row-10).
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        return;
    }
    // Thousands of names fit into a head, and no name is made of each: they are looked up as they
    // are written.
    let lists: Vec<HeaderValue> = headers
        .get_all(CONNECTION)
        .iter()
        .filter(|list| nominated(list).next().is_some())
        .cloned()
        .collect();
    for name in lists.iter().flat_map(nominated) {
        headers.remove(name);
    }
    remove_where(headers, is_hop_by_hop);
}

/// The fields that a list of connection options names.
fn nominated(list: &HeaderValue) -> impl Iterator<Item = &str> {
    let is_field = |name: &&str| {
        !["keep-alive", "close"]
            .iter()
            .any(|it| name.eq_ignore_ascii_case(it))
    };
    // A field's name is ASCII.
    list.as_bytes()
        .split(|b| *b == b',')
        .filter_map(|name| str::from_utf8(name.trim_ascii()).ok())
        .filter(is_field)
}

/// Removes in one pass: most requests have nothing to remove, and looking up each of three dozen
/// names costs more than all the rest of the headers.
fn remove_where(headers: &mut HeaderMap, is_removed: impl Fn(&str) -> bool) {
    let removed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_removed(name.as_str()))
        .cloned()
        .collect();
    for name in removed {
        headers.remove(name);
    }
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
    fn only_chunked_alone_is_a_framing() {
        assert!(is_plainly_framed(&map(&[])));
        assert!(is_plainly_framed(&map(&[("transfer-encoding", "Chunked")])));
        for values in [
            &["gzip, chunked"][..],
            &["cow"],
            &["chunked", "chunked"],
            &["chunked, chunked"],
            &["identity"],
        ] {
            let fields: Vec<_> = values
                .iter()
                .map(|value| ("transfer-encoding", *value))
                .collect();
            assert!(!is_plainly_framed(&map(&fields)), "{values:?}");
        }
    }

    #[test]
    fn what_is_for_one_connection_goes_no_further() {
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

    // The table of route::impersonation has what is for one connection as well, for twins and
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
    fn names_of_the_gateways_own_are_removed_in_every_spelling() {
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
