//! Clients that leave before the end of their answer, in the log and the metrics as they are
//! without a setting.

use serde_json::Value;

use crate::support::frames::{END_HEADERS, Frames, HEADERS, RST_STREAM, request};
use crate::support::{Client, Process, Request, Script, Upstream, wait_until};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

fn start(upstream: &Upstream, settings: &str) -> Process {
    Process::run(&format!("{settings}\n{}{ROUTE}", upstream.toml("orders")))
}

fn left(reason: &str) -> String {
    format!("scopegate_clients_left_total{{reason=\"{reason}\"}}")
}

/// Returns the lines of the access log.
fn lines(process: &Process) -> Vec<Value> {
    let out = process.out();
    out.lines()
        .map(|line| serde_json::from_str(line).expect("a line is whole"))
        .collect()
}

/// Waits for the metric and for the line of a request whose client left.
#[track_caller]
fn expect(process: &Process, path: &str, reason: &str, count: usize) {
    process.wait_for_metric(&left(reason), count as f64);
    wait_until(&format!("{path} is logged"), || {
        lines(process).iter().any(|line| line["path"] == path)
    });
    let lines = lines(process);
    let line = lines.iter().find(|line| line["path"] == path).unwrap();
    assert_eq!(line["reason"], "client_left", "{line}");
    let detail = match reason {
        "in_body" => "the client left before its request was forwarded whole",
        "before_answer" => "the client left while it waited for the answer",
        _ => "the client left before the end of the answer",
    };
    assert_eq!(line["detail"], detail, "{line}");
}

fn begun(fields: &str) -> Script {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n3\r\nbeg\r\n");
    Script::Pieces(vec![head.into_bytes(), b"2\r\nun\r\n".to_vec()])
}

const CHUNKED: &str = "transfer-encoding: chunked";

#[test]
fn a_client_that_leaves_has_a_line_and_a_reason() {
    let upstream = Upstream::start();
    let process = start(&upstream, "");
    upstream.play([Script::Hang]);
    let mut client = Client::connect(process.address());
    client.write_request(&Request::get("/waits"));
    upstream.wait_for(1);
    client.abort();
    expect(&process, "/waits", "before_answer", 1);

    for (count, gone) in ["/upload/closed", "/upload/reset"].into_iter().enumerate() {
        let mut client = Client::connect(process.address());
        let head = format!("POST {gone} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nbeg");
        client.write(head.as_bytes());
        wait_until("the body arrives", || {
            upstream.body_bytes() >= 3 * (count + 1)
        });
        if gone.ends_with("reset") {
            client.abort();
        } else {
            drop(client);
        }
        expect(&process, gone, "in_body", count + 1);
    }

    upstream.play([begun(CHUNKED)]);
    upstream.go_on();
    let mut client = Client::connect(process.address());
    client.write_request(&Request::get("/answer"));
    assert_eq!(client.read_head_only().status, 200);
    client.abort();
    expect(&process, "/answer", "in_answer", 1);
    // The twins: an answer that is read, and one to a client that has closed its own side alone.
    assert_eq!(process.send(&Request::get("/read")).status, 200);
    let mut client = Client::connect(process.address());
    client.write_request(&Request::get("/half"));
    client.half_close();
    assert_eq!(client.read("GET").unwrap().status, 200);
    process.wait_for_metric("scopegate_requests_open", 0.0);
    assert_eq!(lines(&process).len(), 4, "{}", process.out());
    // The requests have their lines, so that the log of events has none.
    assert!(
        !process.errors().contains("a client"),
        "{}",
        process.errors()
    );
}

#[test]
fn a_stream_that_is_cancelled_has_a_line_and_a_reason() {
    let upstream = Upstream::start();
    let process = start(&upstream, "");
    let mut client = Frames::connect(process.address());
    let cancel = |client: &mut Frames, stream| client.send(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    upstream.play([Script::Hang, Script::Stall, begun(CHUNKED)]);
    client.get(1, "/waits");
    upstream.wait_for(1);
    cancel(&mut client, 1);
    expect(&process, "/waits", "before_answer", 1);
    client.send(HEADERS, END_HEADERS, 3, &request("POST", "/upload"));
    // Before that no script of the upstream is used up.
    upstream.wait_for(2);
    cancel(&mut client, 3);
    expect(&process, "/upload", "in_body", 1);
    upstream.play([begun(CHUNKED)]);
    upstream.go_on();
    client.get(5, "/answer");
    assert_eq!(client.status(5), 200);
    cancel(&mut client, 5);
    expect(&process, "/answer", "in_answer", 1);
    assert!(client.is_alive());
}

// That is how such a stream ends.
#[test]
fn a_client_that_ends_an_event_stream_is_counted_and_has_no_line() {
    let upstream = Upstream::start();
    let process = start(&upstream, "");
    for (count, kind) in ["text/event-stream", "Text/Event-Stream; charset=utf-8"]
        .into_iter()
        .enumerate()
    {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{CHUNKED}\r\n\r\n");
        // The stream stays open without an end.
        upstream.play([Script::Raw(
            format!("{head}3\r\nbeg\r\n").into_bytes(),
            true,
        )]);
        let mut client = Client::connect(process.address());
        client.write_request(&Request::get("/events"));
        assert_eq!(client.read_head_only().status, 200);
        client.abort();
        process.wait_for_metric(&left("in_event_stream"), (count + 1) as f64);
    }
    // The line of a refusal comes after all lines before it.
    let refused = Request::get("/a/../b");
    assert_eq!(process.send(&refused).status, 400);
    wait_until("the refusal is logged", || !lines(&process).is_empty());
    assert_eq!(lines(&process).len(), 1, "{}", process.out());
}

#[test]
fn a_flood_of_clients_that_leave_has_few_lines_and_an_exact_count() {
    const CLIENTS: u64 = 300;
    let upstream = Upstream::start();
    let process = start(&upstream, "");
    upstream.always(Script::Hang);
    for _ in 0..CLIENTS {
        let mut client = Client::connect(process.address());
        client.write_request(&Request::get("/waits"));
        process.wait_for_metric("scopegate_requests_open", 1.0);
        client.abort();
        process.wait_for_metric("scopegate_requests_open", 0.0);
    }
    process.wait_for_metric(&left("before_answer"), CLIENTS as f64);
    let told = || {
        let lines = lines(&process);
        let skipped: u64 = lines
            .iter()
            .filter_map(|line| line["skipped"].as_u64())
            .sum();
        let errors = process.errors();
        let more = errors.lines().filter_map(|line| {
            let (_, rest) =
                line.split_once("more clients left than the access log has lines for")?;
            rest.split_once("count=")?
                .1
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        });
        lines.len() as u64 + skipped + more.sum::<u64>()
    };
    wait_until("all of them are told of", || told() == CLIENTS);
    let written = lines(&process).len() as u64;
    assert!(written < CLIENTS / 2, "{written} lines");
}
