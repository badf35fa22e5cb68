//! The hand-over: a new gateway takes the listening sockets of the running one.
#![cfg(unix)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::support::{Client, Load, Process, Request, Script, Secured, Upstream, free_address};

fn text(upstream: &Upstream, server: &str, path: &Path) -> String {
    let route =
        "[[routes]]\npath = \"/x\"\nupstream = \"up\"\nmethods = [\"GET\"]\npublic = true\n";
    let path = path.display();
    format!(
        "[server]\nworkers = 2\nhandover = \"{path}\"\n{server}\n{}{route}",
        upstream.toml("up")
    )
}

fn run(toml: &str) -> Process {
    let process = Process::start(&["run"], toml);
    process.wait_for_log("listening address=");
    process
}

// A new program takes the place of the old one.
#[test]
fn a_gateway_follows_another_without_a_failed_request() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let (path, socket) = (
        directory.path().join("handover.sock"),
        directory.path().join("api.sock"),
    );
    let (public, admin) = (free_address(), free_address());
    let server = format!(
        "listen = [\"{public}\", \"unix:{}\"]\nadmin = \"{admin}\"",
        socket.display()
    );
    let toml = text(&upstream, &server, &path);
    let mut old = run(&toml);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let load = Load::start(public, &Request::get("/x"), 4);
    for _ in 0..3 {
        let new = run(&toml);
        assert_eq!(old.wait().code(), Some(0));
        assert!(old.errors().contains("another gateway has taken over"));
        load.goes_on();
        old = new;
    }
    load.must_not_have_failed();
    assert_eq!(
        Client::connect(public).send(&Request::get("/x")).status,
        200
    );
    TcpStream::connect(admin).expect("the admin listener went with the others");
    UnixStream::connect(&socket).expect("its file was left to the successor");
    old.signal("TERM");
    assert_eq!(old.wait().code(), Some(0));
    assert!(
        !path.exists() && !socket.exists(),
        "the last one leaves nothing behind"
    );
}

#[test]
fn a_gateway_goes_on_when_its_newcomer_goes_away() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("handover.sock");
    let toml = text(
        &upstream,
        &format!("listen = \"{}\"\nadmin = \"off\"", free_address()),
        &path,
    );
    let mut old = run(&toml);
    let mut newcomer = UnixStream::connect(&path).unwrap();
    assert_eq!(
        newcomer.read(&mut [0; 1]).unwrap(),
        1,
        "it is sent the version"
    );
    drop(newcomer);
    old.wait_for_log("the successor did not take over");
    assert_eq!(old.send(&Request::get("/x")).status, 200);
    // The path is still there for one that stays.
    let new = run(&toml);
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(new.send(&Request::get("/x")).status, 200);
}

#[test]
fn a_path_on_which_nobody_answers_is_taken() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("handover.sock");
    drop(UnixListener::bind(&path).unwrap());
    let toml = text(
        &upstream,
        &format!("listen = \"{}\"\nadmin = \"off\"", free_address()),
        &path,
    );
    let process = run(&toml);
    assert_eq!(process.send(&Request::get("/x")).status, 200);
    UnixStream::connect(&path).expect("it waits for its successor");
}

#[test]
fn a_stranger_on_the_path_is_no_predecessor() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("handover.sock");
    let stranger = UnixListener::bind(&path).unwrap();
    let toml = text(
        &upstream,
        &format!("listen = \"{}\"\nadmin = \"off\"", free_address()),
        &path,
    );
    let mut process = Process::start(&["run"], &toml);
    drop(stranger.accept().unwrap());
    assert_ne!(process.wait().code(), Some(0));
    assert!(
        process.errors().contains("it hands nothing over"),
        "{}",
        process.errors()
    );
    assert!(path.exists(), "the path is the stranger's");
}

// For clients of both protocols, such as keep their connections and such as do not.
#[test]
fn a_gateway_follows_another_over_tls_without_a_failed_request() {
    let (secured, upstream, directory) = (
        Secured::new(),
        Upstream::start(),
        tempfile::tempdir().unwrap(),
    );
    let path = directory.path().join("handover.sock");
    let public = free_address();
    let server = format!(
        "listen = \"{public}\"\nadmin = \"off\"\n{}",
        secured.server_toml()
    );
    let toml = text(&upstream, &server, &path);
    let mut old = run(&toml);
    let load = Load::of(secured.clients(public));
    for _ in 0..3 {
        let new = run(&toml);
        assert_eq!(old.wait().code(), Some(0));
        load.goes_on();
        old = new;
    }
    load.must_not_have_failed();
}

