//! Client connections: keep-alive, pipelining, HTTP/1.0, the drain, and a close after which the
//! answer still arrives.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::frames::{Frames, HEADERS};
use crate::support::{Client, Gateway, Issuer, Request, Script, Upstream, raw, wait_until};

const MIB: usize = 1024 * 1024;

// Pipelined requests are answered in their order, refusals among them.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::start(&format!(
        "{}[[routes]]\npath = \"/open/**\"\nupstream = \"orders\"\npublic = true\n",
        upstream.toml("orders")
    ));
    let mut text = String::new();
    for number in 0..20 {
        let line = match number % 4 {
            0 => format!("GET /open/{number} HTTP/1.1\r\n\r\n"),
            1 => format!("POST /open/{number} HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"),
            2 => format!("GET /none/{number} HTTP/1.1\r\n\r\n"),
            _ => format!(
                "POST /open/{number} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n\
                 0\r\n\r\n"
            ),
        };
        text.push_str(&line.replacen("\r\n", "\r\nHost: api.test\r\n", 1));
    }
    let mut client = gateway.connect();
    client.write(text.as_bytes());
    for number in 0..20 {
        let answer = client.read("GET").expect("there is an answer");
        match number % 4 {
            0 => assert_eq!(answer.text(), format!("/open/{number}")),
            2 => assert_eq!((answer.status, answer.code().as_str()), (404, "no_route")),
            _ => assert_eq!(answer.text(), format!("/open/{number}body")),
        }
    }
    let numbers: Vec<_> = upstream
        .arrivals()
        .iter()
        .map(|arrival| arrival.target.clone())
        .collect();
    assert_eq!(numbers.len(), 15);
    assert_eq!(gateway.metric("scopegate_connections_accepted_total"), 1.0);
}

// What is pipelined behind a request that is not answered waits for it.
#[test]
fn a_pipelined_request_waits_for_the_one_before_it() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let slow = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst".to_vec();
    upstream.play([Script::Pieces(vec![slow]), Script::Echo]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/first"));
    client.write_request(&Request::get("/second"));
    upstream.wait_for(1);
    upstream.go_on();
    assert_eq!(
        client.read("GET").expect("there is an answer").text(),
        "first"
    );
    assert_eq!(
        client.read("GET").expect("there is an answer").text(),
        "/second"
    );
}

#[test]
fn a_client_of_http_1_0_is_served_in_its_own_terms() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n";
    upstream.play([Script::Raw(chunked.to_vec(), true)]);
    let answer = raw(gateway.address(), b"GET /a HTTP/1.0\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "{head}"
    );
    assert_eq!(body, "onetwo", "the coding is not for a client of HTTP/1.0");

    let mut client = gateway.connect();
    for _ in 0..2 {
        client.write(b"POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi");
        let answer = client.read("POST").expect("there is an answer");
        assert_eq!(
            (answer.status, answer.field("connection")),
            (200, Some("keep-alive"))
        );
        assert_eq!(upstream.last().body, b"hi");
    }
    client.write(b"GET /a HTTP/1.0\r\n\r\n");
    assert_eq!(client.read("GET").expect("there is an answer").status, 200);
    assert!(client.is_closed());
}

// RFC 9112 §9.3 and §6.3: what ends with the connection cannot keep it, and says so; and so does
// what ends it for another reason, in one word.
#[test]
fn an_answer_of_http_1_0_that_ends_the_connection_says_close() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.limits]\nconnection_requests = 2\n");
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n".to_vec();
    let until_close = b"HTTP/1.1 200 OK\r\n\r\none".to_vec();
    let kept =
        |line: &str| format!("{line} HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\n\r\n");
    for (script, is_kept) in [(chunked.clone(), true), (until_close, false)] {
        upstream.play([Script::Raw(script, is_kept)]);
        let mut client = gateway.connect();
        client.write(kept("GET /a").as_bytes());
        let answer = client.read("GET").expect("there is an answer");
        assert_eq!((answer.text().as_str(), answer.complete), ("one", true));
        assert_eq!(
            (answer.field("connection"), answer.field("content-length")),
            (Some("close"), None)
        );
        assert!(client.ends());
    }
    // The twins: an answer that has an end of its own, and the same to HTTP/1.1.
    upstream.play([Script::Raw(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        false,
    )]);
    let mut client = gateway.connect();
    client.write(kept("HEAD /a").as_bytes());
    assert_eq!(
        client
            .read("HEAD")
            .expect("there is an answer")
            .field("connection"),
        Some("keep-alive")
    );
    client.write(kept("GET /a").as_bytes());
    let last = client.read("GET").expect("there is an answer");
    assert_eq!(
        (last.text().as_str(), last.field("connection")),
        ("ok", Some("close")),
        "it is the last"
    );
    assert!(client.is_closed());
    upstream.play([Script::Raw(chunked, true)]);
    let answer = gateway.send(&Request::get("/a"));
    assert_eq!(
        (answer.text().as_str(), answer.field("connection")),
        ("one", None)
    );
    // A refusal that closes.
    let mut client = gateway.connect();
    client.write(
        kept("GET /a")
            .replace("Host: api.test", "Host: a@b")
            .as_bytes(),
    );
    let refused = client.read("GET").expect("there is an answer");
    assert_eq!(
        (refused.status, refused.field("connection")),
        (400, Some("close"))
    );
    assert!(client.is_closed());
}

