//! The PROXY protocol, versions 1 and 2: a header with which a load balancer in front of the
//! gateway announces the client of a connection.
//!
//! Only addresses are read. The other fields of version 2 (TLVs) are skipped. The crate `ppp` 2.3
//! was tried and does not pass the tests: it takes a port with a sign, takes a header that is cut
//! before its last port for a bad one, and bounds no header of version 2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most bytes of a header of version 1, with its line end.
const MAX_TEXT: usize = 107;

/// The most bytes of a header of version 2: the fixed part, addresses of any family, and the TLVs
/// that load balancers add.
const MAX_BINARY: usize = 16 + 216 + 304;

/// The first bytes of a header of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The first bytes of a header of version 1.
const TEXT_START: &[u8] = b"PROXY ";

/// The result of reading the bytes that have arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The bytes are the beginning of a header.
    Partial,
    /// A complete header: its length in bytes, and the connection that it announces. `None` if the
    /// load balancer speaks for itself, or the client has no IP address.
    Whole(usize, Option<Announced>),
    /// The bytes are no header.
    Bad,
}

/// The connection that a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// The address of the client.
    pub(super) client: SocketAddr,
    /// The address that the client connected to.
    pub(super) destination: SocketAddr,
}

/// Reads the header at the beginning of a connection.
pub(super) fn parse(bytes: &[u8]) -> Header {
    if may_begin_with(bytes, SIGNATURE) {
        return if bytes.len() < SIGNATURE.len() {
            Header::Partial
        } else {
            parse_binary(bytes)
        };
    }
    if may_begin_with(bytes, TEXT_START) {
        parse_text(bytes)
    } else {
        Header::Bad
    }
}

/// Returns whether the bytes begin as a header of one of the versions does. The parser of HTTP/1.1
/// has removed the two empty lines of version 2.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let signature = SIGNATURE.as_slice();
    let rest = signature.trim_ascii_start();
    [signature, rest, TEXT_START]
        .iter()
        .any(|start| bytes.starts_with(start))
}

/// Returns whether the bytes begin with `start`, or are a part of it.
fn may_begin_with(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

/// Reads a header of version 1.
fn parse_text(bytes: &[u8]) -> Header {
    let Some(end) = bytes.iter().take(MAX_TEXT).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_TEXT {
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
            let client = parse_address(family, source, source_port);
            let destination = parse_address(family, target, target_port);
            let (Some(client), Some(destination)) = (client, destination) else {
                return Header::Bad;
            };
            Header::Whole(
                end + 1,
                Some(Announced {
                    client,
                    destination,
                }),
            )
        }
        _ => Header::Bad,
    }
}

/// Reads an address of version 1. A port is written without leading zeros.
fn parse_address(family: &str, ip: &str, port: &str) -> Option<SocketAddr> {
    let ip = match family {
        "TCP4" => IpAddr::V4(ip.parse().ok()?),
        "TCP6" => IpAddr::V6(ip.parse().ok()?),
        _ => return None,
    };
    let is_plain =
        port.bytes().all(|byte| byte.is_ascii_digit()) && (port == "0" || !port.starts_with('0'));
    if !is_plain {
        return None;
    }
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

/// Reads a header of version 2 that begins with the signature.
fn parse_binary(bytes: &[u8]) -> Header {
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
    let announced = match family {
        0x11 => announced::<4, Ipv4Addr>(body),
        0x21 => announced::<16, Ipv6Addr>(body),
        // Unspecified, datagrams and Unix sockets: the client has no TCP address.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => return Header::Whole(length, None),
        _ => None,
    };
    match announced {
        Some(announced) => Header::Whole(length, Some(announced)),
        None => Header::Bad,
    }
}

/// Reads the addresses of version 2, with IP addresses of `N` bytes.
fn announced<const N: usize, Ip: From<[u8; N]> + Into<IpAddr>>(body: &[u8]) -> Option<Announced> {
    let (client, rest) = body.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (client_port, rest) = rest.split_first_chunk::<2>()?;
    let destination_port = rest.first_chunk::<2>()?;
    Some(Announced {
        client: SocketAddr::new(Ip::from(*client).into(), u16::from_be_bytes(*client_port)),
        destination: SocketAddr::new(
            Ip::from(*destination).into(),
            u16::from_be_bytes(*destination_port),
        ),
    })
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
            Header::Whole(length, Some(announced)) if length == bytes.len() => {
                Some(announced.client.to_string())
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
            &[b"PROXY TCP4 ".to_vec(), vec![b'1'; MAX_TEXT]].concat(),
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
