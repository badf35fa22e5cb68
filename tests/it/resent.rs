//! Requests that an upstream of HTTP/2 certainly did not process are sent again, whatever their
//! method (RFC 9113 §6.8, §8.7); a request that may have been processed is not.

use std::net::TcpStream;
use std::thread;

use h2::Reason;

use crate::support::framed::{Act, Framed, goaway, good, reset};
use crate::support::{Client, Gateway, Multiplexed, Play, Request, free_address, wait_until};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
const RESENT: &str = "scopegate_upstream_resent_total{upstream=\"orders\"}";
const RETRIES: &str = "scopegate_upstream_retries_total{upstream=\"orders\"}";
const REFUSED: &str = "scopegate_upstream_faults_total{fault=\"refused\",upstream=\"orders\"}";

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn start(upstream: &Framed, more: &str) -> Gateway {
    Gateway::start(&format!("{}{more}\n{ROUTE}", upstream.toml("orders")))
}

/// A gateway before several upstreams, which makes no retry.
fn start_several(urls: &[String], more: &str) -> Gateway {
    let urls: Vec<_> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    let upstream = format!(
        "[upstreams.orders]\nendpoints = [{}]\nprotocol = \"http2\"\nretries = 0\n",
        urls.join(", ")
    );
    Gateway::start(&format!("{upstream}{more}\n{ROUTE}"))
}

/// What is written for a stream of this number.
type Bytes = fn(u32) -> Vec<u8>;

fn refuse(stream: u32) -> Vec<u8> {
    reset(stream, REFUSED_STREAM)
}

/// The last stream before the one that is given.
fn before(stream: u32) -> u32 {
    stream.saturating_sub(2)
}

/// Ways to say that a stream was not processed.
const UNPROCESSED: [(&str, Bytes); 5] = [
    ("REFUSED_STREAM", refuse),
    ("GOAWAY", |stream| goaway(before(stream), NO_ERROR)),
    ("GOAWAY for an error", |stream| {
        goaway(before(stream), INTERNAL_ERROR)
    }),
    ("GOAWAY for a flood", |stream| {
        goaway(before(stream), ENHANCE_YOUR_CALM)
    }),
    ("GOAWAY twice", |stream| {
        [
            goaway(0x7fff_ffff, NO_ERROR),
            goaway(before(stream), NO_ERROR),
        ]
        .concat()
    }),
];

fn acts(bytes: Bytes) -> [Act; 2] {
    [
        Act::Write(Box::new(bytes)),
        Act::WriteAndClose(Box::new(bytes)),
    ]
}

fn requests() -> [(Request, &'static str); 7] {
    let chunked = Request::new("POST", "/a").field("Transfer-Encoding", "chunked");
    [
        (Request::new("POST", "/a").body("a body"), "a body"),
        (Request::new("POST", "/a").body(""), ""),
        (chunked.body("2\r\na \r\n4\r\nbody\r\n0\r\n\r\n"), "a body"),
        (Request::new("PATCH", "/a").body("a body"), "a body"),
        (Request::new("PUT", "/a").body("a body"), "a body"),
        (Request::new("DELETE", "/a"), ""),
        (Request::get("/a"), ""),
    ]
}

// RFC 9113 sections 6.8 and 8.7: of any method, with a body or without, with one endpoint, on a
// connection that has served before.
#[test]
fn what_was_not_processed_is_sent_again_whatever_its_method() {
    for (what, bytes) in UNPROCESSED {
        let upstream = Framed::start_echoing();
        let gateway = start(&upstream, "");
        let mut client = gateway.connect();
        let mut count = 0.0;
        for (request, body) in requests() {
            for act in acts(bytes) {
                assert_eq!(client.send(&Request::get("/warm")).status, 200);
                let before = upstream.streams();
                upstream.play([act]);
                let answer = client.send(&request);
                let what = format!("{what}: {request:?}");
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (200, body),
                    "{what}"
                );
                assert_eq!(upstream.streams() - before, 2, "{what}");
                count += 1.0;
                assert_eq!(
                    (gateway.metric(RESENT), gateway.metric(RETRIES)),
                    (count, 0.0),
                    "{what}"
                );
                assert_eq!(gateway.metric(REFUSED), 0.0, "{what}: it was answered");
            }
        }
    }
}

