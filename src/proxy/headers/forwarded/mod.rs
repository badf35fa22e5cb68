//! The origin of a request, as the upstream gets it: in `X-Forwarded-*`, in `Forwarded` (RFC 7239),
//! or in both.
//!
//! Statements of a client about its own origin are never forwarded. Those of a trusted proxy are,
//! as far as they have the one form that all parsers read alike. A proxy appends to a list, so
//! lists are read from the end: an element of another form ends the reading, and hides none of the
//! elements after it.

mod element;

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use self::element::Element;
use crate::config::{ForwardedFields, Server};
use crate::net::{Peer, TrustedProxies};
use crate::upstream::OwnFields;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The maximum number of proxies in a chain. A longer chain is a loop or an attack; the nearest
/// proxies count.
const MAX_HOPS: usize = 32;

/// The name of a node whose address is not known (RFC 7239 §6).
const UNKNOWN: &str = "unknown";

/// The statements of trusted proxies about a request; empty if there are none.
#[derive(Debug, Default)]
pub(super) struct ForwardedFacts {
    /// The addresses that the request passed, the farthest one first.
    hops: Vec<String>,
    host: Option<HeaderValue>,
    port: Option<HeaderValue>,
    proto: Option<&'static str>,
    /// The text of the elements of `Forwarded` with the same statements.
    forwarded: Option<String>,
}

impl ForwardedFacts {
    /// Parses the forwarding headers if the peer is a trusted proxy.
    pub(super) fn of(headers: &HeaderMap, peer: &Peer, server: &Server) -> Self {
        let trusted = &server.trusted_proxies;
        if trusted.is_empty() || !trusted.trusts(address_of(peer)) {
            return Self::default();
        }
        match server.forwarded {
            // A proxy that does not write `Forwarded` may pass on a client's, so it is ignored
            // unless the configuration asks for it.
            ForwardedFields::Common => Self::by_common(headers),
            // RFC 7239 §7.4: a statement in one of the two forms alone is converted.
            ForwardedFields::Standard => Self::by_standard(headers, trusted),
            ForwardedFields::Both => Self::by_both(headers, trusted),
        }
    }

    fn by_standard(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let elements = elements(headers);
        if elements.is_empty() {
            Self::by_common(headers)
        } else {
            Self::by_elements(&elements, trusted)
        }
    }

    /// Prefers `X-Forwarded-*`, since more proxies pass on a client's `Forwarded` unchecked.
    fn by_both(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let elements = elements(headers);
        if ![FOR, HOST, PORT, PROTO]
            .iter()
            .any(|name| headers.contains_key(name))
        {
            return Self::by_elements(&elements, trusted);
        }
        let mut facts = Self::by_common(headers);
        if !headers.contains_key(FOR) {
            facts.hops = elements.iter().map(Element::hop).collect();
        }
        if facts.agrees_with(&elements) {
            facts.forwarded = joined(&elements);
        }
        facts
    }

    fn by_common(headers: &HeaderMap) -> Self {
        Self {
            hops: hops(headers),
            host: last(headers, &HOST)
                .filter(|host| crate::route::is_authority(host))
                .and_then(value),
            port: last(headers, &PORT)
                .filter(|port| is_port(port))
                .and_then(value),
            proto: last(headers, &PROTO).and_then(scheme),
            forwarded: None,
        }
    }

