//! The program as a user runs it: its output, its answers and its exit.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Answer, Client, Request, raw};

/// `dev:dev-secret`
const BASIC: &str = "Basic ZGV2OmRldi1zZWNyZXQ=";

fn scopegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scopegate"));
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "CONFIG",
        "LISTEN",
        "ADMIN",
        "WORKERS",
        "LOG",
        "ISSUER_LISTEN",
    ] {
        command.env_remove(format!("SCOPEGATE_{name}"));
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    scopegate(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `scopegate dev` with the configuration at the root of the repository, on ports of the system's
/// choice.
struct Dev {
    child: Child,
    welcome: String,
}

impl Dev {
    fn start() -> Self {
        let any = "127.0.0.1:0";
        let arguments = [
            "dev",
            "-c",
            "gateway.toml",
            "--listen",
            any,
            "--admin",
            any,
            "--issuer-listen",
            any,
        ];
        let mut child = scopegate(&arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut welcome = String::new();
        while !welcome.contains("Ctrl-C") {
            assert_ne!(
                lines.read_line(&mut welcome).unwrap(),
                0,
                "it ended: {welcome}"
            );
        }
        // Whoever writes to a pipe that nobody reads is stopped by it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, welcome }
    }

    fn url(&self, name: &str) -> &str {
        let line = self
            .welcome
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap().trim_start().split([' ', ',']).next().unwrap()
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.url(name)
            .trim_start_matches("http://")
            .trim_end_matches("/metrics")
            .parse()
            .unwrap()
    }

    fn send(&self, request: &Request) -> Answer {
        Client::connect(self.address("gateway")).send(request)
    }

    fn token(&self, scope: &str) -> String {
        let printed = run(&["token", "--scope", scope, "--url", self.url("issuer")]);
        assert!(printed.status.success(), "{}", text(&printed.stderr));
        text(&printed.stdout).trim_end().to_owned()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn echoed(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

// The published walk-through for API Gateway with a Cognito authorizer, step for step.
#[test]
fn the_walk_through_works_step_for_step() {
    let dev = Dev::start();
    let request = format!(
        "POST /oauth2/token?grant_type=client_credentials&scope=com.test.test/test.read \
         HTTP/1.1\r\n\
         Host: localhost\r\nAuthorization: {BASIC}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    let answer = raw(dev.address("issuer"), request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&"Bearer".into(), &3600.into())
    );
    let token = body["access_token"].as_str().unwrap();

    let call = |authorization: &str| {
        dev.send(&Request::get("/dev/tests").field("Authorization", authorization))
    };
    // The bare token, and the stage cut before forwarding.
    assert_eq!(echoed(&call(token))["path"], "/tests");
    assert_eq!(echoed(&call(&format!("bearer {token}")))["path"], "/tests");

    assert_eq!(dev.send(&Request::get("/dev/tests")).status, 401);
    assert_eq!(call(&format!("{token}x")).code(), "invalid_token");
    let (other, here) = (dev.token("orders.read"), call(&dev.token("orders.read")));
    assert_eq!(
        (here.status, here.code().as_str()),
        (403, "insufficient_scope")
    );
    // Elsewhere only `Bearer` will do.
    let orders = |authorization: &str| {
        dev.send(&Request::get("/orders").field("Authorization", authorization))
    };
    assert_eq!(orders(&other).status, 401);
    assert_eq!(
        echoed(&orders(&format!("Bearer {other}")))["path"],
        "/orders"
    );
}

#[test]
fn the_welcome_shows_the_routes_and_what_to_paste() {
    let dev = Dev::start();
    let gateway = dev.url("gateway");
    for part in [
        "GET     /orders       orders.read                    orders\n".to_owned(),
        format!("\n  curl -i -H \"Authorization: Bearer $TOKEN\" {gateway}/orders\n"),
        format!("\n  curl -i -X POST -H \"Authorization: Bearer $TOKEN\" {gateway}/orders\n"),
        format!("\n  curl -i {gateway}/healthz\n"),
        format!("\n  curl -i -H \"Authorization: $TOKEN\" {gateway}/dev/tests\n"),
    ] {
        assert!(dev.welcome.contains(&part), "{part}\n---\n{}", dev.welcome);
    }
    let metrics = raw(
        dev.address("admin"),
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(
        metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("scopegate_"),
        "{metrics}"
    );
}

#[test]
fn explain_says_what_the_gateway_would_do() {
    let dev = Dev::start();
    let token = dev.token("orders.read");
    let explain = |call: &[&str]| {
        let keys = format!("--dev={}", dev.url("issuer"));
        let mut explain = scopegate(&["explain", &keys, "--token-file", "-"]);
        explain
            .args(call)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = explain.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(token.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let printed = text(&output.stdout);
        assert!(
            !printed.contains(&token),
            "a token is never printed: {printed}"
        );
        (output.status.code(), printed)
    };
    let (code, permitted) = explain(&["GET", "/orders"]);
    assert_eq!(code, Some(0), "{permitted}");
    for step in [
        "route     /orders asks for orders.read",
        "signature ",
        "time ",
        "scopes    granted: \"orders.read\"\n",
    ] {
        assert!(
            permitted.contains(&format!("\nok  {step}")),
            "{step}: {permitted}"
        );
    }
    assert!(
        permitted.contains("ok  verdict   forwarded to orders "),
        "{permitted}"
    );
    let (code, refused) = explain(&["POST", "/orders"]);
    assert_eq!(code, Some(4), "{refused}");
    assert!(
        refused.contains("\nok  signature ") && refused.contains("\nNO  scopes "),
        "{refused}"
    );
    assert!(
        refused.contains("NO  verdict   403 Forbidden\n"),
        "{refused}"
    );
    assert!(refused.contains("scope=\"orders.write\""), "{refused}");
}

#[test]
fn problems_are_1_with_line_and_arrow() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "[server]\nlisten = \"nowhere\"\nworker = 2\n").unwrap();
    let file = file.display().to_string();
    for command in ["check", "run", "dev", "routes"] {
        let output = run(&[command, "-c", &file]);
        let errors = text(&output.stderr);
        assert_eq!(
            (output.status.code(), text(&output.stdout).as_str()),
            (Some(1), ""),
            "{command}: {errors}"
        );
        assert!(
            errors.contains(&format!("{file}:2:")) && errors.contains(&format!("{file}:3:")),
            "{errors}"
        );
        assert!(errors.contains("^^^^"), "{errors}");
        assert!(
            !errors.contains('\u{1b}'),
            "no colour where there is no terminal: {errors}"
        );
    }
}

#[test]
fn the_example_at_the_root_has_no_problems() {
    let output = run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).ends_with("\ngateway.toml: 4 routes, no problems\n"),
        "{output:?}"
    );
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &["fly"][..],
        &["--listen", "nowhere"],
        &["explain", "GET"],
        &["token", "--scope"],
    ] {
        let output = run(arguments);
        assert_eq!(
            (output.status.code(), text(&output.stdout).as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(text(&output.stderr).contains("Usage") || text(&output.stderr).contains("--help"));
    }
}

#[test]
fn a_port_in_use_is_3_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    for arguments in [
        [
            "run",
            "--listen",
            &address,
            "--admin",
            any,
            "--workers",
            "1",
        ],
        [
            "run",
            "--listen",
            any,
            "--admin",
            &address,
            "--workers",
            "1",
        ],
        [
            "dev",
            "--listen",
            &address,
            "--admin",
            any,
            "--issuer-listen",
            any,
        ],
        [
            "dev",
            "--listen",
            any,
            "--admin",
            any,
            "--issuer-listen",
            &address,
        ],
    ] {
        let output = run(&arguments);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {errors}");
        assert!(errors.contains(&address), "{errors}");
    }
}

#[test]
fn without_a_dev_issuer_there_is_no_token() {
    // Port 1 is given to nobody.
    let output = run(&[
        "token",
        "--scope",
        "orders.read",
        "--url",
        "http://127.0.0.1:1",
    ]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(1), "")
    );
    assert!(
        text(&output.stderr).contains("no dev issuer runs at 127.0.0.1:1"),
        "{output:?}"
    );
}
