//! Hostile clients of HTTP/1.1 and of TLS, with the same promise as for HTTP/2 (see `abuse`).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{Authority, Gateway, PATIENCE, Scene, Script, Upstream, raw};

/// Pieces of a flood, unless it is ended.
const FLOOD: usize = 1_000_000;

fn connect(scene: &Scene) -> TcpStream {
    let socket = TcpStream::connect(scene.process.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a piece again and again; how often it was taken before the gateway closed.
fn flood(mut socket: &TcpStream, piece: &[u8]) -> usize {
    (0..FLOOD)
        .take_while(|_| socket.write_all(piece).is_ok())
        .count()
}

// A client that sends requests and reads no answer.
#[test]
fn a_client_that_pipelines_and_never_reads_is_let_go() {
    let scene = Scene::open("[server.timeouts]\nidle_body = \"2s\"\n");
    let body = "x".repeat(64 * 1024);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    scene.victim.always(Script::Raw(answer.into_bytes(), true));
    let socket = connect(&scene);
    let request = b"GET /guilty HTTP/1.1\r\nHost: api.test\r\n\r\n".repeat(100);
    let taken = scene.beside_others(|| flood(&socket, &request));
    assert!(taken < FLOOD, "all were taken");
    scene.process.wait_for_metric(
        "scopegate_connection_errors_total{reason=\"write_timeout\"}",
        1.0,
    );
    scene.check_memory("pipelined requests");
}

// What may stand beside the body has a bound: the extensions of a chunk (RFC 9112 §7.1.1), its
// trailers, and the digits of its length.
#[test]
fn what_stands_beside_a_body_has_a_bound() {
    let scene = Scene::open("[server.timeouts]\nidle_body = \"1s\"\n");
    for (name, start, piece) in [
        ("an extension", "1;a=", "b".repeat(1000)),
        (
            "extensions",
            "",
            format!("1;a={}\r\nx\r\n", "b".repeat(1000)),
        ),
        ("a trailer", "0\r\nx-a: ", "b".repeat(1000)),
        ("trailers", "0\r\n", "x-a: b\r\n".repeat(100)),
        ("a length", "", "0".repeat(1000)),
    ] {
        let mut socket = connect(&scene);
        let head = "POST /guilty HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        socket
            .write_all(format!("{head}{start}").as_bytes())
            .unwrap();
        let taken = scene.beside_others(|| flood(&socket, piece.as_bytes()));
        assert!(taken < FLOOD, "{name}: all were taken");
    }
    assert!(scene.victim.arrivals().is_empty(), "none of them is whole");
    scene.check_memory("what stands beside a body");
    // The twin: an extension and a trailer.
    let whole = "POST /guilty HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\
                 Connection: close\r\n\r\n\
                 1;a=b\r\nx\r\n0\r\nx-a: b\r\n\r\n";
    assert!(raw(scene.process.address(), whole.as_bytes()).starts_with("HTTP/1.1 200 "));
    assert_eq!(scene.victim.last().body, b"x");
}

// Lines, fields and empty lines without an end.
#[test]
fn a_head_without_an_end_is_ended() {
    let scene = Scene::open("[server.timeouts]\nrequest_head = \"2s\"\n");
    for (name, start, piece) in [
        ("a target", "GET /", "a".repeat(1000)),
        ("a field", "GET / HTTP/1.1\r\nx-a: ", "a".repeat(1000)),
        ("fields", "GET / HTTP/1.1\r\n", "x-a: b\r\n".repeat(100)),
        ("empty lines", "\r\n", "\r\n".repeat(500)),
        ("no line at all", "", "\0".repeat(1000)),
    ] {
        let mut socket = connect(&scene);
        socket.write_all(start.as_bytes()).unwrap();
        let taken = scene.beside_others(|| flood(&socket, piece.as_bytes()));
        assert!(taken < FLOOD, "{name}: all were taken");
    }
    scene.check_memory("a head without an end");
}

// A first message of a handshake that is longer than any, in records of a byte, and records
// with nothing in them.
#[test]
fn a_handshake_without_an_end_is_ended() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(
        &upstream,
        &[("a", &pair)],
        "handshake_timeout = \"2s\"",
        &[],
    );
    let huge = [
        &[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..],
        &[0; 0x4000 - 4],
    ]
    .concat();
    let crumbs = [
        [22, 3, 1, 0, 1, 1].as_slice(),
        &[22, 3, 1, 0, 1, 0].repeat(100),
    ]
    .concat();
    for (name, piece) in [
        ("huge", huge),
        ("crumbs", crumbs),
        ("nothing", [22, 3, 1, 0, 0].repeat(100)),
    ] {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        assert!(flood(&socket, &piece) < FLOOD, "{name}: all were taken");
        let _ = socket.read_to_end(&mut Vec::new());
    }
    gateway.wait_for_metric(
        "scopegate_connection_errors_total{reason=\"tls_malformed\"}",
        3.0,
    );
    assert_eq!(gateway.metric("scopegate_connections_open"), 0.0);
}

// Keys may be renewed, but not for ever and for nothing.
#[test]
fn keys_that_are_renewed_again_and_again_end_the_connection() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(&upstream, &[("a", &pair)], "", &[]);
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let renew = |times: usize| {
        let mut stream = root.connect(gateway.address(), "a.test", &[]);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let renewed = (0..times).all(|_| {
            stream.conn.refresh_traffic_keys().is_ok()
                && stream.conn.write_tls(&mut stream.sock).is_ok()
        });
        let written = renewed && stream.write_all(request).is_ok();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        written && answer.starts_with(b"HTTP/1.1 200 ")
    };
    assert!(renew(10), "now and then");
    assert!(!renew(10_000), "again and again");
    assert!(renew(1), "others go on");
}
