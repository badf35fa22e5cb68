//! PROXY headers from balancers and from forgers, byte by byte over real sockets; and the fields
//! about a client that came over TLS or a Unix-domain socket.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::support::{Arrival, Authority, Gateway, PATIENCE, Upstream, wait_until};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const MISSING: &str = "scopegate_connection_errors_total{reason=\"proxy_header_missing\"}";
const MALFORMED: &str = "scopegate_connection_errors_total{reason=\"proxy_header_malformed\"}";
const LEFT: &str = "scopegate_connection_errors_total{reason=\"left_in_handshake\"}";

/// The longest header of version 2 that is taken: addresses of any family and what balancers add.
const MAX_BINARY: usize = 536;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Returns the number of connections without a good header.
fn bad(gateway: &Gateway) -> f64 {
    gateway.metric(MISSING) + gateway.metric(MALFORMED)
}

fn gateway(upstream: &Upstream, server: &str) -> Gateway {
    let toml = format!(
        "[server]\nproxy_protocol_from = [\"127.0.0.0/8\"]\nforwarded = \"both\"\n{server}\n\
         {}{ROUTE}",
        upstream.toml("orders")
    );
    Gateway::start(&toml)
}

/// A header of version 2 with these addresses and what comes after them.
fn binary(command: u8, family: u8, addresses: &[u8], more: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len() + more.len())
        .unwrap()
        .to_be_bytes();
    [SIGNATURE, &[command, family], &length, addresses, more].concat()
}

/// Addresses of 192.0.2.7 and 192.0.2.8, and the ports 1000 and 443.
const FOUR: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 8, 0x03, 0xe8, 0x01, 0xbb];

/// A client at `source`, and a server at 2001:db8::8, with the same ports.
fn six(source: &str) -> Vec<u8> {
    let bytes = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [
        &bytes(source)[..],
        &bytes("2001:db8::8"),
        &[0x03, 0xe8, 0x01, 0xbb],
    ]
    .concat()
}

/// A TLV of this type (the specification, §2.2).
fn added(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, value].concat()
}

/// What is answered to these pieces, each in a segment of its own.
fn exchange(gateway: &Gateway, pieces: &[&[u8]], then: impl FnOnce(&TcpStream)) -> String {
    let mut socket = TcpStream::connect(gateway.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for piece in pieces {
        // The other side may have closed already.
        let _ = socket.write_all(piece);
    }
    then(&socket);
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[track_caller]
fn arrival(gateway: &Gateway, upstream: &Upstream, pieces: &[&[u8]]) -> Arrival {
    let answer = exchange(gateway, pieces, |_| {});
    assert!(
        answer.starts_with("HTTP/1.1 200 "),
        "{answer:?} to {pieces:?}"
    );
    upstream.last()
}

// docs/design/attacks.md#row-9: the client that a header names, in each form of the header.
#[test]
fn every_form_of_the_header_names_its_client() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "");
    // An AWS endpoint, a name, a checksum (which is skipped), and padding.
    let tlvs = [
        added(0xea, b"\x01vpce-08d2bf15fac5001c9"),
        added(0x02, b"a.test"),
        added(0x03, &[0; 4]),
        added(0x04, &[0; 100]),
    ]
    .concat();
    let long = vec![0; MAX_BINARY - 16 - FOUR.len() - 3];
    let four = binary(PROXY, TCP4, &FOUR, &[]);
    let own = "127.0.0.1";
    for (header, client, element) in [
        (four.clone(), "192.0.2.7", "192.0.2.7"),
        (binary(PROXY, TCP4, &FOUR, &tlvs), "192.0.2.7", "192.0.2.7"),
        (
            binary(PROXY, TCP4, &FOUR, &added(0x04, &long)),
            "192.0.2.7",
            "192.0.2.7",
        ),
        (
            binary(PROXY, TCP6, &six("2001:db8::7"), &tlvs),
            "2001:db8::7",
            "\"[2001:db8::7]\"",
        ),
        (
            binary(PROXY, TCP6, &six("::ffff:192.0.2.7"), &[]),
            "192.0.2.7",
            "192.0.2.7",
        ),
        (binary(LOCAL, 0, &[], &[]), own, own),
        // Who speaks for himself may add what he likes, and is not believed.
        (binary(LOCAL, TCP4, &FOUR, &tlvs), own, own),
        // Of a Unix-domain socket behind the balancer, and of no family.
        (binary(PROXY, 0x31, &[0; 216], &[]), own, own),
        (binary(PROXY, 0, &[], &tlvs), own, own),
        (
            b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n".to_vec(),
            "192.0.2.7",
            "192.0.2.7",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 1000 443\r\n".to_vec(),
            "2001:db8::7",
            "\"[2001:db8::7]\"",
        ),
        (
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(),
            own,
            own,
        ),
    ] {
        let said = header.escape_ascii().to_string();
        let arrived = arrival(&gateway, &upstream, &[&header, REQUEST]);
        assert_eq!(arrived.field("x-forwarded-for"), Some(client), "{said}");
        let forwarded = format!("for={element};host=\"a.test\";proto=http");
        assert_eq!(
            arrived.field("forwarded"),
            Some(forwarded.as_str()),
            "{said}"
        );
    }
    assert_eq!(bad(&gateway), 0.0);
    // In segments of a byte each, and all in one with the request.
    let whole = [binary(PROXY, TCP4, &FOUR, &tlvs).as_slice(), REQUEST].concat();
    let bytes: Vec<&[u8]> = whole.chunks(1).collect();
    for pieces in [bytes.as_slice(), &[&whole]] {
        assert_eq!(
            arrival(&gateway, &upstream, pieces).field("x-forwarded-for"),
            Some("192.0.2.7")
        );
    }
    // The port that the client connected to is the balancer's.
    assert_eq!(
        arrival(&gateway, &upstream, &[&four, REQUEST]).field("x-forwarded-port"),
        Some("443")
    );
}

