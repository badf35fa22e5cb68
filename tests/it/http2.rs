//! HTTP/2 frame by frame: the decision is the same as over HTTP/1.1, floods are bounded while other
//! clients are served, and connections end in order.

use std::time::{Duration, Instant};

use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, literal, request,
};
use crate::support::{Gateway, Issuer, Request, Script, Upstream, wait_until};

const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

/// The status of a request with these fields besides the usual ones.
#[track_caller]
fn status_with(gateway: &Gateway, more: &[(&str, &str)]) -> u16 {
    let mut client = Frames::connect(gateway.address());
    client.send(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &[request("GET", "/a"), fields(more)].concat(),
    );
    client.status(1)
}

// Authorization is the same for both protocols.
#[test]
fn a_request_over_http_2_is_authorized_like_any_other() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nscopes = \"read\"\n",
        issuer.toml(),
        upstream.toml("orders")
    ));
    let bearer = |scope: &str| format!("Bearer {}", issuer.token(scope));
    assert_eq!(status_with(&gateway, &[]), 401);
    assert_eq!(
        status_with(&gateway, &[("authorization", &bearer("other"))]),
        403
    );
    assert!(upstream.arrivals().is_empty());
    assert_eq!(
        status_with(&gateway, &[("authorization", &bearer("read"))]),
        200
    );
    assert_eq!(
        status_with(
            &gateway,
            &[("authorization", &bearer("read")), ("authorization", "x")]
        ),
        400
    );
}

// What an upstream of HTTP/1.1 gets.
#[test]
fn a_request_over_http_2_is_put_in_the_upstreams_terms() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    upstream.always(Script::Echo);
    let mut client = Frames::connect(gateway.address());
    let more = fields(&[
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("te", "trailers"),
        ("x-a", "1"),
    ]);
    client.send(
        HEADERS,
        END_HEADERS,
        1,
        &[request("POST", "/a?q"), more].concat(),
    );
    client.send(DATA, 0, 1, b"some");
    client.send(DATA, END_STREAM, 1, b"thing");
    assert_eq!(client.status(1), 200);
    assert_eq!(client.body(1), b"/a?qsomething");
    let arrival = upstream.last();
    assert_eq!(
        (arrival.method.as_str(), arrival.body.as_slice()),
        ("POST", b"something".as_slice())
    );
    assert_eq!(arrival.field("x-forwarded-host"), Some("api.test"));
    assert_eq!(arrival.field("cookie"), Some("a=b; c=d"), "RFC 9113 §8.2.3");
    assert_eq!(arrival.field("via"), Some("2.0 scopegate"));
    assert_eq!(arrival.field("te"), Some("trailers"));
    assert_eq!(arrival.field("transfer-encoding"), Some("chunked"));

    client.send(
        HEADERS,
        END_HEADERS,
        3,
        &[request("POST", "/a"), literal("content-length", "2")].concat(),
    );
    client.send(DATA, END_STREAM, 3, b"hi");
    assert_eq!(client.status(3), 200);
    assert_eq!(upstream.last().field("content-length"), Some("2"));

    client.send(
        HEADERS,
        END_HEADERS,
        5,
        &[request("POST", "/a"), literal("trailer", "x-sum")].concat(),
    );
    client.send(DATA, 0, 5, b"hi");
    client.send(HEADERS, END_STREAM | END_HEADERS, 5, &literal("x-sum", "7"));
    assert_eq!(client.status(5), 200);
    assert_eq!(
        upstream.last().trailers,
        [("x-sum".to_owned(), "7".to_owned())]
    );
    assert_eq!(
        gateway.metric("scopegate_connections_protocol_total{protocol=\"http2\"}"),
        1.0
    );
}

