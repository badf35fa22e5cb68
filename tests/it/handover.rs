//! The hand-over: a gateway takes the listening sockets of the one before.
#![cfg(unix)]

use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::cast::{Client, Load, Process, Request, Upstream, free_address};

fn text(upstream: &Upstream, server: &str, path: &Path) -> String {
    let route = "[[routes]]\npath = \"/x\"\nupstream = \"up\"\nmethods = [\"GET\"]\npublic = true\n";
    let path = path.display();
    format!("[server]\nworkers = 2\nhandover = \"{path}\"\n{server}\n{}{route}", upstream.toml("up"))
}

fn run(toml: &str) -> Process {
    let process = Process::start(&["run"], toml);
    process.wait_for_log("listening address=");
    process
}

// O05: a new program takes the place of the old one.
#[test]
fn a_gateway_follows_another_without_a_failed_request() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let (path, socket) = (directory.path().join("handover.sock"), directory.path().join("api.sock"));
    let (public, admin) = (free_address(), free_address());
    let server = format!("listen = [\"{public}\", \"unix:{}\"]\nadmin = \"{admin}\"", socket.display());
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
    assert_eq!(Client::connect(public).send(&Request::get("/x")).status, 200);
    TcpStream::connect(admin).expect("the admin listener went with the others");
    UnixStream::connect(&socket).expect("its file was left to the successor");
    old.signal("TERM");
    assert_eq!(old.wait().code(), Some(0));
    assert!(!path.exists() && !socket.exists(), "the last one leaves nothing behind");
}

#[test]
fn a_gateway_goes_on_when_its_newcomer_goes_away() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("handover.sock");
    let toml = text(&upstream, &format!("listen = \"{}\"\nadmin = \"off\"", free_address()), &path);
    let mut old = run(&toml);
    let mut newcomer = UnixStream::connect(&path).unwrap();
    assert_eq!(newcomer.read(&mut [0; 1]).unwrap(), 1, "it is sent the version");
    drop(newcomer);
    old.wait_for_log("a newcomer did not take over");
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
    let toml = text(&upstream, &format!("listen = \"{}\"\nadmin = \"off\"", free_address()), &path);
    let process = run(&toml);
    assert_eq!(process.send(&Request::get("/x")).status, 200);
    UnixStream::connect(&path).expect("it waits for its successor");
}

#[test]
fn a_stranger_on_the_path_is_no_predecessor() {
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("handover.sock");
    let stranger = UnixListener::bind(&path).unwrap();
    let toml = text(&upstream, &format!("listen = \"{}\"\nadmin = \"off\"", free_address()), &path);
    let mut process = Process::start(&["run"], &toml);
    drop(stranger.accept().unwrap());
    assert_ne!(process.wait().code(), Some(0));
    assert!(process.errors().contains("it hands nothing over"), "{}", process.errors());
    assert!(path.exists(), "the path is the stranger's");
}
