//! The PROXY protocol, versions 1 and 2: how a balancer in front tells whose connection it passes
//! on.
//!
//! Addresses are taken, and nothing else: what version 2 adds to them is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a header of version 1, its end included.
const MAX_LINE: usize = 107;

/// Bytes of a header of version 2: the fixed part, addresses of any family, and what balancers add.
const MAX_BINARY: usize = 16 + 216 + 304;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The beginning of a header.
    Partial,
    /// A header of so many bytes, and whom it announces: the client and what it connected to.
    /// `None` when the balancer speaks for itself, or for somebody without an IP address.
    Whole(usize, Option<(SocketAddr, SocketAddr)>),
    /// No header.
    Bad,
}

/// Reads the header at the beginning of a connection.
pub(super) fn parse(bytes: &[u8]) -> Header {
    let shared = |start: &[u8]| bytes.iter().zip(start).all(|(a, b)| a == b);
    if shared(SIGNATURE) {
        return if bytes.len() < SIGNATURE.len() {
            Header::Partial
        } else {
            binary(bytes)
        };
    }
    if shared(b"PROXY ") {
        line(bytes)
    } else {
        Header::Bad
    }
}

fn line(bytes: &[u8]) -> Header {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_LINE {
            Header::Partial
        } else {
            Header::Bad
        };
    };
    let text = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let Some(text) = text.and_then(|line| str::from_utf8(line).ok()) else {
        return Header::Bad;
    };
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Header::Whole(end + 1, None),
        ["PROXY", family, source, target, source_port, target_port] => {
            let ends =
                address(family, source, source_port).zip(address(family, target, target_port));
            ends.map_or(Header::Bad, |ends| Header::Whole(end + 1, Some(ends)))
        }
        _ => Header::Bad,
    }
}

fn address(family: &str, ip: &str, port: &str) -> Option<SocketAddr> {
    let ip = match family {
        "TCP4" => IpAddr::V4(ip.parse().ok()?),
        "TCP6" => IpAddr::V6(ip.parse().ok()?),
        _ => return None,
    };
    let is_plain =
        port.bytes().all(|byte| byte.is_ascii_digit()) && (port == "0" || !port.starts_with('0'));
    is_plain
        .then(|| port.parse().ok())
        .flatten()
        .map(|port| SocketAddr::new(ip, port))
}

fn binary(bytes: &[u8]) -> Header {
    let Some(&[command, family, high, low]) = bytes.get(12..16) else {
        return Header::Partial;
    };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BINARY || !matches!(command, 0x20 | 0x21) {
        return Header::Bad;
    }
    let Some(body) = bytes.get(16..length) else {
        return Header::Partial;
    };
    if command == 0x20 {
        return Header::Whole(length, None);
    }
    let ends = match family {
        0x11 => four(body),
        0x21 => six(body),
        // Unspecified, datagrams, Unix: nobody who has an address over TCP.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => return Header::Whole(length, None),
        _ => None,
    };
    ends.map_or(Header::Bad, |ends| Header::Whole(length, Some(ends)))
}

fn four(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |bytes: &[u8; 4]| IpAddr::V4(Ipv4Addr::from(*bytes));
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (target, rest) = rest.split_first_chunk::<4>()?;
    let (source_port, target_port) = ports(rest)?;
    Some((
        SocketAddr::new(ip(source), source_port),
        SocketAddr::new(ip(target), target_port),
    ))
}

fn six(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |bytes: &[u8; 16]| IpAddr::V6(Ipv6Addr::from(*bytes));
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (target, rest) = rest.split_first_chunk::<16>()?;
    let (source_port, target_port) = ports(rest)?;
    Some((
        SocketAddr::new(ip(source), source_port),
        SocketAddr::new(ip(target), target_port),
    ))
}

fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let (source, rest) = bytes.split_first_chunk::<2>()?;
    let target = rest.first_chunk::<2>()?;
    Some((u16::from_be_bytes(*source), u16::from_be_bytes(*target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, body].concat()
    }

    fn source(bytes: &[u8]) -> Option<String> {
        match parse(bytes) {
            Header::Whole(length, Some((source, _))) if length == bytes.len() => {
                Some(source.to_string())
            }
            _ => None,
        }
    }

    #[test]
    fn a_header_announces_the_client() {
        assert_eq!(
            source(b"PROXY TCP4 192.0.2.1 192.0.2.2 7 80\r\n").unwrap(),
            "192.0.2.1:7"
        );
        assert_eq!(
            source(b"PROXY TCP6 2001:db8::1 ::1 7 80\r\n").unwrap(),
            "[2001:db8::1]:7"
        );
        let body = [192, 0, 2, 1, 192, 0, 2, 2, 0, 7, 0, 80];
        assert_eq!(source(&version2(0x21, 0x11, &body)).unwrap(), "192.0.2.1:7");
        let more = [&body[..], &[4, 0, 1, 0]].concat();
        assert_eq!(source(&version2(0x21, 0x11, &more)).unwrap(), "192.0.2.1:7");
        let mut six = [0; 36];
        (six[15], six[33]) = (1, 7);
        assert_eq!(source(&version2(0x21, 0x21, &six)).unwrap(), "[::1]:7");
    }

    #[test]
    fn a_balancer_that_speaks_for_itself_announces_nobody() {
        let line = b"PROXY UNKNOWN\r\n";
        assert_eq!(parse(line), Header::Whole(line.len(), None));
        assert_eq!(parse(&version2(0x20, 0x00, &[])), Header::Whole(16, None));
        assert_eq!(parse(&version2(0x21, 0x00, &[1])), Header::Whole(17, None));
    }

    #[test]
    fn what_is_split_anywhere_is_a_beginning_and_what_follows_is_left() {
        let body = [192, 0, 2, 1, 192, 0, 2, 2, 0, 7, 0, 80];
        for whole in [
            version2(0x21, 0x11, &body),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 7 80\r\n".to_vec(),
        ] {
            for length in 0..whole.len() {
                assert_eq!(parse(&whole[..length]), Header::Partial, "{length}");
            }
            let followed = [&whole[..], b"GET / HTTP/1.1\r\n"].concat();
            assert!(
                matches!(parse(&followed), Header::Whole(length, Some(_)) if length == whole.len())
            );
        }
    }

    #[test]
    fn what_is_no_header_is_bad() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.2 7\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 7 80\n",
            b"PROXY TCP4 ::1 ::1 7 80\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +7 80\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 7 65536\r\n",
            b"PROXY TCP5 192.0.2.1 192.0.2.2 7 80\r\n",
            &[b"PROXY TCP4 ".to_vec(), vec![b'1'; MAX_LINE]].concat(),
            &version2(0x31, 0x11, &[0; 12]),
            &version2(0x22, 0x11, &[0; 12]),
            &version2(0x21, 0x11, &[0; 11]),
            &version2(0x21, 0x41, &[0; 36]),
            &version2(0x21, 0x11, &[0; MAX_BINARY])[..16],
        ] {
            assert_eq!(
                parse(bytes),
                Header::Bad,
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
    }
}
