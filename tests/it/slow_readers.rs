//! Clients that ask for much and read nothing: the memory for each of them is bounded
//! (`server.limits.write_buffer`).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::frames::{
    END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, frame, request,
};
use crate::support::{PATIENCE, Scene, Script, Secured, TlsClient, wait_within};

const CLIENTS: usize = 100;

/// Memory for each client that reads nothing: what waits to be written, a piece of the upstream's
/// answer that is under way, and both connections.
const EACH: usize = 160 * 1024;

/// The same with a bound of 16 KiB.
const EACH_OF_LITTLE: usize = 112 * 1024;

/// The same over HTTP/2, whose connections have tables and windows of their own.
const EACH_OF_HTTP2: usize = 256 * 1024;

/// The same as `EACH` over TLS, with the keys and buffers of TLS.
const EACH_OF_TLS: usize = 148 * 1024;

/// The same as `EACH_OF_HTTP2` over TLS.
const EACH_OF_TLS_HTTP2: usize = 272 * 1024;

/// Bytes of an answer.
const LONG: usize = 10 * 1024 * 1024;

/// A connection that takes as little as the system allows.
pub(crate) fn narrow(address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Waits until the upstream gets rid of nothing more.
fn wait_until_stuck(scene: &Scene, requests: usize) {
    wait_within(3 * PATIENCE, "every request arrives", || {
        scene.victim.arrivals().len() >= requests
    });
    let mut last = (0, Instant::now());
    wait_within(
        3 * PATIENCE,
        "nothing more is taken of the upstream",
        || {
            let flooded = scene.victim.flooded();
            if flooded != last.0 {
                last = (flooded, Instant::now());
            }
            flooded > 0 && last.1.elapsed() > Duration::from_millis(500)
        },
    );
}

/// An answer of a length, or in chunks, that does not end while anybody takes it.
fn answers() -> [(&'static str, Script); 2] {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n").into_bytes();
    let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    [
        ("a length", Script::Flood(head, vec![b'x'; 0x4000])),
        ("chunks", Script::Flood(chunked, chunk)),
    ]
}

// 100 clients with small receive buffers that ask for 10 MiB and read nothing.
#[test]
fn a_client_that_reads_nothing_holds_little() {
    for (what, script) in answers() {
        let scene = Scene::open("");
        scene.victim.always(script);
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|_| narrow(scene.process.address()))
            .collect();
        for client in &mut clients {
            client
                .write_all(b"GET /guilty HTTP/1.1\r\nHost: api.test\r\n\r\n")
                .unwrap();
        }
        wait_until_stuck(&scene, CLIENTS);
        scene.check_memory_of(what, CLIENTS * EACH);
        // One that reads gets what it asked for.
        let mut bytes = vec![0; 1 << 20];
        clients[0].read_exact(&mut bytes).unwrap();
        assert!(bytes.ends_with(&[b'x'; 16]) || what == "chunks");
    }
}

/// A request for a long answer, over HTTP/2 with windows that hold back nothing.
fn request_of_much(is_http2: bool) -> Vec<u8> {
    if !is_http2 {
        return b"GET /guilty HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    }
    let max = 0x7fff_0000_u32.to_be_bytes();
    let hello = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[&[0, 4], &max[..]].concat()),
        frame(WINDOW_UPDATE, 0, 0, &max),
        frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            1,
            &request("GET", "/guilty"),
        ),
    ];
    hello.concat()
}

/// Opens connections over TLS that ask for much and read nothing.
fn open_secured(address: SocketAddr, secured: &Secured, is_http2: bool) -> Vec<TlsClient> {
    let asked = request_of_much(is_http2);
    let open = || {
        let mut client = secured.over(narrow(address), is_http2);
        client.write_all(&asked).unwrap();
        client
    };
    (0..CLIENTS).map(|_| open()).collect()
}

/// Clients over TLS, twice: the second hundred finds the memory that the first one left.
fn check_over_tls(is_http2: bool, each: usize) {
    for (what, script) in answers() {
        let secured = Secured::new();
        let scene = Scene::secured(&secured);
        let address = scene.process.address();
        scene.victim.always(script);
        for round in 1..=2 {
            let clients = open_secured(address, &secured, is_http2);
            wait_until_stuck(&scene, round * CLIENTS);
            scene.check_memory_of(&format!("{what}, {round}"), CLIENTS * each);
            drop(clients);
            wait_within(PATIENCE, "nothing is kept for them", || {
                scene.victim.open_connections() == 0
            });
        }
    }
}

#[test]
fn a_client_over_tls_that_reads_nothing_holds_little() {
    check_over_tls(false, EACH_OF_TLS);
}

#[test]
fn a_client_of_http2_over_tls_that_reads_nothing_holds_little() {
    check_over_tls(true, EACH_OF_TLS_HTTP2);
}

/// What is in the chunks of a body.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
}

// The buffers that are given back while the client takes nothing lose nothing of its answer.
#[test]
fn a_client_over_tls_that_reads_little_at_a_time_gets_all_of_its_answer() {
    let secured = Secured::new();
    let scene = Scene::secured(&secured);
    let body: Vec<u8> = (0..LONG).map(|at| (at / 7) as u8).collect();
    let chunk =
        |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    let chunks: Vec<u8> = body.chunks(10_000).flat_map(chunk).collect();
    let length = format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n").into_bytes();
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for (is_chunked, answer) in [
        (false, [length, body.clone()].concat()),
        (true, [chunked, chunks, b"0\r\n\r\n".to_vec()].concat()),
    ] {
        scene.victim.always(Script::Raw(answer, true));
        let mut client = secured.over(narrow(scene.process.address()), false);
        let asked = b"GET /guilty HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        client.write_all(asked).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        let head = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        let got = if is_chunked {
            unchunked(&answer[head..])
        } else {
            answer[head..].to_vec()
        };
        assert!(got == body, "{} bytes", got.len());
    }
}

#[test]
fn a_client_of_http2_that_reads_nothing_holds_little() {
    for (what, script) in answers() {
        let scene = Scene::open("");
        scene.victim.always(script);
        let hello = request_of_much(true);
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|_| narrow(scene.process.address()))
            .collect();
        clients
            .iter_mut()
            .for_each(|client| client.write_all(&hello).unwrap());
        wait_until_stuck(&scene, CLIENTS);
        scene.check_memory_of(what, CLIENTS * EACH_OF_HTTP2);
    }
}

// The bound is configured, and a head may be longer than it.
#[test]
fn the_bound_is_configured_and_heads_may_be_as_long_as_ever() {
    let scene = Scene::open("[server.limits]\nwrite_buffer = \"16 KiB\"\nhead_bytes = \"8 KiB\"\n");
    let [(what, script), _] = answers();
    scene.victim.always(script);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| narrow(scene.process.address()))
        .collect();
    for client in &mut clients {
        client
            .write_all(b"GET /guilty HTTP/1.1\r\nHost: api.test\r\n\r\n")
            .unwrap();
    }
    wait_until_stuck(&scene, CLIENTS);
    scene.check_memory_of(what, CLIENTS * EACH_OF_LITTLE);

    let scene =
        Scene::open("[server.limits]\nwrite_buffer = \"16 KiB\"\nhead_bytes = \"256 KiB\"\n");
    let long = "x".repeat(250 * 1024);
    let mut client = TcpStream::connect(scene.process.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .write_all(
            format!(
                "GET /innocent HTTP/1.1\r\nHost: api.test\r\nX-Long: {long}\r\n\
                 Connection: close\r\n\r\n"
            )
            .as_bytes(),
        )
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