// RFC 9112 §9.6: a connection whose request is not read to its end cannot be kept, and its last
// answer says so.
#[test]
fn a_refusal_that_ends_the_connection_says_so() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let post =
        |path: &str, more: &str| format!("POST {path} HTTP/1.1\r\nHost: api.test\r\n{more}\r\n");
    for (what, request) in [
        (
            "a body that does not come",
            post("/a//b", "Content-Length: 9\r\n"),
        ),
        (
            "a part of one",
            post("/a//b", "Content-Length: 9\r\n") + "some",
        ),
        (
            "chunks without an end",
            post("/a//b", "Transfer-Encoding: chunked\r\n") + "2\r\nhi\r\n",
        ),
        (
            "one that is asked for",
            post("/a//b", "Content-Length: 9\r\nExpect: 100-continue\r\n"),
        ),
        (
            "a large one",
            post("/a//b", "Content-Length: 1000000\r\n") + &"x".repeat(100_000),
        ),
    ] {
        for _ in 0..10 {
            let mut client = gateway.connect();
            client.write(request.as_bytes());
            let answer = client.read("POST").expect("there is an answer");
            assert_eq!(
                (answer.status, answer.field("connection")),
                (400, Some("close")),
                "{what}"
            );
            client.half_close();
            assert!(client.is_closed(), "{what}");
        }
    }
    // The twin: a body that is there whole costs nothing.
    let mut client = gateway.connect();
    for body in [
        "Content-Length: 2\r\n\r\nhi",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        client.write(format!("POST /a//b HTTP/1.1\r\nHost: api.test\r\n{body}").as_bytes());
        let answer = client.read("POST").expect("there is an answer");
        assert_eq!(
            (answer.status, answer.field("connection")),
            (400, None),
            "{body:?}"
        );
    }
    assert_eq!(client.send(&Request::get("/next")).status, 200);
}

// RFC 9112 §4: a reason is optional, and none is made up.
#[test]
fn a_status_without_a_registered_reason_has_none() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for (status, line) in [
        ("999 Odd", "HTTP/1.1 999 \r\n"),
        ("499 Left", "HTTP/1.1 499 \r\n"),
        ("418 Pot", "HTTP/1.1 418 I'm a teapot\r\n"),
    ] {
        upstream.play([Script::Raw(
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes(),
            true,
        )]);
        let answer = raw(
            gateway.address(),
            b"GET /a HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n",
        );
        assert!(answer.starts_with(line), "{answer}");
    }
}

// RFC 9110 §15.5.22: that answer has to name what it asks for.
#[test]
fn an_upgrade_that_is_required_is_named() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let answer = |status: &str| {
        let head = "connection: upgrade\r\nupgrade: websocket, HTTP/2.0\r\ncontent-length: 0\r\n";
        Script::Raw(
            format!("HTTP/1.1 {status}\r\n{head}\r\n").into_bytes(),
            true,
        )
    };
    upstream.play([answer("426 Upgrade Required"), answer("400 Bad Request")]);
    let required = gateway.send(&Request::get("/a"));
    assert_eq!(
        (required.status, required.field("upgrade")),
        (426, Some("websocket, HTTP/2.0"))
    );
    assert_eq!(required.field("connection"), Some("upgrade"));
    assert_eq!(
        gateway.send(&Request::get("/a")).field("upgrade"),
        None,
        "the twin: another status"
    );
    // Over HTTP/2 there is no such field.
    upstream.play([answer("426 Upgrade Required")]);
    let mut client = Frames::connect_with(gateway.address(), &[(1, 0)]);
    client.get(1, "/a");
    let head = client
        .wait(|frame| frame.kind == HEADERS)
        .expect("there is an answer");
    assert_eq!(head.status(), 426);
    assert!(client.is_alive());
}

