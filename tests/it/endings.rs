//! The metrics and log lines of requests without a complete answer: an answer that was cut, and a
//! client that left.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener};

use crate::support::framed::{Act, Framed, head};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, frame, literal, request,
};
use crate::support::{Authority, Client, Gateway, Process, Request, Script, Upstream, wait_until};

fn requests(method: &str, status: &str) -> String {
    format!("scopegate_requests_total{{method=\"{method}\",route=\"/**\",status=\"{status}\"}}")
}

/// A gateway as a process of its own, that logs every request.
fn logging(upstream: &Upstream, server: &str) -> Process {
    let route =
        "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
    Process::run(&format!(
        "{server}[log]\naccess = \"all\"\n{}{route}",
        upstream.toml("orders")
    ))
}

/// An answer that begins, and does not end.
fn begun() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg".to_vec()
}

#[test]
fn an_answer_that_its_upstream_cuts_is_counted_as_cut() {
    let upstream = Upstream::start();
    let process = logging(&upstream, "");
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbeg\r\n";
    let scripts = [
        Script::Raw(begun(), false),
        Script::RawThenReset(begun()),
        Script::Raw(chunked.to_vec(), false),
        Script::Raw([&chunked[..], b"no chunk\r\n"].concat(), false),
    ];
    for (number, script) in scripts.into_iter().enumerate() {
        upstream.play([script]);
        let path = format!("/cut/{number}");
        let mut client = Client::connect(process.address());
        client.write_request(&Request::get(&path));
        let answer = client.read("GET").unwrap();
        assert_eq!((answer.status, answer.complete), (200, false));
        let line = process.line(&path);
        assert_eq!(
            (line["status"].as_u64(), line["reason"].as_str()),
            (Some(200), Some("answer_cut")),
            "{line}"
        );
        assert!(line["detail"].is_string(), "{line}");
        process.wait_for_metric(&requests("GET", "cut"), (number + 1) as f64);
    }
    // The twin.
    assert_eq!(process.send(&Request::get("/whole")).text(), "ok");
    assert!(process.line("/whole").get("reason").is_none());
    process.wait_for_metric(&requests("GET", "2xx"), 1.0);
}

#[test]
fn an_answer_that_the_gateway_cuts_is_counted_as_cut() {
    let upstream = Upstream::start();
    let route =
        "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\npublic = true\nidle_body = \"1s\"\n";
    let process = Process::run(&format!(
        "[log]\naccess = \"all\"\n{}{route}",
        upstream.toml("orders")
    ));
    upstream.play([Script::Pieces(vec![begun(), b"un".to_vec()])]);
    upstream.go_on();
    let mut client = Client::connect(process.address());
    client.write_request(&Request::get("/silent"));
    assert!(!client.read("GET").unwrap().complete);
    assert_eq!(process.line("/silent")["reason"], "answer_cut");
    process.wait_for_metric(&requests("GET", "cut"), 1.0);
}

#[cfg(unix)]
#[test]
fn what_the_end_of_the_drain_cuts_is_not_the_clients_doing() {
    let upstream = Upstream::start();
    let mut process = logging(&upstream, "[server]\ndrain = \"200ms\"\n");
    upstream.play([Script::Pieces(vec![begun(), b"un".to_vec()]), Script::Hang]);
    upstream.go_on();
    let mut within = Client::connect(process.address());
    within.write_request(&Request::get("/within"));
    assert_eq!(within.read_head_only().status, 200);
    let mut before = Client::connect(process.address());
    before.write_request(&Request::get("/before"));
    upstream.wait_for(2);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    for (path, status) in [("/within", 200), ("/before", 499)] {
        let line = process.line(path);
        assert_eq!(
            (line["status"].as_u64(), line["reason"].as_str()),
            (Some(status), Some("answer_cut")),
            "{line}"
        );
    }
}

