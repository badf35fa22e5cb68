//! The names of the machines that a request passed.

use std::net::{IpAddr, SocketAddr};

/// The name of a node whose address is not known (RFC 7239 §6).
pub(super) const UNKNOWN: &str = "unknown";

/// Parses an address as proxies write it: bare, in brackets, or with a port.
pub(super) fn address(hop: &str) -> Option<IpAddr> {
    let address = match without_brackets(hop).parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => hop.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

fn without_brackets(hop: &str) -> &str {
    match hop.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').unwrap_or(hop),
        None => hop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
