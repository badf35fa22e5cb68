//! The nearness of an address to this machine, by which the gateway decides whether to dial an
//! address that another party chose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The nearness of an address, ordered from far to near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// An address of the Internet.
    Public,
    /// An address of a private network (RFC 1918, RFC 4193, RFC 6598), or another one that the
    /// Internet does not route.
    Private,
    /// An address on the same link (RFC 3927, RFC 4291 §2.5.6). Clouds serve the credentials of a
    /// machine there (169.254.169.254).
    Link,
    /// An address of this machine. Servers that listen there trust local clients.
    Machine,
}

impl Nearness {
    /// Returns the nearness of an address. If an IPv4 address is embedded in it (mapped, translated
    /// or tunnelled), that address counts.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            // 0.0.0.0 connects to this machine; the rest of 0.0.0.0/8 is "this network" (RFC 1122
            // §3.2.1.3).
            [0 | 127, ..] => Self::Machine,
            [169, 254, ..] => Self::Link,
            // Multicast, reserved and broadcast addresses, which no issuer can have.
            [224..=255, ..] => Self::Link,
            [10, ..] | [192, 168, ..] => Self::Private,
            [172, second, ..] if (16..32).contains(&second) => Self::Private,
            // Shared by carriers (RFC 6598), where some clouds keep their metadata
            // (100.100.100.200).
            [100, second, ..] if (64..128).contains(&second) => Self::Private,
            // Protocol assignments (RFC 6890) and benchmarks (RFC 2544).
            [192, 0, 0, _] | [198, 18 | 19, ..] => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if let Some(embedded) = embedded(address) {
            return Self::of_v4(embedded);
        }
        match address.segments() {
            // `::` connects to this machine, as `::1` does. The others are embedded 0.0.0.0/8.
            [0, 0, 0, 0, 0, 0, ..] => Self::Machine,
            [first, ..] if first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00 => Self::Link,
            // Unique local addresses, and the obsolete site-local ones (RFC 3879).
            [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => Self::Private,
            // Translated within a network (RFC 8215).
            [0x64, 0xff9b, 1, ..] => Self::Private,
            _ => Self::Public,
        }
    }
}

/// Returns the IPv4 address to which packets for an IPv6 address may be delivered.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [high, low] = match address.segments() {
        // Mapped (RFC 4291 §2.5.5.2), translated (RFC 2765, RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [high, low],
        // Compatible (RFC 4291 §2.5.5.1); `::` and `::1` are not.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => [high, low],
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => [high, low],
        _ => return None,
    };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_as_near_as_they_lead() {
        let all = [
            (
                Nearness::Machine,
                "127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 ::1 :: ::127.0.0.1 ::ffff:127.0.0.1",
            ),
            (
                Nearness::Machine,
                "::ffff:0.0.0.0 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1",
            ),
            (
                Nearness::Link,
                "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 fe80::1",
            ),
            (Nearness::Link, "febf::1 ff02::1 224.0.0.1 255.255.255.255"),
            (
                Nearness::Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.100.100.200 198.18.0.1",
            ),
            (
                Nearness::Private,
                "192.0.0.192 fd00:ec2::254 fc00::1 fec0::1 ::ffff:10.0.0.1 64:ff9b:1::1 2002:a00:1::1",
            ),
            (
                Nearness::Public,
                "1.1.1.1 126.255.255.255 128.0.0.1 169.253.0.1 172.15.0.1 172.32.0.1 192.167.0.1",
            ),
            (
                Nearness::Public,
                "100.63.0.1 100.128.0.1 198.20.0.1 223.255.255.255 2001:db8::1 2606:4700::1111",
            ),
            (
                Nearness::Public,
                "::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:101:101::1 fe00::1",
            ),
        ];
        for (nearness, addresses) in all {
            for address in addresses.split(' ') {
                assert_eq!(
                    Nearness::of(address.parse().unwrap()),
                    nearness,
                    "{address}"
                );
            }
        }
    }
}
