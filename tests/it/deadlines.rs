//! Every wait has a deadline. The deadlines here are short; the tests check that they take effect,
//! not how soon.

use std::time::Duration;

use crate::support::{Gateway, Request, Script, Upstream, wait_until};

const OPEN: &str = "scopegate_upstream_connections_open{upstream=\"orders\"}";
const CLIENTS: &str = "scopegate_connections_open";

/// A gateway with one short deadline of a client's connection; the others are far away. Not so
/// short that a test on a busy machine runs into it between two steps of its own.
fn gateway(upstream: &Upstream, short: &str) -> Gateway {
    let deadlines = ["request_head", "idle", "idle_body"].map(|name| {
        let value = if name == short { "500ms" } else { "1h" };
        format!("{name} = \"{value}\"\n")
    });
    let request = if short == "request" {
        "request = \"1s\"\n"
    } else {
        ""
    };
    Gateway::open(
        upstream,
        &format!(
            "response_timeout = \"1h\"\n[server.timeouts]\n{}{request}",
            deadlines.concat()
        ),
    )
}

// The deadline runs from the first byte; further ones do not move it.
#[test]
fn a_head_that_comes_byte_by_byte_is_let_go() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "request_head");
    for start in ["G", "GET /a HTTP/1.1\r\nHost: api.test\r\nX-A: ", "\r\n"] {
        let mut client = gateway.connect();
        client.write(start.as_bytes());
        wait_until("the client is let go", || {
            client.write(b"a");
            client.is_closed_within(Duration::from_millis(10))
        });
    }
    // The second head of a connection is no better off than the first.
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/a")).status, 200);
    client.write(b"GET /a");
    assert!(client.is_closed());
    assert_eq!(upstream.arrivals().len(), 1);
    assert_eq!(
        gateway.metric("scopegate_connection_errors_total{reason=\"head_timeout\"}"),
        4.0
    );
}

// And neither does an idle connection stay, whether it was ever used or not.
#[test]
fn a_connection_without_a_request_is_let_go() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "idle");
    let mut silent = gateway.connect();
    let mut used = gateway.connect();
    assert_eq!(used.send(&Request::get("/a")).status, 200);
    assert!(used.ends());
    assert!(silent.ends());
    gateway.wait_for_metric(CLIENTS, 0.0);
}

// The twin: a connection that waits for its answer is not idle, nor is one whose head has begun.
#[test]
fn a_connection_with_a_request_is_not_idle() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "idle");
    upstream.play([Script::Pieces(vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate".to_vec(),
    ])]);
    let (mut waiting, mut beginning) = (gateway.connect(), gateway.connect());
    waiting.write_request(&Request::get("/a"));
    beginning.write(b"GET /b HTTP/1.1\r\n");
    upstream.wait_for(1);
    // Three other connections come of age, one after the other.
    for _ in 0..3 {
        assert!(gateway.connect().is_closed());
    }
    upstream.go_on();
    assert_eq!(
        waiting.read("GET").expect("there is an answer").text(),
        "late"
    );
    beginning.write(b"Host: api.test\r\n\r\n");
    assert_eq!(
        beginning.read("GET").expect("there is an answer").status,
        200
    );
}

// 408, for the client is at fault and not the upstream.
#[test]
fn a_body_that_stops_coming_is_408() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "idle_body");
    for (framing, body) in [
        ("Content-Length: 9", ""),
        ("Content-Length: 9", "begun"),
        ("Transfer-Encoding: chunked", "5\r\nbegun\r\n"),
        ("Transfer-Encoding: chunked", "5\r\nbegun\r\n0\r\n"),
    ] {
        let mut client = gateway.connect();
        client.write(
            format!("POST /a HTTP/1.1\r\nHost: api.test\r\n{framing}\r\n\r\n{body}").as_bytes(),
        );
        let answer = client.read("POST").expect("there is an answer");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (408, "body_timeout"),
            "{framing} {body}"
        );
        assert!(client.is_closed());
        gateway.wait_for_metric(OPEN, 0.0);
        assert!(
            upstream.arrivals().is_empty(),
            "the upstream took it for complete"
        );
    }
    assert_eq!(
        gateway.metric("scopegate_upstream_faults_total{fault=\"closed\",upstream=\"orders\"}"),
        0.0
    );
    assert_eq!(
        gateway
            .send(&Request::new("POST", "/a").body("whole"))
            .status,
        200
    );
}

// The twin: a body may take longer than the wait for one of its pieces.
#[test]
fn a_body_that_keeps_coming_is_not_stalled() {
    let upstream = Upstream::start();
    // Long enough for this test to send a piece in time on a machine that has better to do.
    let gateway = Gateway::open(&upstream, "[server.timeouts]\nidle_body = \"2s\"\n");
    let mut slow = gateway.connect();
    slow.write(b"POST /slow HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut stalled = gateway.connect();
    stalled.write(b"POST /stalled HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\n");
    // A piece at a time, until another body, which stands still, has come of age.
    let mut sent = 0;
    wait_until("the other body times out", || {
        slow.write(b"1\r\nx\r\n");
        sent += 1;
        wait_until("the piece arrives", || upstream.body_bytes() == sent);
        stalled.has_answer_within(Duration::from_millis(10))
    });
    slow.write(b"0\r\n\r\n");
    assert_eq!(slow.read("POST").expect("there is an answer").status, 200);
    assert_eq!(upstream.last().body.len(), sent);
}

// An answer that stops coming is cut, and the client sees that it was.
#[test]
fn an_answer_that_stops_coming_is_cut() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "idle_body");
    for head in [
        "content-length: 9\r\n\r\nbegun",
        "transfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n",
    ] {
        upstream.play([Script::Pieces(vec![
            format!("HTTP/1.1 200 OK\r\n{head}").into_bytes(),
            b"marker".to_vec(),
        ])]);
        upstream.go_on();
        let mut client = gateway.connect();
        let answer = client.send(&Request::get("/a"));
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.complete),
            (200, "begun", false),
            "{head}"
        );
        gateway.wait_for_metric(OPEN, 0.0);
        upstream.go_on();
    }
}

// A client that takes nothing of its answer holds nothing of the gateway.
#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "idle_body");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    upstream.play([Script::Flood(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        chunk.into_bytes(),
    )]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/endless"));
    wait_until("the answer is on its way", || upstream.flooded() > 0);
    gateway.wait_for_metric(CLIENTS, 0.0);
    gateway.wait_for_metric(OPEN, 0.0);
    // What it has in its own buffers it may still read, but not to an end.
    assert!(!client.read("GET").expect("there is an answer").complete);
}

// No limit on the whole request unless configured; with one, nothing extends it.
#[test]
fn a_request_that_takes_too_long_as_a_whole_is_ended() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "request");
    upstream.play([Script::Hang]);
    let answer = gateway.send(&Request::get("/a"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "request_timeout")
    );

    // An upload that goes on and on.
    let mut client = gateway.connect();
    client.write(b"POST /a HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    wait_until("the upload is ended", || {
        client.write(b"1\r\nx\r\n");
        client.has_answer_within(Duration::from_millis(10))
    });
    let answer = client.read("POST").expect("there is an answer");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "request_timeout")
    );
    assert!(client.is_closed());

    // A download that goes on and on.
    upstream.play([Script::Flood(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        b"1\r\nx\r\n".to_vec(),
    )]);
    assert!(!gateway.send(&Request::get("/a")).complete);
    gateway.wait_for_metric(OPEN, 0.0);
    assert_eq!(gateway.send(&Request::get("/next")).status, 200);
}
