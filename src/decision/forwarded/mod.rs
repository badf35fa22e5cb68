//! The origin of a request, as the upstream gets it: in `X-Forwarded-*`, in `Forwarded` (RFC 7239),
//! or in both.
//!
//! Statements of a client about its own origin are never forwarded. Those of a trusted proxy are,
//! as far as they have the one form that all parsers read alike. A proxy appends to a list, so
//! lists are read from the end: an element of another form ends the reading, and hides none of the
//! elements after it.

mod element;
#[cfg(test)]
mod fuzz;
mod hop;

use std::net::IpAddr;

use http::header::{self, FORWARDED};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use self::element::Element;
use self::hop::{UNKNOWN, address};
use crate::config::{ForwardedFields, Server};
use crate::net::{Peer, TrustedProxies};
use crate::route::is_authority;
use crate::upstream::AddedFields;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The maximum number of proxies in a chain. A longer chain is a loop or an attack; the nearest
/// proxies count.
const MAX_HOPS: usize = 32;

/// The statements of trusted proxies about a request; empty if there are none.
#[derive(Debug, Default)]
pub(crate) struct ForwardedFacts {
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
    pub(crate) fn of(headers: &HeaderMap, peer: &Peer, server: &Server) -> Self {
        let trusted = &server.trusted_proxies;
        if !is_trusted(peer, trusted) {
            return Self::default();
        }
        match server.forwarded {
            // A proxy that does not write `Forwarded` may pass on a client's, so it is ignored
            // unless the configuration asks for it.
            ForwardedFields::Common => Self::from_x_forwarded(headers),
            // RFC 7239 §7.4: a statement in one of the two forms alone is converted.
            ForwardedFields::Standard => Self::from_either(headers, trusted),
            ForwardedFields::Both => Self::from_both(headers, trusted),
        }
    }

    /// Reads `X-Forwarded-*` where there is no `Forwarded`. One without a valid element states
    /// nothing: a proxy that writes it may pass on a client's `X-Forwarded-*`.
    fn from_either(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        if headers.contains_key(FORWARDED) {
            Self::from_elements(&elements(headers), trusted)
        } else {
            Self::from_x_forwarded(headers)
        }
    }

    /// Prefers `X-Forwarded-*`, since more proxies pass on a client's `Forwarded` unchecked.
    fn from_both(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let elements = elements(headers);
        if !has_x_forwarded(headers) {
            return Self::from_elements(&elements, trusted);
        }
        let mut facts = Self::from_x_forwarded(headers);
        if !headers.contains_key(FOR) {
            facts.hops = elements.iter().map(Element::hop).collect();
        }
        if facts.agrees_with(&elements) {
            facts.forwarded = joined(&elements);
        }
        facts
    }

    fn from_x_forwarded(headers: &HeaderMap) -> Self {
        let mut facts = Self {
            hops: hops(headers),
            ..Self::default()
        };
        if let Some(host) = last(headers, &HOST)
            && is_authority(host)
        {
            facts.host = value(host);
        }
        if let Some(port) = last(headers, &PORT)
            && is_port(port)
        {
            facts.port = value(port);
        }
        facts.proto = last(headers, &PROTO).and_then(scheme);
        facts
    }

