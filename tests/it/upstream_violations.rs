//! Upstreams of HTTP/2 that break its rules: the client gets an error, and the next request is not
//! affected.

use crate::support::framed::{Act, Framed, good, head};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, frame, literal,
};
use crate::support::{Answer, Gateway, Request, Upstream};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
const OK: (&str, &str) = (":status", "200");

fn start(upstream: &Framed, more: &str) -> Gateway {
    Gateway::start(&format!("{}{more}\n{ROUTE}", upstream.toml("orders")))
}

/// A request without a body that is not repeated: what comes of it comes of the first stream.
fn once() -> Request {
    Request::new("POST", "/a").body("")
}

fn writes(bytes: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Act {
    Act::Write(Box::new(bytes))
}

fn answers(fields: &'static [(&'static str, &'static str)]) -> Act {
    writes(move |stream| head(stream, END_STREAM, fields))
}

/// A whole answer of 200 with these frames in place of its body.
fn goes_on(rest: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Act {
    writes(move |stream| [head(stream, 0, &[OK]), rest(stream)].concat())
}

#[track_caller]
fn assert_failed(what: &str, answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_failed"),
        "{what}: {answer:?}"
    );
}

/// The gateway serves on, and on nothing of what came before.
#[track_caller]
fn assert_serves(what: &str, gateway: &Gateway) {
    for _ in 0..2 {
        let answer = gateway.send(&once());
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.complete),
            (200, "ok", true),
            "after {what}"
        );
    }
}

// docs/design/requirements.md#p05, #u01, RFC 9113 sections 8.1.1, 8.2 and 8.3.2: a malformed head
// is not a response.
#[test]
fn a_malformed_head_is_502() {
    let upstream = Framed::start();
    let gateway = start(&upstream, "");
    for (what, act) in [
        ("no status", answers(&[("x-a", "1")])),
        ("two statuses", answers(&[OK, (":status", "204")])),
        ("a status of two digits", answers(&[(":status", "20")])),
        ("a status of four digits", answers(&[(":status", "2000")])),
        ("a status after a field", answers(&[("x-a", "1"), OK])),
        ("an unknown pseudo-field", answers(&[OK, (":x", "1")])),
        ("a name in upper case", answers(&[OK, ("X-A", "1")])),
        ("a name with a space", answers(&[OK, ("x a", "1")])),
        ("a name with a quote", answers(&[OK, ("x\"a", "1")])),
        ("an empty name", answers(&[OK, ("", "1")])),
        (
            "a value with a line break",
            answers(&[OK, ("x-a", "1\r\nset-cookie: a=b")]),
        ),
        (
            "a field of the connection",
            answers(&[OK, ("connection", "close")]),
        ),
        (
            "a transfer coding",
            answers(&[OK, ("transfer-encoding", "chunked")]),
        ),
        ("an upgrade", answers(&[OK, ("upgrade", "h2c")])),
        ("a switch", answers(&[(":status", "101")])),
        (
            "a length that is none",
            answers(&[OK, ("content-length", "two")]),
        ),
        (
            "a length with a sign",
            answers(&[OK, ("content-length", "+0")]),
        ),
        (
            "two lengths",
            answers(&[OK, ("content-length", "0"), ("content-length", "1")]),
        ),
        (
            "a length and no body",
            answers(&[OK, ("content-length", "2")]),
        ),
        (
            "a body before the head",
            writes(|stream| frame(DATA, END_STREAM, stream, b"marker")),
        ),
        (
            "a final answer that is informational",
            answers(&[(":status", "103")]),
        ),
    ] {
        upstream.play([act]);
        assert_failed(what, &gateway.send(&once()));
        assert_serves(what, &gateway);
    }
}

