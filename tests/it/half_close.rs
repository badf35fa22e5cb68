//! A client that closes its side of the connection after its last request gets its answers, and one
//! that is gone is given up soon.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use crate::support::{Authority, Client, Gateway, Request, Script, Upstream, raw, wait_until};

/// Upstream connections that are open.
const UPSTREAMS: &str = "scopegate_upstream_connections_open{upstream=\"orders\"}";
const CLIENTS: &str = "scopegate_connections_open";

/// An answer that comes when the test says so.
fn held() -> Script {
    Script::Pieces(vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
    ])
}

/// Lets both workers see what has come before: one of them has the connection that this is about.
fn let_workers_turn(gateway: &Gateway) {
    for _ in 0..6 {
        assert_eq!(gateway.send(&Request::get("/other//x")).status, 400);
    }
}

/// Reads so many answers, and the end of the connection.
fn read_to_the_end(client: &mut Client, answers: usize, what: &str) {
    for number in 0..answers {
        let answer = client
            .read("GET")
            .unwrap_or_else(|| panic!("{what}: no answer {number}"));
        assert_eq!(
            (answer.status, answer.complete),
            (200, true),
            "{what}: {answer:?}"
        );
    }
    assert!(client.ends(), "{what}: the connection ends in order");
}

// RFC 9112 §9.6, for each form of request and however long the upstream takes.
#[test]
fn a_client_that_has_said_all_is_answered() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let get = "GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let lengthy = "POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\nhi";
    let chunked = "POST /a HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\
                   hi\r\n0\r\n\r\n";
    let large = format!(
        "POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 300000\r\n\r\n{}",
        "x".repeat(300_000)
    );
    let many = get.repeat(40);
    for (what, bytes, answers) in [
        ("GET", get.to_owned(), 1),
        ("a length", lengthy.to_owned(), 1),
        ("chunks", chunked.to_owned(), 1),
        ("a large body", large, 1),
        ("HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n".to_owned(), 1),
        (
            "HTTP/1.0 that is kept",
            "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
            1,
        ),
        ("two pipelined", get.repeat(2), 2),
        ("two with bodies", [lengthy, chunked].concat(), 2),
        ("many pipelined", many, 40),
    ] {
        let arrivals = upstream.arrivals().len();
        upstream.play((0..answers).map(|_| held()));
        let mut client = gateway.connect();
        client.write(bytes.as_bytes());
        client.half_close();
        for number in 1..=answers {
            upstream.wait_for(arrivals + number);
            if number < 3 {
                let_workers_turn(&gateway);
            }
            upstream.go_on();
        }
        read_to_the_end(&mut client, answers, what);
        gateway.wait_for_metric(CLIENTS, 0.0);
    }
}

// The same for what is answered at once, by whomever.
#[test]
fn an_answer_that_is_there_at_once_is_not_lost() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for (request, status) in [
        ("GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n", "200"),
        ("HEAD /a HTTP/1.1\r\nHost: api.test\r\n\r\n", "200"),
        ("GET /a//b HTTP/1.1\r\nHost: api.test\r\n\r\n", "400"),
        (
            "POST /a//b HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\nhi",
            "400",
        ),
        ("GET /a HTTP/9.9\r\n\r\n", "400"),
        // What is cut is no request.
        (
            "POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\nhi",
            "400",
        ),
    ] {
        for _ in 0..20 {
            let mut client = gateway.connect();
            client.write(request.as_bytes());
            client.half_close();
            let method = request.split(' ').next().unwrap();
            let answer = client
                .read(method)
                .unwrap_or_else(|| panic!("no answer to {request:?}"));
            assert_eq!(answer.status.to_string(), status, "{request:?}");
        }
    }
    gateway.wait_for_metric(CLIENTS, 0.0);
}

#[test]
fn a_client_that_rested_before_is_answered_as_well() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/first")).status, 200);
    gateway.wait_for_metric("scopegate_connections_resting", 1.0);
    upstream.play([held()]);
    client.write_request(&Request::get("/last"));
    client.half_close();
    upstream.wait_for(2);
    let_workers_turn(&gateway);
    upstream.go_on();
    read_to_the_end(&mut client, 1, "after a rest");
}

// A head that was cut belongs to nobody, and takes nothing away from the request before it.
#[test]
fn what_is_cut_behind_a_request_does_not_cost_its_answer() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for _ in 0..10 {
        let mut client = gateway.connect();
        client.write(b"GET /a HTTP/1.1\r\nHost: api.test\r\n\r\nGET /b HTTP/1.1\r\nHo");
        client.half_close();
        read_to_the_end(&mut client, 1, "half a head");
    }
}

// RFC 8446 §6.1: `close_notify` closes one direction. Many clients end without it.
#[test]
fn over_tls_the_same_holds() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(&upstream, &[("a", &pair)], "", &[]);
    for is_announced in [true, false] {
        upstream.play([held()]);
        let arrivals = upstream.arrivals().len();
        let mut client = root.connect(gateway.address(), "a.test", &[b"http/1.1"]);
        client
            .write_all(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .unwrap();
        if is_announced {
            client.conn.send_close_notify();
        }
        client.flush().unwrap();
        client.sock.shutdown(Shutdown::Write).unwrap();
        upstream.wait_for(arrivals + 1);
        wait_until("the worker has had its turn", || {
            gateway.metric(UPSTREAMS) >= 1.0
        });
        upstream.go_on();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("it ends in order");
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.starts_with("HTTP/1.1 200 ") && text.ends_with("ok"),
            "{text}"
        );
        gateway.wait_for_metric(CLIENTS, 0.0);
    }
}

