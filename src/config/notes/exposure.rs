//! Notes on settings that trust or admit every machine. They are valid, because a firewall may
//! stand in front of the gateway, but they are seldom intended.

use std::net::{IpAddr, SocketAddr};

use crate::config::language::{AnyKey, Problem, Reader};
use ipnet::IpNet;

pub(crate) fn note_trusted_proxies(reader: &Reader<'_>, key: &dyn AnyKey, networks: &[IpNet]) {
    for family in whole_families(networks) {
        note(
            reader,
            key,
            format!(
                "\"trusted_proxies\" holds every {family} address: any client can claim another \
                 address in X-Forwarded-For"
            ),
        );
    }
}

pub(crate) fn note_proxy_protocol(reader: &Reader<'_>, key: &dyn AnyKey, networks: &[IpNet]) {
    for family in whole_families(networks) {
        note(
            reader,
            key,
            format!(
                "\"proxy_protocol_from\" holds every {family} address: any client can claim \
                 another address in a PROXY header"
            ),
        );
    }
}

pub(crate) fn note_admin(reader: &Reader<'_>, key: &dyn AnyKey, admin: SocketAddr) {
    let ip = admin.ip().to_canonical();
    if ip.is_loopback() {
        return;
    }
    let who = match ip.is_unspecified() {
        true => "every machine that reaches this one",
        false => "every machine that reaches this address",
    };
    note(
        reader,
        key,
        format!(
            "\"admin\" is \"{admin}\": {who} can read metrics and the effective policy without \
             credentials"
        ),
    );
}

/// Adds a note at the value, or without a position if the setting comes from a flag.
fn note(reader: &Reader<'_>, key: &dyn AnyKey, message: String) {
    let message_of_table = format!("{}: {message}", reader.subject);
    let note = match reader.has(key) {
        true => reader.problem_at(reader.value_span(key), message),
        false => Problem::without_span(message_of_table),
    };
    reader.context.note(note);
}

/// Returns the address families that the networks cover completely, possibly in several parts
/// (`0.0.0.0/1` and `128.0.0.0/1`).
fn whole_families(networks: &[IpNet]) -> Vec<&'static str> {
    let mut families = Vec::new();
    for network in IpNet::aggregate(&networks.to_vec()) {
        match network.addr() {
            _ if network.prefix_len() != 0 => {}
            IpAddr::V4(_) => families.push("IPv4"),
            IpAddr::V6(_) => families.push("IPv6"),
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_whole_in_one_part_or_in_several() {
        let families = |texts: &[&str]| {
            let networks: Vec<IpNet> = texts.iter().map(|text| text.parse().unwrap()).collect();
            whole_families(&networks)
        };
        assert_eq!(families(&["0.0.0.0/0"]), ["IPv4"]);
        assert_eq!(families(&["10.0.0.0/8", "192.0.2.1/0"]), ["IPv4"]);
        assert_eq!(families(&["::/0", "0.0.0.0/0"]), ["IPv4", "IPv6"]);
        assert_eq!(
            families(&["128.0.0.0/1", "::1/128", "0.0.0.0/2", "64.0.0.0/2"]),
            ["IPv4"]
        );
        assert_eq!(
            families(&["0.0.0.0/1", "10.0.0.0/8", "::/1", "::1/128"]),
            [""; 0]
        );
    }
}
