//! Invocations whose clients leave: a runtime that takes one event at a time never gets a second
//! one meanwhile, and no client gets an answer of another one's invocation.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::frames::Frames;
use crate::support::{Client, Function, Gateway, Process, Request, Script, Upstream, wait_until};

/// An Invoke API whose runtime runs one function at a time, to its end, whether or not its client
/// is still there. A second invocation meanwhile fails the test, as it ends the official emulator.
struct Emulator {
    address: SocketAddr,
    runtime: Arc<Runtime>,
}

#[derive(Default)]
struct Runtime {
    running: AtomicUsize,
    invoked: AtomicUsize,
    most: AtomicUsize,
    /// The answers that the test allows.
    answers: Mutex<usize>,
}

impl Emulator {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = Arc::new(Runtime::default());
        thread::spawn({
            let runtime = runtime.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    let runtime = runtime.clone();
                    thread::spawn(move || runtime.serve(stream));
                }
            }
        });
        Self { address, runtime }
    }

    fn toml(&self, more: &str) -> String {
        format!(
            "[upstreams.f]\nurl = \"http://{}\"\nlambda = {{ function = \"function\" }}\n\
             max_connections = 1\n{more}\n\
             [[routes]]\npath = \"/**\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n\
             [[routes]]\npath = \"/short\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n\
             response_timeout = \"50ms\"\n",
            self.address
        )
    }

    /// Lets a function answer.
    fn go_on(&self) {
        *self.runtime.answers.lock().unwrap() += 1;
    }

    #[track_caller]
    fn wait_for(&self, invocations: usize) {
        wait_until("a function is invoked", || self.invoked() == invocations);
    }

    fn invoked(&self) -> usize {
        self.runtime.invoked.load(Ordering::SeqCst)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if !thread::panicking() {
            let most = self.runtime.most.load(Ordering::SeqCst);
            assert!(most <= 1, "{most} functions ran at a time");
        }
    }
}

impl Runtime {
    /// Runs the functions of a connection, which answer with the number of the invocation.
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while read_event(&mut reader).is_some() {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            let number = self.invoked.fetch_add(1, Ordering::SeqCst) + 1;
            wait_until("the test lets the function answer", || {
                let mut answers = self.answers.lock().unwrap();
                let may = *answers > 0;
                *answers -= usize::from(may);
                may
            });
            self.running.fetch_sub(1, Ordering::SeqCst);
            let payload = format!("{{\"statusCode\": 200, \"body\": \"{number}\"}}");
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                payload.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), payload.as_bytes()].concat());
        }
    }
}

fn read_event(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut event = vec![0; length];
    reader.read_exact(&mut event).ok()?;
    Some(event)
}

/// An emulator that takes one invocation at a time, and a gateway at which one request may wait for
/// its turn.
struct Turns {
    emulator: Emulator,
    gateway: Gateway,
}

impl Turns {
    fn start() -> Self {
        let emulator = Emulator::start();
        let gateway = Gateway::start(&emulator.toml(ONE_WAITS));
        Self { emulator, gateway }
    }

    /// Takes the turn, by a request of the client that is returned.
    #[track_caller]
    fn take(&self) -> Client {
        let mut client = self.gateway.connect();
        client.write_request(&Request::get("/"));
        self.emulator.wait_for(1);
        client
    }

    /// Sends two requests, of which one may wait for its turn, until the other is refused. Returns
    /// the one that waits.
    #[track_caller]
    fn wait_in_line(&self) -> Client {
        let mut clients = [self.gateway.connect(), self.gateway.connect()];
        for client in &mut clients {
            client.write_request(&Request::get("/"));
        }
        let [one, other] = &mut clients;
        wait_until("one of two is refused", || {
            let soon = Duration::from_millis(5);
            one.has_answer_within(soon) || other.has_answer_within(soon)
        });
        let [mut one, mut other] = clients;
        if !one.has_answer_within(Duration::from_millis(1)) {
            std::mem::swap(&mut one, &mut other);
        }
        let answer = one.read("GET").unwrap();
        let refused = (answer.status, answer.code());
        assert_eq!(refused, (503, "upstream_overloaded".to_owned()));
        other
    }