// RFC 9112 §9.6: a close with a reset can take the answer away from a client that is still
// sending.
#[test]
fn a_refusal_does_not_reset_a_client_that_is_still_sending() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nscopes = \"write\"\n\
         body_bytes = \"1 KiB\"\n",
        issuer.toml(),
        upstream.toml("orders")
    ));
    let length = 8 * MIB;
    let good = format!("Authorization: Bearer {}\r\n", issuer.token("write"));
    let poor = format!("Authorization: Bearer {}\r\n", issuer.token("other"));
    let sized = format!("Content-Length: {length}\r\n\r\n");
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
    for (head, status) in [
        (sized.clone(), 401),
        (format!("{poor}{sized}"), 403),
        (format!("{good}{sized}"), 413),
        (format!("{good}{chunked}"), 413),
        (format!("Content-Length: {}\r\n\r\n", "9".repeat(30)), 400),
        ("X-A: ".to_owned(), 431),
    ] {
        let mut client = gateway.connect();
        client.write(format!("POST /a HTTP/1.1\r\nHost: api.test\r\n{head}").as_bytes());
        assert_eq!(
            client.writer().write_until_closed(length),
            length,
            "{status}: reset while sending"
        );
        assert_eq!(
            client.read("POST").expect("there is an answer").status,
            status
        );
        assert!(client.is_closed());
    }
    gateway.wait_for_metric("scopegate_connections_open", 0.0);
    assert!(upstream.arrivals().is_empty());
}

// But what is drained for the answer's sake has a bound.
#[test]
fn a_client_that_never_stops_sending_is_let_go() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.limits]\nbody_bytes = 0");
    let mut client = gateway.connect();
    client.write(b"POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000000000\r\n\r\n");
    let writer = client.writer();
    let sending = thread::spawn(move || writer.write_until_closed(usize::MAX));
    assert_eq!(client.read("POST").expect("there is an answer").status, 413);
    sending.join().unwrap();
    gateway.wait_for_metric("scopegate_connections_open", 0.0);
}

/// Sends requests until the connection is closed between two of them. A cut answer panics.
fn send_until_closed(mut client: Client, request: &Request, count: &AtomicUsize) {
    loop {
        client.write_request(request);
        let Some(answer) = client.read("POST") else {
            return;
        };
        assert!(answer.status == 200 && answer.complete, "{answer:?}");
        count.fetch_add(1, Ordering::SeqCst);
        if answer.field("connection") == Some("close") {
            return;
        }
    }
}

#[test]
fn a_shutdown_under_load_fails_no_request() {
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::open(&upstream, "");
    let address = gateway.address();
    let count = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let request = Request::new("POST", "/a").body("x".repeat(10_000));
                send_until_closed(Client::connect(address), &request, &count);
            });
        }
        wait_until("there is load", || count.load(Ordering::SeqCst) >= 50);
        gateway.shutdown();
    });
    // Every request that reached the upstream was answered to its client.
    assert_eq!(upstream.arrivals().len(), count.load(Ordering::SeqCst));
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "the listener is closed"
    );
}

// Requests that are under way end normally, and the listener is closed meanwhile.
#[test]
fn a_shutdown_waits_for_what_is_under_way() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let address = gateway.address();
    let pieces = ["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none", "two"];
    upstream.play([Script::Pieces(
        pieces
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .collect(),
    )]);
    let mut idle = gateway.connect();
    assert_eq!(
        {
            upstream.go_on();
            upstream.go_on();
            idle.send(&Request::get("/warm")).text()
        },
        "onetwo"
    );
    upstream.play([Script::Pieces(
        pieces
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .collect(),
    )]);
    let mut busy = gateway.connect();
    busy.write_request(&Request::get("/slow"));
    upstream.wait_for(2);
    let stopping = thread::spawn(move || gateway.shutdown());
    assert!(idle.is_closed(), "what is idle is closed at once");
    wait_until("the listener is closed", || {
        std::net::TcpStream::connect(address).is_err()
    });
    assert!(!stopping.is_finished());
    upstream.go_on();
    upstream.go_on();
    let answer = busy.read("GET").expect("there is an answer");
    assert_eq!((answer.text().as_str(), answer.complete), ("onetwo", true));
    assert!(busy.is_closed());
    stopping.join().unwrap();
}

// Bounded.
#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server]\ndrain = \"200ms\"");
    upstream.play([Script::Hang]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/hangs"));
    upstream.wait_for(1);
    gateway.shutdown();
    assert!(client.read("GET").is_none(), "what did not end is cut");
}