#[test]
fn a_client_that_leaves_is_no_refusal_and_no_success() {
    let upstream = Upstream::start();
    let process = logging(&upstream, "");
    let ways: [(&str, Script, u64); 2] = [
        ("/before-the-answer", Script::Hang, 499),
        (
            "/within-the-answer",
            Script::Pieces(vec![begun(), b"un".to_vec()]),
            200,
        ),
    ];
    for (number, (path, script, status)) in ways.into_iter().enumerate() {
        upstream.play([script]);
        upstream.go_on();
        let mut client = Client::connect(process.address());
        client.write_request(&Request::get(path));
        upstream.wait_for(number + 1);
        if status == 200 {
            assert_eq!(client.read_head_only().status, 200);
        }
        client.abort();
        let line = process.line(path);
        assert_eq!(
            (line["status"].as_u64(), line["reason"].as_str()),
            (Some(status), Some("client_left")),
            "{line}"
        );
        process.wait_for_metric(&requests("GET", "left"), (number + 1) as f64);
    }
    // On a stream of a connection that goes on.
    upstream.play([Script::Hang]);
    let mut client = Frames::connect(process.address());
    client.get(1, "/on-a-stream");
    upstream.wait_for(3);
    client.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    assert_eq!(process.line("/on-a-stream")["reason"], "client_left");
    process.wait_for_metric(&requests("GET", "left"), 3.0);
    client.get(3, "/next");
    assert_eq!(client.status(3), 200);
    for class in ["4xx", "cut"] {
        assert!(process.metric(&requests("GET", class)) < 0.5, "{class}");
    }
}

#[test]
fn a_client_that_leaves_within_its_upload_is_no_refusal() {
    let upstream = Upstream::start();
    let process = logging(&upstream, "");
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\nbeg")
    };
    let mut client = Client::connect(process.address());
    client.write(head("/upload").as_bytes());
    wait_until("the body arrives", || upstream.body_bytes() >= 3);
    drop(client);
    assert_eq!(process.line("/upload")["reason"], "client_left");
    process.wait_for_metric(&requests("POST", "left"), 1.0);
    // The twin: a body that breaks its framing is refused.
    let broken = Request::new("POST", "/broken")
        .field("Transfer-Encoding", "chunked")
        .body("no chunk\r\n");
    assert_eq!(process.send(&broken).status, 400);
    assert_eq!(process.line("/broken")["reason"], "malformed_body");
    process.wait_for_metric(&requests("POST", "4xx"), 1.0);
    let refused = "scopegate_refusals_total{reason=\"malformed_body\",route=\"/**\"}";
    process.wait_for_metric(refused, 1.0);
}

/// The ways in which a client can end a body that is not whole: the beginning of the request.
fn cut_bodies(path: &str) -> [(&'static str, String); 4] {
    let chunked =
        format!("POST {path} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    [
        (
            "a length",
            format!("POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\nbeg"),
        ),
        (
            "no byte of it",
            format!("POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\n"),
        ),
        ("within a chunk", format!("{chunked}9\r\nbeg")),
        ("between chunks", format!("{chunked}3\r\nbeg\r\n")),
    ]
}

// RFC 9112 §8, §9.6: a client that has closed its own side alone is there, and is answered.
#[test]
fn a_body_that_is_cut_by_a_half_close_is_a_refusal() {
    let upstream = Upstream::start();
    let process = Process::run(&format!(
        "{}[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n",
        upstream.toml("orders")
    ));
    let refused = "scopegate_refusals_total{reason=\"malformed_body\",route=\"/**\"}";
    for number in 0..4 {
        let path = format!("/half/{number}");
        let (what, bytes) = &cut_bodies(&path)[number];
        let mut client = Client::connect(process.address());
        client.write(bytes.as_bytes());
        client.half_close();
        let answer = client
            .read("POST")
            .unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "malformed_body"),
            "{what}"
        );
        assert!(client.ends(), "{what}");
        let line = process.line(&path);
        assert_eq!(
            (line["status"].as_u64(), line["reason"].as_str()),
            (Some(400), Some("malformed_body")),
            "{what}: {line}"
        );
        process.wait_for_metric(&requests("POST", "4xx"), (number + 1) as f64);
        process.wait_for_metric(refused, (number + 1) as f64);
    }
    assert!(process.metric(&requests("POST", "left")) < 0.5);
}

