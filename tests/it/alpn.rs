//! HTTP/2 over TLS, as negotiated by ALPN (RFC 7301): certificates, hosts and client certificates
//! work as over HTTP/1.1, and unknown protocols are refused.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::HandshakeKind;

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, literal};
use crate::support::{Authority, Gateway, PATIENCE, Upstream, connect, offering, raw};

const H2: &[&[u8]] = &[b"h2"];

/// A request for `host`.
fn head(host: &str) -> Vec<u8> {
    [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", host),
    ]
    .iter()
    .flat_map(|(name, value)| literal(name, value))
    .collect()
}

#[track_caller]
fn status(client: &mut Frames, stream: u32, host: &str) -> u16 {
    client.send(HEADERS, END_STREAM | END_HEADERS, stream, &head(host));
    client.status(stream)
}

// RFC 9113 §3.2: what is agreed on is what is spoken, and who offers nothing is listened to.
#[test]
fn a_protocol_is_agreed_on_in_the_handshake() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(&upstream, &[("a", &pair)], "", &[]);
    let h2_first: &[&[u8]] = &[b"h2", b"http/1.1"];
    let h2_last: &[&[u8]] = &[b"http/1.1", b"h2"];
    for offered in [H2, h2_first, h2_last] {
        let mut stream = root.connect(gateway.address(), "a.test", offered);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]), "{offered:?}");
        let mut client = Frames::over(stream);
        assert_eq!(status(&mut client, 1, "a.test"), 200, "{offered:?}");
        assert_eq!(upstream.last().field("x-forwarded-proto"), Some("https"));
        assert_eq!(upstream.last().field("via"), Some("2.0 scopegate"));
    }
    assert_eq!(
        gateway.metric("scopegate_connections_protocol_total{protocol=\"http2\"}"),
        3.0
    );
    let old: &[&[u8]] = &[b"http/1.1"];
    for offered in [old, &[]] {
        let mut stream = root.connect(gateway.address(), "a.test", offered);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    }
    // By prior knowledge, inside of TLS.
    let mut client = Frames::over(root.connect(gateway.address(), "a.test", &[]));
    assert_eq!(status(&mut client, 1, "a.test"), 200);
    // An agreement is kept: HTTP/1.1 where HTTP/2 was agreed on is no request.
    let mut stream = root.connect(gateway.address(), "a.test", H2);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1"), "{answer:?}");
    assert_eq!(upstream.arrivals().len(), 6);
}

// RFC 7301 §3.2: who offers what is not spoken is told in the handshake.
#[test]
fn who_offers_nothing_that_is_spoken_is_turned_away() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(&upstream, &[("a", &pair)], "", &[]);
    for offered in [&[b"spdy/3".as_slice()][..], &[b"h3", b"H2"]] {
        let mut stream = root.connect(gateway.address(), "a.test", offered);
        let error = stream
            .conn
            .complete_io(&mut stream.sock)
            .expect_err("nothing is agreed on");
        assert!(
            error.to_string().contains("NoApplicationProtocol"),
            "{error}"
        );
    }
    gateway.wait_for_metric(
        "scopegate_connection_errors_total{reason=\"tls_protocol\"}",
        2.0,
    );
    let mut client = Frames::over(root.connect(gateway.address(), "a.test", &[b"spdy/3", b"h2"]));
    assert_eq!(status(&mut client, 1, "a.test"), 200);
}

// Streams of one connection are for the hosts of its certificate.
#[test]
fn a_stream_for_another_host_is_refused_and_those_beside_it_go_on() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let (a, b) = (
        root.sign(&["a.test", "also-a.test"]),
        root.sign(&["*.b.test"]),
    );
    let gateway = Gateway::secured(&upstream, &[("a", &a), ("b", &b)], "", &[]);
    let mut client = Frames::over(root.connect(gateway.address(), "a.test", H2));
    let hosts = [
        ("a.test", 200),
        ("one.b.test", 421),
        ("also-a.test", 200),
        ("unknown.test", 421),
        ("A.TEST:443", 200),
    ];
    for (index, (host, expected)) in hosts.into_iter().enumerate() {
        let stream = u32::try_from(2 * index + 1).unwrap();
        assert_eq!(status(&mut client, stream, host), expected, "{host}");
    }
    assert_eq!(upstream.arrivals().len(), 3);
    // The twin: on a connection of its own.
    let mut client = Frames::over(root.connect(gateway.address(), "one.b.test", H2));
    assert_eq!(status(&mut client, 1, "one.b.test"), 200);
}