    /// Reads the elements of `Forwarded`. The client's host and scheme are in the element that the
    /// first of the trusted proxies wrote.
    fn by_elements(elements: &[Element<'_>], trusted: &TrustedProxies) -> Self {
        let mut facts = Self {
            forwarded: joined(elements),
            ..Self::default()
        };
        for element in elements.iter().rev() {
            if let Some(host) = element.host.filter(|host| crate::route::is_authority(host)) {
                facts.host = value(host);
            }
            if let Some(proto) = element.proto.and_then(scheme) {
                facts.proto = Some(proto);
            }
            if !trusted.trusts(element.address()) || element.address().is_none() {
                break;
            }
        }
        facts.hops = elements.iter().map(Element::hop).collect();
        facts
    }

    /// Returns whether elements of `Forwarded` name the same chain, and no other host or scheme.
    fn agrees_with(&self, elements: &[Element<'_>]) -> bool {
        let same_chain = self
            .hops
            .iter()
            .map(|hop| address(hop))
            .eq(elements.iter().map(Element::address));
        let mut hosts = elements.iter().filter_map(|element| element.host);
        let mut protos = elements.iter().filter_map(|element| element.proto);
        same_chain
            && hosts.all(|host| self.host.as_ref().is_some_and(|told| told == host))
            && protos.all(|proto| self.proto.is_some() && scheme(proto) == self.proto)
    }

    /// Adds the fields for the upstream: the statements of the trusted proxies, and the peer.
    pub(super) fn tell(
        self,
        own: &mut OwnFields,
        fields: ForwardedFields,
        peer: &Peer,
        host: Option<&HeaderValue>,
    ) {
        let peer_proto = if peer.tls.is_some() { "https" } else { "http" };
        if fields != ForwardedFields::Common {
            let all = self.standard(peer, host, peer_proto);
            if let Ok(all) = HeaderValue::try_from(all) {
                own.push((FORWARDED, all));
            }
        }
        if fields != ForwardedFields::Standard {
            let proto = self.proto.unwrap_or(peer_proto);
            own.push((FOR, self.common_for(peer)));
            own.push((PROTO, HeaderValue::from_static(proto)));
            let host = self.host.as_ref().or(host);
            let port = self
                .port
                .or_else(|| peer.announced_port.clone())
                .or_else(|| host.and_then(port_of));
            own.push((PORT, port.unwrap_or_else(|| default_port(proto))));
            if let Some(host) = host {
                own.push((HOST, host.clone()));
            }
        }
    }

    fn common_for(&self, peer: &Peer) -> HeaderValue {
        if self.hops.is_empty() {
            return peer.forwarded_for.clone();
        }
        let peer_hop = peer.forwarded_for.to_str().unwrap_or(UNKNOWN);
        let all = format!("{}, {peer_hop}", self.hops.join(", "));
        HeaderValue::try_from(all).unwrap_or_else(|_| peer.forwarded_for.clone())
    }

    /// Returns the value of `Forwarded`. The first element of the chain has the client's host and
    /// scheme.
    fn standard(&self, peer: &Peer, host: Option<&HeaderValue>, proto: &str) -> String {
        let node = peer.forwarded_for.to_str().unwrap_or(UNKNOWN);
        if let Some(before) = &self.forwarded {
            return format!("{before}, {}", element::written(node, host, Some(proto)));
        }
        let Some((first, rest)) = self.hops.split_first() else {
            // The peer named no client, so its host and scheme describe the request that it sent to
            // the gateway.
            return element::written(
                node,
                self.host.as_ref().or(host),
                Some(self.proto.unwrap_or(proto)),
            );
        };
        let mut all = element::written(first, self.host.as_ref(), self.proto);
        for hop in rest {
            all.push_str(", ");
            all.push_str(&element::written(hop, None, None));
        }
        all.push_str(", ");
        all.push_str(&element::written(node, host, Some(proto)));
        all
    }
}

/// The host, port and scheme that a client asked its trusted proxy for; empty if there is none.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Asked {
    pub(in crate::proxy) host: Option<HeaderValue>,
    pub(in crate::proxy) port: Option<u16>,
    pub(in crate::proxy) is_https: bool,
}

/// Returns the host, port and scheme that the client asked its trusted proxy for.
pub(in crate::proxy) fn asked(headers: &HeaderMap, peer: &Peer, server: &Server) -> Asked {
    let facts = ForwardedFacts::of(headers, peer, server);
    Asked {
        host: facts.host,
        port: facts.port.and_then(|port| port.to_str().ok()?.parse().ok()),
        is_https: facts.proto == Some("https"),
    }
}

/// Returns the client's address as trusted proxies state it: the nearest one in the chain that is
/// not a trusted proxy. The addresses before it may be forged.
pub(in crate::proxy) fn client(
    headers: &HeaderMap,
    peer: &Peer,
    server: &Server,
) -> Option<IpAddr> {
    let trusted = &server.trusted_proxies;
    if trusted.is_empty() || !trusted.trusts(address_of(peer)) {
        return None;
    }
    let hops = ForwardedFacts::of(headers, peer, server).hops;
    let mut client = None;
    for hop in hops.iter().rev() {
        let Some(address) = address(hop) else { break };
        client = Some(address);
        if !trusted.trusts(client) {
            break;
        }
    }
    client
}

/// Returns the address of a peer; `None` on a Unix socket.
fn address_of(peer: &Peer) -> Option<IpAddr> {
    peer.address.map(|address| address.ip())
}

/// Returns the valid addresses of `X-Forwarded-For`, read from the end, the farthest one first.
fn hops(headers: &HeaderMap) -> Vec<String> {
    let mut hops = Vec::new();
    for item in items_from_the_end(headers, &FOR).take(MAX_HOPS) {
        let Some(hop) = item.filter(|hop| *hop == UNKNOWN || address(hop).is_some()) else {
            break;
        };
        hops.push(hop.to_owned());
    }
    hops.reverse();
    hops
}

/// Returns the valid elements of `Forwarded`, read from the end, the farthest one first.
fn elements(headers: &HeaderMap) -> Vec<Element<'_>> {
    let mut elements = Vec::new();
    // A quoted string does not continue in another field, so fields are read one by one.
    'fields: for field in headers.get_all(FORWARDED).iter().rev() {
        for text in element::from_the_end(field.as_bytes()) {
            if text.is_empty() {
                continue;
            }
            let Some(element) = Element::parse(text).filter(|_| elements.len() < MAX_HOPS) else {
                break 'fields;
            };
            elements.push(element);
        }
    }
    elements.reverse();
    elements
}

