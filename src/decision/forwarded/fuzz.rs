//! Fuzz target: the chain of proxies that a request names.

use std::net::SocketAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{FOR, ForwardedFacts, HOST, PORT, PROTO, address, client};
use crate::config::{Config, Server};
use crate::fuzz::check;
use crate::net::Peer;
use crate::upstream::AddedFields;

const NAMES: [HeaderName; 5] = [FOR, HOST, PORT, PROTO, FORWARDED];

#[test]
fn forwarded_chain() {
    let servers = ["x-forwarded", "forwarded", "both"].map(server);
    let trusted = peer("10.0.0.1:80");
    let foreign = peer("203.0.113.9:80");
    check("forwarded_chain", |input| {
        let Some(headers) = headers(input) else {
            return;
        };
        for server in &servers {
            let of_nobody = added(&HeaderMap::new(), &foreign, server);
            assert_eq!(added(&headers, &foreign, server), of_nobody);
            assert_eq!(client(&headers, &foreign, server), None);
            is_a_chain(&headers, &trusted, server);
            no_client_changes_it(&headers, &trusted, server);
        }
    });
}

fn server(forwarded: &str) -> Server {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n\
         forwarded = \"{forwarded}\"\n\
         [upstreams.up]\nurl = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/\"\n\
         upstream = \"up\"\npublic = true\n"
    );
    let config = Config::parse(&text, "gateway.toml");
    config
        .unwrap_or_else(|problems| panic!("{problems}"))
        .server
}

fn peer(address: &str) -> Peer {
    Peer::new(address.parse::<SocketAddr>().unwrap())
}

/// Returns the fields of an input, a line each: the first byte is the digit of a name.
fn headers(input: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(12) {
        let (digit, value) = line.split_first()?;
        let name = NAMES[usize::from(*digit) % NAMES.len()].clone();
        headers.append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

fn added(headers: &HeaderMap, peer: &Peer, server: &Server) -> AddedFields {
    let host = HeaderValue::from_static("api.example.com");
    let mut own = AddedFields::default();
    let facts = ForwardedFacts::of(headers, peer, server);
    facts.add_to(&mut own, server.forwarded, peer, Some(&host));
    own
}

/// The fields for the upstream have one form, end with the peer, and name the client that the
/// gateway has found.
fn is_a_chain(headers: &HeaderMap, peer: &Peer, server: &Server) {
    let own = added(headers, peer, server);
    let value = |name: &HeaderName| {
        let found = own.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.to_str().unwrap())
    };
    for name in NAMES {
        assert!(own.iter().filter(|(own, _)| *own == name).count() < 2);
    }
    if let Some(chain) = value(&FOR) {
        let hops: Vec<&str> = chain.split(", ").collect();
        assert_eq!(hops.last(), Some(&"10.0.0.1"), "{chain}");
        assert!(
            hops.iter()
                .all(|hop| *hop == "unknown" || address(hop).is_some()),
            "{chain}"
        );
    }
    assert!(value(&PROTO).is_none_or(|proto| matches!(proto, "http" | "https")));
    assert!(value(&PORT).is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0)));
    let all: String = own
        .iter()
        .filter_map(|(_, value)| value.to_str().ok())
        .collect();
    if let Some(client) = client(headers, peer, server) {
        let named = own
            .iter()
            .flat_map(|(_, value)| value.to_str().unwrap().split([',', ';', '=', '"', ' ']));
        let mut addresses = named.filter_map(address);
        assert!(
            addresses.any(|address| address == client),
            "{client}: {all}"
        );
    }
}

/// A client can write in front of what proxies append, and moves no client that they have named.
fn no_client_changes_it(headers: &HeaderMap, peer: &Peer, server: &Server) {
    let found = client(headers, peer, server);
    let is_named_by_proxy =
        found.is_some_and(|client| !server.trusted_proxies.trusts(Some(client)));
    if !is_named_by_proxy {
        return;
    }
    for (name, lie) in [
        (FOR, "198.51.100.66"),
        (FOR, "\""),
        (FORWARDED, "for=198.51.100.66"),
        (FORWARDED, "for=\""),
    ] {
        if !headers.contains_key(&name) {
            continue;
        }
        let mut told = HeaderMap::new();
        told.append(&name, HeaderValue::from_static(lie));
        for (own, value) in headers {
            told.append(own, value.clone());
        }
        assert_eq!(client(&told, peer, server), found, "{lie}: {headers:?}");
    }
}
