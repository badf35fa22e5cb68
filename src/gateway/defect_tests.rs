//! A panic during a request costs that request alone.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::Gateway;
use crate::config::Config;
use crate::proxy::DEFECT;

/// Sends requests, and returns all bytes until the gateway closes the connection.
fn exchange(address: SocketAddr, requests: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers
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
    let metrics = exchange(
        gateway.admin_address().unwrap(),
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let counted = metrics
        .lines()
        .find(|line| line.contains("reason=\"internal_error\""));
    assert!(
        counted.is_some_and(|line| line.ends_with(" 2")),
        "{counted:?}"
    );
    gateway.shutdown();
}
