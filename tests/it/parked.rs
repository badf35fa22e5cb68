//! Parked connections of HTTP/1.1: only their sockets are kept, and no client can tell.

use std::io::{Read as _, Write as _};
use std::thread;

use crate::support::{Authority, Client, Gateway, Request, Script, Upstream, wait_until};

const RESTING: &str = "scopegate_connections_resting";
const CLIENTS: &str = "scopegate_connections_open";

/// A client whose connection rests after its first answer.
fn resting(gateway: &Gateway) -> Client {
    let before = gateway.metric(RESTING);
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/first")).status, 200);
    gateway.wait_for_metric(RESTING, before + 1.0);
    client
}

#[test]
fn a_connection_that_rested_answers_what_comes_next() {
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::open(&upstream, "");
    let mut client = resting(&gateway);
    assert_eq!(client.send(&Request::get("/second")).text(), "/second");
    assert_eq!(gateway.metric(RESTING), 0.0, "it may come back soon");
    // More than is read at once, and several at a time.
    let mut client = resting(&gateway);
    let body = "x".repeat(100_000);
    client.write_request(&Request::new("POST", "/a").body(body.clone()));
    client.write_request(&Request::get("/b").field("X-A", &"a".repeat(5000)));
    client.write_request(&Request::get("/c"));
    for text in [format!("/a{body}"), "/b".to_owned(), "/c".to_owned()] {
        assert_eq!(
            client.read("POST").expect("there is an answer").text(),
            text
        );
    }
    // A byte at a time.
    let mut client = resting(&gateway);
    for byte in Request::get("/d").bytes() {
        client.write(&[byte]);
    }
    assert_eq!(client.read("GET").expect("there is an answer").text(), "/d");
    assert_eq!(gateway.metric("scopegate_connections_accepted_total"), 3.0);
}

// What a client only ever sends to, as one that posts measurements, rests between two of them.
#[test]
fn a_connection_whose_requests_have_bodies_rests_as_well() {
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::open(&upstream, "");
    let lengthy = Request::new("POST", "/a").body("x".repeat(100_000)).bytes();
    let chunked =
        b"POST /a HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\
          0\r\n\r\n";
    // Nobody reads that one, and it is there whole.
    let refused = b"POST /a//b HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc";
    for (bytes, status) in [(&lengthy[..], 200), (chunked, 200), (refused, 400)] {
        let mut client = gateway.connect();
        client.write(bytes);
        assert_eq!(
            client.read("POST").expect("there is an answer").status,
            status
        );
        gateway.wait_for_metric(RESTING, 1.0);
        assert_eq!(client.send(&Request::get("/next")).text(), "/next");
        drop(client);
        gateway.wait_for_metric(CLIENTS, 0.0);
    }
}

// Bytes that came before the connection rested are not lost.
#[test]
fn half_a_request_that_was_pipelined_keeps_its_place() {
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::open(&upstream, "");
    let mut halves = Vec::new();
    // On both workers.
    for number in 0..8 {
        let mut client = gateway.connect();
        client.write(b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\nGET /b HTTP/1.1\r\nHo");
        assert_eq!(
            client.read("GET").expect("there is an answer").text(),
            "/a",
            "{number}"
        );
        halves.push(client);
    }
    // Those that came later rest, so that the first have had their time.
    let _others: Vec<_> = (0..4).map(|_| resting(&gateway)).collect();
    for mut client in halves {
        client.write(b"st: api.test\r\n\r\n");
        assert_eq!(client.read("GET").expect("there is an answer").text(), "/b");
    }
}

#[test]
fn a_connection_over_tls_rests_as_well() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    upstream.always(Script::Echo);
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(&upstream, &[("a", &pair)], "", &[]);
    let mut client = root.connect(gateway.address(), "a.test", &[b"http/1.1"]);
    // It has nothing to keep before its first request.
    client.conn.complete_io(&mut client.sock).unwrap();
    gateway.wait_for_metric(RESTING, 1.0);
    for path in ["/a", "/b"] {
        client
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(path.as_bytes()) {
            let mut piece = [0; 1000];
            let count = client.read(&mut piece).unwrap();
            assert!(count > 0, "{path} is answered");
            answer.extend_from_slice(&piece[..count]);
        }
        if path == "/a" {
            gateway.wait_for_metric(RESTING, 1.0);
        }
    }
    drop(client);
    gateway.wait_for_metric(CLIENTS, 0.0);
    assert_eq!(gateway.metric(RESTING), 0.0);
}

