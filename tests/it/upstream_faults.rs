//! Answers to clients when the upstream fails; no failure affects the next request.

use std::net::TcpListener;

use crate::support::{Answer, Gateway, Request, Script, Upstream, wait_until};

const OPEN: &str = "scopegate_upstream_connections_open{upstream=\"orders\"}";

fn raw(text: &str, keep: bool) -> Script {
    Script::Raw(text.as_bytes().to_vec(), keep)
}

#[track_caller]
fn assert_failed(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (status, code),
        "{answer:?}"
    );
}

/// Sends requests until one finds the connection that the worker has kept: a client connection
/// belongs to one worker.
fn warm(gateway: &Gateway) -> crate::support::Client {
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/warm")).status, 200);
    client
}

#[test]
fn an_upstream_that_is_not_there_is_502() {
    let upstream = Upstream::start();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gateway = Gateway::start(&format!(
        "{}[upstreams.gone]\nurl = \"http://{gone}\"\n\
         [[routes]]\npath = \"/gone\"\nupstream = \"gone\"\npublic = true\n\
         [[routes]]\npath = \"/here\"\nupstream = \"orders\"\npublic = true\n",
        upstream.toml("orders")
    ));
    for request in [
        Request::get("/gone"),
        Request::new("POST", "/gone").body("x"),
    ] {
        assert_failed(&gateway.send(&request), 502, "upstream_failed");
    }
    assert_eq!(
        gateway.metric("scopegate_upstream_faults_total{fault=\"connect\",upstream=\"gone\"}"),
        2.0
    );
    assert_eq!(gateway.send(&Request::get("/here")).status, 200);
}

// It is let in, and then nothing comes. Beside it one is served whose name may have another
// address first, where nobody is.
#[test]
fn an_upstream_that_never_shakes_hands_is_504_after_its_time() {
    let upstream = Upstream::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::start(&format!(
        "[upstreams.silent]\nurl = \"https://{}\"\ntls_timeout = \"200ms\"\n\
         connect_timeout = \"1h\"\n\
         [upstreams.named]\nurl = \"http://localhost:{}\"\n\
         [[routes]]\npath = \"/silent\"\nupstream = \"silent\"\npublic = true\n\
         [[routes]]\npath = \"/named\"\nupstream = \"named\"\npublic = true\n",
        silent.local_addr().unwrap(),
        upstream.authority().rsplit_once(':').unwrap().1
    ));
    assert_failed(
        &gateway.send(&Request::get("/silent")),
        504,
        "upstream_timeout",
    );
    let series = "scopegate_refusals_total{reason=\"upstream_connect_timeout\",route=\"/silent\"}";
    assert_eq!(gateway.metric(series), 1.0);
    assert_eq!(gateway.send(&Request::get("/named")).status, 200);
}