// After a 101 there is no half that lives alone, and before it the handshake is a request like
// any other.
#[test]
fn a_websocket_whose_client_has_closed_ends() {
    let upstream = Upstream::start();
    let route =
        "[[routes]]\npath = \"/chat\"\nupstream = \"orders\"\npublic = true\nwebsocket = true\n";
    let gateway = Gateway::start(&format!("{}{route}", upstream.toml("orders")));
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    upstream.play([Script::Pieces(vec![switched.as_bytes().to_vec()])]);
    let mut client = gateway.connect();
    client.write_request(
        &Request::get("/chat")
            .field("Connection", "upgrade")
            .field("Upgrade", "websocket")
            .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .field("Sec-WebSocket-Version", "13"),
    );
    client.half_close();
    upstream.wait_for(1);
    upstream.go_on();
    let answer = client.read_head_only();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (101, Some("upgrade"))
    );
    assert!(client.is_closed());
    gateway.wait_for_metric(UPSTREAMS, 0.0);
}

// A client that is killed leaves a reset behind, and its exchange ends at once, before the
// answer and within it.
#[test]
fn a_client_that_was_reset_cancels_its_exchange() {
    let upstream = Upstream::start();
    // Longer than any patience: it is not the deadline that ends the exchange.
    let gateway = Gateway::open(
        &upstream,
        "response_timeout = \"10m\"\n[server.timeouts]\nidle_body = \"10m\"\n",
    );
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg".to_vec();
    for (script, request) in [
        (Script::Hang, Request::get("/waits")),
        (Script::Hang, Request::new("POST", "/waits").body("x")),
        (
            Script::Pieces(vec![begun, b"un".to_vec()]),
            Request::get("/during-the-answer"),
        ),
    ] {
        let arrivals = upstream.arrivals().len();
        upstream.play([script]);
        let mut client = gateway.connect();
        client.write_request(&request);
        upstream.wait_for(arrivals + 1);
        if upstream.last().target == "/during-the-answer" {
            upstream.go_on();
            assert_eq!(client.read_head_only().status, 200);
        }
        client.abort();
        gateway.wait_for_metric(CLIENTS, 0.0);
        gateway.wait_for_metric(UPSTREAMS, 0.0);
    }
    gateway.wait_for_metric(
        "scopegate_connection_errors_total{reason=\"left_in_request\"}",
        3.0,
    );
}

// What a client sent behind its request does not hide that it is gone.
#[test]
fn a_write_that_fails_is_a_client_that_left() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    upstream.play([Script::Flood(
        head,
        [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat(),
    )]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/endless"));
    client.half_close();
    assert_eq!(client.read_head_only().status, 200);
    drop(client);
    gateway.wait_for_metric(CLIENTS, 0.0);
    gateway.wait_for_metric(UPSTREAMS, 0.0);
}

// After its end the answer of a client is awaited for `response_timeout`: the head, and each piece
// behind it.
#[test]
fn a_client_that_has_closed_its_side_is_not_waited_for_without_end() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(
        &upstream,
        "response_timeout = \"1s\"\n[server.timeouts]\nidle_body = \"10m\"\n",
    );
    let begun = || b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg".to_vec();
    let close_after = |script: Script, path: &str| {
        upstream.play([script]);
        let mut client = gateway.connect();
        client.write_request(&Request::get(path));
        client.half_close();
        client.read("GET")
    };
    // A client that is there hears of it.
    let late = close_after(Script::Hang, "/head").expect("there is an answer");
    assert_eq!(
        (late.status, late.code().as_str()),
        (504, "upstream_timeout")
    );
    upstream.go_on();
    let cut = close_after(Script::Pieces(vec![begun(), b"un".to_vec()]), "/body");
    assert!(cut.is_none_or(|answer| !answer.complete));
    gateway.wait_for_metric(CLIENTS, 0.0);
    gateway.wait_for_metric(
        "scopegate_connection_errors_total{reason=\"left_in_request\"}",
        1.0,
    );
    upstream.go_on();
}

// Monitors that close like that ask here.
#[test]
fn the_admin_listener_answers_as_well() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for path in ["/livez", "/readyz", "/metrics", "/policy", "/none"] {
        for _ in 0..20 {
            let mut client = Client::connect(gateway.admin());
            client.write(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes());
            client.half_close();
            let answer = client.read_head_only();
            assert_eq!(
                answer.status,
                if path == "/none" { 404 } else { 200 },
                "{path}"
            );
            let length: usize = answer.field("content-length").unwrap().parse().unwrap();
            client.read_exact(length);
            assert!(client.ends(), "{path}");
        }
    }
    // Nobody reads a body there, so the answer says that it is the last.
    let posted = raw(
        gateway.admin(),
        b"POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx",
    );
    assert!(
        posted.starts_with("HTTP/1.1 405 ") && posted.contains("connection: close"),
        "{posted}"
    );
}