// The same on a connection that was made for it, and over another one.
#[test]
fn a_connection_that_is_new_may_refuse_as_well() {
    for (what, bytes) in UNPROCESSED {
        for act in acts(bytes) {
            let upstream = Framed::start_echoing();
            let gateway = start(&upstream, "");
            upstream.play([act]);
            let answer = gateway.send(&Request::new("POST", "/a").body("a body"));
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "a body"),
                "{what}"
            );
            assert_eq!(
                (upstream.streams(), upstream.connections()),
                (2, 2),
                "{what}"
            );
        }
    }
}

// Never once it may have been processed.
#[test]
fn what_may_have_been_processed_is_not_sent_again() {
    let cases: [(&str, Bytes); 6] = [
        ("CANCEL", |stream| reset(stream, CANCEL)),
        ("INTERNAL_ERROR", |stream| reset(stream, INTERNAL_ERROR)),
        ("NO_ERROR", |stream| reset(stream, NO_ERROR)),
        ("nothing", |_| Vec::new()),
        ("GOAWAY that covers it", |stream| goaway(stream, NO_ERROR)),
        ("GOAWAY that covers it, for an error", |stream| {
            goaway(stream, INTERNAL_ERROR)
        }),
    ];
    for (what, bytes) in cases {
        for body in ["", "a body"] {
            for is_warm in [false, true] {
                let upstream = Framed::start_echoing();
                let gateway = start(&upstream, "");
                let mut client = gateway.connect();
                if is_warm {
                    assert_eq!(client.send(&Request::get("/warm")).status, 200);
                }
                let before = upstream.streams();
                upstream.play([Act::WriteAndClose(Box::new(bytes))]);
                let answer = client.send(&Request::new("POST", "/a").body(body));
                assert_eq!(
                    (answer.status, upstream.streams() - before),
                    (502, 1),
                    "{what}: {body:?}"
                );
                assert_eq!(gateway.metric(RESENT), 0.0, "{what}");
                // The twin.
                let answer = client.send(&Request::new("POST", "/a").body(body));
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (200, body),
                    "after {what}"
                );
            }
        }
    }
}

// A stream that GOAWAY covers is waited for, and answered on the connection that ends.
#[test]
fn what_is_covered_is_answered() {
    let upstream = Framed::start_echoing();
    let gateway = start(&upstream, "");
    upstream.play([Act::Write(Box::new(|stream| {
        [goaway(stream, NO_ERROR), good(stream)].concat()
    }))]);
    let mut client = gateway.connect();
    assert_eq!(
        client.send(&Request::new("POST", "/a").body("")).text(),
        "ok"
    );
    assert_eq!(
        client.send(&Request::new("POST", "/a").body("next")).text(),
        "next"
    );
    assert_eq!((upstream.streams(), upstream.connections()), (2, 2));
    assert_eq!(gateway.metric(RESENT), 0.0);
}

#[test]
fn a_request_is_sent_again_twice_at_most() {
    for (times, status) in [(1, 200), (2, 200), (3, 502), (9, 502)] {
        for (what, bytes) in UNPROCESSED {
            let upstream = Framed::start_echoing();
            let gateway = start(&upstream, "");
            upstream.play((0..times).map(|_| Act::Write(Box::new(bytes))));
            let answer = gateway.send(&Request::new("POST", "/a").body("a body"));
            assert_eq!(answer.status, status, "{what}, {times} times");
            let sent = (times + 1).min(3);
            assert_eq!(
                (upstream.streams(), upstream.connections()),
                (sent, sent),
                "{what}, {times} times"
            );
            assert_eq!(
                gateway.metric(RESENT),
                f64::from(u32::try_from(sent - 1).unwrap()),
                "{what}"
            );
            let refusals = gateway
                .metric("scopegate_refusals_total{reason=\"upstream_refused\",route=\"/**\"}");
            assert_eq!(refusals, if status == 502 { 1.0 } else { 0.0 }, "{what}");
        }
    }
}