// Whether it sends a FIN or a reset: it has no answer.
#[test]
fn a_body_that_is_cut_by_a_client_that_is_gone_is_no_refusal() {
    let upstream = Upstream::start();
    let process = logging(&upstream, "");
    let mut count = 0.0;
    for is_reset in [false, true] {
        for number in 0..4 {
            let path = format!("/gone/{is_reset}/{number}");
            let (what, bytes) = &cut_bodies(&path)[number];
            let mut client = Client::connect(process.address());
            client.write(bytes.as_bytes());
            process.wait_for_metric("scopegate_requests_open", 1.0);
            if is_reset {
                client.abort();
            } else {
                drop(client);
            }
            assert_eq!(
                process.line(&path)["reason"],
                "client_left",
                "{what}, {is_reset}"
            );
            count += 1.0;
            process.wait_for_metric(&requests("POST", "left"), count);
            process.wait_for_metric("scopegate_requests_open", 0.0);
        }
    }
    assert!(process.metric(&requests("POST", "4xx")) < 0.5);
    let refused = "scopegate_refusals_total{reason=\"malformed_body\",route=\"/**\"}";
    assert!(process.metric(refused) < 0.5);
}

/// Waits until the requests of a gateway have ended in these ways.
#[track_caller]
fn wait_for_endings(gateway: &Gateway, refused: f64, left: f64) {
    gateway.wait_for_metric(
        "scopegate_refusals_total{reason=\"malformed_body\",route=\"/**\"}",
        refused,
    );
    gateway.wait_for_metric(&requests("POST", "4xx"), refused);
    gateway.wait_for_metric(&requests("POST", "left"), left);
}

// `close_notify` or none, the connection below tells (RFC 8446 §6.1).
#[test]
fn over_tls_a_half_close_is_told_from_an_end_as_well() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(&upstream, &[("a", &pair)], "", &[]);
    let begin = || {
        let mut client = root.connect(gateway.address(), "a.test", &[b"http/1.1"]);
        client
            .write_all(
                cut_bodies("/a")[0]
                    .1
                    .replace("api.test", "a.test")
                    .as_bytes(),
            )
            .unwrap();
        gateway.wait_for_metric("scopegate_requests_open", 1.0);
        // Session tickets: to end with them unread would be to reset.
        client.sock.set_nonblocking(true).unwrap();
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        client.sock.set_nonblocking(false).unwrap();
        client
    };
    for (number, is_announced) in [true, false].into_iter().enumerate() {
        let mut client = begin();
        if is_announced {
            client.conn.send_close_notify();
            client.flush().unwrap();
        }
        client.sock.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("it ends in order");
        assert!(
            answer.starts_with(b"HTTP/1.1 400 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        wait_for_endings(&gateway, (number + 1) as f64, number as f64);
        drop(begin());
        wait_for_endings(&gateway, (number + 1) as f64, (number + 1) as f64);
    }
}

#[cfg(unix)]
#[test]
fn over_a_unix_socket_a_half_close_is_told_from_an_end_as_well() {
    use std::os::unix::net::UnixStream;
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("api.sock");
    let gateway = Gateway::start_on_its_own_addresses(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\n{}\n[[routes]]\npath = \"/**\"\n\
         upstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n",
        path.display(),
        upstream.toml("orders")
    ));
    let begin = || {
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(cut_bodies("/a")[0].1.as_bytes()).unwrap();
        gateway.wait_for_metric("scopegate_requests_open", 1.0);
        client
    };
    let mut client = begin();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 400 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    wait_for_endings(&gateway, 1.0, 0.0);
    drop(begin());
    wait_for_endings(&gateway, 1.0, 1.0);
}