    /// Reads the elements of `Forwarded`. The client's host and scheme are in the element that the
    /// first of the trusted proxies wrote.
    fn from_elements(elements: &[Element<'_>], trusted: &TrustedProxies) -> Self {
        let mut facts = Self {
            forwarded: joined(elements),
            ..Self::default()
        };
        for element in elements.iter().rev() {
            if let Some(host) = element.host
                && is_authority(host)
            {
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
        if self.hops.len() != elements.len() {
            return false;
        }
        for (hop, element) in self.hops.iter().zip(elements) {
            if address(hop) != element.address() || !self.has_host_and_scheme_of(element) {
                return false;
            }
        }
        true
    }

    /// Returns whether an element names no other host or scheme.
    fn has_host_and_scheme_of(&self, element: &Element<'_>) -> bool {
        let has_host = match (element.host, &self.host) {
            (None, _) => true,
            (Some(host), Some(stated)) => stated == host,
            (Some(_), None) => false,
        };
        let has_scheme = match element.proto {
            None => true,
            Some(proto) => self.proto.is_some() && scheme(proto) == self.proto,
        };
        has_host && has_scheme
    }

    /// Adds the fields for the upstream: the statements of the trusted proxies, and the peer.
    pub(crate) fn add_to(
        self,
        own: &mut AddedFields,
        fields: ForwardedFields,
        peer: &Peer,
        host: Option<&HeaderValue>,
    ) {
        let peer_proto = if peer.tls.is_some() { "https" } else { "http" };
        if fields != ForwardedFields::Common {
            let chain = self.forwarded_value(peer, host, peer_proto);
            if let Ok(chain) = HeaderValue::try_from(chain) {
                own.push((FORWARDED, chain));
            }
        }
        if fields != ForwardedFields::Standard {
            self.add_x_forwarded(own, peer, host, peer_proto);
        }
    }

    fn add_x_forwarded(
        self,
        own: &mut AddedFields,
        peer: &Peer,
        host: Option<&HeaderValue>,
        peer_proto: &'static str,
    ) {
        let proto = self.proto.unwrap_or(peer_proto);
        own.push((FOR, self.x_forwarded_for(peer)));
        own.push((PROTO, HeaderValue::from_static(proto)));
        let host = self.host.as_ref().or(host);
        let port = match (self.port, &peer.announced_port) {
            (Some(port), _) => Some(port),
            (None, Some(port)) => Some(port.clone()),
            (None, None) => host.and_then(port_of),
        };
        own.push((PORT, port.unwrap_or(default_port(proto))));
        if let Some(host) = host {
            own.push((HOST, host.clone()));
        }
    }

    fn x_forwarded_for(&self, peer: &Peer) -> HeaderValue {
        if self.hops.is_empty() {
            return peer.forwarded_for.clone();
        }
        let peer_hop = peer.forwarded_for.to_str().unwrap_or(UNKNOWN);
        match HeaderValue::try_from(format!("{}, {peer_hop}", self.hops.join(", "))) {
            Ok(chain) => chain,
            Err(_) => peer.forwarded_for.clone(),
        }
    }

    /// Returns the value of `Forwarded`. The first element of the chain has the client's host and
    /// scheme.
    fn forwarded_value(&self, peer: &Peer, host: Option<&HeaderValue>, proto: &str) -> String {
        let node = peer.forwarded_for.to_str().unwrap_or(UNKNOWN);
        if let Some(before) = &self.forwarded {
            return format!("{before}, {}", element::format(node, host, Some(proto)));
        }
        let Some((first, rest)) = self.hops.split_first() else {
            // The peer named no client, so its host and scheme describe the request that it sent to
            // the gateway.
            return element::format(
                node,
                self.host.as_ref().or(host),
                Some(self.proto.unwrap_or(proto)),
            );
        };
        let mut chain = element::format(first, self.host.as_ref(), self.proto);
        for hop in rest {
            chain.push_str(", ");
            chain.push_str(&element::format(hop, None, None));
        }
        chain.push_str(", ");
        chain.push_str(&element::format(node, host, Some(proto)));
        chain
    }
}

/// The host, port and scheme that a client asked its trusted proxy for; empty if there is none.
#[derive(Debug, Default)]
pub(crate) struct RequestedOrigin {
    pub(crate) host: Option<HeaderValue>,
    pub(crate) port: Option<u16>,
    pub(crate) is_https: bool,
}

/// Returns the host, port and scheme that the client asked its trusted proxy for.
pub(crate) fn requested_origin(
    headers: &HeaderMap,
    peer: &Peer,
    server: &Server,
) -> RequestedOrigin {
    let facts = ForwardedFacts::of(headers, peer, server);
    RequestedOrigin {
        host: facts.host,
        port: facts.port.and_then(|port| port.to_str().ok()?.parse().ok()),
        is_https: facts.proto == Some("https"),
    }
}

/// Returns the host that a request asks for. The authority of an absolute target takes precedence
/// over the field (RFC 9112 §3.2.2).
pub(crate) fn requested_host(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    match uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => headers.get(header::HOST).cloned(),
    }
}

/// Returns the client's address as trusted proxies state it: the nearest one in the chain that is
/// not a trusted proxy. The addresses before it may be forged.
pub(crate) fn client(headers: &HeaderMap, peer: &Peer, server: &Server) -> Option<IpAddr> {
    let trusted = &server.trusted_proxies;
    if !is_trusted(peer, trusted) {
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

fn is_trusted(peer: &Peer, trusted: &TrustedProxies) -> bool {
    !trusted.is_empty() && trusted.trusts(address_of(peer))
}

/// Returns the address of a peer; `None` on a Unix socket.
fn address_of(peer: &Peer) -> Option<IpAddr> {
    Some(peer.address?.ip())
}

fn has_x_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FOR)
        || headers.contains_key(HOST)
        || headers.contains_key(PORT)
        || headers.contains_key(PROTO)
}

/// Returns the valid addresses of `X-Forwarded-For`, read from the end, the farthest one first.
fn hops(headers: &HeaderMap) -> Vec<String> {
    let mut hops = Vec::new();
    for item in items_from_the_end(headers, &FOR).take(MAX_HOPS) {
        let Some(hop) = item else { break };
        if hop != UNKNOWN && address(hop).is_none() {
            break;
        }
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
            if elements.len() == MAX_HOPS {
                break 'fields;
            }
            let Some(element) = Element::parse(text) else {
                break 'fields;
            };
            elements.push(element);
        }
    }
    elements.reverse();
    elements
}

/// Joins the texts of elements; `None` if there are none.
fn joined(elements: &[Element<'_>]) -> Option<String> {
    let (first, rest) = elements.split_first()?;
    let mut text = first.text.to_owned();
    for element in rest {
        text.push_str(", ");
        text.push_str(element.text);
    }
    Some(text)
}

/// Returns the items of a list, the last one first; `None` for an item that is not ASCII. Empty
/// items do not count (RFC 9110 §5.6.1.2).
fn items_from_the_end<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Option<&'h str>> {
    let fields = headers.get_all(name).iter().rev();
    fields.flat_map(field_items_from_the_end)
}

fn field_items_from_the_end(field: &HeaderValue) -> impl Iterator<Item = Option<&str>> {
    let items = field.as_bytes().rsplit(is_comma).map(<[u8]>::trim_ascii);
    items.filter(|item| !item.is_empty()).map(as_ascii)
}

fn is_comma(byte: &u8) -> bool {
    *byte == b','
}

fn as_ascii(item: &[u8]) -> Option<&str> {
    if !item.is_ascii() {
        return None;
    }
    str::from_utf8(item).ok()
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
    if text.eq_ignore_ascii_case("https") || text.eq_ignore_ascii_case("wss") {
        return Some("https");
    }
    let is_http = text.eq_ignore_ascii_case("http") || text.eq_ignore_ascii_case("ws");
    is_http.then_some("http")
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && matches!(text.parse::<u16>(), Ok(1..))
}

/// Returns the port of a host, if it names one.
fn port_of(host: &HeaderValue) -> Option<HeaderValue> {
    let colon = host.as_bytes().iter().rposition(|b| *b == b':')?;
    let port = str::from_utf8(host.as_bytes().get(colon + 1..)?).ok()?;
    // In a bracketed address without a port, a bracket follows the last colon, and fails this test.
    if is_port(port) { value(port) } else { None }
}

fn default_port(proto: &str) -> HeaderValue {
    HeaderValue::from_static(if proto == "https" { "443" } else { "80" })
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

    /// A proxy that writes `Forwarded` may pass on a client's `X-Forwarded-For`.
    #[test]
    fn x_forwarded_for_counts_only_where_there_is_no_forwarded() {
        let trusted = TrustedProxies::default();
        let stated = |forwarded: &[&[u8]]| {
            let mut headers = headers(&FORWARDED, forwarded);
            headers.insert(FOR, HeaderValue::from_static("198.51.100.66"));
            ForwardedFacts::from_either(&headers, &trusted).hops
        };
        assert_eq!(stated(&[]), ["198.51.100.66"]);
        assert_eq!(stated(&[b"for=203.0.113.7"]), ["203.0.113.7"]);
        for without_element in [&b""[..], b" , ", b"for=2001:db8::1", b"for=\"", b"\xff"] {
            let none: [&str; 0] = [];
            assert_eq!(stated(&[without_element]), none, "{without_element:?}");
        }
    }

    #[test]
    fn schemes_ignore_case_and_ports_are_numbers() {
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