    /// Asserts that another request waits for the invocation whose client has left.
    #[track_caller]
    fn are_kept(&self) {
        let mut waiting = self.wait_in_line();
        assert_eq!(self.emulator.invoked(), 1, "it waits for its turn");
        self.emulator.go_on();
        self.emulator.wait_for(2);
        self.emulator.go_on();
        let answer = waiting.read("GET").unwrap();
        assert_eq!((answer.status, answer.text()), (200, "2".to_owned()));
    }
}

const ONE_WAITS: &str = "max_pending = 1\n";

const LEFT: &str = "scopegate_clients_left_total{reason=\"before_answer\"}";

#[test]
fn a_client_that_resets_its_connection_frees_no_turn() {
    let turns = Turns::start();
    turns.take().abort();
    turns.gateway.wait_for_metric(LEFT, 1.0);
    turns.are_kept();
}

#[test]
fn a_client_that_closes_its_connection_frees_no_turn() {
    let turns = Turns::start();
    drop(turns.take());
    turns.are_kept();
}

#[test]
fn a_stream_that_is_reset_frees_no_turn() {
    let turns = Turns::start();
    let mut frames = Frames::connect(turns.gateway.address());
    frames.get(1, "/");
    turns.emulator.wait_for(1);
    frames.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    turns.gateway.wait_for_metric(LEFT, 1.0);
    turns.are_kept();
}

const RST_STREAM: u8 = 3;

#[test]
fn a_function_that_is_too_slow_keeps_its_turn() {
    let turns = Turns::start();
    let late = turns.gateway.send(&Request::get("/short"));
    assert_eq!(
        (late.status, late.code()),
        (504, "upstream_timeout".to_owned())
    );
    assert_eq!(turns.emulator.invoked(), 1);
    turns.are_kept();
}

#[test]
fn a_request_that_leaves_before_its_turn_invokes_nothing() {
    let turns = Turns::start();
    let mut first = turns.take();
    turns.wait_in_line().abort();
    let Turns { emulator, gateway } = &turns;
    gateway.wait_for_metric(LEFT, 1.0);
    // Nor does one whose time is over.
    let late = gateway.send(&Request::get("/short"));
    assert_eq!(
        (late.status, late.code()),
        (504, "upstream_timeout".to_owned())
    );
    let series = "scopegate_refusals_total{reason=\"upstream_connect_timeout\",route=\"/short\"}";
    gateway.wait_for_metric(series, 1.0);
    let mut waiting = turns.wait_in_line();
    assert_eq!(emulator.invoked(), 1);
    emulator.go_on();
    assert_eq!(first.read("GET").unwrap().text(), "1");
    emulator.wait_for(2);
    emulator.go_on();
    assert_eq!(waiting.read("GET").unwrap().text(), "2");
}

#[test]
fn a_limit_of_requests_counts_what_no_client_waits_for() {
    let function = Function::with("1.0", "max_requests = 1\n", "");
    let held = held_answer();
    function.invoke_api.play([held]);
    let mut client = function.gateway.connect();
    client.write_request(&Request::get("/"));
    function.invoke_api.wait_for(1);
    client.abort();
    function.gateway.wait_for_metric(LEFT, 1.0);
    let answer = function.gateway.send(&Request::get("/"));
    let refused = (answer.status, answer.code());
    assert_eq!(refused, (503, "upstream_overloaded".to_owned()));
    function.invoke_api.go_on();
    wait_until("the permit is free", || {
        function.gateway.send(&Request::get("/")).status == 200
    });
}

fn held_answer() -> Script {
    Script::Pieces(vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"statusCode\":204}".to_vec(),
    ])
}

#[test]
fn a_turn_is_kept_for_the_longest_time_of_a_function() {
    let invoke_api = Upstream::start();
    let toml = format!(
        "[upstreams.f]\nurl = \"{}\"\nmax_connections = 1\n\
         lambda = {{ function = \"function\", timeout = \"50ms\" }}\n\
         [[routes]]\npath = \"/**\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n",
        invoke_api.url()
    );
    let gateway = Gateway::start(&toml);
    invoke_api.play([Script::Hang]);
    let answer = Function::returning("", b"{\"statusCode\": 200, \"body\": \"ok\"}");
    invoke_api.always(answer);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/"));
    invoke_api.wait_for(1);
    client.abort();
    assert_eq!(gateway.send(&Request::get("/")).text(), "ok");
}