// Whatever is no answer is 502, once, and the connection it came on is not used again.
#[test]
fn what_is_no_answer_is_502() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let long = format!(
        "HTTP/1.1 200 OK\r\nx-long: {}\r\ncontent-length: 0\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let scripts = [
        ("a close without a word", Script::Close),
        ("a reset", Script::RawThenReset(Vec::new())),
        ("garbage", raw("hello, this is not HTTP\r\n\r\n", true)),
        (
            "TLS",
            raw("\x16\x03\x01\x02\x00\x01\x00\x01\u{7c}\x03\x03", true),
        ),
        ("half a head", raw("HTTP/1.1 200 OK\r\ncontent-le", false)),
        (
            "a status of two digits",
            raw("HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n", true),
        ),
        (
            "another protocol version",
            raw("HTTP/3.0 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ),
        (
            "a length with a sign",
            raw("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", true),
        ),
        (
            "a length that is none",
            raw("HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok", true),
        ),
        (
            "two lengths",
            raw(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
                true,
            ),
        ),
        (
            "a coding that hides another",
            raw(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                true,
            ),
        ),
        (
            "a coding that is not chunked",
            raw(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
                false,
            ),
        ),
        (
            "a name with a space",
            raw(
                "HTTP/1.1 200 OK\r\nx y: 1\r\ncontent-length: 2\r\n\r\nok",
                true,
            ),
        ),
        ("a head without end", raw(&long, true)),
        (
            "an unasked switch",
            raw(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\nmarker",
                true,
            ),
        ),
    ];
    for (what, script) in scripts {
        let before = upstream.arrivals().len();
        upstream.play([script]);
        let answer = gateway.send(&Request::get("/a"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, "upstream_failed"),
            "{what}: {answer:?}"
        );
        assert_eq!(upstream.arrivals().len(), before + 1, "{what}: asked once");
        gateway.wait_for_metric(OPEN, 0.0);
        upstream.play([Script::Echo]);
        let next = gateway.send(&Request::get("/next"));
        assert_eq!(
            (next.status, next.text().as_str()),
            (200, "/next"),
            "after {what}"
        );
        upstream.close_connections();
        gateway.wait_for_metric(OPEN, 0.0);
    }
}

// At the set time, which the route's own setting replaces.
#[test]
fn an_upstream_that_says_nothing_is_504() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&format!(
        "{}response_timeout = \"1s\"\n\
         [[routes]]\npath = \"/short\"\nupstream = \"orders\"\npublic = true\n\
         [[routes]]\npath = \"/long\"\nupstream = \"orders\"\npublic = true\n\
         response_timeout = \"1h\"\n",
        upstream.toml("orders")
    ));
    for request in [
        Request::get("/short"),
        Request::new("POST", "/short").body("x"),
    ] {
        let before = upstream.arrivals().len();
        upstream.play([Script::Hang]);
        assert_failed(&gateway.send(&request), 504, "upstream_timeout");
        assert_eq!(
            upstream.arrivals().len(),
            before + 1,
            "what may be under way is not sent again"
        );
    }
    // Its connection is closed with the exchange: a late answer finds nobody.
    gateway.wait_for_metric(OPEN, 0.0);
    upstream.play([Script::Pieces(vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate".to_vec(),
    ])]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/long"));
    upstream.wait_for(3);
    upstream.play([Script::Hang]);
    // While another one runs into its time, this one has not.
    assert_eq!(gateway.send(&Request::get("/short")).status, 504);
    upstream.go_on();
    assert_eq!(
        client.read("GET").expect("there is an answer").text(),
        "late"
    );
}

// Informational answers extend no deadline and are not relayed.
#[test]
fn informational_answers_are_neither_relayed_nor_endless() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "response_timeout = \"1s\"");
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    upstream.play([
        raw(
            &format!(
                "HTTP/1.1 100 Continue\r\n\r\n{hint}{hint}HTTP/1.1 200 OK\r\n\
                 content-length: 2\r\n\r\nok"
            ),
            true,
        ),
        Script::Flood(Vec::new(), hint.as_bytes().to_vec()),
    ]);
    let mut client = gateway.connect();
    let answer = client.send(&Request::get("/a"));
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.field("link")),
        (200, "ok", None)
    );
    assert_eq!(client.send(&Request::get("/b")).status, 502);
    gateway.wait_for_metric(OPEN, 0.0);
}

// What does not end is refused by its size, before any time is up, and a worker has
// time for others meanwhile.
#[test]
fn others_are_served_while_an_upstream_never_stops() {
    let (upstream, other) = (Upstream::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "[server.timeouts]\nidle_body = \"1h\"\nrequest = \"1h\"\n{}response_timeout = \"1h\"\n{}\
         [[routes]]\npath = \"/flood\"\nupstream = \"orders\"\npublic = true\n\
         [[routes]]\npath = \"/other\"\nupstream = \"other\"\npublic = true\n",
        upstream.toml("orders"),
        other.toml("other")
    ));
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let ended = [&chunked[..], b"2\r\nok\r\n0\r\n"].concat();
    let hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100);
    for (what, first, again) in [
        ("informational answers", Vec::new(), hints),
        (
            "zeros before a chunk",
            [&chunked[..], b"2\r\nok\r\n"].concat(),
            b"0".repeat(4096),
        ),
        (
            "a chunk extension",
            [&chunked[..], b"2\r\nok\r\n2;a="].concat(),
            b"x".repeat(4096),
        ),
        ("trailers", ended, b"x-a: 1\r\n".repeat(400)),
    ] {
        let before = upstream.flooded();
        upstream.play([Script::Flood(first, again)]);
        let mut flooded = gateway.connect();
        flooded.write_request(&Request::get("/flood"));
        wait_until("the flood comes", || upstream.flooded() > before);
        // Both workers.
        for _ in 0..4 {
            assert_eq!(
                gateway.send(&Request::get("/other")).status,
                200,
                "during {what}"
            );
        }
        let answer = flooded.read("GET").expect("there is an answer");
        let is_refused = answer.status == 502 || answer.text() == "ok" && !answer.complete;
        assert!(is_refused, "{what}: {answer:?}");
        gateway.wait_for_metric(OPEN, 0.0);
    }
}

