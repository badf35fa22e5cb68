//! Connections that end by age, by their number of requests, or because they are idle or not read:
//! no request in progress is lost, over either protocol.

use std::io::{Read as _, Write as _};
use std::thread;

use crate::support::frames::{END_STREAM, Frames, GOAWAY, HEADERS};
use crate::support::{Authority, Gateway, Request, Script, Upstream, wait_until};

const NO_ERROR: u32 = 0;
const CLIENTS: &str = "scopegate_connections_open";
const OPEN: &str = "scopegate_upstream_connections_open{upstream=\"orders\"}";

/// An answer in two pieces, each when it is told to come.
fn slow() -> Script {
    let pieces = ["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none", "two"];
    Script::Pieces(
        pieces
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .collect(),
    )
}

// The last request that a connection may make is told so, and answered.
#[test]
fn a_connection_of_http_1_ends_with_its_last_request() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.limits]\nconnection_requests = 3\n");
    let mut client = gateway.connect();
    for number in 1..=3 {
        let answer = client.send(&Request::get("/a"));
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.field("connection"),
            (number == 3).then_some("close"),
            "request {number}"
        );
    }
    assert!(client.ends(), "in order");
    // What is pipelined behind the last one is nobody's: it is neither answered nor forwarded.
    let mut client = gateway.connect();
    (0..4).for_each(|_| client.write_request(&Request::get("/b")));
    assert_eq!((0..4).filter_map(|_| client.read("GET")).count(), 3);
    assert_eq!(upstream.arrivals().len(), 6);
}

#[test]
fn a_connection_of_http_2_ends_with_its_last_request() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.limits]\nconnection_requests = 3\n");
    upstream.play([slow()]);
    let mut client = Frames::connect(gateway.address());
    client.get(1, "/slow");
    upstream.wait_for(1);
    client.get(3, "/a");
    assert_eq!(client.status(3), 200);
    client.get(5, "/a");
    assert_eq!(client.status(5), 200);
    let goaway = match client.seen.iter().find(|frame| frame.kind == GOAWAY) {
        Some(frame) => frame.clone(),
        None => client
            .wait(|frame| frame.kind == GOAWAY)
            .expect("it is told"),
    };
    assert_eq!(goaway.error(), NO_ERROR);
    // What is under way ends as if nothing had happened.
    upstream.go_on();
    upstream.go_on();
    assert_eq!(client.status(1), 200);
    assert_eq!(client.body(1), b"onetwo");
    assert!(client.is_closed());
    assert_eq!(upstream.arrivals().len(), 3);
}

// An old connection is told at its next answer.
#[test]
fn a_connection_of_http_1_that_is_old_ends_after_its_answer() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.timeouts]\nconnection_age = \"1s\"\n");
    upstream.play([slow()]);
    let mut busy = gateway.connect();
    busy.write_request(&Request::get("/slow"));
    upstream.wait_for(1);
    // Others come of age meanwhile, one after the other, since none has exactly the age of another:
    // who is idle is closed.
    for _ in 0..2 {
        let mut idle = gateway.connect();
        assert_eq!(idle.send(&Request::get("/a")).field("connection"), None);
        assert!(idle.ends());
    }
    upstream.go_on();
    upstream.go_on();
    let answer = busy.read("GET").expect("there is an answer");
    assert_eq!((answer.text().as_str(), answer.complete), ("onetwo", true));
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(busy.ends());
    gateway.wait_for_metric(CLIENTS, 0.0);
}

#[test]
fn a_connection_of_http_2_that_is_old_ends_after_its_answers() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.timeouts]\nconnection_age = \"1s\"\n");
    upstream.play([slow()]);
    let mut client = Frames::connect(gateway.address());
    client.get(1, "/slow");
    let first = client
        .wait(|frame| frame.kind == GOAWAY)
        .expect("it is told");
    assert_eq!((first.number(0), first.error()), (0x7fff_ffff, NO_ERROR));
    // A request that was on its way when that was said is served.
    client.get(3, "/a");
    let last = client
        .wait(|frame| frame.kind == GOAWAY)
        .expect("it is final");
    assert_eq!(last.error(), NO_ERROR);
    upstream.wait_for(1);
    upstream.go_on();
    upstream.go_on();
    let whole = client
        .seen
        .iter()
        .any(|frame| frame.kind == HEADERS && frame.stream == 1);
    if !whole {
        assert_eq!(client.status(1), 200);
    }
    client
        .wait(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0)
        .expect("it ends");
    assert!(client.is_closed());
    // The twin: it may be opened anew.
    assert_eq!(gateway.send(&Request::get("/again")).status, 200);
}

// An idle connection of either protocol is closed in order, and the gateway holds nothing of
// it.
#[test]
fn connections_that_nobody_uses_are_closed_in_order() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.timeouts]\nidle = \"1s\"\n");
    let mut old = gateway.connect();
    assert_eq!(old.send(&Request::get("/a")).status, 200);
    let mut new = Frames::connect(gateway.address());
    new.get(1, "/a");
    assert_eq!(new.status(1), 200);
    let mut unused = Frames::connect(gateway.address());
    assert!(old.ends());
    assert_eq!(new.ended(), (Some(NO_ERROR), true));
    assert_eq!(unused.ended(), (Some(NO_ERROR), true));
    gateway.wait_for_metric(CLIENTS, 0.0);
}

// Over TLS as in the clear, a client that reads nothing is let go, and its upstream
// connection with it.
#[test]
fn a_client_over_tls_that_takes_nothing_is_let_go() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(
        &upstream,
        &[("a", &pair)],
        "[server.timeouts]\nidle_body = \"2s\"\n",
        &[],
    );
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).into_bytes();
    // In less time the upstream, on a busy machine, might be the one that is let go.
    upstream.play([Script::Flood(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        chunk,
    )]);
    let mut client = root.connect(gateway.address(), "a.test", &[b"http/1.1"]);
    client
        .write_all(b"GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    wait_until("the answer is on its way", || upstream.flooded() > 0);
    gateway.wait_for_metric(CLIENTS, 0.0);
    gateway.wait_for_metric(OPEN, 0.0);
    // It can tell that the answer was cut: what it may still read does not end in order.
    let mut rest = Vec::new();
    let end = client.read_to_end(&mut rest);
    assert!(end.is_err() && !rest.ends_with(b"0\r\n\r\n"), "{end:?}");
    assert_eq!(
        gateway.metric("scopegate_connection_errors_total{reason=\"write_timeout\"}"),
        1.0
    );
    // The twin: a client that reads gets all of a long answer, however slowly its pieces come.
    upstream.play([slow()]);
    let mut client = root.connect(gateway.address(), "a.test", &[b"http/1.1"]);
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    upstream.go_on();
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut text = String::new();
            client.read_to_string(&mut text).map(|_| text)
        });
        upstream.go_on();
        let text = reading.join().unwrap().expect("it ends in order");
        assert!(text.ends_with("\r\n\r\nonetwo"), "{text}");
    });
}