/// An upstream that answers before it has read the body, and does not end its answer.
fn hasty() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let toml = format!(
        "[upstreams.orders]\nurl = \"http://{}\"\n",
        listener.local_addr().unwrap()
    );
    (listener, toml)
}

// The answer had begun, and ends with its request: that is the client's doing, whether it is there
// or not.
#[test]
fn a_client_that_cuts_its_body_within_the_answer_has_left() {
    let (listener, toml) = hasty();
    let route =
        "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
    let process = Process::run(&format!("[log]\naccess = \"all\"\n{toml}{route}"));
    for (number, ending) in ["half", "gone", "reset"].into_iter().enumerate() {
        let path = format!("/within/{ending}");
        let mut client = Client::connect(process.address());
        client.write(cut_bodies(&path)[0].1.as_bytes());
        let (mut upstream, _) = listener.accept().unwrap();
        upstream.write_all(&begun()).unwrap();
        assert_eq!(client.read_head_only().status, 200);
        assert_eq!(client.read_exact(3), b"beg");
        match ending {
            "half" => client.half_close(),
            "gone" => drop(client),
            _ => client.abort(),
        }
        // The upstream's connection ends with it.
        let _ = upstream.read_to_end(&mut Vec::new());
        let line = process.line(&path);
        assert_eq!(
            (line["status"].as_u64(), line["reason"].as_str()),
            (Some(200), Some("client_left")),
            "{line}"
        );
        process.wait_for_metric(&requests("POST", "left"), (number + 1) as f64);
    }
    // The twin: a body that breaks its framing is not left, and the client hears nothing else of
    // it.
    let mut client = Client::connect(process.address());
    client.write(cut_bodies("/within/broken")[2].1.as_bytes());
    let (mut upstream, _) = listener.accept().unwrap();
    upstream.write_all(&begun()).unwrap();
    assert_eq!(client.read_head_only().status, 200);
    client.write(b"inning no chunk\r\n");
    assert_eq!(process.line("/within/broken")["reason"], "answer_cut");
    process.wait_for_metric(&requests("POST", "cut"), 1.0);
    process.wait_for_metric(&requests("POST", "left"), 3.0);
}

// RFC 9113 §8.1.1: a body that is shorter or longer than it said is refused, by a reset of the
// stream. A client that takes its request back, or is gone, has left.
#[test]
fn a_body_that_is_cut_on_a_stream_is_refused_or_left() {
    let upstream = Upstream::start();
    let process = logging(&upstream, "");
    for (path, data, reason) in [
        ("/stream/short", &b"beg"[..], "malformed_body"),
        ("/stream/long", b"beginning!", "malformed_body"),
        ("/stream/reset", b"beg", "client_left"),
        ("/stream/gone", b"beg", "client_left"),
    ] {
        let mut client = Frames::connect(process.address());
        let head = [request("POST", path), literal("content-length", "9")].concat();
        client.send(HEADERS, END_HEADERS, 1, &head);
        process.wait_for_metric("scopegate_requests_open", 1.0);
        let is_ended = reason == "malformed_body";
        client.send(DATA, if is_ended { END_STREAM } else { 0 }, 1, data);
        match path {
            "/stream/reset" => client.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            "/stream/gone" => drop(client),
            _ => {
                let reset = client
                    .wait(|frame| frame.kind == RST_STREAM)
                    .expect("the stream is reset");
                assert_eq!((reset.stream, reset.number(0)), (1, 1), "{path}");
            }
        }
        assert_eq!(process.line(path)["reason"], reason, "{path}");
        process.wait_for_metric("scopegate_requests_open", 0.0);
    }
    for class in ["4xx", "left"] {
        process.wait_for_metric(&requests("POST", class), 2.0);
    }
    let refused = "scopegate_refusals_total{reason=\"malformed_body\",route=\"/**\"}";
    process.wait_for_metric(refused, 2.0);
}

