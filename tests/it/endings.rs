//! How requests end that have no whole answer, as they are counted and logged: an answer that was cut, and a client that left.

use serde_json::Value;

use crate::cast::framed::{Act, Framed, head};
use crate::cast::frames::{DATA, Frames, RST_STREAM, frame};
use crate::cast::{Client, Gateway, Process, Request, Script, Upstream, wait_until};

fn requests(method: &str, status: &str) -> String {
    format!("scopegate_requests_total{{method=\"{method}\",route=\"/**\",status=\"{status}\"}}")
}

/// A gateway as a process of its own, that logs every request.
fn logging(upstream: &Upstream, server: &str) -> Process {
    let route = "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
    Process::run(&format!("{server}[log]\naccess = \"all\"\n{}{route}", upstream.toml("orders")))
}

/// The line of a request for this path.
#[track_caller]
fn line(process: &Process, path: &str) -> Value {
    let find = || {
        let out = process.out();
        let mut lines = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["path"] == path)
    };
    wait_until(&format!("{path} is logged"), || find().is_some());
    find().unwrap()
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
        let line = line(&process, &path);
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
    assert!(line(&process, "/whole").get("reason").is_none());
    process.wait_for_metric(&requests("GET", "2xx"), 1.0);
}

#[test]
fn an_answer_that_the_gateway_cuts_is_counted_as_cut() {
    let upstream = Upstream::start();
    let route = "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\npublic = true\nidle_body = \"1s\"\n";
    let process = Process::run(&format!("[log]\naccess = \"all\"\n{}{route}", upstream.toml("orders")));
    upstream.play([Script::Pieces(vec![begun(), b"un".to_vec()])]);
    upstream.go_on();
    let mut client = Client::connect(process.address());
    client.write_request(&Request::get("/silent"));
    assert!(!client.read("GET").unwrap().complete);
    assert_eq!(line(&process, "/silent")["reason"], "answer_cut");
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
        let line = line(&process, path);
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
        ("/within-the-answer", Script::Pieces(vec![begun(), b"un".to_vec()]), 200),
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
        let line = line(&process, path);
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
    assert_eq!(line(&process, "/on-a-stream")["reason"], "client_left");
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
    let head = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\nbeg");
    let mut client = Client::connect(process.address());
    client.write(head("/upload").as_bytes());
    wait_until("the body arrives", || upstream.body_bytes() >= 3);
    drop(client);
    assert_eq!(line(&process, "/upload")["reason"], "client_left");
    process.wait_for_metric(&requests("POST", "left"), 1.0);
    // The twin: a body that breaks its framing is refused.
    let broken = Request::new("POST", "/broken").field("Transfer-Encoding", "chunked").body("no chunk\r\n");
    assert_eq!(process.send(&broken).status, 400);
    assert_eq!(line(&process, "/broken")["reason"], "malformed_body");
    process.wait_for_metric(&requests("POST", "4xx"), 1.0);
    let refused = "scopegate_refusals_total{reason=\"malformed_body\",route=\"/**\"}";
    process.wait_for_metric(refused, 1.0);
}

// By default refusals have a line, and clients that leave are none.
#[test]
fn by_default_a_cut_answer_is_logged_and_a_client_that_left_is_not() {
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
    assert_eq!(line(&process, "/cut")["reason"], "answer_cut");
    assert!(!process.out().contains("/left"), "{}", process.out());
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
        assert_eq!(client.send(&Request::new(method, "/whole")).status, status, "{method} {status}");
    }
    for (method, class, count) in [("HEAD", "2xx", 1.0), ("GET", "2xx", 2.0), ("GET", "3xx", 1.0)] {
        gateway.wait_for_metric(&requests(method, class), count);
    }
    for class in ["left", "cut"] {
        assert!(gateway.metric(&requests("GET", class)) < 0.5, "{class}");
    }
    // Refusals of HEAD have no content either.
    let gateway = Gateway::start(
        "[upstreams.a]\nurl = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/a\"\nupstream = \"a\"\npublic = true\n",
    );
    assert_eq!(gateway.send(&Request::new("HEAD", "/none")).status, 404);
    gateway.wait_for_metric("scopegate_requests_total{method=\"HEAD\",route=\"none\",status=\"4xx\"}", 1.0);
}
