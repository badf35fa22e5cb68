//! Where a request came from, as it is told to the upstream: by `X-Forwarded-*`, `Forwarded` (RFC 7239), or both.
//!
//! What a client says of it is never passed on (attacks.md row 9). What a trusted proxy says is, if it is of the one form
//! that every reader takes the same; anything else is replaced, not repaired.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::ForwardedFields;
use crate::net::{Peer, TrustedProxies};
use crate::upstream::OwnFields;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Proxies that a request may have passed. A longer chain is somebody's loop, or somebody's try.
const MAX_HOPS: usize = 32;

/// What a trusted proxy said; nothing where there is none.
#[derive(Debug, Default)]
pub(super) struct Told {
    hops: Option<String>,
    host: Option<HeaderValue>,
    port: Option<HeaderValue>,
    proto: Option<HeaderValue>,
    forwarded: Option<String>,
}

impl Told {
    /// What the headers of a client's request say, if it is for the peer to say.
    pub(super) fn of(headers: &HeaderMap, peer: &Peer, trusted: &TrustedProxies) -> Self {
        if trusted.is_empty() || !trusted.trusts(address_of(peer)) {
            return Self::default();
        }
        let only = |name: HeaderName, is_valid: fn(&str) -> bool| {
            let mut fields = headers.get_all(name).iter();
            let field = fields.next().filter(|_| fields.next().is_none())?;
            field.to_str().is_ok_and(is_valid).then(|| field.clone())
        };
        Self {
            hops: hops(headers).map(|hops| hops.join(", ")),
            host: only(HOST, is_host),
            port: only(PORT, |text| text.parse::<u16>().is_ok_and(|port| port > 0)),
            proto: only(PROTO, |text| matches!(text, "http" | "https")),
            forwarded: joined(headers, &FORWARDED).filter(|text| is_forwarded(text)),
        }
    }

    /// Tells the upstream: what was told, and the peer.
    pub(super) fn tell(
        self,
        own: &mut OwnFields,
        fields: ForwardedFields,
        peer: &Peer,
        host: Option<&HeaderValue>,
    ) {
        let proto = if peer.tls.is_some() { "https" } else { "http" };
        if fields != ForwardedFields::Standard {
            let peer_hop = peer.forwarded_for.to_str().unwrap_or_default();
            let hops = self.hops.map(|hops| format!("{hops}, {peer_hop}"));
            let hops = hops.and_then(|hops| HeaderValue::try_from(hops).ok());
            own.push((FOR, hops.unwrap_or_else(|| peer.forwarded_for.clone())));
            own.push((PROTO, self.proto.unwrap_or_else(|| HeaderValue::from_static(proto))));
            if let Some(port) = self.port.or_else(|| peer.forwarded_port.clone()) {
                own.push((PORT, port));
            }
            if let Some(host) = self.host.or_else(|| host.cloned()) {
                own.push((HOST, host));
            }
        }
        if fields != ForwardedFields::Common {
            let ours = element(address_of(peer), host, proto);
            let all = self.forwarded.map_or(ours.clone(), |before| format!("{before}, {ours}"));
            if let Ok(all) = HeaderValue::try_from(all) {
                own.push((FORWARDED, all));
            }
        }
    }
}

/// Who sent a request, where the trusted proxies say that it is not the peer: the nearest address of `X-Forwarded-For`
/// that is not one of theirs, since who is before that may have written the rest.
pub(in crate::proxy) fn client(headers: &HeaderMap, peer: &Peer, trusted: &TrustedProxies) -> Option<IpAddr> {
    if trusted.is_empty() || !trusted.trusts(address_of(peer)) {
        return None;
    }
    let mut client = None;
    for hop in hops(headers)?.iter().rev() {
        let Some(address) = address(hop) else { break };
        client = Some(address);
        if !trusted.trusts(client) {
            break;
        }
    }
    client
}

