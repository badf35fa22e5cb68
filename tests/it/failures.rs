//! Connections that fail without a request, each with its reason in the log and in the metrics; and
//! those that end in good health, which have neither.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, ProtocolVersion};

use crate::support::frames::{
    END_HEADERS, END_STREAM, Frame, Frames, HEADERS, RST_STREAM, SETTINGS, frame, literal, request,
};
use crate::support::{
    Authority, Identity, PATIENCE, Process, Request, Script, TlsClient, Upstream, connect,
    offering, wait_until,
};

/// What no log may have.
const SECRET: &str = "SECRET-of-a-token";

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A header of version 1 that announces 192.0.2.7.
const ANNOUNCED: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n";

fn start(upstream: &Upstream, settings: &str) -> Process {
    Process::run(&format!("{settings}\n{}{ROUTE}", upstream.toml("orders")))
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// It waits for the gateway to close.
    Stay,
    Close,
    Reset,
}

const WAYS: [Leave; 2] = [Leave::Close, Leave::Reset];

fn leave(socket: &TcpStream, way: Leave) {
    match way {
        Leave::Stay => {
            let _ = { socket }.read_to_end(&mut Vec::new());
        }
        Leave::Close => {}
        Leave::Reset => socket2::SockRef::from(socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap(),
    }
}

/// Sends bytes, leaves, and returns the address from which they were sent.
fn send(address: SocketAddr, bytes: &[u8], way: Leave) -> SocketAddr {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let own = socket.local_addr().unwrap();
    let _ = socket.write_all(bytes);
    leave(&socket, way);
    own
}

/// Waits for the one line with this reason about a client, and for the metric, which counts
/// `count` by then. Returns the line.
#[track_caller]
fn expect(process: &Process, peer: &str, reason: &str, count: usize) -> String {
    let named = format!(" peer={peer} reason=\"{reason}\" detail=\"");
    process.wait_for_log(&named);
    let errors = process.errors();
    let lines: Vec<_> = errors
        .lines()
        .filter(|line| line.contains(&format!(" peer={peer} ")))
        .collect();
    assert_eq!(lines.len(), 1, "{errors}");
    let is_stream = ["http2_malformed", "http2_head", "http2_too"]
        .iter()
        .any(|start| reason.starts_with(start));
    let name = if is_stream {
        "http2_streams_refused"
    } else {
        "connection_errors"
    };
    let series = format!("scopegate_{name}_total{{reason=\"{reason}\"}}");
    process.wait_for_metric(&series, count as f64);
    lines[0].to_owned()
}

fn head(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\nHost: api.test\r\n{fields}\r\n").into_bytes()
}

#[test]
fn a_head_that_the_parser_refuses_has_the_reason() {
    let upstream = Upstream::start();
    let process = start(&upstream, "[server.limits]\nhead_bytes = \"128KiB\"");
    let long = "x".repeat(130 << 10);
    let get = "GET /a HTTP/1.1";
    let mut counts = std::collections::HashMap::new();
    for (bytes, reason, status) in [
        (
            head(get, &format!("bad name: {SECRET}\r\n")),
            "head_field",
            400,
        ),
        (
            head(get, &format!("a: {SECRET}\u{1}\r\n")),
            "head_field",
            400,
        ),
        (
            head(&format!("G\u{1}T /{SECRET} HTTP/1.1"), ""),
            "head_method",
            400,
        ),
        (
            head(&format!("GET /a?f={{\"{SECRET}\"}} HTTP/1.1"), ""),
            "head_target",
            400,
        ),
        (
            head(&format!("GET /{SECRET} b HTTP/1.1"), ""),
            "head_target",
            400,
        ),
        (
            head(&format!("GET /{SECRET} HTTP/3.0"), ""),
            "head_version",
            400,
        ),
        (
            format!("GET /{SECRET}\r\n\r\n").into_bytes(),
            "head_version",
            400,
        ),
        (
            head(&format!("GET /{SECRET} HTTP/0.9"), ""),
            "head_version",
            400,
        ),
        (head(get, "Content-Length: x\r\n"), "head_framing", 400),
        (
            head(get, "Content-Length: 1\r\nContent-Length: 2\r\n"),
            "head_framing",
            400,
        ),
        (
            head(get, &format!("Cookie: {SECRET}{long}\r\n")),
            "head_too_large",
            431,
        ),
        (head(get, &"a: b\r\n".repeat(200)), "head_too_large", 431),
        (
            head(&format!("GET /{} HTTP/1.1", "x".repeat(65 << 10)), ""),
            "head_target_too_long",
            414,
        ),
        (ANNOUNCED.to_vec(), "proxy_header_unexpected", 400),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec(),
            "proxy_header_unexpected",
            400,
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            "head_is_tls",
            400,
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
            "http2_preface",
            400,
        ),
    ] {
        let count: &mut usize = counts.entry(reason).or_default();
        *count += 1;
        let peer = send(process.address(), &bytes, Leave::Stay);
        let line = expect(&process, &peer.to_string(), reason, *count);
        let shown = format!(" status={status}");
        let has_status = line.ends_with(&shown) || reason == "http2_preface";
        assert!(has_status, "{line}");
        assert!(line.contains(" INFO a client was refused "), "{line}");
    }
    // The twin: a request after an empty line.
    let good = b"\r\nGET /good HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    send(process.address(), good, Leave::Stay);
    assert_eq!(upstream.last().target, "/good");
    assert!(!process.errors().contains(SECRET), "{}", process.errors());
}

