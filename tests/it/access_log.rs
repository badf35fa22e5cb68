//! The fields of the access log that describe a client: its protocol and its certificate.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use aws_lc_rs::digest;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::support::frames::Frames;
use crate::support::{Client, PATIENCE, Process, Request, Upstream, wait_until};

const OPEN: &str =
    "[log]\naccess = \"all\"\n[[routes]]\npath = \"/**\"\nupstream = \"orders\"\npublic = true\n";

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
        let line = process.line(path);
        assert_eq!(line["protocol"], protocol, "{line}");
        assert!(line.get("client_certificate").is_none(), "{line}");
    }
}

// Whoever was let in by a certificate is told from the others.
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
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        builder.unwrap().with_root_certificates(roots.clone())
    };
    let key = PrivateKeyDer::try_from(caller.signing_key.serialize_der()).unwrap();
    let shown = config()
        .with_client_auth_cert(vec![caller.cert.der().clone()], key)
        .unwrap();
    for (target, config) in [("/shown", shown), ("/not", config().with_no_client_auth())] {
        let socket = TcpStream::connect(process.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
    }
    let hash = digest::digest(&digest::SHA256, caller.cert.der());
    let hash: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(process.line("/shown")["client_certificate"], hash);
    assert!(process.line("/not").get("client_certificate").is_none());
}

// Whoever watches the log sees a request without another that would push it out.
#[test]
fn a_line_comes_without_another() {
    let upstream = Upstream::start();
    let process = Process::run(&format!("{}{OPEN}", upstream.toml("orders")));
    for path in ["/one", "/two"] {
        assert_eq!(process.send(&Request::get(path)).status, 200);
        process.line(path);
    }
}

// Of every worker, none inside another, and the last moment's.
#[test]
fn each_request_of_a_rush_has_a_whole_line() {
    const CLIENTS: usize = 8;
    const EACH: usize = 250;
    let upstream = Upstream::start();
    let mut process = Process::run(&format!("{}{OPEN}", upstream.toml("orders")));
    let address = process.address();
    let client = |number: usize| {
        thread::spawn(move || {
            let mut client = Client::connect(address);
            for request in 0..EACH {
                let path = format!("/{number}/{request}/{}", "x".repeat(200 * number));
                assert_eq!(client.send(&Request::get(&path)).status, 200);
            }
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let mut paths = HashSet::new();
    for line in process.out().lines() {
        let line: Value = serde_json::from_str(line).expect("a line is whole");
        assert!(
            paths.insert(line["path"].as_str().unwrap().to_owned()),
            "one line each: {line}"
        );
    }
    assert_eq!(paths.len(), CLIENTS * EACH);
}

// A 401 of the application looks like one of the gateway, but for this member and `reason`.
#[test]
fn a_line_has_the_status_that_an_upstream_gave() {
    let upstream = Upstream::start();
    let process = Process::run(&format!(
        "{}[upstreams.none]\nurl = \"http://127.0.0.1:1\"\n{OPEN}[[routes]]\npath = \"/gone\"\n\
         upstream = \"none\"\npublic = true\n[[routes]]\npath = \"/own\"\npublic = true\n\
         respond = {{ status = 401 }}\n",
        upstream.toml("orders")
    ));
    for (path, status) in [("/here", 200), ("/gone", 502), ("/own", 401)] {
        assert_eq!(process.send(&Request::get(path)).status, status);
        let line = process.line(path);
        assert_eq!(line["status"], status, "{line}");
        match path {
            "/here" => assert_eq!(line["upstream_status"], status, "{line}"),
            _ => assert!(line.get("upstream_status").is_none(), "{line}"),
        }
    }
}

const DROPPED: &str = "scopegate_access_log_dropped_total";

// docs/design/requirements.md#l04, for a slow reader of the log: the waiting lines are bounded, and
// no request waits for the reader.
#[test]
fn a_reader_that_stops_costs_lines_and_no_request() {
    let upstream = Upstream::start();
    let (mut reader, out) = io::pipe().unwrap();
    let mut process = Process::run_into(out, &format!("{}{OPEN}", upstream.toml("orders")));
    let mut client = Client::connect(process.address());
    let long = Request::get(&format!("/{}", "x".repeat(6000)));
    let mut sent = 0;
    // A request that is over has its line, or has none.
    let dropped = |client: &mut Client, requests: u32| {
        for _ in 0..requests {
            assert_eq!(client.send(&long).status, 200);
        }
        process.wait_for_metric("scopegate_requests_open", 0.0);
        process.metric(DROPPED)
    };
    while dropped(&mut client, 50) < 1.0 {
        sent += 50;
        assert!(sent < 2000, "there is a bound");
    }
    sent += 50;
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    wait_until("who reads again gets lines again", || {
        let before = process.metric(DROPPED);
        sent += 1;
        dropped(&mut client, 1) <= before
    });
    let dropped = process.metric(DROPPED);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let text = reading.join().unwrap();
    let whole = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok())
        .count();
    assert_eq!(whole, text.lines().count(), "every line is whole");
    assert!(
        (whole as f64 + dropped - f64::from(sent)).abs() < 0.5,
        "{whole} and {dropped} of {sent}"
    );
}

// The same of one that has gone.
#[test]
fn an_output_that_is_gone_costs_lines_and_no_request() {
    let upstream = Upstream::start();
    let (reader, out) = io::pipe().unwrap();
    drop(reader);
    let process = Process::run_into(out, &format!("{}{OPEN}", upstream.toml("orders")));
    for _ in 0..3 {
        assert_eq!(process.send(&Request::get("/gone")).status, 200);
    }
    process.wait_for_metric(DROPPED, 3.0);
}

// The formats that the console of Amazon API Gateway offers.
#[test]
fn a_format_of_the_operators_own_is_written_for_each_request() {
    let upstream = Upstream::start();
    let format = r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.routeKey $context.protocol" $context.status $context.responseLength $context.requestId $context.identity.userAgent"#;
    let process = Process::run(&format!(
        "[log]\naccess = \"all\"\naccess_format = '{format}'\n{}[[groups]]\nprefix = \"/dev\"\n\
         upstream = \"orders\"\npublic = true\n\
         routes = [{{ path = \"/orders/{{id}}\", methods = [\"GET\"] }}]\n",
        upstream.toml("orders")
    ));
    let get = |path: &str, id: &str| {
        let request = Request::get(path).field("X-Request-Id", id);
        process.send(&request.field("User-Agent", "a\"b"))
    };
    assert_eq!(get("/dev/orders/7", "id-1").status, 200);
    let refused = get("/none", "id-2");
    assert_eq!(refused.status, 404);
    let line = |id: &str| {
        let out = process.out();
        out.lines()
            .find(|line| line.contains(id))
            .map(str::to_owned)
    };
    wait_until("both are logged", || {
        line("id-1").is_some() && line("id-2").is_some()
    });
    let forwarded = line("id-1").unwrap();
    assert!(forwarded.starts_with("127.0.0.1 - - ["), "{forwarded}");
    assert!(
        forwarded.contains(" +0000] \"GET GET /orders/{id} HTTP/1.1\" 200 2 id-1 a\\\"b"),
        "{forwarded}"
    );
    let expected = format!("\"GET - HTTP/1.1\" 404 {} id-2 ", refused.body.len());
    let line = line("id-2").unwrap();
    assert!(line.contains(&expected), "{line}");
}