// Whoever is turned away in the handshake has no stream.
#[test]
fn client_certificates_are_asked_for_over_http_2_too() {
    let (root, other, upstream) = (Authority::new(), Authority::new(), Upstream::start());
    let (server, good, bad) = (
        root.sign(&["a.test"]),
        root.sign(&["caller"]),
        other.sign(&["caller"]),
    );
    for (client_auth, nobody) in [("required", false), ("optional", true)] {
        let tls = format!("client_auth = \"{client_auth}\"\nclient_ca_file = \"clients.pem\"\n");
        let gateway = Gateway::secured(
            &upstream,
            &[("a", &server)],
            &tls,
            &[("clients.pem", &root.pem)],
        );
        for (own, expected) in [(Some(&good), true), (None, nobody), (Some(&bad), false)] {
            let mut stream = connect(gateway.address(), "a.test", offering(root.client(own), H2));
            // In TLS 1.3 the client is done before the server has looked at its certificate.
            let written = stream
                .write_all(crate::support::frames::PREFACE)
                .and_then(|()| stream.flush());
            let gets_in = written.is_ok() && stream.read(&mut [0; 9]).is_ok_and(|count| count > 0);
            assert_eq!(gets_in, expected, "{client_auth}, {:?}", own.is_some());
        }
        let mut client = Frames::over(connect(
            gateway.address(),
            "a.test",
            offering(root.client(Some(&good)), H2),
        ));
        assert_eq!(status(&mut client, 1, "a.test"), 200);
    }
}

// RFC 8446 §8: what can be replayed is not taken. Sessions are resumed all the
// same.
#[test]
fn no_early_data_is_taken() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(&upstream, &[("a", &pair)], "", &[]);
    let mut config = offering(root.client(None), &[b"http/1.1"]);
    config.enable_early_data = true;
    // Both connections share the tickets.
    let config = Arc::new(config);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(gateway.address(), "a.test", (*config).clone());
        assert!(
            stream.conn.early_data().is_none(),
            "a ticket allows early data"
        );
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        assert!(!stream.conn.is_early_data_accepted());
        kinds.push(stream.conn.handshake_kind());
    }
    assert_eq!(
        kinds,
        [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]
    );
}

// A session remembers whether its client had shown a certificate, and not whether that certificate
// is still good, or whether one was asked for then.
#[test]
fn where_certificates_are_asked_for_no_session_is_resumed() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let (server, caller) = (root.sign(&["a.test"]), root.sign(&["caller"]));
    for client_auth in ["required", "optional"] {
        let tls = format!("client_auth = \"{client_auth}\"\nclient_ca_file = \"clients.pem\"\n");
        let files = [("clients.pem", &*root.pem)];
        let gateway = Gateway::secured(&upstream, &[("a", &server)], &tls, &files);
        let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
        for version in versions {
            // Both connections share what the server has given them.
            let config = root.client_of(Some(&caller), &[version]);
            for _ in 0..2 {
                let mut stream = connect(gateway.address(), "a.test", config.clone());
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
                    .unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
                assert_eq!(
                    stream.conn.handshake_kind(),
                    Some(HandshakeKind::Full),
                    "{client_auth}"
                );
            }
        }
    }
}

/// The first message of a client that speaks this version at most (RFC 5246 §7.4.1.2), with what it
/// could agree on.
fn hello(version: u8) -> Vec<u8> {
    let suites = [0xc0, 0x09, 0xc0, 0x13, 0xc0, 0x2b, 0xc0, 0x2f, 0x00, 0x2f];
    let name = b"a.test";
    let extensions = [
        // The name, the curves, the signatures.
        &[0, 0, 0, 11, 0, 9, 0, 0, 6][..],
        name,
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 10, 0, 8, 4, 3, 8, 4, 4, 1, 2, 1],
    ]
    .concat();
    let length = |count: usize| u16::try_from(count).unwrap().to_be_bytes();
    let body = [
        &[3, version][..],
        &[7; 32],
        &[0],
        &length(suites.len()),
        &suites,
        &[1, 0],
        &length(extensions.len()),
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &length(body.len()), &body].concat();
    [&[22, 3, 1][..], &length(message.len()), &message].concat()
}

// TLS 1.2 and 1.3 alone.
#[test]
fn older_versions_of_tls_are_refused_by_their_name() {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const FATAL: u8 = 2;
    const PROTOCOL_VERSION: u8 = 70;
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(
        &upstream,
        &[("a", &pair)],
        "handshake_timeout = \"1s\"",
        &[],
    );
    let answer = |version: u8| {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&hello(version)).unwrap();
        let mut record = [0; 7];
        socket.read_exact(&mut record).unwrap();
        record
    };
    for version in [0, 1, 2] {
        let [kind, _, _, _, _, level, what] = answer(version);
        assert_eq!(
            (kind, level, what),
            (ALERT, FATAL, PROTOCOL_VERSION),
            "SSL 3.0 and {version}"
        );
    }
    // The twin: the same words of a client that speaks 1.2.
    let [kind, _, _, _, _, message, _] = answer(3);
    assert_eq!((kind, message), (HANDSHAKE, 2), "its hello");
    assert!(raw(gateway.address(), b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(upstream.arrivals().is_empty());
}