#[test]
fn a_target_of_http_2_has_one_host_and_a_path() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let head = |method: &str, path: &str, more: &[(&str, &str)]| {
        let line = fields(&[(":method", method), (":scheme", "http"), (":path", path)]);
        let mut client = Frames::connect(gateway.address());
        client.send(
            HEADERS,
            END_STREAM | END_HEADERS,
            1,
            &[line, fields(more)].concat(),
        );
        let answer =
            client.wait(|frame| frame.stream == 1 && matches!(frame.kind, HEADERS | RST_STREAM));
        let answer = answer.expect("there is an answer");
        if answer.kind == HEADERS {
            answer.status()
        } else {
            0
        }
    };
    let authority = (":authority", "api.test");
    assert_eq!(head("GET", "/a", &[authority]), 200);
    assert_eq!(head("GET", "/a", &[authority, ("host", "API.test")]), 200);
    assert_eq!(head("GET", "/a", &[("host", "api.test")]), 200);
    assert_eq!(head("GET", "/a", &[authority, ("host", "other.test")]), 400);
    assert_eq!(
        head(
            "GET",
            "/a",
            &[authority, ("host", "api.test"), ("host", "other.test")]
        ),
        400
    );
    assert_eq!(head("GET", "/a", &[]), 400);
    assert_eq!(head("GET", "/a", &[(":authority", "u@api.test")]), 400);
    assert_eq!(head("OPTIONS", "*", &[authority]), 400);
    for path in ["", "a", "//", "http://other.test/a"] {
        assert!(matches!(head("GET", path, &[authority]), 0 | 400), "{path}");
    }
    assert_eq!(upstream.arrivals().len(), 3);
    let mut client = Frames::connect(gateway.address());
    client.send(
        HEADERS,
        END_HEADERS,
        1,
        &fields(&[(":method", "CONNECT"), (":authority", "api.test:80")]),
    );
    assert!(matches!(client.status(1), 400 | 405 | 501));
}

#[test]
fn the_limits_hold_for_http_2() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.limits]\nbody_bytes = \"1 KiB\"\n");
    let many = |count: usize| vec![("x-a", "b"); count];
    assert_eq!(status_with(&gateway, &many(90)), 200);
    assert_eq!(status_with(&gateway, &many(101)), 431);
    let long = "x".repeat(20_000);
    let mut client = Frames::connect(gateway.address());
    let block = [
        request("GET", "/"),
        literal("x-a", &long),
        literal("x-b", &long),
    ]
    .concat();
    let (first, rest) = block.split_at(16_000);
    client.send(HEADERS, END_STREAM, 1, first);
    client.send(CONTINUATION, 0, 1, &rest[..16_000]);
    client.send(CONTINUATION, END_HEADERS, 1, &rest[16_000..]);
    assert_eq!(client.status(1), 431, "the parser's own");
    assert!(client.is_alive());
    client.get(3, &format!("/{}", "a".repeat(9000)));
    assert_eq!(client.status(3), 414);
    client.send(HEADERS, END_HEADERS, 5, &request("POST", "/"));
    client.send(DATA, END_STREAM, 5, &[b'x'; 1025]);
    assert_eq!(client.status(5), 413);
    client.send(HEADERS, END_HEADERS, 7, &request("POST", "/"));
    client.send(DATA, END_STREAM, 7, &[b'x'; 1024]);
    assert_eq!(client.status(7), 200, "the connection lives on");
}

/// Makes a piece of a flood by its number.
type Piece<'a> = &'a dyn Fn(u32) -> Vec<u8>;

/// Sends until the gateway ends the connection, and says how often it sent and with which error it
/// ended.
fn flood(gateway: &Gateway, piece: impl Fn(u32) -> Vec<u8>) -> (u32, Option<u32>) {
    let mut client = Frames::connect(gateway.address());
    client.send(HEADERS, END_HEADERS, 1, &request("POST", "/slow"));
    let mut count = 0;
    let begun = Instant::now();
    while client.try_write(&piece(count)) && begun.elapsed() < Duration::from_secs(10) {
        count += 1;
        if count % 100 == 0
            && let Some(frame) = client.next_within(Duration::from_millis(1))
        {
            let is_over = frame.kind == GOAWAY;
            client.seen.push(frame);
            if is_over {
                break;
            }
        }
    }
    let error = client
        .seen
        .iter()
        .find(|frame| frame.kind == GOAWAY)
        .map(Frame::error);
    (count, error.or_else(|| client.ended().0))
}

