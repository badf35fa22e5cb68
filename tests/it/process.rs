//! `scopegate run` as a process: its messages, its signals and its exit.
#![cfg(unix)]

use std::fs;

use serde_json::Value;

use crate::support::{
    Client, Issuer, Process, Request, Script, Upstream, free_address, raw, scopegate,
    wait_until_closed,
};

fn orders(issuer: &Issuer, upstream: &Upstream, more: &str) -> String {
    let routes = "[[routes]]\npath = \"/orders\"\nupstream = \"orders\"\n\
                  methods = { GET = \"orders.read\" }\n\
                  [[routes]]\npath = \"/public\"\nupstream = \"orders\"\nmethods = [\"GET\"]\n\
                  public = true\n";
    [more, &issuer.toml(), &upstream.toml("orders"), routes].concat()
}

#[test]
fn without_a_command_it_serves_and_says_where() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let any = "127.0.0.1:0";
    let process = Process::start(
        &["--listen", any, "--admin", any],
        &orders(&issuer, &upstream, ""),
    );
    let request = Request::get("/orders").bearer(&issuer.token("orders.read"));
    assert_eq!(process.send(&request).status, 200);
    let ready = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(raw(process.admin(), ready).starts_with("HTTP/1.1 200 "));
}

// Idle connections are closed, what is under way ends, nothing new comes in.
#[test]
fn the_end_waits_for_what_is_under_way() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let mut process = Process::run(&orders(&issuer, &upstream, ""));
    let address = process.address();
    let mut idle = Client::connect(address);
    assert_eq!(idle.send(&Request::get("/public")).status, 200);
    let pieces: [&[u8]; 2] = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfi", b"rst"];
    upstream.play([Script::Pieces(pieces.map(<[u8]>::to_vec).to_vec())]);
    let mut busy = Client::connect(address);
    busy.write_request(&Request::get("/public"));
    upstream.wait_for(2);

    process.signal("TERM");
    process.wait_for_log("draining");
    wait_until_closed(address);
    assert!(
        idle.is_closed(),
        "an idle connection has nothing to wait for"
    );
    upstream.go_on();
    upstream.go_on();
    let answer = busy.read("GET").expect("what is under way is answered");
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.complete),
        (200, "first", true)
    );
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(busy.is_closed());
    assert_eq!(process.wait().code(), Some(0));
}

// Bounded, whatever an upstream does.
#[test]
fn the_end_waits_no_longer_than_the_drain() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let toml = orders(&issuer, &upstream, "[server]\ndrain = \"200ms\"\n");
    for signal in ["TERM", "INT"] {
        let mut process = Process::run(&toml);
        let mut client = Client::connect(process.address());
        upstream.play([Script::Hang]);
        let arrived = upstream.arrivals().len();
        client.write_request(&Request::get("/public"));
        upstream.wait_for(arrived + 1);
        process.signal(signal);
        assert_eq!(process.wait().code(), Some(0), "{signal}");
        assert!(client.is_closed());
        assert!(
            process.errors().contains("connections were cut"),
            "{}",
            process.errors()
        );
    }
}

// Who asks again does not want to wait: a second Ctrl-C, a supervisor in haste.
#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let toml = orders(&issuer, &upstream, "[server]\ndrain = \"1h\"\n");
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("INT", "TERM")] {
        let mut process = Process::run(&toml);
        let mut client = Client::connect(process.address());
        upstream.play([Script::Hang]);
        let arrived = upstream.arrivals().len();
        client.write_request(&Request::get("/public"));
        upstream.wait_for(arrived + 1);
        process.signal(first);
        process.wait_for_log("no connection is accepted any more");
        // What is drained is alive, and not ready.
        let ask = |path: &str| {
            let ask =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            raw(process.admin(), ask.as_bytes())
        };
        assert!(ask("/livez").starts_with("HTTP/1.1 200 "), "{first}");
        assert!(ask("/readyz").starts_with("HTTP/1.1 503 "), "{first}");
        process.signal(second);
        assert_eq!(process.wait().code(), Some(0), "{first} {second}");
        assert!(client.is_closed());
        assert!(
            process.errors().contains("the drain ends at once"),
            "{}",
            process.errors()
        );
    }
}

// Log rotation sends SIGUSR1, and other servers drain on SIGQUIT: here they mean nothing, and end
// nothing.
#[test]
fn a_signal_that_means_nothing_ends_nothing() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let mut process = Process::run(&orders(&issuer, &upstream, ""));
    let mut client = Client::connect(process.address());
    for signal in ["USR1", "USR2", "QUIT", "ALRM", "IO", "PIPE"] {
        process.signal(signal);
        if signal != "PIPE" {
            process.wait_for_log(&format!("SIG{signal}"));
        }
        assert_eq!(
            client.send(&Request::get("/public")).status,
            200,
            "{signal}"
        );
    }
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