// A connection that was kept may be closed at this very moment.
#[test]
fn a_request_that_met_a_closing_connection_is_repeated_only_if_it_may_be() {
    for (request, repeated) in [
        (Request::get("/a"), true),
        (Request::new("HEAD", "/a"), true),
        (Request::new("DELETE", "/a"), true),
        (Request::new("POST", "/a"), false),
        (Request::new("PATCH", "/a"), false),
        (Request::new("POST", "/a").body("x"), false),
        (Request::new("PUT", "/a").body("x"), false),
    ] {
        let upstream = Upstream::start();
        let gateway = Gateway::open(&upstream, "");
        let mut client = warm(&gateway);
        upstream.play([Script::Close]);
        let answer = client.send(&request);
        let (status, arrivals) = if repeated { (200, 3) } else { (502, 2) };
        assert_eq!(
            (answer.status, upstream.arrivals().len()),
            (status, arrivals),
            "{request:?}"
        );
        let connections: Vec<_> = upstream
            .arrivals()
            .iter()
            .map(|arrival| arrival.connection)
            .collect();
        assert_eq!(
            connections[..2],
            [0, 0],
            "it went over the connection that was kept"
        );
    }
}

// Once closed, a connection is not offered to anybody, so that nothing need be repeated.
#[test]
fn a_connection_that_the_upstream_has_closed_is_not_used() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = warm(&gateway);
    upstream.close_connections();
    gateway.wait_for_metric(OPEN, 0.0);
    assert_eq!(
        client.send(&Request::new("POST", "/a").body("x")).status,
        200
    );
    assert_eq!((upstream.arrivals().len(), upstream.connections()), (2, 2));
}

// An answer that began and was cut is not asked for again.
#[test]
fn a_request_is_not_repeated_once_its_answer_has_begun() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = warm(&gateway);
    upstream.play([raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut",
        false,
    )]);
    assert!(!client.send(&Request::get("/a")).complete);
    assert_eq!(upstream.arrivals().len(), 2);
}

// Upstream connections are pooled per worker.
#[test]
fn connections_are_kept_and_used_again() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = gateway.connect();
    for number in 0..20 {
        let request = if number % 2 == 0 {
            Request::get("/a")
        } else {
            Request::new("POST", "/a").body("x")
        };
        assert_eq!(client.send(&request).status, 200);
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(
        gateway.metric("scopegate_upstream_connections_reused_total{upstream=\"orders\"}"),
        19.0
    );
    // The twin: a pool that keeps none.
    let dialling = Gateway::open(&upstream, "max_idle = 0");
    let mut client = dialling.connect();
    for _ in 0..3 {
        assert_eq!(client.send(&Request::get("/a")).status, 200);
    }
    assert_eq!(upstream.connections(), 4);
}

// What an upstream says beyond its answer is nobody's answer.
#[test]
fn bytes_after_an_answer_are_nobodys_answer() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let evil = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nmarker";
    for doubled in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{evil}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{evil}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{evil}"),
        format!("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n{evil}"),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\r\n".to_owned(),
    ] {
        upstream.play([raw(&doubled, true), Script::Echo, Script::Echo]);
        let mut client = gateway.connect();
        let answer = client.send(&Request::get("/first"));
        assert!(answer.text().len() <= 2, "{answer:?}");
        assert_eq!(
            client.send(&Request::get("/second")).text(),
            "/second",
            "after {doubled:?}"
        );
        assert_eq!(gateway.send(&Request::get("/third")).text(), "/third");
    }
    // HEAD: a body that must not be there.
    upstream.play([
        raw("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nmarker", true),
        Script::Echo,
    ]);
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::new("HEAD", "/head")).status, 200);
    assert_eq!(client.send(&Request::get("/second")).text(), "/second");
}

// Framed twice by the upstream, the answer reaches the client framed once, and by the coding.
#[test]
fn an_answer_that_is_framed_twice_is_framed_once_for_the_client() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for lines in [
        "content-length: 100\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
    ] {
        upstream.play([raw(
            &format!("HTTP/1.1 200 OK\r\n{lines}\r\n2\r\nok\r\n0\r\n\r\n"),
            true,
        )]);
        let answer = gateway.send(&Request::get("/a"));
        let refused = answer.status == 502;
        assert!(
            refused || (answer.text() == "ok" && answer.complete),
            "{lines}: {answer:?}"
        );
        upstream.play([Script::Echo]);
        assert_eq!(
            gateway.send(&Request::get("/next")).text(),
            "/next",
            "after {lines}"
        );
    }
}

