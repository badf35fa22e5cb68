//! Connections to upstreams: their number, their age and their addresses.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use crate::support::{Gateway, Request, Script, Upstream, wait_until};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
const OPEN: &str = "scopegate_upstream_connections_open{upstream=\"orders\"}";

#[test]
fn requests_wait_for_a_connection_and_not_too_many_do() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(
        &upstream,
        "max_connections = 1\nmax_pending = 1\nconnect_timeout = \"15s\"\n",
    );
    upstream.play([Script::Pieces(vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
    ])]);
    let mut first = gateway.connect();
    first.write_request(&Request::get("/held"));
    upstream.wait_for(1);
    let mut waiting: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    waiting
        .iter_mut()
        .for_each(|client| client.write_request(&Request::get("/next")));
    wait_until("one is refused", || {
        gateway.metric("scopegate_refusals_total{reason=\"upstream_overloaded\",route=\"/**\"}")
            > 0.0
    });
    upstream.go_on();
    assert_eq!(first.read("GET").unwrap().status, 200);
    let mut answers: Vec<_> = waiting
        .iter_mut()
        .map(|client| client.read("GET").unwrap())
        .collect();
    answers.sort_by_key(|answer| answer.status);
    assert_eq!((answers[0].status, answers[1].status), (200, 503));
    assert_eq!(answers[1].code(), "upstream_overloaded");
    assert_eq!(answers[1].field("retry-after"), Some("1"));
    assert!(gateway.metric(OPEN) <= 1.0);
}

// Nobody waits for ever.
#[test]
fn a_request_that_waits_too_long_for_a_connection_is_504() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(
        &upstream,
        "max_connections = 1\nconnect_timeout = \"200ms\"\n",
    );
    upstream.play([Script::Hang]);
    let mut first = gateway.connect();
    first.write_request(&Request::get("/held"));
    upstream.wait_for(1);
    let answer = gateway.send(&Request::get("/next"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "upstream_timeout")
    );
}

// A connection that one worker keeps idle does not keep another from having one.
#[test]
fn an_idle_connection_makes_room_for_another_worker() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(
        &upstream,
        "max_connections = 1\nconnect_timeout = \"15s\"\n",
    );
    for _ in 0..8 {
        assert_eq!(gateway.send(&Request::get("/")).status, 200);
    }
}

// What an earlier configuration has opened counts, and the bound is that of the configuration
// in force.
#[test]
fn a_reload_bounds_the_connections_of_before() {
    let upstream = Upstream::start();
    // With another idle_timeout no connection is kept.
    let toml = |most: usize, idle: &str| {
        format!(
            "{}max_connections = {most}\nconnect_timeout = \"200ms\"\nidle_timeout = \"{idle}\"\n\
             {ROUTE}",
            upstream.toml("orders")
        )
    };
    let gateway = Gateway::start(&toml(2, "60s"));
    let slow = || {
        Script::Pieces(vec![
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
        ])
    };
    upstream.play([slow(), slow()]);
    let mut held: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    held.iter_mut()
        .for_each(|client| client.write_request(&Request::get("/held")));
    upstream.wait_for(2);
    let mut reloads = 0.0;
    let mut reload = |most: usize, idle: &str| {
        gateway.rewrite(&toml(most, idle));
        gateway.reload();
        reloads += 1.0;
        gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", reloads);
    };
    reload(1, "61s");
    assert_eq!(
        gateway.send(&Request::get("/next")).status,
        504,
        "two are open and one may be"
    );
    // The twin.
    reload(3, "62s");
    assert_eq!(
        gateway.send(&Request::get("/next")).status,
        200,
        "two are open and three may be"
    );
    reload(2, "63s");
    let late = gateway.send(&Request::get("/next"));
    assert_eq!(late.status, 504, "two are open and two may be");
    upstream.go_on();
    wait_until("there is room again", || {
        gateway.send(&Request::get("/next")).status == 200
    });
    assert!(gateway.metric(OPEN) <= 2.0);
    upstream.go_on();
    held.iter_mut()
        .for_each(|client| assert_eq!(client.read("GET").unwrap().status, 200));
}