// A soft limit of 1024, the usual one, is not what the machine allows.
#[cfg(target_os = "linux")]
#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let process = Process::with_ulimit("-Sn 64", &orders(&issuer, &upstream, ""));
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.number())).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let values: Vec<_> = line.split_whitespace().take(2).collect();
    assert_eq!(values[0], values[1], "{line}");
    assert_ne!(values[0], "64");
    let crowd: Vec<_> = (0..114)
        .map(|_| Client::connect(process.address()))
        .collect();
    assert_eq!(process.send(&Request::get("/public")).status, 200);
    let live = raw(
        process.admin(),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(live.starts_with("HTTP/1.1 200 "), "{live}");
    drop(crowd);
}

// Clients that go on asking see no failure but a closed connection.
#[test]
fn under_load_the_end_fails_no_request() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let mut process = Process::run(&orders(&issuer, &upstream, ""));
    let address = process.address().to_string();
    let request = Request::get("/orders").bearer(&issuer.token("orders.read"));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut answers = 0;
                    while let Some(mut client) = Client::try_connect(&address) {
                        loop {
                            client.write_request(&request);
                            let Some(answer) = client.read("GET") else {
                                break;
                            };
                            assert!(answer.status == 200 && answer.complete, "{answer:?}");
                            answers += 1;
                            if answer.field("connection") == Some("close") {
                                break;
                            }
                        }
                    }
                    answers
                })
            })
            .collect();
        upstream.wait_for(50);
        process.signal("TERM");
        let answers: usize = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum();
        assert_eq!(
            answers,
            upstream.arrivals().len(),
            "each request that arrived was answered"
        );
    });
    assert_eq!(process.wait().code(), Some(0));
}

// The log says in which line.
#[test]
fn a_hangup_reloads_and_a_broken_file_is_told_with_its_line() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let good = orders(&issuer, &upstream, "[reload]\nwatch = false\n");
    let mut process = Process::run(&good);
    assert_eq!(process.send(&Request::get("/public")).status, 200);
    fs::write(process.file(), format!("{good}\nscops = 1\n")).unwrap();
    process.signal("HUP");
    process.wait_for_log("the changed configuration is not in force");
    let line = good.lines().count() + 2;
    let place = format!("{}:{line}:", process.file().display());
    assert!(
        process.errors().contains(&place),
        "{place}: {}",
        process.errors()
    );
    assert_eq!(process.send(&Request::get("/public")).status, 200);
    fs::write(process.file(), good.replace("/public", "/other")).unwrap();
    process.signal("HUP");
    process.wait_for_log("the changed configuration is in force");
    assert_eq!(process.send(&Request::get("/other")).status, 200);
    assert_eq!(process.send(&Request::get("/public")).status, 404);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

// Two sockets of the gateway share the port while the one replaces the other.
#[cfg(target_os = "linux")]
#[test]
fn another_address_for_the_same_port_takes_effect() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let free = free_address();
    let toml = |listen: &str| {
        format!(
            "[server]\nlisten = \"{listen}\"\nadmin = \"off\"\n{}",
            orders(&issuer, &upstream, "")
        )
    };
    let process = Process::start(&["run"], &toml(&free.to_string()));
    assert_eq!(process.send(&Request::get("/public")).status, 200);
    let everywhere = format!("0.0.0.0:{}", free.port());
    fs::write(process.file(), toml(&everywhere)).unwrap();
    process.wait_for_log(&format!("listening address={everywhere}"));
    process.wait_for_log("the changed configuration is in force");
    assert_eq!(process.send(&Request::get("/public")).status, 200);
}

// Whoever turns verification off is told so at each start, in the log and by `check`.
#[test]
fn an_upstream_that_is_not_verified_is_warned_of() {
    let routes = "[[routes]]\npath = \"/a\"\nupstream = \"orders\"\npublic = true\n";
    for (verify, warned) in [
        ("verify = false\n", true),
        ("verify = true\n", false),
        ("", false),
    ] {
        let toml = format!("[upstreams.orders]\nurl = \"https://127.0.0.1:1\"\n{verify}{routes}");
        let process = Process::run(&toml);
        assert_eq!(
            process.errors().contains("(verify = false)"),
            warned,
            "{}",
            process.errors()
        );
        let check = scopegate(&["check", "--config", process.file().to_str().unwrap()])
            .output()
            .unwrap();
        assert!(check.status.success());
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(said.contains("verify"), warned, "{said}");
    }
}