// What begins well and ends badly is cut, and never whole.
#[test]
fn an_answer_that_breaks_off_never_looks_complete() {
    let upstream = Framed::start();
    let gateway = start(&upstream, "");
    let long = |stream| head(stream, 0, &[OK, ("content-length", "2")]);
    for (what, act) in [
        (
            "longer than its length",
            writes(move |stream| {
                [long(stream), frame(DATA, END_STREAM, stream, b"okmarker")].concat()
            }),
        ),
        (
            "shorter than its length",
            writes(move |stream| [long(stream), frame(DATA, END_STREAM, stream, b"o")].concat()),
        ),
        (
            "a second head",
            goes_on(|stream| [head(stream, 0, &[OK]), good(stream)].concat()),
        ),
        (
            "trailers with a quote in a name",
            goes_on(|stream| {
                let trailers = head(stream, END_STREAM, &[("x\"a", "1")]);
                [frame(DATA, 0, stream, b"ok"), trailers].concat()
            }),
        ),
        (
            "trailers without an end",
            goes_on(|stream| head(stream, 0, &[("x-a", "1")])),
        ),
        (
            "a reset without an error",
            goes_on(|stream| {
                [
                    frame(DATA, 0, stream, b"ok"),
                    frame(RST_STREAM, 0, stream, &[0; 4]),
                ]
                .concat()
            }),
        ),
        (
            "more than the window",
            goes_on(|stream| vec![frame(DATA, 0, stream, &[b'x'; 16_384]); 200].concat()),
        ),
        (
            "padding that is longer than the frame",
            goes_on(|stream| frame(DATA, 8, stream, &[9, b'o'])),
        ),
        (
            "a frame that is too long",
            goes_on(|stream| frame(DATA, END_STREAM, stream, &[b'x'; 16_385])),
        ),
        (
            "a frame of the connection on a stream",
            goes_on(|stream| frame(SETTINGS, 0, stream, &[])),
        ),
        ("data on no stream", goes_on(|_| frame(DATA, 0, 0, b"ok"))),
        (
            "data on a stream that nobody opened",
            goes_on(|_| frame(DATA, 0, 99, b"ok")),
        ),
        (
            "a window that overflows",
            goes_on(|_| frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ),
        (
            "a promise",
            goes_on(|stream| {
                let block = [
                    vec![0, 0, 0, 2],
                    crate::support::frames::request("GET", "/pushed"),
                ]
                .concat();
                frame(PUSH_PROMISE, END_HEADERS, stream, &block)
            }),
        ),
        (
            "an end of the connection with an error",
            goes_on(|_| frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])),
        ),
    ] {
        upstream.play([act]);
        let mut client = gateway.connect();
        client.write_request(&once());
        // The end may overtake the head: then there is none, or a 502.
        if let Some(answer) = client.read("POST") {
            assert!(
                answer.status == 502 || !answer.complete,
                "{what} looks complete: {answer:?}"
            );
            assert!(!answer.text().contains("marker"), "{what}: {answer:?}");
            assert!(
                answer.status == 502 || client.is_closed(),
                "{what}: the connection goes with the answer"
            );
        }
        assert_serves(what, &gateway);
    }
}

// What has no body has none, and what was informational is not relayed.
#[test]
fn answers_without_a_body_have_none() {
    let upstream = Framed::start();
    let gateway = start(&upstream, "");
    for (what, method, fields) in [
        ("HEAD", "HEAD", &[OK][..]),
        ("204", "POST", &[(":status", "204")]),
        ("304", "POST", &[(":status", "304")]),
    ] {
        upstream.play([writes(move |stream| {
            [
                head(stream, 0, fields),
                frame(DATA, END_STREAM, stream, b"marker"),
            ]
            .concat()
        })]);
        let mut client = gateway.connect();
        let answer = client.send(&Request::new(method, "/a").body(""));
        assert!(
            answer.status == 502 || fields[0].1 == answer.status.to_string(),
            "{what}: {answer:?}"
        );
        assert!(
            answer.status == 502 || answer.body.is_empty(),
            "{what}: {answer:?}"
        );
        assert_eq!(client.send(&once()).text(), "ok", "after {what}");
        assert_serves(what, &gateway);
    }
    upstream.play([writes(|stream| {
        let hint = head(stream, 0, &[(":status", "103"), ("link", "</a>")]);
        [hint.clone(), hint, good(stream)].concat()
    })]);
    let answer = gateway.send(&once());
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.field("link")),
        (200, "ok", None)
    );
}