// Each ends, and others are served meanwhile.
#[test]
fn floods_end_their_connection_and_no_other() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut other = Frames::connect(gateway.address());
    let ping = |_| frame(PING, 0, 0, &[0; 8]);
    let settings = |_| frame(SETTINGS, 0, 0, &[]);
    let empty = |_| frame(DATA, 0, 1, &[]);
    let updates = |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let resets = |number: u32| {
        let stream = 2 * number + 3;
        [
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                stream,
                &request("GET", "/"),
            ),
            frame(RST_STREAM, 0, stream, &CANCEL),
        ]
        .concat()
    };
    let floods: [(&str, Piece<'_>); 5] = [
        ("PING", &ping),
        ("SETTINGS", &settings),
        ("empty DATA", &empty),
        ("WINDOW_UPDATE", &updates),
        ("rapid reset", &resets),
    ];
    for (index, (name, piece)) in floods.into_iter().enumerate() {
        let (count, error) = flood(&gateway, piece);
        assert!(
            error.is_none_or(|error| error == ENHANCE_YOUR_CALM),
            "{name}: error {error:?} after {count}"
        );
        let stream = u32::try_from(2 * index + 1).unwrap();
        other.get(stream, "/");
        assert_eq!(other.status(stream), 200, "{name}");
    }
    gateway.wait_for_metric(
        "scopegate_connection_errors_total{reason=\"http2_flood\"}",
        5.0,
    );
}

// CONTINUATION without end.
#[test]
fn a_head_that_goes_on_is_cut() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = Frames::connect(gateway.address());
    client.send(HEADERS, END_STREAM, 1, &request("GET", "/"));
    let piece = frame(CONTINUATION, 0, 1, &literal("x-a", &"b".repeat(1000)));
    let sent = (0..100_000)
        .take_while(|_| client.try_write(&piece))
        .count();
    assert!(sent < 50_000, "{sent} pieces were taken");
    assert!(client.is_closed());
    assert!(upstream.arrivals().is_empty());
}

// The deadlines of HTTP/2, each from its first byte.
#[test]
fn what_does_not_come_in_time_is_not_waited_for() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(
        &upstream,
        "[server.timeouts]\nrequest_head = \"600ms\"\nidle = \"1s\"\nidle_body = \"800ms\"\n",
    );
    let mut half = Frames::silent(gateway.address());
    half.write(b"PRI * HTTP/2.0\r\n");
    assert!(half.is_closed(), "half a preface");
    let mut silent = Frames::silent(gateway.address());
    silent.write(crate::support::frames::PREFACE);
    assert!(silent.is_closed(), "no settings");
    let mut head = Frames::connect(gateway.address());
    head.send(HEADERS, END_STREAM, 1, &request("GET", "/"));
    assert!(head.is_closed(), "half a head");
    let mut idle = Frames::connect(gateway.address());
    idle.get(1, "/");
    assert_eq!(idle.status(1), 200);
    assert_eq!(idle.ended().0, Some(0), "an idle client is told in order");
}

// A client that takes nothing holds nothing for long.
#[test]
fn an_answer_that_its_client_does_not_take_is_given_up() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.timeouts]\nidle_body = \"2s\"\n");
    upstream.play([Script::Flood(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat(),
    )]);
    let mut client = Frames::connect(gateway.address());
    client.get(1, "/");
    assert_eq!(client.status(1), 200);
    gateway.wait_for_metric("scopegate_http2_streams_stalled_total", 1.0);
    client.get(3, "/");
    assert_eq!(client.status(3), 200, "others go on");
    gateway.wait_for_metric(
        "scopegate_upstream_connections_open{upstream=\"orders\"}",
        1.0,
    );
}