// The beginning of a body is kept until the response head, `resend_bytes` of it; once more has
// gone, it does not come back.
#[test]
fn a_body_is_sent_again_as_far_as_it_is_kept() {
    for (kept, sent, length, is_resent) in [
        ("64 KiB", 5000, 10_000, true),
        ("64 KiB", 40_000, 120_000, true),
        ("2000 B", 2000, 2000, true),
        ("2000 B", 2000, 4000, true),
        ("1999 B", 2000, 2000, false),
        ("1999 B", 2000, 4000, false),
        ("0", 1, 2, false),
    ] {
        let upstream = Framed::start_echoing();
        let gateway = start(&upstream, &format!("resend_bytes = \"{kept}\"\n"));
        upstream.play([Act::WriteAfter(sent, Box::new(refuse))]);
        let mut client = gateway.connect();
        client.write(
            format!("POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: {length}\r\n\r\n")
                .as_bytes(),
        );
        client.write(&vec![b'x'; sent]);
        let what = format!("{sent} of {length} bytes, {kept} are kept");
        if is_resent {
            wait_until("it is sent again", || upstream.streams() == 2);
        }
        client.write(&vec![b'x'; length - sent]);
        let answer = client.read("POST").expect("there is an answer");
        if is_resent {
            let body = if length > 10_000 {
                length.to_string()
            } else {
                "x".repeat(length)
            };
            assert_eq!((answer.status, answer.text()), (200, body), "{what}");
        } else {
            assert_eq!((answer.status, upstream.streams()), (502, 1), "{what}");
        }
        assert_eq!(
            gateway
                .send(&Request::new("POST", "/a").body("next"))
                .text(),
            "next",
            "after {what}"
        );
    }
    // A request whose body was not touched goes again, and one that has none.
    let upstream = Framed::start_echoing();
    let gateway = start(&upstream, "resend_bytes = \"0\"\n");
    upstream.play([Act::Write(Box::new(refuse))]);
    assert_eq!(
        gateway.send(&Request::new("POST", "/a").body("")).status,
        200
    );
}

// What follows what was kept, and the trailers.
#[test]
fn a_body_that_ends_is_sent_again_with_its_trailers() {
    let upstream = Multiplexed::start(100);
    let gateway = Gateway::start(&format!("{}{ROUTE}", upstream.toml("orders")));
    upstream.play([Play::RefuseLate, Play::RefuseLate]);
    let request = Request::new("POST", "/a")
        .field("TE", "trailers")
        .field("Trailer", "x-sum")
        .field("Transfer-Encoding", "chunked")
        .body("5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n");
    let answer = gateway.send(&request);
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.complete),
        (200, "hello", true)
    );
    assert!(
        answer
            .trailers
            .contains(&("x-sum".to_owned(), "5".to_owned())),
        "{answer:?}"
    );
    let connections: Vec<_> = upstream
        .opened()
        .iter()
        .map(|stream| stream.connection)
        .collect();
    assert_eq!(connections, [0, 1, 2], "each time over another connection");
    // Those that refused it are as good as before for others.
    assert_eq!(
        gateway.send(&Request::new("POST", "/b").body("x")).status,
        200
    );
    assert!(
        upstream.connections() <= 4,
        "one more for another worker at most"
    );
}

// The limit of a body is for what the client sends, and not for what is sent again.
#[test]
fn a_body_is_counted_once() {
    let upstream = Framed::start_echoing();
    let gateway = Gateway::start(&format!(
        "{}{ROUTE}body_bytes = \"8 B\"\n",
        upstream.toml("orders")
    ));
    for (rest, status) in [
        ("4\r\nrest\r\n0\r\n\r\n", 200),
        ("5\r\nrest.\r\n0\r\n\r\n", 413),
    ] {
        let before = upstream.streams();
        upstream.play([Act::WriteAfter(4, Box::new(refuse))]);
        let mut client = gateway.connect();
        client.write(
            b"POST /a HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\
                     half\r\n",
        );
        wait_until("it is sent again", || upstream.streams() == before + 2);
        client.write(rest.as_bytes());
        let answer = client.read("POST").expect("there is an answer");
        assert_eq!(answer.status, status);
        assert!(status != 200 || answer.text() == "halfrest", "{answer:?}");
    }
}