// docs/design/attacks.md#row-9: a connection without a complete header is closed.
#[test]
fn a_header_that_is_cut_too_long_or_wrong_ends_its_connection() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "");
    let four = binary(PROXY, TCP4, &FOUR, &[]);
    let cases = [
        REQUEST.to_vec(),
        b"proxy TCP4 192.0.2.7 192.0.2.8 1000 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 192.0.2.8 1000\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 192.0.2.8 01000 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.256 192.0.2.8 1000 443\r\n".to_vec(),
        b"PROXY TCP4  192.0.2.7 192.0.2.8 1000 443\r\n".to_vec(),
        [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat(),
        // Of a version, a command, a family that is none, and addresses that are too short for
        // theirs.
        binary(0x11, TCP4, &FOUR, &[]),
        binary(0x22, TCP4, &FOUR, &[]),
        binary(PROXY, 0x41, &FOUR, &[]),
        binary(PROXY, TCP4, &FOUR[..11], &[]),
        binary(PROXY, TCP6, &FOUR, &[]),
        // One byte longer than the longest; its length is enough to know.
        binary(
            PROXY,
            TCP4,
            &FOUR,
            &added(0x04, &[0; MAX_BINARY - 16 - FOUR.len() - 3 + 1]),
        ),
        binary(PROXY, TCP4, &FOUR, &[0; 60_000])[..16].to_vec(),
    ];
    for header in &cases {
        let answer = exchange(&gateway, &[header, REQUEST], |_| {});
        assert_eq!(answer, "", "{}", header.escape_ascii());
    }
    wait_until("all of them are counted", || {
        bad(&gateway) >= cases.len() as f64
    });
    // Cut anywhere by an end.
    for length in [1, 11, 12, 15, 16, 27] {
        let answer = exchange(&gateway, &[&four[..length]], |socket| {
            socket.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(answer, "", "{length}");
    }
    gateway.wait_for_metric(LEFT, 6.0);
    assert_eq!(bad(&gateway), cases.len() as f64);
    // A second header is a request, and a bad one.
    let answer = exchange(&gateway, &[&four, &four, REQUEST], |_| {});
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(upstream.arrivals().is_empty());
    assert_eq!(
        arrival(&gateway, &upstream, &[&four, REQUEST]).field("x-forwarded-for"),
        Some("192.0.2.7")
    );
}

// Nor is it waited for longer than for a head.
#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "[server.timeouts]\nrequest_head = \"200ms\"\n");
    for begun in [&b""[..], b"PROXY ", &binary(PROXY, TCP4, &FOUR, &[])[..20]] {
        assert_eq!(
            exchange(&gateway, &[begun], |_| {}),
            "",
            "{}",
            begun.escape_ascii()
        );
    }
    for (reason, count) in [("idle_timeout", 1.0), ("proxy_header_timeout", 2.0)] {
        let series = format!("scopegate_connection_errors_total{{reason=\"{reason}\"}}");
        gateway.wait_for_metric(&series, count);
    }
    gateway.wait_for_metric("scopegate_connections_open", 0.0);
}

// Trust is in the party that the header names, not in the balancer that sent it.
#[test]
fn whom_the_header_names_is_believed_if_he_is_trusted() {
    let upstream = Upstream::start();
    let gateway = gateway(
        &upstream,
        "trusted_proxies = [\"127.0.0.1\", \"2001:db8::/32\"]",
    );
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.9\r\n\
          X-Forwarded-Proto: https\r\n\
                    Connection: close\r\n\r\n";
    let told = |header: &[u8]| {
        let arrived = arrival(&gateway, &upstream, &[header, request]);
        let field = |name: &str| arrived.field(name).unwrap().to_owned();
        (field("x-forwarded-for"), field("x-forwarded-proto"))
    };
    let own = |client: &str, proto: &str| (client.to_owned(), proto.to_owned());
    assert_eq!(
        told(&binary(PROXY, TCP4, &FOUR, &[])),
        own("192.0.2.7", "http")
    );
    assert_eq!(
        told(&binary(PROXY, TCP6, &six("2001:db8::7"), &[])),
        own("203.0.113.9, 2001:db8::7", "https")
    );
    assert_eq!(
        told(&binary(LOCAL, 0, &[], &[])),
        own("203.0.113.9, 127.0.0.1", "https")
    );
}

// The header comes before TLS, in a segment of its own or with the first message of the handshake.
#[test]
fn a_header_comes_before_the_handshake() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(
        &upstream,
        &[("a", &pair)],
        "[server]\nproxy_protocol_from = [\"127.0.0.0/8\"]\nforwarded = \"both\"\n",
        &[],
    );
    let line = b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n".to_vec();
    let tlvs = added(0x04, &[0; 200]);
    for (header, apart) in [
        (line.clone(), true),
        (line, false),
        (binary(PROXY, TCP4, &FOUR, &tlvs), true),
        (binary(PROXY, TCP4, &FOUR, &tlvs), false),
    ] {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("a.test").unwrap();
        let mut client = ClientConnection::new(Arc::new(root.client(None)), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        if apart {
            header
                .chunks(1)
                .for_each(|byte| socket.write_all(byte).unwrap());
            socket.write_all(&hello).unwrap();
        } else {
            socket.write_all(&[header, hello].concat()).unwrap();
        }
        let mut stream = StreamOwned::new(client, socket);
        stream.write_all(REQUEST).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        let arrived = upstream.last();
        assert_eq!(arrived.field("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(arrived.field("x-forwarded-proto"), Some("https"));
        assert_eq!(
            arrived.field("forwarded"),
            Some("for=192.0.2.7;host=\"a.test\";proto=https")
        );
    }
    // A handshake without a header is none.
    let mut stream = root.connect(gateway.address(), "a.test", &[]);
    assert!(stream.conn.complete_io(&mut stream.sock).is_err());
    wait_until("it is counted", || bad(&gateway) >= 1.0);
}

// Over TLS the upstream is told `https`, unless a proxy that is trusted knows better.
#[test]
fn what_came_over_tls_is_said_to_have() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    for (trusted, proto, element) in [
        (
            "[\"192.0.2.1\"]",
            "https",
            "for=127.0.0.1;host=\"a.test\";proto=https",
        ),
        (
            "[\"127.0.0.1\"]",
            "http",
            "for=x;proto=http, for=127.0.0.1;host=\"a.test\";proto=https",
        ),
    ] {
        let server = format!("[server]\nforwarded = \"both\"\ntrusted_proxies = {trusted}\n");
        let gateway = Gateway::secured(&upstream, &[("a", &pair)], &server, &[]);
        let mut stream = root.connect(gateway.address(), "a.test", &[]);
        let claimed = "X-Forwarded-Proto: http\r\nForwarded: for=x;proto=http\r\n";
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: a.test\r\n{claimed}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        let arrived = upstream.last();
        assert_eq!(arrived.field("x-forwarded-proto"), Some(proto), "{trusted}");
        assert_eq!(arrived.field("forwarded"), Some(element), "{trusted}");
    }
}

// Who can open a Unix-domain socket of ours is trusted by the word `unix` and by no address.
#[cfg(unix)]
#[test]
fn a_peer_on_a_unix_socket_is_believed_when_it_is_trusted() {
    use std::os::unix::net::UnixStream;
    let upstream = Upstream::start();
    for (trusted, client, proto, element) in [
        (
            "[\"0.0.0.0/0\", \"::/0\"]",
            "unknown",
            "http",
            "for=unknown;host=\"a.test\";proto=http",
        ),
        (
            "[\"unix\"]",
            "203.0.113.9, unknown",
            "https",
            "for=203.0.113.9;proto=https, for=unknown;host=\"a.test\";proto=http",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        let _gateway = Gateway::start_on_its_own_addresses(&format!(
            "[server]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\nforwarded = \"both\"\n\
             trusted_proxies = {trusted}\n{}{ROUTE}",
            path.display(),
            upstream.toml("orders")
        ));
        let mut socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let claimed = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
                       Forwarded: for=203.0.113.9;proto=https\r\n";
        write!(
            socket,
            "GET / HTTP/1.1\r\nHost: a.test\r\n{claimed}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        let arrived = upstream.last();
        assert_eq!(arrived.field("x-forwarded-for"), Some(client), "{trusted}");
        assert_eq!(arrived.field("x-forwarded-proto"), Some(proto), "{trusted}");
        assert_eq!(arrived.field("forwarded"), Some(element), "{trusted}");
    }
}