// It ends in order, by its deadline, its age and the drain.
#[test]
fn a_connection_that_rests_ends_as_others_do() {
    let upstream = Upstream::start();
    for timeout in ["idle = \"2s\"", "connection_age = \"2s\""] {
        let gateway = Gateway::open(&upstream, &format!("[server.timeouts]\n{timeout}\n"));
        let mut client = resting(&gateway);
        assert!(client.ends(), "{timeout}");
        gateway.wait_for_metric(CLIENTS, 0.0);
        assert_eq!(gateway.metric(RESTING), 0.0);
        let timeouts = gateway.metric("scopegate_connection_errors_total{reason=\"idle_timeout\"}");
        assert_eq!(timeouts, f64::from(u8::from(timeout.starts_with("idle"))));
    }
    let gateway = Gateway::open(&upstream, "");
    let mut client = resting(&gateway);
    thread::scope(|scope| {
        scope.spawn(|| gateway.shutdown());
        assert!(client.ends());
    });
}

// A request that comes with the end of the connection is answered.
#[test]
fn a_connection_that_rests_is_woken_by_a_request_that_comes_with_the_drain() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let address = gateway.address();
    let mut client = resting(&gateway);
    thread::scope(|scope| {
        scope.spawn(|| gateway.shutdown());
        wait_until("the drain has begun", || {
            Client::try_connect(&address.to_string()).is_none()
        });
        let answer = client.send(&Request::get("/late"));
        assert_eq!(
            (answer.status, answer.field("connection")),
            (200, Some("close"))
        );
        assert!(client.ends());
    });
}

// The head of a request has its time from its first byte.
#[test]
fn half_a_head_on_a_connection_that_rested_has_its_time() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.timeouts]\nrequest_head = \"300ms\"\n");
    let mut client = resting(&gateway);
    client.write(b"GET /half HTTP/1.1\r\n");
    assert!(client.is_closed());
    assert_eq!(
        gateway.metric("scopegate_connection_errors_total{reason=\"head_timeout\"}"),
        1.0
    );
    assert_eq!(upstream.arrivals().len(), 1);
}

// 10 000 connections that are kept and say nothing take 150 MiB and no more.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_rests_takes_no_more_than_15_kib() {
    use crate::support::Process;

    const BATCH: usize = 50;
    const MOST: usize = 15 * 1024;
    let upstream = Upstream::start();
    let route =
        "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
    let process = Process::run(&format!("{}{route}", upstream.toml("orders")));
    let mut clients = Vec::new();
    let mut before = 0;
    for batch in 1..=10 {
        for _ in 0..BATCH {
            let mut client = Client::connect(process.address());
            assert_eq!(
                client
                    .send(&Request::get("/a").field("X-A", &"a".repeat(1000)))
                    .status,
                200
            );
            clients.push(client);
        }
        let all = f64::from(u32::try_from(batch * BATCH).unwrap());
        process.wait_for_metric(RESTING, all);
        if batch == 2 {
            before = process.memory();
        }
    }
    let each = process.memory().saturating_sub(before) / (8 * BATCH);
    assert!(each <= MOST, "{each} bytes each");
    assert!(
        clients
            .iter_mut()
            .all(|client| client.send(&Request::get("/b")).status == 200)
    );
}