// Another endpoint is the better one, and no retry is needed for it; the same serves where there is
// no other.
#[test]
fn another_endpoint_gets_what_one_did_not_process() {
    for (what, bytes) in UNPROCESSED {
        let (busy, idle) = (Framed::start_echoing(), Framed::start_echoing());
        let gateway = start_several(&[busy.url(), idle.url()], "");
        busy.play([Act::Write(Box::new(bytes))]);
        let answer = gateway.send(&Request::new("POST", "/a").body("a body"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "a body"),
            "{what}"
        );
        assert_eq!((busy.streams(), idle.streams()), (1, 1), "{what}");
        assert_eq!(
            (gateway.metric(RESENT), gateway.metric(RETRIES)),
            (1.0, 0.0),
            "{what}"
        );

        let (busy, other) = (Framed::start_echoing(), Framed::start_echoing());
        let gateway = start_several(&[busy.url(), other.url()], "");
        busy.play([Act::Write(Box::new(bytes))]);
        other.play([Act::Write(Box::new(bytes))]);
        let answer = gateway.send(&Request::new("POST", "/a").body("a body"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "a body"),
            "{what}, both"
        );
        assert_eq!((busy.streams(), other.streams()), (2, 1), "{what}, both");
        assert_eq!(
            (gateway.metric(RESENT), gateway.metric(RETRIES)),
            (2.0, 0.0),
            "{what}, both"
        );

        let busy = Framed::start_echoing();
        let gateway = start_several(&[busy.url(), format!("http://{}", free_address())], "");
        busy.play([Act::Write(Box::new(bytes))]);
        let answer = gateway.send(&Request::new("POST", "/a").body("a body"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "a body"),
            "{what}, one is dead"
        );
        assert_eq!(busy.streams(), 2, "{what}, one is dead");
    }
}

// A connection that was used before is no reason to ask its endpoint twice.
#[test]
fn another_endpoint_gets_what_an_open_connection_did_not_process() {
    for (what, bytes) in UNPROCESSED {
        let (busy, idle) = (Framed::start_echoing(), Framed::start_echoing());
        let gateway = start_several(&[busy.url(), idle.url()], "");
        // A connection to each endpoint from each worker. A client goes to the worker with the
        // fewest, so that one client that stays chooses the worker of all others.
        let is_alone = || gateway.metric("scopegate_connections_open") == 1.0;
        let warm_up = || {
            for _ in 0..2 {
                wait_until("the client that stays is alone", is_alone);
                let answer = gateway.send(&Request::new("POST", "/warm").body("x"));
                assert_eq!(answer.status, 200, "{what}");
            }
            wait_until("the client that stays is alone", is_alone);
        };
        let first = TcpStream::connect(gateway.address()).unwrap();
        warm_up();
        let _second = TcpStream::connect(gateway.address()).unwrap();
        drop(first);
        warm_up();
        assert_eq!((busy.connections(), idle.connections()), (2, 2), "{what}");
        let before = (busy.streams(), idle.streams());
        busy.play([Act::Write(Box::new(bytes))]);
        for _ in 0..2 {
            let answer = gateway.send(&Request::new("POST", "/a").body("a body"));
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "a body"),
                "{what}"
            );
        }
        let asked = (busy.streams() - before.0, idle.streams() - before.1);
        assert!(asked == (1, 2) || asked == (2, 1), "{what}: {asked:?}");
        assert_eq!(
            (gateway.metric(RESENT), gateway.metric(RETRIES)),
            (1.0, 0.0),
            "{what}"
        );
    }
}

