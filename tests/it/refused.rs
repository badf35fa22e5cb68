//! Input that the parsers refuse never becomes a request. The gateway's own log quotes none of it;
//! `failures.rs` has its lines.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::frames::{
    END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, literal, request,
};
use crate::support::{Gateway, PATIENCE, Process, Request, Upstream, encode};

/// What no log may have.
const SECRET: &str = "SECRET-of-a-token";

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

/// Sends bytes, reads until the end, and returns what came and from where they were sent.
#[track_caller]
fn send(address: SocketAddr, bytes: &[u8]) -> (String, SocketAddr) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let own = socket.local_addr().unwrap();
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    (String::from_utf8_lossy(&answer).into_owned(), own)
}

// The library for HTTP/2 notes at "debug" what it cannot parse, a token in it included.
#[test]
fn no_library_logs_what_came_over_the_wire() {
    let upstream = Upstream::start();
    let secured = format!("cookie-{SECRET}");
    for level in ["debug", "trace"] {
        let log = format!("[log]\nlevel = \"{level}\"\n");
        let mut process = Process::run(&format!("{log}{}{ROUTE}", upstream.toml("orders")));
        let usual = |path: &str| request("GET", path);
        let path = |path: &str| {
            let pseudo = [
                (":method", "GET"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "a"),
            ];
            pseudo
                .iter()
                .flat_map(|(name, value)| literal(name, value))
                .collect::<Vec<_>>()
        };
        let blocks = [
            path(&format!("/s/a?access_token={SECRET}&f=\"x\"")),
            path(&format!("/{SECRET} x")),
            path(SECRET),
            [usual("/a"), literal(&format!("Upper-{SECRET}"), "x")].concat(),
            [usual("/a"), literal("x a", SECRET)].concat(),
            [usual("/a"), literal("x-a", &format!("{SECRET}\0"))].concat(),
            [usual("/a"), literal("connection", SECRET)].concat(),
            [usual("/a"), literal(":path", &format!("/{SECRET}"))].concat(),
            [usual("/a"), literal("content-length", SECRET)].concat(),
            [
                usual("/a"),
                literal("cookie", &secured),
                literal("authorization", &encode(SECRET)),
            ]
            .concat(),
        ];
        for block in &blocks {
            let mut client = Frames::connect(process.address());
            client.send(HEADERS, END_STREAM | END_HEADERS, 1, block);
            // An answer, a reset or the end of the connection.
            let ended = client.wait(|frame| frame.stream == 1 || frame.kind == 7);
            assert!(ended.is_some() || client.is_closed());
        }
        for line in [
            format!("GET /{SECRET}\" HTTP/1.1"),
            format!("{SECRET} / HTTP/1.1"),
            SECRET.to_owned(),
        ] {
            let head = format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n");
            send(process.address(), head.as_bytes());
        }
        assert_eq!(process.send(&Request::get("/a")).status, 200);
        #[cfg(unix)]
        {
            process.signal("TERM");
            assert_eq!(process.wait().code(), Some(0));
        }
        let errors = process.errors();
        assert!(
            errors.contains(" INFO listening address="),
            "the gateway's own lines are there: {errors}"
        );
        for secret in [SECRET, &encode(SECRET)] {
            assert!(!errors.contains(secret), "at {level}: {errors}");
        }
        assert!(
            !errors.contains("Connection{"),
            "no library has a line at {level}: {errors}"
        );
    }
}

/// What becomes of a target over HTTP/1.1, and over HTTP/2: a status, or a reset.
#[track_caller]
fn verdicts(gateway: &Gateway, target: &str) -> (bool, bool) {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (answer, _) = send(gateway.address(), head.as_bytes());
    let mut client = Frames::connect(gateway.address());
    client.get(1, target);
    let frame = client
        .wait(|frame| frame.stream == 1)
        .expect("there is an answer or a reset");
    if frame.kind == RST_STREAM {
        assert_eq!(frame.error(), 1, "PROTOCOL_ERROR");
    }
    // What the parser refuses has no body.
    (
        answer.ends_with("\r\n\r\n") && answer.starts_with("HTTP/1.1 400 "),
        frame.kind == RST_STREAM,
    )
}

// docs/answers.md lists them; the choice is the libraries', and another version of these may make
// another.
#[test]
fn the_characters_that_a_target_may_not_have_are_known() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for (before, refused) in [("/a", " <>`\u{7f}\u{1}\t"), ("/a?q=", " <>\"\u{7f}\u{1}\t")] {
        let all = (' '..='\u{7f}')
            .chain(['\u{1}', '\t', 'é', '€'])
            .filter(|c| !c.is_ascii_alphanumeric());
        for character in all {
            let is_refused = refused.contains(character);
            let found = verdicts(&gateway, &format!("{before}{character}x"));
            assert_eq!(
                found,
                (is_refused, is_refused),
                "{character:?} after {before}"
            );
        }
    }
}