// Whatever comes without end is bounded in time and memory, and others
// are served meanwhile.
#[test]
fn what_does_not_end_is_ended() {
    let upstream = Framed::start();
    let other = Upstream::start();
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/other\"\nupstream = \"other\"\npublic = true\n{ROUTE}",
        upstream.toml("orders"),
        other.toml("other")
    ));
    let nothing = || Box::new(|_| Vec::new());
    let field = literal("x-long", &"x".repeat(4096));
    let (begun, more) = (field.clone(), field.clone());
    for (what, act) in [
        (
            "informational answers",
            Act::Flood(
                nothing(),
                Box::new(|stream| head(stream, 0, &[(":status", "103"), ("link", "</a>")])),
            ),
        ),
        (
            "a head",
            Act::Flood(
                Box::new(move |stream| frame(HEADERS, 0, stream, &begun)),
                Box::new(move |stream| frame(CONTINUATION, 0, stream, &more)),
            ),
        ),
        (
            "a head in empty pieces",
            Act::Flood(
                Box::new(|stream| frame(HEADERS, 0, stream, &literal(":status", "200"))),
                Box::new(|stream| frame(CONTINUATION, 0, stream, &[])),
            ),
        ),
        (
            "a long head",
            writes(move |stream| {
                let first = frame(HEADERS, 0, stream, &literal(":status", "200"));
                let rest = vec![frame(CONTINUATION, 0, stream, &field); 17].concat();
                [first, rest, frame(CONTINUATION, END_HEADERS, stream, &[])].concat()
            }),
        ),
        (
            "pings",
            Act::Flood(nothing(), Box::new(|_| frame(PING, 0, 0, b"scopegat"))),
        ),
        (
            "settings",
            Act::Flood(nothing(), Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        ),
    ] {
        let before = upstream.flooded();
        upstream.play([act]);
        let mut client = gateway.connect();
        client.write_request(&once());
        for _ in 0..4 {
            assert_eq!(
                gateway.send(&Request::get("/other")).status,
                200,
                "during {what}"
            );
        }
        let answer = client.read("POST").expect("there is an answer");
        assert_failed(what, &answer);
        // What the buffers of the system hold on both sides, and no more.
        assert!(
            upstream.flooded() - before < 32 << 20,
            "{what}: {} bytes were taken",
            upstream.flooded() - before
        );
        assert_serves(what, &gateway);
    }
}

// What the library passes over goes no further.
#[test]
fn pseudo_fields_that_are_out_of_place_are_left_out() {
    let upstream = Framed::start();
    let gateway = start(&upstream, "");
    upstream.play([writes(|stream| {
        let begun = head(stream, 0, &[OK, (":path", "/marker"), ("trailer", "x-sum")]);
        let trailers = head(stream, END_STREAM, &[(":status", "204"), ("x-sum", "2")]);
        [begun, frame(DATA, 0, stream, b"ok"), trailers].concat()
    })]);
    let answer = gateway.send(&once().field("TE", "trailers"));
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.complete),
        (200, "ok", true),
        "{answer:?}"
    );
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "2".to_owned())]);
    assert!(
        answer.fields.iter().all(|(_, value)| value != "/marker"),
        "{answer:?}"
    );
}

// docs/design/requirements.md#u02, RFC 9113 sections 6.8 and 8.7: a request that the upstream did
// not process is sent to another connection.
#[test]
fn what_was_not_processed_goes_elsewhere() {
    let leaves = || writes(|_| frame(GOAWAY, 0, 0, &[0; 8]));
    let refuses = || writes(|stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 7]));
    for (what, act) in [
        ("GOAWAY", leaves as fn() -> Act),
        ("REFUSED_STREAM", refuses),
    ] {
        let (busy, idle) = (Framed::start(), Framed::start());
        let gateway = Gateway::start(&format!(
            "[upstreams.orders]\nendpoints = [\"{}\", \"{}\"]\nprotocol = \"http2\"\n{ROUTE}",
            busy.url(),
            idle.url()
        ));
        busy.play([act()]);
        let answer = gateway.send(&Request::get("/a"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "{what}"
        );
        assert_eq!((busy.streams(), idle.streams()), (1, 1), "{what}");
    }
}