fn joined(elements: &[Element<'_>]) -> Option<String> {
    let texts: Vec<_> = elements.iter().map(|element| element.text).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Returns the items of a list, the last one first; `None` for an item that is not ASCII. Empty
/// items do not count (RFC 9110 §5.6.1.2).
fn items_from_the_end<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Option<&'h str>> {
    let fields = headers.get_all(name).iter().rev();
    let items = fields.flat_map(|field| field.as_bytes().rsplit(|b| *b == b','));
    let items = items
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty());
    items.map(|item| str::from_utf8(item).ok().filter(|item| item.is_ascii()))
}

/// Returns the last item of a list, which the trusted proxy wrote.
fn last<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    items_from_the_end(headers, name).next()?
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(text).ok()
}

/// Returns the HTTP scheme that a client used. Some proxies state that of a WebSocket handshake as
/// `ws` or `wss`.
fn scheme(text: &str) -> Option<&'static str> {
    const SCHEMES: [(&str, &str); 4] = [
        ("https", "https"),
        ("http", "http"),
        ("wss", "https"),
        ("ws", "http"),
    ];
    let found = SCHEMES
        .iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name));
    found.map(|(_, scheme)| *scheme)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Returns the port of a host, if it names one.
fn port_of(host: &HeaderValue) -> Option<HeaderValue> {
    let colon = host.as_bytes().iter().rposition(|b| *b == b':')?;
    let port = str::from_utf8(host.as_bytes().get(colon + 1..)?).ok()?;
    // In a bracketed address without a port, a bracket follows the last colon, and fails this test.
    is_port(port).then(|| value(port)).flatten()
}

fn default_port(proto: &str) -> HeaderValue {
    HeaderValue::from_static(if proto == "https" { "443" } else { "80" })
}