// A body that stops coming is refused while the client is there to hear it.
#[test]
fn a_body_that_stalls_is_a_refusal() {
    let upstream = Upstream::start();
    let process = logging(&upstream, "[server.timeouts]\nidle_body = \"1s\"\n");
    for number in 0..4 {
        let path = format!("/stalled/{number}");
        let (what, bytes) = &cut_bodies(&path)[number];
        let mut client = Client::connect(process.address());
        client.write(bytes.as_bytes());
        let answer = client
            .read("POST")
            .unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (408, "body_timeout"),
            "{what}"
        );
        assert_eq!(process.line(&path)["reason"], "body_timeout", "{what}");
        process.wait_for_metric(&requests("POST", "4xx"), (number + 1) as f64);
    }
    process.wait_for_metric(
        "scopegate_refusals_total{reason=\"body_timeout\",route=\"/**\"}",
        4.0,
    );
}

// By default refusals have a line, and so has what ended early; `departures.rs` has more.
#[test]
fn by_default_a_cut_answer_and_a_client_that_left_are_logged() {
    let upstream = Upstream::start();
    let process = Process::run(&format!(
        "{}[[routes]]\npath = \"/**\"\nupstream = \"orders\"\npublic = true\n",
        upstream.toml("orders")
    ));
    upstream.play([Script::Hang, Script::Raw(begun(), false)]);
    let mut client = Client::connect(process.address());
    client.write_request(&Request::get("/left"));
    upstream.wait_for(1);
    client.abort();
    process.wait_for_metric(&requests("GET", "left"), 1.0);
    assert!(!process.send(&Request::get("/cut")).complete);
    assert_eq!(process.line("/cut")["reason"], "answer_cut");
    assert_eq!(process.line("/left")["reason"], "client_left");
}

// What has no content, and what has all that was announced, is whole, however its upstream ends it.
#[test]
fn an_answer_without_content_or_with_all_of_it_is_whole() {
    let upstream = Framed::start();
    let gateway = Gateway::start(&format!(
        "{}[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n",
        upstream.toml("orders")
    ));
    let late = |status: &'static str, length: Option<&'static str>, data: &'static [u8]| {
        Act::Write(Box::new(move |stream| {
            let length = length.map(|length| ("content-length", length));
            let fields: Vec<_> = [(":status", status)].into_iter().chain(length).collect();
            // The end comes behind everything, in a frame of its own that is never sent.
            [head(stream, 0, &fields), frame(DATA, 0, stream, data)].concat()
        }))
    };
    upstream.play([
        late("200", Some("5"), b""),
        late("204", None, b""),
        late("304", Some("5"), b""),
        late("200", Some("2"), b"ok"),
    ]);
    let mut client = gateway.connect();
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 200)] {
        assert_eq!(
            client.send(&Request::new(method, "/whole")).status,
            status,
            "{method} {status}"
        );
    }
    for (method, class, count) in [
        ("HEAD", "2xx", 1.0),
        ("GET", "2xx", 2.0),
        ("GET", "3xx", 1.0),
    ] {
        gateway.wait_for_metric(&requests(method, class), count);
    }
    for class in ["left", "cut"] {
        assert!(gateway.metric(&requests("GET", class)) < 0.5, "{class}");
    }
    // Refusals of HEAD have no content either.
    let gateway = Gateway::start(
        "[upstreams.a]\nurl = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/a\"\nupstream = \"a\"\n\
         public = true\n",
    );
    assert_eq!(gateway.send(&Request::new("HEAD", "/none")).status, 404);
    gateway.wait_for_metric(
        "scopegate_requests_total{method=\"HEAD\",route=\"none\",status=\"4xx\"}",
        1.0,
    );
}