// A request of before can take hours: nothing else is kept for it.
#[test]
fn a_reload_closes_the_idle_connections_of_an_upstream_that_is_gone() {
    let (old, new) = (Upstream::start(), Upstream::start());
    let toml = |upstream: &Upstream, name: &str| {
        format!("{}{}", upstream.toml(name), ROUTE.replace("orders", name))
    };
    let gateway = Gateway::start(&toml(&old, "orders"));
    let workers = 2;
    old.play(vec![Script::Hang; workers]);
    let mut held: Vec<_> = (0..workers).map(|_| gateway.connect()).collect();
    held.iter_mut()
        .for_each(|client| client.write_request(&Request::get("/held")));
    old.wait_for(workers);
    let mut clients: Vec<_> = (0..workers).map(|_| gateway.connect()).collect();
    clients
        .iter_mut()
        .for_each(|client| assert_eq!(client.send(&Request::get("/next")).status, 200));
    assert!(gateway.metric(OPEN) >= 3.0, "some are idle");
    gateway.rewrite(&toml(&new, "others"));
    gateway.reload();
    wait_until("requests go to the new one", || {
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.send(&Request::get("/next")).status, 200));
        new.arrivals().len() >= workers
    });
    wait_until("the old one has those that are busy alone", || {
        old.open_connections() == workers
    });
}

#[test]
fn a_connection_that_is_old_is_not_used_again() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "connection_age = \"1ms\"\n");
    let mut client = gateway.connect();
    let slow = || {
        Script::Pieces(vec![
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
        ])
    };
    upstream.play([slow(), slow()]);
    for round in 1..=2 {
        client.write_request(&Request::get("/"));
        upstream.wait_for(round);
        let began = std::time::Instant::now();
        wait_until("the connection is old", || began.elapsed().as_millis() > 2);
        upstream.go_on();
        assert_eq!(client.read("GET").unwrap().status, 200);
    }
    assert_eq!(upstream.connections(), 2);
    // The twin.
    let gateway = Gateway::open(&upstream, "");
    let mut client = gateway.connect();
    let before = upstream.connections();
    (0..2).for_each(|_| assert_eq!(client.send(&Request::get("/")).status, 200));
    assert_eq!(upstream.connections(), before + 1);
}

// What comes while nothing was asked for answers no request.
#[test]
fn junk_on_an_idle_connection_answers_nobody() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = gateway.connect();
    let poisoned = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let stolen = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";
    upstream.play([Script::Pieces(vec![poisoned.into(), stolen.into()])]);
    client.write_request(&Request::get("/one"));
    upstream.wait_for(1);
    upstream.go_on();
    assert_eq!(client.read("GET").unwrap().text(), "ok");
    upstream.go_on();
    gateway.wait_for_metric(OPEN, 0.0);
    assert_eq!(client.send(&Request::get("/two")).text(), "ok");
}

#[test]
fn an_upstream_can_be_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .unwrap();
        String::from_utf8(head).unwrap()
    });
    let gateway = Gateway::start(&format!(
        "[upstreams.app]\nurl = \"unix:{0}\"\n[upstreams.gone]\nurl = \"unix:{0}.gone\"\n\
         [[routes]]\npath = \"/app\"\nupstream = \"app\"\npublic = true\n\
         [[routes]]\npath = \"/gone\"\nupstream = \"gone\"\npublic = true\n",
        path.display()
    ));
    assert_eq!(gateway.send(&Request::get("/app")).text(), "ok");
    assert!(seen.join().unwrap().contains("host: localhost\r\n"));
    assert_eq!(gateway.send(&Request::get("/gone")).status, 502);
}