// A body that breaks its framing is cut there, and what goes on without end is let go.
#[test]
fn a_body_that_breaks_its_framing_never_looks_complete() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ncut\r\n";
    let keeps = |rest: &str| raw(&format!("{head}{rest}"), true);
    let floods = |rest: &str, again: &str| {
        Script::Flood(
            format!("{head}{rest}").into_bytes(),
            again.repeat(64).into_bytes(),
        )
    };
    for (what, script) in [
        ("a size that is none", keeps("zz\r\nmarker")),
        ("a size with a sign", keeps("-1\r\nmarker")),
        ("a size with a prefix", keeps("0x6\r\nmarker\r\n0\r\n\r\n")),
        (
            "a size beyond all numbers",
            keeps("ffffffffffffffff6\r\nmarker\r\n0\r\n\r\n"),
        ),
        ("no size", keeps("\r\nmarker\r\n0\r\n\r\n")),
        ("a bare LF after a size", keeps("6\nmarker\r\n0\r\n\r\n")),
        ("a bare CR after a size", keeps("6\rmarker\r\n0\r\n\r\n")),
        (
            "a chunk that is longer than its size",
            keeps("1\r\nmarker\r\n0\r\n\r\n"),
        ),
        ("a trailer that is none", keeps("0\r\nx y\r\n\r\n")),
        ("an extension without end", floods("6;", "x")),
        ("trailers without end", floods("0\r\n", "x-a: 1\r\n")),
    ] {
        upstream.play([script]);
        let mut client = gateway.connect();
        let cut = client.send(&Request::new("POST", "/cut").body(""));
        assert!(
            cut.status == 502 || !cut.complete,
            "{what} looks complete: {cut:?}"
        );
        assert!(!cut.text().contains("marker"), "{what}: {cut:?}");
        gateway.wait_for_metric(OPEN, 0.0);
        upstream.play([Script::Echo]);
        assert_eq!(
            gateway.send(&Request::get("/next")).text(),
            "/next",
            "after {what}"
        );
        upstream.close_connections();
        gateway.wait_for_metric(OPEN, 0.0);
    }
}

// Many clients at once, each hears the answer to its own question.
#[test]
fn every_answer_belongs_to_its_request() {
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::open(&upstream, "max_idle = 2");
    std::thread::scope(|scope| {
        for client in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut connection = gateway.connect();
                for number in 0..25 {
                    let (target, body) = (format!("/{client}/{number}"), "x".repeat(number * 100));
                    let answer = connection.send(&Request::new("POST", &target).body(body.clone()));
                    assert_eq!(answer.text(), format!("{target}{body}"));
                }
            });
        }
    });
    assert_eq!(upstream.arrivals().len(), 200);
}

// An upstream that stops reading does not hold an upload for ever.
#[test]
fn an_upstream_that_takes_nothing_of_an_upload_is_504() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "response_timeout = \"1s\"");
    upstream.play([Script::Stall]);
    let mut client = gateway.connect();
    // More than the buffers on the way hold.
    client.write(b"POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 50000000\r\n\r\n");
    let writer = client.writer();
    let sending = std::thread::spawn(move || writer.write_until_closed(50_000_000));
    assert_failed(
        &client.read("POST").expect("there is an answer"),
        504,
        "upstream_timeout",
    );
    drop(client);
    assert!(
        sending.join().unwrap() < 50_000_000,
        "the body was held in memory"
    );
    gateway.wait_for_metric(OPEN, 0.0);
    assert_eq!(gateway.send(&Request::get("/next")).status, 200);
}

// A client that has left takes its exchange along, and the upstream hears of it.
#[test]
fn a_client_that_leaves_ends_its_exchange() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg".to_vec();
    for (script, request) in [
        (Script::Hang, Request::get("/before-the-answer")),
        (Script::Hang, Request::new("POST", "/with-a-body").body("x")),
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
        assert!(gateway.metric("scopegate_connections_open") >= 1.0);
        client.abort();
        gateway.wait_for_metric("scopegate_connections_open", 0.0);
        gateway.wait_for_metric(OPEN, 0.0);
    }
    wait_until("requests of clients that left are recorded", || {
        gateway.metric("scopegate_requests_total{method=\"GET\",route=\"/**\",status=\"left\"}")
            >= 2.0
    });
    assert_eq!(gateway.send(&Request::get("/next")).status, 200);
}