// What the kernel keeps for the socket is kept for whoever has it.
#[test]
fn connections_that_wait_to_be_accepted_are_the_successors() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("handover.sock");
    let public = free_address();
    let server = format!("listen = \"{public}\"\nadmin = \"off\"");
    let log = "[log]\naccess = \"all\"\n";
    let toml = text(&upstream, &server, &path) + log;
    upstream.play([Script::Pieces(vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
    ])]);
    let mut old = run(&format!("{toml}[server.limits]\nconnections = 1\n"));
    let mut held = Client::connect(public);
    held.write_request(&Request::get("/x"));
    upstream.wait_for(1);
    let mut waiting = Client::connect(public);
    waiting.write_request(&Request::get("/x"));
    let _new = run(&toml);
    let answer = waiting.read("GET").expect("the successor answers");
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, None),
        "it is no connection that drains"
    );
    upstream.go_on();
    assert_eq!(held.read("GET").map(|answer| answer.status), Some(200));
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(
        old.out().lines().count(),
        1,
        "one request was the old one's: {}",
        old.out()
    );
}

/// A newcomer that has the sockets and says nothing.
fn silent(path: &Path) -> UnixStream {
    let mut newcomer = UnixStream::connect(path).unwrap();
    newcomer
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    assert_eq!(
        newcomer.read(&mut [0; 65]).unwrap(),
        2,
        "the version, and a byte for the one socket"
    );
    newcomer
}

// The control thread waits for nobody.
#[test]
fn signals_are_taken_while_a_newcomer_is_waited_for() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("handover.sock");
    let toml = text(
        &upstream,
        &format!("listen = \"{}\"\nadmin = \"off\"", free_address()),
        &path,
    );
    let mut old = run(&format!("{toml}[reload]\nwatch = false\n"));
    let mut newcomer = silent(&path);
    std::fs::write(
        old.file(),
        toml.replace("/x", "/y") + "[reload]\nwatch = false\n",
    )
    .unwrap();
    old.signal("HUP");
    old.wait_for_log("the changed configuration is in force");
    assert_eq!(old.send(&Request::get("/y")).status, 200);
    let mut answer = [0];
    newcomer.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [b's'], "it was too slow, and the gateway stays");
    old.wait_for_log("the successor did not take over");
    let errors = old.errors();
    let at = |text: &str| {
        errors
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {errors}"))
    };
    assert!(
        at("is in force") < at("the successor did not take over"),
        "{errors}"
    );

    let mut newcomer = silent(&path);
    old.signal("TERM");
    newcomer.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [b'g'], "it has all the sockets now");
    assert_eq!(old.wait().code(), Some(0));
}

/// A gateway that starts after somebody of the test's own on the path, who accepts it and is
/// `before`.
fn follow(before: impl FnOnce(UnixStream)) -> (Process, SocketAddr, (Upstream, tempfile::TempDir)) {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let (path, public) = (directory.path().join("handover.sock"), free_address());
    let predecessor = UnixListener::bind(&path).unwrap();
    let toml = text(
        &upstream,
        &format!("listen = \"{public}\"\nadmin = \"off\""),
        &path,
    );
    let process = Process::start(&["run"], &toml);
    before(predecessor.accept().unwrap().0);
    (process, public, (upstream, directory))
}

#[test]
fn a_gateway_of_another_version_hands_nothing_over() {
    let (mut process, public, _) = follow(|mut stream| {
        stream.write_all(&[99]).unwrap();
        let _ = stream.read(&mut [0; 1]);
    });
    assert_ne!(process.wait().code(), Some(0));
    assert!(
        process
            .errors()
            .contains("it is of another version: stop it first"),
        "{}",
        process.errors()
    );
    assert_eq!(
        TcpStream::connect(public).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

// Its twin: this version, and no sockets.
#[test]
fn a_gateway_whose_predecessor_is_gone_serves_alone() {
    let (process, public, _kept) = follow(|mut stream| {
        stream.write_all(&[1]).unwrap();
        // It has died when the newcomer says that it serves.
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
    });
    process.wait_for_log("ended before it answered");
    process.wait_for_log("listening address=");
    assert_eq!(
        Client::connect(public).send(&Request::get("/x")).status,
        200
    );
}

#[test]
fn a_gateway_whose_predecessor_stays_does_not() {
    let (mut process, public, _) = follow(|mut stream| {
        stream.write_all(&[1]).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
        stream.write_all(b"s").unwrap();
    });
    assert_ne!(process.wait().code(), Some(0));
    assert!(
        process.errors().contains("did not wait for this one"),
        "{}",
        process.errors()
    );
    assert_eq!(
        TcpStream::connect(public).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}