#[test]
fn a_client_that_leaves_or_lingers_in_its_head_has_the_reason() {
    let upstream = Upstream::start();
    let process = start(&upstream, "[server.timeouts]\nrequest_head = \"500ms\"");
    let settings = frame(SETTINGS, 0, 0, &[]);
    let open_block = frame(HEADERS, END_STREAM, 1, &request("GET", "/a"));
    let mut left = 0;
    let beginnings = [
        b"GET /half HTTP/1.1\r\nHost: a".to_vec(),
        b"G".to_vec(),
        PREFACE[..20].to_vec(),
        PREFACE.to_vec(),
        [PREFACE, &settings, &open_block].concat(),
    ];
    for beginning in &beginnings {
        for way in WAYS {
            left += 1;
            let peer = send(process.address(), beginning, way);
            let line = expect(&process, &peer.to_string(), "left_in_head", left);
            assert!(line.contains(" INFO a client left "), "{line}");
        }
    }
    for (late, beginning) in beginnings.iter().enumerate() {
        let peer = send(process.address(), beginning, Leave::Stay);
        let line = expect(&process, &peer.to_string(), "head_timeout", late + 1);
        assert!(line.contains(" INFO a client took too long "), "{line}");
    }
}

#[test]
fn a_proxy_header_that_is_missing_or_bad_has_the_reason() {
    let upstream = Upstream::start();
    let server = "[server]\nproxy_protocol_from = [\"127.0.0.0/8\"]\n\
                  [server.timeouts]\nrequest_head = \"500ms\"";
    let process = start(&upstream, server);
    let own = |bytes: &[u8], way| send(process.address(), bytes, way).to_string();
    let peer = own(&head(&format!("GET /{SECRET} HTTP/1.1"), ""), Leave::Stay);
    expect(&process, &peer, "proxy_header_missing", 1);
    let peer = own(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", Leave::Stay);
    expect(&process, &peer, "proxy_header_missing", 2);
    for (count, bytes) in [
        &b"PROXY TCP4 junk\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c",
    ]
    .iter()
    .enumerate()
    {
        let peer = own(bytes, Leave::Stay);
        expect(&process, &peer, "proxy_header_malformed", count + 1);
    }
    let peer = own(b"PROXY TCP4 192.0.2.7 ", Leave::Stay);
    expect(&process, &peer, "proxy_header_timeout", 1);
    for (count, way) in WAYS.into_iter().enumerate() {
        let peer = own(b"PROXY TCP4 192.0.2.7 ", way);
        expect(&process, &peer, "left_in_handshake", count + 1);
    }
    // Behind the header the client is the announced one.
    own(&[ANNOUNCED, b"no http\r\n\r\n"].concat(), Leave::Stay);
    expect(&process, "192.0.2.7:1000", "head_version", 1);
    assert!(!process.errors().contains(SECRET), "{}", process.errors());
}

#[cfg(unix)]
#[test]
fn a_client_of_a_unix_socket_has_the_reason_without_an_address() {
    let upstream = Upstream::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let listen = format!("unix:{}", path.display());
    let server = format!("[server]\nlisten = \"{listen}\"\n");
    let toml = format!("{server}{}{ROUTE}", upstream.toml("orders"));
    let process = Process::start(&["run", "--admin", "127.0.0.1:0"], &toml);
    process.wait_for_log("listening address=");
    let mut socket = std::os::unix::net::UnixStream::connect(&path).unwrap();
    socket
        .write_all(b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n")
        .unwrap();
    socket.read_to_end(&mut Vec::new()).unwrap();
    expect(&process, "unix", "head_field", 1);
}

/// A gateway with TLS for `a.test`, which asks for client certificates of the same authority.
struct Tls {
    root: Authority,
    process: Process,
    _files: tempfile::TempDir,
}

impl Tls {
    fn start(upstream: &Upstream, server: &str, tls: &str) -> Self {
        let root = Authority::new();
        let files = tempfile::tempdir().unwrap();
        root.sign(&["a.test"]).write(files.path(), "a");
        std::fs::write(files.path().join("root.pem"), &root.pem).unwrap();
        let tls = tls.replace("ROOT", &files.path().join("root.pem").display().to_string());
        let settings = format!("{server}\n{}{tls}\n", certificates(files.path()));
        Self {
            process: start(upstream, &settings),
            root,
            _files: files,
        }
    }

    fn connect(&self, name: &str, config: ClientConfig) -> TlsClient {
        connect(self.process.address(), name, config)
    }

    /// Performs a handshake and a request that fail, and returns the address of the client.
    fn fail(&self, name: &str, config: ClientConfig) -> String {
        let mut client = self.connect(name, config);
        let peer = client.sock.local_addr().unwrap().to_string();
        let asked =
            client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        let read = asked.and_then(|()| client.read_to_end(&mut answer));
        assert!(read.is_err() && answer.is_empty(), "{read:?}");
        peer
    }

    #[track_caller]
    fn expect(&self, peer: &str, reason: &str) -> String {
        expect(&self.process, peer, reason, 1)
    }
}

fn certificates(directory: &Path) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    format!(
        "[server.tls]\ncertificates = [{{ cert_file = \"{}\", key_file = \"{}\" }}]\n",
        file("a.pem"),
        file("a.key")
    )
}

const REQUIRED: &str = "client_auth = \"required\"\nclient_ca_file = \"ROOT\"";

#[test]
fn a_client_certificate_that_is_refused_has_the_reason() {
    let upstream = Upstream::start();
    let tls = Tls::start(&upstream, "", REQUIRED);
    let root = &tls.root;
    let expired = root.sign_with(&["caller"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let future = root.sign_with(&["caller"], |params| {
        params.not_before = rcgen::date_time_ymd(3020, 1, 1);
        params.not_after = rcgen::date_time_ymd(3021, 1, 1);
    });
    let server_only = root.sign_with(&["caller"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let untrusted = stranger();
    let namesake = Authority::new().sign(&["caller"]);
    let fail = |own: Option<&Identity>| tls.fail("a.test", root.client(own));
    tls.expect(&fail(None), "tls_client_certificate_missing");
    let line = tls.expect(&fail(Some(&untrusted)), "tls_client_certificate_untrusted");
    assert!(!line.contains("cause="), "{line}");
    let peer = fail(Some(&namesake));
    expect(&tls.process, &peer, "tls_client_certificate_untrusted", 2);
    let line = tls.expect(&fail(Some(&expired)), "tls_client_certificate_expired");
    assert!(line.contains(" cause=\"expired "), "{line}");
    let peer = fail(Some(&future));
    expect(&tls.process, &peer, "tls_client_certificate_expired", 2);
    tls.expect(&fail(Some(&server_only)), "tls_client_certificate_invalid");
    // The twin.
    let good = root.sign(&["caller"]);
    let mut client = tls.connect("a.test", root.client(Some(&good)));
    client
        .write_all(b"GET /good HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Returns a certificate that is its own authority, with a name of its own.
fn stranger() -> Identity {
    let mut params = rcgen::CertificateParams::new(vec!["stranger".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = rcgen::DnType::CommonName;
    params.distinguished_name.push(name, "a stranger");
    let key = rcgen::KeyPair::generate().unwrap();
    Identity {
        chain: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// Returns the first message of a client, with its cipher suites or its version replaced.
fn hello(config: ClientConfig, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    change(&mut bytes);
    bytes
}

/// The place of the length of the session id in a first message: behind the headers of the record
/// and of the message, the version, and 32 random bytes.
const SESSION_ID: usize = 5 + 4 + 2 + 32;

fn with_unknown_suites(bytes: &mut [u8]) {
    let suites = SESSION_ID + 1 + usize::from(bytes[SESSION_ID]);
    let length = usize::from(u16::from_be_bytes([bytes[suites], bytes[suites + 1]]));
    bytes[suites + 2..suites + 2 + length].fill(0x7a);
}

#[test]
fn a_handshake_that_fails_has_the_reason() {
    let upstream = Upstream::start();
    let limits = "handshake_timeout = \"500ms\"\nmin_version = \"1.3\"";
    let tls = Tls::start(&upstream, "", limits);
    let (root, address) = (&tls.root, tls.process.address());
    // The names of the client, its roots, its versions, its cipher suites, its protocols.
    let line = tls.expect(&tls.fail("b.test", root.client(None)), "tls_unknown_name");
    assert!(line.contains(" server_name=\"b.test\" cause=\""), "{line}");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(stranger().leaf()).unwrap();
    let distrustful = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let peer = tls.fail("a.test", distrustful);
    let line = tls.expect(&peer, "tls_certificate_refused");
    assert!(
        line.ends_with(" server_name=\"a.test\" cause=\"UnknownCA\""),
        "{line}"
    );
    let old = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(root.roots())
        .with_no_client_auth();
    tls.expect(&tls.fail("a.test", old), "tls_version");
    let unknown = hello(root.client(None), with_unknown_suites);
    let line = tls.expect(
        &send(address, &unknown, Leave::Stay).to_string(),
        "tls_cipher",
    );
    assert!(line.contains("NoCipherSuitesInCommon"), "{line}");
    let spdy = offering(root.client(None), &[b"spdy/3"]);
    tls.expect(&tls.fail("a.test", spdy), "tls_protocol");
    // Other protocols.
    let plain = head(&format!("GET /{SECRET} HTTP/1.1"), "");
    for (bytes, reason) in [
        (&plain[..], "tls_plain_http"),
        (b"\x00\x01", "tls_no_handshake"),
        (b"\x16\x03\x01\x00\x02junk", "tls_malformed"),
        (ANNOUNCED, "proxy_header_unexpected"),
    ] {
        let peer = send(address, bytes, Leave::Stay).to_string();
        tls.expect(&peer, reason);
    }
    // Time, and clients that leave.
    let whole = hello(root.client(None), |_| {});
    let half = &whole[..whole.len() / 2];
    tls.expect(&send(address, half, Leave::Stay).to_string(), "tls_timeout");
    let beginnings = [&whole[..1], half, &whole];
    let all = beginnings
        .iter()
        .flat_map(|bytes| WAYS.map(|way| (bytes, way)));
    for (count, (bytes, way)) in all.enumerate() {
        let peer = send(address, bytes, way).to_string();
        expect(&tls.process, &peer, "left_in_handshake", count + 1);
    }
    // The parser behind the handshake.
    let mut client = tls.connect("a.test", root.client(None));
    client
        .write_all(b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n")
        .unwrap();
    let _ = client.read_to_end(&mut Vec::new());
    assert_eq!(
        client.conn.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
    let peer = client.sock.local_addr().unwrap().to_string();
    assert!(tls.expect(&peer, "head_field").ends_with(" status=400"));
    let mut client = tls.connect("a.test", offering(root.client(None), &[b"h2"]));
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let _ = client.read_to_end(&mut Vec::new());
    tls.expect(
        &client.sock.local_addr().unwrap().to_string(),
        "http2_preface",
    );
    assert!(
        !tls.process.errors().contains(SECRET),
        "{}",
        tls.process.errors()
    );
}

// Not that of the balancer.
#[test]
fn a_handshake_behind_a_proxy_header_names_the_announced_client() {
    let upstream = Upstream::start();
    let server = "[server]\nproxy_protocol_from = [\"127.0.0.0/8\"]";
    let tls = Tls::start(&upstream, server, "");
    let plain = [ANNOUNCED, &head("GET / HTTP/1.1", "")].concat();
    send(tls.process.address(), &plain, Leave::Stay);
    tls.expect("192.0.2.7:1000", "tls_plain_http");
}

#[test]
fn a_stream_or_a_connection_of_http_2_that_is_refused_has_the_reason() {
    let upstream = Upstream::start();
    let process = start(
        &upstream,
        "[server.limits]\nhead_bytes = \"8KiB\"\n[server.http2]\nstreams = 2",
    );
    let settings = frame(SETTINGS, 0, 0, &[]);
    let get = |fields: &[u8]| {
        let block = [request("GET", "/a"), fields.to_vec()].concat();
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)
    };
    let mut counts = std::collections::HashMap::new();
    let on_stream = |kind, flags, payload: &[u8]| frame(kind, flags, 1, payload);
    for (bytes, reason) in [
        // An entry of the table that is not there; a long frame; SETTINGS on a stream.
        (
            on_stream(HEADERS, END_STREAM | END_HEADERS, &[0xff, 0x7f]),
            "http2_protocol",
        ),
        (on_stream(0, 0, &[0; 20_000]), "http2_frame_size"),
        (on_stream(SETTINGS, 0, &[]), "http2_protocol"),
        (get(&literal("Upper", SECRET)), "http2_protocol"),
        // A window beyond 2^31-1 (RFC 9113 §6.9.1).
        (
            frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            "http2_flow_control",
        ),
    ] {
        let peer = send(
            process.address(),
            &[PREFACE, &settings, &bytes].concat(),
            Leave::Stay,
        );
        let count: &mut usize = counts.entry(reason).or_default();
        *count += 1;
        expect(&process, &peer.to_string(), reason, *count);
    }
    let mut client = Frames::connect(process.address());
    client.send(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &[request("GET", "/a"), literal("te", SECRET)].concat(),
    );
    assert_eq!(
        client.wait(|frame| frame.stream == 1).unwrap().kind,
        RST_STREAM
    );
    let metric = |reason: &str, count: f64| {
        let series = format!("scopegate_http2_streams_refused_total{{reason=\"{reason}\"}}");
        process.wait_for_metric(&series, count);
    };
    metric("http2_malformed_request", 1.0);
    process.wait_for_log("reason=\"http2_malformed_request\"");
    // A head that is too long, with and without a body, one after the other: the library answers.
    let long = literal("cookie", &format!("{SECRET}{}", "x".repeat(9 << 10)));
    let block = [request("GET", "/a"), long].concat();
    for (stream, flags) in [(3, END_STREAM), (5, 0), (7, END_STREAM), (9, 0)] {
        client.send(HEADERS, flags | END_HEADERS, stream, &block);
        let is_answer = |frame: &Frame| frame.kind == HEADERS && frame.stream == stream;
        assert!(client.wait(is_answer).is_some());
        metric("http2_head_too_large", f64::from(stream - 1) / 2.0);
    }
    metric("http2_malformed_request", 1.0);
    process.wait_for_log("reason=\"http2_head_too_large\"");
    // One stream too many, which the client may send again.
    upstream.play([Script::Hang, Script::Hang]);
    let mut client = Frames::connect(process.address());
    for stream in [1, 3] {
        client.get(stream, "/hang");
    }
    client.get(5, "/one-too-many");
    let refused = client.wait(|frame| frame.stream == 5).unwrap();
    assert_eq!((refused.kind, refused.error()), (RST_STREAM, 7));
    metric("http2_too_many_streams", 1.0);
    process.wait_for_log("reason=\"http2_too_many_streams\"");
    assert!(!process.errors().contains(SECRET), "{}", process.errors());
}

// Trailers of one field, and answers without a body, are no refusals.
#[test]
fn answers_of_http_2_are_not_taken_for_refusals() {
    let upstream = Upstream::start();
    let process = start(&upstream, "");
    let trailers =
        b"HTTP/1.1 200 OK\r\ntrailer: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\r\n\r\n";
    let empty = b"HTTP/1.1 431 \r\ncontent-length: 0\r\n\r\n";
    let mut client = Frames::connect(process.address());
    for (number, script) in [&trailers[..], empty, trailers, empty]
        .into_iter()
        .enumerate()
    {
        upstream.play([Script::Raw(script.to_vec(), true)]);
        let stream = 2 * number as u32 + 1;
        client.send(
            HEADERS,
            END_STREAM | END_HEADERS,
            stream,
            &[request("GET", "/a"), literal("te", "trailers")].concat(),
        );
        let is_end = |frame: &Frame| frame.stream == stream && frame.flags & END_STREAM != 0;
        assert!(client.wait(is_end).is_some());
    }
    // A stream that its client resets.
    upstream.play([Script::Hang]);
    client.get(11, "/hang");
    upstream.wait_for(5);
    client.send(RST_STREAM, 0, 11, &[0, 0, 0, 1]);
    assert!(client.is_alive());
    for reason in ["http2_head_too_large", "http2_malformed_request"] {
        let series = format!("scopegate_http2_streams_refused_total{{reason=\"{reason}\"}}");
        assert!(process.metric(&series) < 0.5, "{reason}");
    }
}

/// Asserts that nothing was counted or logged, but for lines of the gateway's own life.
#[track_caller]
fn assert_healthy(process: &Process, connections: f64) {
    process.wait_for_metric("scopegate_connections_accepted_total", connections);
    process.wait_for_metric("scopegate_connections_open", 0.0);
    let exposition = process.metrics();
    let counted: Vec<_> = exposition
        .lines()
        .filter(|line| line.starts_with("scopegate_connection_errors_total{"))
        .collect();
    assert!(counted.is_empty(), "{counted:?}");
    assert!(!process.errors().contains("client"), "{}", process.errors());
    assert_eq!(process.out(), "");
}

#[test]
fn a_healthy_end_is_neither_logged_nor_counted() {
    let upstream = Upstream::start();
    let process = start(&upstream, "");
    let mut connections = 0.0;
    for way in WAYS {
        send(process.address(), b"", way);
        // After an answer, over both protocols.
        let mut socket = TcpStream::connect(process.address()).unwrap();
        socket.write_all(&head("GET /a HTTP/1.1", "")).unwrap();
        let mut answer = [0; 1000];
        let mut length = 0;
        while !answer[..length].ends_with(b"ok") {
            length += socket.read(&mut answer[length..]).unwrap();
        }
        leave(&socket, way);
        drop(socket);
        let mut client = Frames::connect(process.address());
        client.get(1, "/a");
        assert_eq!((client.status(1), client.body(1)), (200, b"ok".to_vec()));
        connections += 3.0;
    }
    assert_healthy(&process, connections);

    let announced = start(
        &upstream,
        "[server]\nproxy_protocol_from = [\"127.0.0.0/8\"]",
    );
    for way in WAYS {
        send(announced.address(), b"", way);
        send(announced.address(), ANNOUNCED, way);
        send(announced.address(), b"PROXY UNKNOWN\r\n", way);
    }
    assert_healthy(&announced, 6.0);
}

#[test]
fn a_check_of_a_port_with_tls_is_neither_logged_nor_counted() {
    let upstream = Upstream::start();
    let tls = Tls::start(&upstream, "", "");
    for way in WAYS {
        send(tls.process.address(), b"", way);
        for protocols in [&[][..], &[b"http/1.1".as_slice()], &[b"h2"]] {
            let mut client = tls.connect("a.test", offering(tls.root.client(None), protocols));
            while client.conn.is_handshaking() {
                client.conn.complete_io(&mut client.sock).unwrap();
            }
            // The gateway's first message behind the handshake tells that it has seen its end.
            client.sock.read_exact(&mut [0]).unwrap();
            leave(&client.sock, way);
        }
    }
    assert_healthy(&tls.process, 8.0);
}

/// Returns the number of lines about a reason, and that of the failures that have none.
fn told(process: &Process, reason: &str) -> (u64, u64) {
    let (mut lines, mut others) = (0, 0);
    let errors = process.errors();
    let of_reason = format!("reason=\"{reason}\"");
    for line in errors.lines().filter(|line| line.contains(&of_reason)) {
        let number = |name: &str| {
            let text = line.split_once(name)?.1.split(' ').next()?;
            text.parse::<u64>().ok()
        };
        if line.contains(" more clients failed") {
            others += number(" count=").unwrap();
        } else {
            lines += 1;
            others += number(" skipped=").unwrap_or_default();
        }
    }
    (lines, others)
}

#[test]
fn a_flood_of_bad_connections_has_few_lines_and_an_exact_count() {
    const CLIENTS: u64 = 2_000;
    let upstream = Upstream::start();
    let process = start(&upstream, "");
    for _ in 0..CLIENTS {
        send(
            process.address(),
            b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
            Leave::Stay,
        );
    }
    // One of another kind is not hidden by them.
    let peer = send(process.address(), b"GET /half", Leave::Close);
    expect(&process, &peer.to_string(), "left_in_head", 1);
    let series = "scopegate_connection_errors_total{reason=\"head_field\"}";
    process.wait_for_metric(series, CLIENTS as f64);
    wait_until("all of them are told of", || {
        let (lines, others) = told(&process, "head_field");
        lines + others == CLIENTS
    });
    let (lines, _) = told(&process, "head_field");
    assert!(lines < CLIENTS / 10, "{lines} lines");
    assert_eq!(process.send(&Request::get("/good")).status, 200);
}