#[test]
fn a_reload_frees_no_turn() {
    let turns = Turns::start();
    turns.take().abort();
    turns.gateway.wait_for_metric(LEFT, 1.0);
    // These connections have other limits of their heads, so that the pools are new ones.
    let Turns { emulator, gateway } = &turns;
    let other = emulator.toml("max_pending = 1\nresponse_head_bytes = \"16 KiB\"\n");
    gateway.rewrite(&other);
    gateway.reload();
    gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", 1.0);
    turns.are_kept();
}

#[cfg(unix)]
#[test]
fn the_drain_waits_for_no_function_without_a_client() {
    let emulator = Emulator::start();
    let mut process = Process::run(&emulator.toml("\n[server]\ndrain = \"1h\"\n"));
    let mut client = Client::connect(process.address());
    client.write_request(&Request::get("/"));
    emulator.wait_for(1);
    client.abort();
    process.wait_for_metric(LEFT, 1.0);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    emulator.go_on();
}

#[test]
fn a_function_that_stops_in_its_answer_is_too_slow() {
    let function = Function::with("1.0", "", "response_timeout = \"100ms\"\n");
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n{\"statusCode".to_vec();
    function
        .invoke_api
        .play([Script::Pieces(vec![begun, Vec::new()])]);
    function.invoke_api.go_on();
    let answer = function.gateway.send(&Request::get("/"));
    let late = (answer.status, answer.code());
    assert_eq!(late, (504, "upstream_timeout".to_owned()));
    let series = "scopegate_refusals_total{reason=\"upstream_timeout\",route=\"/**\"}";
    function.gateway.wait_for_metric(series, 1.0);
    function.invoke_api.go_on();
}

#[test]
fn an_answer_too_many_reaches_no_other_client() {
    let function = Function::with("1.0", "max_connections = 1\n", "");
    let answer = |body: &str| {
        let payload = format!("{{\"statusCode\": 200, \"body\": \"{body}\"}}");
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            payload.len()
        );
        [head, payload].concat().into_bytes()
    };
    let twice = Script::Pieces(vec![answer("first"), answer("secret")]);
    function.invoke_api.play([twice]);
    function.invoke_api.go_on();
    assert_eq!(function.gateway.send(&Request::get("/")).text(), "first");
    let mut clients: Vec<_> = (0..3).map(|_| function.gateway.connect()).collect();
    for client in &mut clients {
        client.write_request(&Request::get("/"));
        function.invoke_api.go_on();
    }
    for client in &mut clients {
        assert_eq!(client.read("GET").unwrap().text(), "ok");
    }
    assert_eq!(function.invoke_api.connections(), 4, "one each");
}

#[test]
fn a_client_that_leaves_ejects_no_endpoint() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let toml = format!(
        "[upstreams.f]\nendpoints = [\"{}\", \"{}\"]\nlambda = {{ function = \"function\" }}\n\
         ejection = {{ failures = 1 }}\n\
         [[routes]]\npath = \"/**\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n\
         [[routes]]\npath = \"/short\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n\
         response_timeout = \"50ms\"\n",
        one.url(),
        other.url()
    );
    let gateway = Gateway::start(&toml);
    for upstream in [&one, &other] {
        upstream.always(held_answer());
    }
    let ejections = "scopegate_upstream_ejections_total{upstream=\"f\"}";
    let arrived = || one.arrived() + other.arrived();
    let mut client = gateway.connect();
    client.write_request(&Request::get("/"));
    wait_until("a function is invoked", || arrived() == 1);
    client.abort();
    gateway.wait_for_metric(LEFT, 1.0);
    for upstream in [&one, &other] {
        upstream.go_on();
    }
    wait_until("the invocation has ended", || {
        let open = "scopegate_upstream_connections_open{upstream=\"f\"}";
        gateway.metric(open) < 0.5
    });
    assert!(gateway.metric(ejections) < 0.5);
    // An endpoint that is too slow is ejected.
    for upstream in [&one, &other] {
        upstream.always(Script::Hang);
    }
    assert_eq!(gateway.send(&Request::get("/short")).status, 504);
    gateway.wait_for_metric(ejections, 1.0);
    for upstream in [&one, &other] {
        upstream.go_on();
    }
}
