//! A panic during a request costs that request alone, and one of a background task is repaired.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Gateway;
use crate::clock;
use crate::config::Config;
use crate::issuer;
use crate::proxy::DEFECT;

/// Sends requests, and returns all bytes until the gateway closes the connection.
fn exchange(address: SocketAddr, requests: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers
}

/// Returns the answer of the admin listener.
fn ask_admin(gateway: &Gateway, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(gateway.admin_address().unwrap(), &request)
}

// The request after the panics is on the same connection, and so on the same worker.
#[test]
fn a_panic_on_the_walk_is_answered_500_and_counted_and_the_connection_lives_on() {
    let load = || {
        let text = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
                    [upstreams.up]\nurl = \"http://127.0.0.1:1\"\n\
                    [[routes]]\npath = \"/x\"\nupstream = \"up\"\n\
                    methods = [\"GET\"]\npublic = true\n";
        Config::parse(text, "gateway.toml")
    };
    let gateway = Gateway::start(Box::new(load)).unwrap();
    let defect = format!("GET {DEFECT} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    let last = "GET /none HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
    let answers = exchange(gateway.addresses()[0], &format!("{defect}{defect}{last}"));
    let statuses: Vec<_> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| &answer[..3])
        .collect();
    assert_eq!(statuses, ["500", "500", "404"], "{answers}");
    assert!(
        answers.contains("internal_error") && !answers.contains("made up"),
        "{answers}"
    );
    let metrics = ask_admin(&gateway, "/metrics");
    let counted = metrics
        .lines()
        .find(|line| line.contains("reason=\"internal_error\""));
    assert!(
        counted.is_some_and(|line| line.ends_with(" 2")),
        "{counted:?}"
    );
    gateway.shutdown();
}

// The issuer is ready when a fetch was tried, and the task of the first fetch panics.
#[test]
fn a_background_task_that_panics_starts_again_and_the_gateway_becomes_ready() {
    let load = || {
        let name = issuer::DEFECT;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [issuers.{name}]\nissuer = \"https://idp.test\"\naudience = \"api\"\n\
             jwks_uri = \"http://127.0.0.1:1/keys\"\nallow_http = true\n\
             [upstreams.up]\nurl = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/x\"\nupstream = \"up\"\nissuer = \"{name}\"\n\
             methods = [\"GET\"]\nscopes = \"read\"\n"
        );
        Config::parse(&text, "gateway.toml")
    };
    let gateway = Gateway::start(Box::new(load)).unwrap();
    let deadline = clock::monotonic() + Duration::from_secs(20);
    while !ask_admin(&gateway, "/readyz").starts_with("HTTP/1.1 200") {
        assert!(clock::monotonic() < deadline, "it does not become ready");
        std::thread::yield_now();
    }
    let metrics = ask_admin(&gateway, "/metrics");
    let counted = metrics
        .lines()
        .find(|line| line.starts_with("scopegate_panics_total"));
    assert_eq!(counted, Some("scopegate_panics_total 1"));
    gateway.shutdown();
}