// Connections that end are no sign of how an endpoint does, and it is not left alone for them.
#[test]
fn an_endpoint_that_ends_its_connections_is_not_ejected() {
    let (one, other) = (Framed::start_short_lived(2), Framed::start_short_lived(2));
    let gateway = start_several(
        &[one.url(), other.url()],
        "ejection = { failures = 1, time = \"1h\" }\n",
    );
    post_all(&gateway, 8, 50);
    assert!(gateway.metric(RESENT) > 0.0, "nothing was lost on the way");
    assert_eq!(
        gateway.metric("scopegate_upstream_ejections_total{upstream=\"orders\"}"),
        0.0
    );
}

/// Clients that post at the same time, each so often; every answer holds the body that was sent.
fn post_all(gateway: &Gateway, clients: usize, times: usize) {
    thread::scope(|scope| {
        for client in 0..clients {
            scope.spawn(move || {
                let mut connection = gateway.connect();
                for time in 0..times {
                    let body = format!("{time} of {client}");
                    let answer = connection.send(&Request::new("POST", "/a").body(body.clone()));
                    assert_eq!((answer.status, answer.text()), (200, body));
                }
            });
        }
    });
}

// As nginx has it: a connection takes so many streams and says so, and those that are on their way
// by then are passed over.
#[test]
fn no_request_is_lost_to_connections_that_end() {
    for lifetime in [1, 7, 20] {
        let upstream = Framed::start_short_lived(lifetime);
        let gateway = start(&upstream, "");
        post_all(&gateway, 10, 60);
        assert_eq!(upstream.streams(), 600, "each was taken once");
        assert_eq!(gateway.metric(REFUSED), 0.0);
    }
}

// Where there may be no other connection the same one is better than none.
#[test]
fn what_was_refused_goes_over_the_same_connection_where_there_is_no_other() {
    let upstream = Framed::start_echoing();
    let gateway = start(
        &upstream,
        "max_connections = 1\nconnect_timeout = \"15s\"\n",
    );
    let mut client = gateway.connect();
    for (what, bytes) in UNPROCESSED {
        upstream.play([Act::Write(Box::new(bytes))]);
        let answer = client.send(&Request::new("POST", "/a").body("a body"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "a body"),
            "{what}"
        );
    }
    assert_eq!(
        upstream.connections(),
        UNPROCESSED.len(),
        "one more for each that ended"
    );
}

// What counts a request counts it once, and is told when it ends.
#[test]
fn a_request_that_is_sent_again_counts_for_one() {
    let upstream = Framed::start_echoing();
    let gateway = start(&upstream, "max_requests = 1\nmax_pending = 1\n");
    let mut client = gateway.connect();
    for _ in 0..5 {
        for (what, bytes) in UNPROCESSED {
            upstream.play(acts(bytes));
            let answer = client.send(&Request::new("POST", "/a").body("a body"));
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "a body"),
                "{what}"
            );
        }
    }
}

#[test]
fn a_request_that_is_sent_again_keeps_its_deadlines() {
    let upstream = Multiplexed::start(100);
    for (more, code) in [
        ("request_timeout = \"1s\"", "request_timeout"),
        ("response_timeout = \"1s\"", "upstream_timeout"),
    ] {
        let gateway = Gateway::start(&format!("{}{ROUTE}{more}\n", upstream.toml("orders")));
        upstream.play([Play::Refuse, Play::RefuseLate, Play::Hold]);
        let answer = gateway.send(&Request::new("POST", "/a").body("a body"));
        assert_eq!((answer.status, answer.code().as_str()), (504, code));
    }
}

#[test]
fn a_client_that_leaves_takes_what_was_sent_again_with_it() {
    let upstream = Multiplexed::start(100);
    let gateway = Gateway::start(&format!("{}{ROUTE}", upstream.toml("orders")));
    upstream.play([Play::Refuse, Play::Hold]);
    let mut client: Client = gateway.connect();
    client.write_request(&Request::new("POST", "/a").body("a body"));
    upstream.wait_for(2);
    client.abort();
    wait_until("the stream is reset", || {
        upstream.resets() == [Reason::CANCEL]
    });
    assert_eq!(
        gateway.send(&Request::new("POST", "/a").body("x")).text(),
        "x"
    );
}
