//! Input that the parsers refuse never becomes a request. It has a line in the gateway's own log,
//! which quotes none of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::frames::{
    END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, SETTINGS, frame, literal, request,
};
use crate::support::{
    Gateway, PATIENCE, Process, Request, Script, Secured, Upstream, encode, wait_until,
};

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

/// The line of the log about a client.
#[track_caller]
fn line(process: &Process, peer: SocketAddr) -> String {
    let start = format!(" INFO a parser refused bytes of a client peer={peer} ");
    process.wait_for_log(&start);
    let errors = process.errors();
    let lines: Vec<_> = errors
        .lines()
        .filter(|line| line.contains(&start))
        .collect();
    assert_eq!(lines.len(), 1, "{errors}");
    lines[0].split_once(&start).unwrap().1.to_owned()
}

#[test]
fn what_the_parser_of_http_1_refuses_is_logged_with_peer_status_and_kind() {
    let upstream = Upstream::start();
    let limits = "[server.limits]\nhead_bytes = \"128KiB\"\n";
    let process = Process::run(&format!("{limits}{}{ROUTE}", upstream.toml("orders")));
    let get =
        |target: &str, more: &str| format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{more}\r\n");
    for (bytes, status, kind) in [
        (
            get(&format!("/a?filter={{\"{SECRET}\":1}}"), ""),
            400,
            "parse",
        ),
        (get("/a", &format!("bad name: {SECRET}\r\n")), 400, "parse"),
        (format!("{SECRET}\r\n\r\n"), 400, "parse"),
        (
            get(
                "/a",
                &format!("Cookie: {SECRET}{}\r\n", "x".repeat(130 << 10)),
            ),
            431,
            "too_large",
        ),
        (
            get("/a", &format!("a: {SECRET}\r\n").repeat(200)),
            431,
            "too_large",
        ),
        (
            get(&format!("/{SECRET}{}", "x".repeat(65 << 10)), ""),
            414,
            "too_large",
        ),
    ] {
        let (answer, peer) = send(process.address(), bytes.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer:.200} to {bytes:.200}"
        );
        assert_eq!(
            line(&process, peer),
            format!("status={status} kind=\"{kind}\""),
            "{bytes:.200}"
        );
    }
    assert_eq!(process.send(&Request::get("/good")).status, 200);
    assert_eq!(
        process.errors().matches("a parser refused").count(),
        6,
        "{}",
        process.errors()
    );
    assert!(!process.errors().contains(SECRET), "{}", process.errors());
}

#[test]
fn what_the_parser_of_http_2_refuses_is_logged_with_peer_and_kind() {
    let upstream = Upstream::start();
    let process = Process::run(&format!("{}{ROUTE}", upstream.toml("orders")));
    // A frame of SETTINGS on a stream ends a connection in every version of the library (RFC 9113
    // §6.5).
    let preface = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &[0, 0, 0, 4, 0, 0, 0, 0, 1],
    ]
    .concat();
    let (_, peer) = send(process.address(), &preface);
    assert_eq!(line(&process, peer), "kind=\"parse\"");
    process.wait_for_metric("scopegate_connection_errors_total{kind=\"parse\"}", 1.0);
    // A stream alone.
    let get = |path: &str| frame(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET", path));
    let preface = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(SETTINGS, 0, 0, &[]),
    ]
    .concat();
    let going = frame(GOAWAY, 0, 0, &[0; 8]);
    let bytes = [
        &preface[..],
        &get(&format!("/a?filter={{\"{SECRET}\":1}}")),
        &going,
    ]
    .concat();
    let (_, peer) = send(process.address(), &bytes);
    assert_eq!(line(&process, peer), "kind=\"parse\"");
    let streams = "scopegate_http2_streams_refused_total";
    process.wait_for_metric(streams, 1.0);
    // The twin, and a stream that its client resets.
    upstream.play([Script::Hang]);
    let mut client = Frames::connect(process.address());
    client.get(1, "/hang");
    upstream.wait_for(1);
    client.send(RST_STREAM, 0, 1, &[0, 0, 0, 1]);
    client.get(3, "/a?filter=1");
    assert_eq!(client.status(3), 200);
    assert!((process.metric(streams) - 1.0).abs() < 0.5);
    assert!(!process.errors().contains(SECRET), "{}", process.errors());
}

#[test]
fn what_comes_before_http_and_is_none_of_it_is_logged_with_peer_and_kind() {
    let upstream = Upstream::start();
    let announced = "[server]\nproxy_protocol_from = [\"127.0.0.0/8\"]\n";
    let process = Process::run(&format!("{announced}{}{ROUTE}", upstream.toml("orders")));
    let (_, peer) = send(
        process.address(),
        format!("GET /{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
    );
    assert_eq!(line(&process, peer), "kind=\"proxy_protocol\"");
    assert!(!process.errors().contains(SECRET), "{}", process.errors());

    let secured = Secured::new();
    let process = Process::run(&format!(
        "{}{}{ROUTE}",
        secured.server_toml(),
        upstream.toml("orders")
    ));
    let (answer, peer) = send(
        process.address(),
        format!("GET /{SECRET} HTTP/1.1\r\n\r\n").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(line(&process, peer), "kind=\"tls\"");
    assert!(!process.errors().contains(SECRET), "{}", process.errors());
}

#[test]
fn clients_can_cause_no_flood_of_lines() {
    const CLIENTS: usize = 300;
    let upstream = Upstream::start();
    let process = Process::run_alone(&format!("{}{ROUTE}", upstream.toml("orders")));
    let refuse = || {
        assert!(
            send(process.address(), b"no http\r\n\r\n")
                .0
                .starts_with("HTTP/1.1 400 ")
        );
    };
    (0..CLIENTS).for_each(|_| refuse());
    process.wait_for_metric(
        "scopegate_connection_errors_total{kind=\"parse\"}",
        CLIENTS as f64,
    );
    let lines = || {
        process
            .errors()
            .matches("a parser refused bytes of a client")
            .count()
    };
    assert!(lines() < CLIENTS / 2, "{} lines", lines());
    // The next line tells of those that had none.
    wait_until("there is room for a line", || {
        refuse();
        process.errors().contains(" kind=\"parse\" skipped=")
    });
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
