//! Long answers of functions on their way to their clients: each holds its permit until the
//! client's connection has taken it, and has the limits of an answer that is relayed.

use serde_json::Value;

use crate::slow_readers::narrow;
use crate::support::frames::{Frames, RST_STREAM};
use crate::support::{Client, Function, Process, Request, Upstream, wait_until};

/// The bytes of a long answer's body.
const LONG: usize = 6_000_000;

const LEFT: &str = "scopegate_clients_left_total{reason=\"in_answer\"}";

const OPEN: &str = "scopegate_requests_open";

fn long_body() -> String {
    let letters = (0..LONG).map(|at| char::from(b'a' + (at / 1000 % 26) as u8));
    letters.collect()
}

/// A function that answers `ok`, and a gateway in a process of its own.
struct Scene {
    invoke_api: Upstream,
    process: Process,
}

impl Scene {
    /// Starts a function of which one request is under way at a time.
    fn start(more: &str) -> Self {
        let invoke_api = Upstream::start();
        let toml = format!(
            "{more}{}lambda = {{ function = \"function\" }}\nmax_requests = 1\n\
             [[routes]]\npath = \"/**\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n",
            invoke_api.toml("f")
        );
        let process = Process::run(&toml);
        let short = "{\"statusCode\": 200, \"body\": \"ok\"}";
        invoke_api.always(Function::returning("", short.as_bytes()));
        Self {
            invoke_api,
            process,
        }
    }

    /// Lets the function return a long answer next.
    fn returns_much(&self) {
        let payload = format!("{{\"statusCode\": 200, \"body\": \"{}\"}}", long_body());
        self.invoke_api
            .play([Function::returning("", payload.as_bytes())]);
    }

    /// Checks that the only permit is held.
    #[track_caller]
    fn check_full(&self) {
        let answer = self.process.send(&Request::get("/next"));
        let refused = (answer.status, answer.code());
        assert_eq!(refused, (503, "upstream_overloaded".to_owned()));
    }

    #[track_caller]
    fn wait_until_free(&self) {
        wait_until("the permit is free", || {
            self.process.send(&Request::get("/next")).status == 200
        });
    }

    /// Waits for the metric and the line of a client that left in the middle of its answer.
    #[track_caller]
    fn check_left(&self, path: &str, count: usize) {
        self.process.wait_for_metric(LEFT, count as f64);
        wait_until("the request is logged", || self.line(path).is_some());
        let line = self.line(path).unwrap();
        assert_eq!(line["status"], 200, "{line}");
        assert_eq!(line["reason"], "client_left", "{line}");
    }

    fn line(&self, path: &str) -> Option<Value> {
        let out = self.process.out();
        let mut lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.find(|line: &Value| line["path"] == path)
    }
}

#[test]
fn a_client_that_reads_nothing_holds_its_permit_until_it_leaves() {
    let scene = Scene::start("");
    scene.returns_much();
    let mut client = Client::over(narrow(scene.process.address()));
    client.write_request(&Request::get("/reset"));
    let head = client.read_head_only();
    assert_eq!(head.status, 200);
    assert_eq!(head.field("content-length"), Some("6000000"));
    scene.check_full();
    scene.process.wait_for_metric(OPEN, 1.0);
    client.abort();
    scene.wait_until_free();
    scene.check_left("/reset", 1);
}

#[test]
fn a_stream_without_a_window_holds_its_permit_until_it_is_reset() {
    let scene = Scene::start("");
    scene.returns_much();
    let mut client = Frames::connect(scene.process.address());
    client.get(1, "/stream");
    assert_eq!(client.status(1), 200);
    scene.check_full();
    client.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    scene.wait_until_free();
    scene.check_left("/stream", 1);
}

#[test]
fn a_client_that_takes_nothing_of_an_answer_is_let_go() {
    let scene = Scene::start("[server.timeouts]\nidle_body = \"500ms\"\n");
    scene.returns_much();
    let mut client = Client::over(narrow(scene.process.address()));
    client.write_request(&Request::get("/stalls"));
    scene.check_left("/stalls", 1);
    scene.wait_until_free();
    // What it has in its own buffers it may still read, but not to an end.
    assert!(!client.read("GET").expect("there is an answer").complete);
}

#[test]
fn a_long_answer_arrives_whole_and_frees_its_permit() {
    let scene = Scene::start("");
    let body = long_body();
    for _ in 0..2 {
        scene.returns_much();
        let answer = scene.process.send(&Request::get("/whole"));
        assert_eq!(answer.field("content-length"), Some("6000000"));
        assert!(answer.complete && answer.text() == body);
        scene.wait_until_free();
    }
    scene.returns_much();
    let mut client = Frames::connect(scene.process.address());
    client.get(1, "/whole");
    assert_eq!(client.status(1), 200);
    assert!(client.body(1) == body.as_bytes());
    scene.wait_until_free();
    scene.process.wait_for_metric(OPEN, 0.0);
    assert!(scene.process.metric(LEFT) < 0.5);
}

#[test]
fn an_answer_without_content_holds_no_permit() {
    let scene = Scene::start("");
    scene.returns_much();
    let answer = scene.process.send(&Request::new("HEAD", "/head"));
    assert_eq!(answer.field("content-length"), Some("6000000"));
    for payload in [
        "{\"statusCode\": 204, \"body\": \"x\"}",
        "{\"statusCode\": 200}",
    ] {
        scene
            .invoke_api
            .play([Function::returning("", payload.as_bytes())]);
        let answer = scene.process.send(&Request::get("/empty"));
        assert!(answer.complete && answer.text().is_empty());
    }
    assert_eq!(scene.process.send(&Request::get("/next")).text(), "ok");
}
