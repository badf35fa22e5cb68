//! Listening sockets that a supervisor opened (systemd's socket activation).
#![cfg(unix)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::support::{Client, Process, Request, Upstream, free_address};

fn text(upstream: &Upstream, server: &str) -> String {
    let route =
        "[[routes]]\npath = \"/x\"\nupstream = \"up\"\nmethods = [\"GET\"]\npublic = true\n";
    format!(
        "[server]\nworkers = 1\n{server}\n{}{route}",
        upstream.toml("up")
    )
}

#[test]
fn an_inherited_socket_is_served_on_from_its_first_connection() {
    let upstream = Upstream::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Before anybody could accept it.
    let mut early = Client::connect(address);
    let toml = text(
        &upstream,
        &format!("listen = \"{address}\"\nadmin = \"off\""),
    );
    let process = Process::activated(socket, &toml);
    assert_eq!(early.send(&Request::get("/x")).status, 200);
    assert_eq!(process.address(), address);
}

#[test]
fn the_admin_listener_may_be_inherited_too() {
    let upstream = Upstream::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut early = TcpStream::connect(address).unwrap();
    let process = Process::activated(
        socket,
        &text(
            &upstream,
            &format!("listen = \"127.0.0.1:0\"\nadmin = \"{address}\""),
        ),
    );
    early
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(process.admin(), address);
}

// The file is the supervisor's: without it nobody would find the next gateway.
#[test]
fn the_file_of_an_inherited_socket_outlives_the_gateway() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("api.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut early = UnixStream::connect(&path).unwrap();
    let toml = text(
        &upstream,
        &format!("listen = \"unix:{}\"\nadmin = \"off\"", path.display()),
    );
    let mut process = Process::activated(socket, &toml);
    early
        .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    process.wait_for_log("listening address=");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn an_inherited_socket_that_nobody_names_is_closed() {
    let upstream = Upstream::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listen = free_address();
    let process = Process::activated(
        socket,
        &text(
            &upstream,
            &format!("listen = \"{listen}\"\nadmin = \"off\""),
        ),
    );
    process.wait_for_log("an inherited socket is closed");
    assert_eq!(process.address(), listen);
    assert_eq!(process.send(&Request::get("/x")).status, 200);
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens there any more"
    );
}