// At the level that says most, and with every request logged.
#[test]
fn no_token_is_ever_written() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let sources = "[[routes]]\npath = \"/anywhere\"\nupstream = \"orders\"\n\
                   methods = { GET = \"orders.read\" }\n\
                   token_from = \
                   [\"authorization:bearer\", \"header:x-token\", \"cookie:session\", \"query:token\"]\n";
    let log = "[log]\nlevel = \"trace\"\naccess = \"all\"\n";
    let mut process = Process::run(&(orders(&issuer, &upstream, log) + sources));
    let good = issuer.token("orders.read");
    let poor = issuer.token("orders.write");
    let late = issuer
        .claims("orders.read")
        .with("exp", 1)
        .signed(&issuer.key);
    let broken = format!("{good}x");
    for token in [&good, &poor, &late, &broken] {
        let any = |request: Request| {
            let status = process.send(&request).status;
            assert!(matches!(status, 200 | 401 | 403), "{status}");
        };
        any(Request::get("/orders").bearer(token));
        any(Request::get("/public").bearer(token));
        any(Request::get("/anywhere").field("X-Token", token));
        any(Request::get("/anywhere").field("Cookie", &format!("session={token}")));
        any(Request::get(&format!("/anywhere?token={token}")));
        let twice = Request::get(&format!("/anywhere?token={token}")).bearer(token);
        assert_eq!(process.send(&twice).status, 400);
        assert_eq!(
            process
                .send(&Request::get(&format!("/none?token={token}")))
                .status,
            404
        );
    }
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let written = process.out() + &process.errors();
    assert!(
        written.contains("DEBUG") || written.contains("TRACE") || written.contains("INFO"),
        "{written}"
    );
    for token in [&good, &poor, &late, &broken] {
        for part in token.split('.').skip(1) {
            assert!(
                !written.contains(part),
                "a part of a token was written: {part}\n{written}"
            );
        }
    }
}

// The access log has a line for every request, those of the last moment included.
#[test]
fn each_request_has_one_line_of_json() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let mut process = Process::run(&orders(&issuer, &upstream, "[log]\naccess = \"all\"\n"));
    let mut client = Client::connect(process.address());
    let expected = [
        (
            Request::get("/orders?secret=1").bearer(&issuer.token("orders.read")),
            200,
            None,
            Some("/orders"),
        ),
        (
            Request::get("/orders").bearer(&issuer.token("a")),
            403,
            Some("insufficient_scope"),
            Some("/orders"),
        ),
        (
            Request::get("/orders"),
            401,
            Some("missing_token"),
            Some("/orders"),
        ),
        (
            Request::new("PUT", "/orders"),
            405,
            Some("method_not_allowed"),
            Some("/orders"),
        ),
        (Request::get("/none%22"), 404, Some("no_route"), None),
        (
            Request::get("/a/../orders"),
            400,
            Some("ambiguous_path"),
            None,
        ),
    ];
    let mut ids = Vec::new();
    for (request, status, ..) in &expected {
        let answer = client.send(request);
        assert_eq!(answer.status, *status, "{request:?}");
        ids.push(answer.field("x-request-id").unwrap().to_owned());
    }
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let out = process.out();
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(lines.len(), expected.len(), "{out}");
    for ((line, id), (request, status, reason, route)) in lines.iter().zip(ids).zip(expected) {
        assert_eq!(line["request_id"], id, "{request:?}");
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["reason"].as_str(), reason, "{line}");
        assert_eq!(line["route"].as_str(), route, "{line}");
        assert_eq!(line["protocol"], "HTTP/1.1", "{line}");
        assert!(
            !line.to_string().contains("secret"),
            "no query is logged: {line}"
        );
    }
}

// Its twin is the test above: by default only refusals have a line.
#[test]
fn by_default_refusals_alone_are_logged() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let mut process = Process::run(&orders(&issuer, &upstream, ""));
    assert_eq!(process.send(&Request::get("/public")).status, 200);
    assert_eq!(process.send(&Request::get("/orders")).status, 401);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let out = process.out();
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains("\"reason\":\"missing_token\""), "{out}");
}

// Nothing of `dev` is reachable from `run`.
#[test]
fn run_has_no_issuer_and_no_echo() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let dev = "[dev.clients.reader]\nsecret = \"reader-secret\"\nscopes = [\"orders.read\"]\n";
    let process = Process::run(&(orders(&issuer, &upstream, "") + dev));
    for path in [
        "/oauth2/token",
        "/idp/oauth2/token",
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
    ] {
        for method in ["GET", "POST"] {
            let request = Request::new(method, path)
                .field("Authorization", "Basic ZGV2OmRldi1zZWNyZXQ=")
                .body("grant_type=client_credentials");
            assert_eq!(process.send(&request).status, 404, "{method} {path}");
        }
        let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert!(
            raw(process.admin(), ask.as_bytes()).starts_with("HTTP/1.1 404 "),
            "{path}"
        );
    }
    assert!(upstream.arrivals().is_empty());
    assert_eq!(
        process.send(&Request::get("/public")).text(),
        "ok",
        "the upstream is the file's"
    );
    let usage = scopegate(&["run", "--issuer-listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
