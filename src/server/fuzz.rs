//! Fuzz target: the PROXY protocol.

use std::net::SocketAddr;

use super::proxy_protocol::{Announced, Header, parse};
use crate::fuzz::check;

#[test]
fn proxy_protocol() {
    check("proxy_protocol", |input| {
        let header = parse(input);
        // A header arrives in pieces: until its end it is a part of one, and then stays the same.
        for end in 0..input.len() {
            let part = parse(&input[..end]);
            match (&header, &part) {
                (Header::Whole(length, _), _) if end >= *length => assert_eq!(part, header),
                (Header::Whole(..) | Header::Partial, _) => assert_eq!(part, Header::Partial),
                (Header::Bad, part) => assert!(matches!(part, Header::Partial | Header::Bad)),
            }
        }
        let Header::Whole(length, announced) = header else {
            return;
        };
        assert!(length <= input.len());
        if let Some(announced) = announced {
            is_read_again(announced);
        }
    });
}

/// The addresses are read from a header of either version that another program would write.
fn is_read_again(announced: Announced) {
    for header in [text(&announced), binary(&announced)] {
        assert_eq!(parse(&header), Header::Whole(header.len(), Some(announced)));
    }
}

fn text(announced: &Announced) -> Vec<u8> {
    let Announced {
        client,
        destination,
    } = announced;
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.ip(), destination.ip());
    let (from_port, to_port) = (client.port(), destination.port());
    format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into()
}

fn binary(announced: &Announced) -> Vec<u8> {
    let (addresses, family) = match (announced.client, announced.destination) {
        (SocketAddr::V4(client), SocketAddr::V4(destination)) => (
            [client.ip().octets(), destination.ip().octets()].concat(),
            0x11,
        ),
        (SocketAddr::V6(client), SocketAddr::V6(destination)) => (
            [client.ip().octets(), destination.ip().octets()].concat(),
            0x21,
        ),
        other => panic!("{other:?}"),
    };
    let ports = [announced.client.port(), announced.destination.port()];
    let body = [addresses, ports.map(u16::to_be_bytes).concat()].concat();
    let length = u8::try_from(body.len()).unwrap();
    [
        b"\r\n\r\n\0\r\nQUIT\n".as_slice(),
        &[0x21, family, 0, length],
        &body,
    ]
    .concat()
}
