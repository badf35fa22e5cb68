//! What the access log says of a client: which protocol it speaks, and which certificate it has shown.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::cast::frames::Frames;
use crate::cast::{PATIENCE, Process, Request, Upstream, wait_until};

const OPEN: &str =
    "[log]\naccess = \"all\"\n[[routes]]\npath = \"/**\"\nupstream = \"orders\"\npublic = true\n";

/// The line of a request for this path.
#[track_caller]
fn line(process: &Process, path: &str) -> Value {
    let find = || {
        let out = process.out();
        let mut lines = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["path"] == path)
    };
    wait_until(&format!("{path} is logged"), || find().is_some());
    find().unwrap()
}

#[test]
fn each_line_has_the_protocol_of_its_client() {
    let upstream = Upstream::start();
    let process = Process::run(&format!("{}{OPEN}", upstream.toml("orders")));
    assert_eq!(process.send(&Request::get("/one")).status, 200);
    let mut client = Frames::connect(process.address());
    client.get(1, "/two");
    assert_eq!(client.status(1), 200);
    assert_eq!(client.body(1), b"ok");
    for (path, protocol) in [("/one", "HTTP/1.1"), ("/two", "HTTP/2.0")] {
        let line = line(&process, path);
        assert_eq!(line["protocol"], protocol, "{line}");
        assert!(line.get("client_certificate").is_none(), "{line}");
    }
}

// X05: whoever was let in by a certificate is told from the others.
#[test]
fn a_certificate_that_was_shown_is_named_by_its_fingerprint() {
    let upstream = Upstream::start();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let server = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let caller = rcgen::generate_simple_self_signed(vec!["caller".to_owned()]).unwrap();
    fs::write(path("server.pem"), server.cert.pem()).unwrap();
    fs::write(path("server.key"), server.signing_key.serialize_pem()).unwrap();
    fs::write(path("clients.pem"), caller.cert.pem()).unwrap();
    let tls = format!(
        "[server.tls]\ncertificates = [{{ cert_file = \"{}\", key_file = \"{}\" }}]\n\
         client_auth = \"optional\"\nclient_ca_file = \"{}\"\n",
        path("server.pem"),
        path("server.key"),
        path("clients.pem")
    );
    let process = Process::run(&format!("{tls}{}{OPEN}", upstream.toml("orders")));
    let mut roots = RootCertStore::empty();
    roots.add(server.cert.der().clone()).unwrap();
    let config = || {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        builder.unwrap().with_root_certificates(roots.clone())
    };
    let key = PrivateKeyDer::try_from(caller.signing_key.serialize_der()).unwrap();
    let shown = config().with_client_auth_cert(vec![caller.cert.der().clone()], key).unwrap();
    for (target, config) in [("/shown", shown), ("/not", config().with_no_client_auth())] {
        let socket = TcpStream::connect(process.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
    }
    let hash = digest::digest(&digest::SHA256, caller.cert.der());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(line(&process, "/shown")["client_certificate"], hash);
    assert!(line(&process, "/not").get("client_certificate").is_none());
}