/// `None` for a peer on a Unix socket.
fn address_of(peer: &Peer) -> Option<IpAddr> {
    peer.address.map(|address| address.ip())
}

/// The addresses of `X-Forwarded-For`, the farthest first. `None` if any is none, or there are too many.
fn hops(headers: &HeaderMap) -> Option<Vec<String>> {
    let text = joined(headers, &FOR)?;
    let hops: Vec<_> = text.split(',').map(|hop| hop.trim().to_owned()).collect();
    let is_hop = |hop: &String| address(hop).is_some() || hop == "unknown";
    (hops.len() <= MAX_HOPS && hops.iter().all(is_hop)).then_some(hops)
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let fields: Option<Vec<&str>> = headers.get_all(name).iter().map(|field| field.to_str().ok()).collect();
    fields.filter(|fields| !fields.is_empty()).map(|fields| fields.join(", "))
}

fn is_host(text: &str) -> bool {
    crate::route::is_authority(text)
}

/// Whether a list has the form of RFC 7239 §4: elements of `for`, `by`, `host` and `proto`, each once, with a token or a
/// quoted string without escapes.
fn is_forwarded(text: &str) -> bool {
    let Some(elements) = split_unquoted(text, ',') else { return false };
    elements.len() <= MAX_HOPS && elements.iter().all(|element| is_element(element.trim()))
}

fn is_element(element: &str) -> bool {
    let mut seen: Vec<String> = Vec::new();
    let Some(pairs) = split_unquoted(element, ';') else { return false };
    pairs.into_iter().all(|pair| {
        let Some((name, value)) = pair.split_once('=') else { return false };
        let name = name.to_ascii_lowercase();
        let known = matches!(name.as_str(), "for" | "by" | "host" | "proto") && !seen.contains(&name);
        seen.push(name);
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let quoted = |b: u8| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\';
        known
            && match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(inside) => inside.bytes().all(quoted),
                None => !value.is_empty() && value.bytes().all(token),
            }
    })
}

/// The parts between separators outside of quotes; `None` where a quote is not closed.
fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut in_quotes = false;
    let is_separator = |c: char| {
        in_quotes ^= c == '"';
        c == separator && !in_quotes
    };
    let parts = text.split(is_separator).collect();
    text.matches('"').count().is_multiple_of(2).then_some(parts)
}

/// What the gateway says of its peer. An IPv6 address and a port have to be quoted (RFC 7239 §6).
fn element(address: Option<IpAddr>, host: Option<&HeaderValue>, proto: &str) -> String {
    let mut element = match address {
        Some(IpAddr::V4(address)) => format!("for={address}"),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        None => "for=unknown".to_owned(),
    };
    if let Some(host) = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\'])) {
        element.push_str(&format!(";host=\"{host}\""));
    }
    element.push_str(";proto=");
    element.push_str(proto);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_forwarded_is_closed() {
        for text in [
            "for=192.0.2.1",
            "For=\"[2001:db8::1]:4711\";proto=https;host=a.example, for=_hidden;by=unknown",
            "for=\"a, b\"",
        ] {
            assert!(is_forwarded(text), "{text}");
        }
        for text in [
            "",
            "for",
            "for=",
            "for=a b",
            "for=\"a",
            "for=\"a\\\"b\"",
            "for=a;for=b",
            "secret=1",
            "for=a,,for=b",
            "for=[::1]",
            "for =a",
            "for=a;",
        ] {
            assert!(!is_forwarded(text), "{text:?}");
        }
        assert!(!is_forwarded(&vec!["for=a"; MAX_HOPS + 1].join(",")));
    }

    #[test]
    fn a_hop_is_an_address() {
        for (hop, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("[::1]:80", Some("::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("unknown", None),
            ("a.example", None),
            ("192.0.2.1 ", None),
            ("", None),
        ] {
            assert_eq!(address(hop), expected.map(|text| text.parse().unwrap()), "{hop}");
        }
    }
}