// Both GOAWAYs, and what is under way is finished.
#[test]
fn a_drain_lets_streams_end() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    upstream.play([Script::Pieces(vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
    ])]);
    let mut client = Frames::connect(gateway.address());
    client.get(1, "/");
    upstream.wait_for(1);
    let stopping = std::thread::spawn(move || gateway.shutdown());
    let first = client
        .wait(|frame| frame.kind == GOAWAY)
        .expect("it is announced");
    assert_eq!((first.number(0), first.error()), (0x7fff_ffff, 0));
    client
        .wait(|frame| frame.kind == PING)
        .expect("it asks whether that was read");
    let second = client
        .wait(|frame| frame.kind == GOAWAY)
        .expect("it is final");
    assert_eq!((second.number(0), second.error()), (1, 0));
    upstream.go_on();
    assert_eq!(client.status(1), 200);
    assert!(client.is_closed());
    stopping.join().unwrap();
}

// Requests have bounds, on a connection and in all.
#[test]
fn requests_have_bounds_on_a_connection_and_in_all() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(
        &upstream,
        "[server.limits]\nconnection_requests = 2\nrequests = 1\n",
    );
    let mut client = gateway.connect();
    let first = client.send(&Request::get("/a"));
    assert_eq!((first.status, first.field("connection")), (200, None));
    let second = client.send(&Request::get("/a"));
    assert_eq!(
        (second.status, second.field("connection")),
        (200, Some("close"))
    );
    assert!(client.is_closed());
    let mut client = Frames::connect(gateway.address());
    for stream in [1, 3] {
        client.get(stream, "/a");
        assert_eq!(client.status(stream), 200);
        gateway.wait_for_metric("scopegate_requests_open", 0.0);
    }
    assert!(client.is_closed());
    assert!(
        client
            .seen
            .iter()
            .any(|frame| frame.kind == GOAWAY && frame.error() == 0),
        "it is told in order"
    );

    upstream.play([Script::Hang]);
    let mut held = gateway.connect();
    held.write_request(&Request::get("/held"));
    upstream.wait_for(5);
    let refused = gateway.send(&Request::get("/a"));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "overloaded")
    );
    assert!(refused.field("retry-after").is_some());
    held.abort();
    wait_until("there is room again", || {
        gateway.send(&Request::get("/a")).status == 200
    });
}

/// The identifiers of settings (RFC 9113 §6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The window of a connection before the first WINDOW_UPDATE (RFC 9113 §6.9.2).
const FIRST_WINDOW: u32 = 65_535;

/// Returns the value of a setting in a SETTINGS frame.
fn setting(payload: &[u8], id: u16) -> Option<u32> {
    let mut settings = payload.chunks_exact(6);
    let found = settings.find(|setting| setting[..2] == id.to_be_bytes())?;
    Some(u32::from_be_bytes(found[2..].try_into().unwrap()))
}

#[test]
fn a_client_is_told_the_streams_and_the_windows_of_the_configuration() {
    let upstream = Upstream::start();
    let own = "[server.http2]\nstreams = 7\nstream_window = \"8 KiB\"\n\
               connection_window = \"256 KiB\"\n";
    for (lines, streams, stream, connection) in
        [("", 100, 64 << 10, 1 << 20), (own, 7, 8 << 10, 256 << 10)]
    {
        let gateway = Gateway::open(&upstream, lines);
        let mut client = Frames::connect(gateway.address());
        let is_update = |frame: &Frame| frame.kind == WINDOW_UPDATE && frame.stream == 0;
        if !client.seen.iter().any(is_update) {
            client.wait(is_update).expect("the connection has a window");
        }
        let mut seen = client.seen.iter();
        let told = seen.find(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0);
        let told = &told.unwrap().payload;
        assert_eq!(setting(told, MAX_CONCURRENT_STREAMS), Some(streams));
        assert_eq!(setting(told, INITIAL_WINDOW_SIZE), Some(stream));
        let updates = client.seen.iter().filter(|frame| is_update(frame));
        let more: u32 = updates.map(|frame| frame.number(0)).sum();
        assert_eq!(FIRST_WINDOW + more, connection);
    }
}