/// Parses an address as proxies write it: bare, in brackets, or with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(hop);
    let address = bare
        .parse()
        .ok()
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
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
            assert_eq!(
                address(hop),
                expected.map(|text| text.parse().unwrap()),
                "{hop}"
            );
        }
    }

    #[test]
    fn a_chain_is_read_from_its_end() {
        let chain = |values: &[&[u8]]| hops(&headers(&FOR, values)).join(" ");
        for (values, expected) in [
            (&[&b"203.0.113.7, 10.0.0.9"[..]][..], "203.0.113.7 10.0.0.9"),
            (&[b"203.0.113.7", b"10.0.0.9"], "203.0.113.7 10.0.0.9"),
            (&[b"<script>, 203.0.113.7"], "203.0.113.7"),
            (&[b"203.0.113.6, <script>, 203.0.113.7"], "203.0.113.7"),
            (&[b"\xff, 203.0.113.7"], "203.0.113.7"),
            (&[b"\xff", b"203.0.113.7"], "203.0.113.7"),
            (&[b"a\"b, 203.0.113.7"], "203.0.113.7"),
            (&[b",, 203.0.113.7 ,"], "203.0.113.7"),
            (&[b"unknown, [2001:db8::1]:80"], "unknown [2001:db8::1]:80"),
            (&[b"203.0.113.7, <script>"], ""),
            (&[b""], ""),
            (&[], ""),
        ] {
            assert_eq!(chain(values), expected, "{values:?}");
        }
        let long = [vec!["10.0.0.1"; MAX_HOPS + 1], vec!["203.0.113.7"]]
            .concat()
            .join(",");
        let nearest = hops(&headers(&FOR, &[long.as_bytes()]));
        assert_eq!(
            (nearest.len(), nearest.last().unwrap().as_str()),
            (MAX_HOPS, "203.0.113.7")
        );
    }

    #[test]
    fn elements_are_read_from_the_end() {
        let read =
            |values: &[&[u8]]| joined(&elements(&headers(&FORWARDED, values))).unwrap_or_default();
        for (values, expected) in [
            (&[&b"for=a,  for=\"[::1]\""[..]][..], "for=a, for=\"[::1]\""),
            (&[b"for=a", b"for=b"], "for=a, for=b"),
            (&[b"for=\"a, for=203.0.113.7"], "for=203.0.113.7"),
            (&[b"secret=1, for=203.0.113.7"], "for=203.0.113.7"),
            (
                &[b"for=a, \xff, for=203.0.113.7;proto=https"],
                "for=203.0.113.7;proto=https",
            ),
            (&[b"for=\"", b"for=\"[::1]:80\""], "for=\"[::1]:80\""),
            (&[b"for=\"a, b\", ,for=c"], "for=\"a, b\", for=c"),
            (&[b"for=\"a\\\"b\", for=c"], "for=c"),
            (&[b"for=a, for=\"b"], ""),
            (&[b"for=a, x"], ""),
        ] {
            assert_eq!(read(values), expected, "{values:?}");
        }
        let long = vec!["for=a"; MAX_HOPS + 5].join(",");
        assert_eq!(
            elements(&headers(&FORWARDED, &[long.as_bytes()])).len(),
            MAX_HOPS
        );
    }

    #[test]
    fn schemes_have_no_case_and_ports_are_ports() {
        for (text, expected) in [
            ("https", Some("https")),
            ("HTTPS", Some("https")),
            ("Http", Some("http")),
            ("wss", Some("https")),
            ("ws", Some("http")),
            ("gopher", None),
            ("https ", None),
            ("", None),
        ] {
            assert_eq!(scheme(text), expected, "{text}");
        }
        for (host, expected) in [
            ("a.example:8443", Some("8443")),
            ("a.example", None),
            ("[::1]", None),
            ("[::1]:81", Some("81")),
            ("a.example:", None),
            ("a.example:0", None),
            ("a.example:+1", None),
            ("a.example:65536", None),
        ] {
            let port = port_of(&HeaderValue::from_static(host));
            assert_eq!(port, expected.map(HeaderValue::from_static), "{host}");
        }
    }
}
