//! TLS listeners: the certificate that is presented, client certificates, and hosts.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::support::{
    Authority, Gateway, Identity, Process, TlsClient, Upstream, connect, wait_until,
};

/// The status of a request for `host`, or the error of the connection.
fn ask(stream: &mut TlsClient, host: &str) -> std::io::Result<u16> {
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut text = Vec::new();
    let mut byte = [0; 1];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    let length = text.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")
            .map(str::to_owned)
    });
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body)?;
    Ok(text.split(' ').nth(1).unwrap().parse().unwrap())
}

fn shown(stream: &TlsClient) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

#[test]
fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let (first, wild, exact) = (
        root.sign(&["a.test"]),
        root.sign(&["*.b.test"]),
        root.sign(&["x.b.test"]),
    );
    let gateway = Gateway::secured(
        &upstream,
        &[("first", &first), ("wild", &wild), ("exact", &exact)],
        "",
        &[],
    );
    for (name, pair) in [
        ("a.test", &first),
        ("one.b.test", &wild),
        ("x.b.test", &exact),
    ] {
        let mut stream = connect(gateway.address(), name, root.client(None));
        assert_eq!(ask(&mut stream, name).unwrap(), 200, "{name}");
        assert_eq!(shown(&stream), pair.leaf(), "{name}");
    }
    assert_eq!(
        upstream.arrivals()[0].field("x-forwarded-proto"),
        Some("https")
    );
}

#[test]
fn a_connection_for_one_host_is_refused_to_another() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let (a, b) = (
        root.sign(&["a.test", "also-a.test"]),
        root.sign(&["*.b.test"]),
    );
    let gateway = Gateway::secured(&upstream, &[("a", &a), ("b", &b)], "", &[]);
    let mut stream = connect(gateway.address(), "a.test", root.client(None));
    for (host, status) in [
        ("a.test", 200),
        ("A.Test.", 200),
        ("a.test:8443", 200),
        ("also-a.test", 200),
        ("one.b.test", 421),
        ("unknown.test", 421),
        ("a.test", 200),
    ] {
        assert_eq!(ask(&mut stream, host).unwrap(), status, "{host}");
    }
    assert_eq!(upstream.arrivals().len(), 5);
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let (old, new) = (root.sign(&["a.test"]), root.sign(&["a.test"]));
    let gateway = Gateway::secured(&upstream, &[("a", &old)], "", &[]);
    let mut open = connect(gateway.address(), "a.test", root.client(None));
    assert_eq!(ask(&mut open, "a.test").unwrap(), 200);
    // Only half of the new pair: the key of one is not that of the other.
    fs::write(gateway.directory().join("a.pem"), &new.chain).unwrap();
    gateway.reload();
    gateway.wait_for_metric("scopegate_config_last_reload_successful", 0.0);
    let mut stream = connect(gateway.address(), "a.test", root.client(None));
    assert_eq!(ask(&mut stream, "a.test").unwrap(), 200);
    assert_eq!(shown(&stream), old.leaf());
    new.write(gateway.directory(), "a");
    gateway.reload();
    wait_until("the new certificate is shown", || {
        let mut stream = connect(gateway.address(), "a.test", root.client(None));
        ask(&mut stream, "a.test").unwrap() == 200 && shown(&stream) == new.leaf()
    });
    assert_eq!(
        ask(&mut open, "a.test").unwrap(),
        200,
        "an open connection goes on"
    );
}

#[test]
fn a_client_without_a_certificate_gets_in_only_where_none_is_required() {
    let (root, other, upstream) = (Authority::new(), Authority::new(), Upstream::start());
    let (server, good, bad) = (
        root.sign(&["a.test"]),
        root.sign(&["caller"]),
        other.sign(&["caller"]),
    );
    for (client_auth, nobody, wrong) in [("required", false, false), ("optional", true, false)] {
        let tls = format!("client_auth = \"{client_auth}\"\nclient_ca_file = \"clients.pem\"\n");
        let gateway = Gateway::secured(
            &upstream,
            &[("a", &server)],
            &tls,
            &[("clients.pem", &root.pem)],
        );
        let gets_in = |own: Option<&Identity>| {
            let mut stream = connect(gateway.address(), "a.test", root.client(own));
            matches!(ask(&mut stream, "a.test"), Ok(200))
        };
        assert!(gets_in(Some(&good)), "{client_auth}");
        assert_eq!(gets_in(None), nobody, "{client_auth}");
        assert_eq!(gets_in(Some(&bad)), wrong, "{client_auth}");
    }
}

#[test]
fn junk_plain_http_and_silence_cost_one_connection_each() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    let gateway = Gateway::secured(
        &upstream,
        &[("a", &pair)],
        "handshake_timeout = \"2s\"",
        &[],
    );
    let plain = crate::support::raw(gateway.address(), b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
    for bytes in [&b"\x16\x03\x01\x00\x02junk"[..], b"\x00\x01", b"\x16"] {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket
            .set_read_timeout(Some(crate::support::PATIENCE))
            .unwrap();
        socket.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        // An end or a reset, and no answer of HTTP.
        let _ = socket.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP"), "{bytes:?}");
    }
    for reason in [
        "tls_plain_http",
        "tls_malformed",
        "tls_no_handshake",
        "tls_timeout",
    ] {
        let series = format!("scopegate_connection_errors_total{{reason=\"{reason}\"}}");
        gateway.wait_for_metric(&series, 1.0);
    }
    let mut stream = connect(gateway.address(), "a.test", root.client(None));
    assert_eq!(ask(&mut stream, "a.test").unwrap(), 200);
    assert_eq!(upstream.arrivals().len(), 1);
}

#[test]
fn a_listener_of_tls_1_3_refuses_1_2() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let pair = root.sign(&["a.test"]);
    for (min, expected) in [("1.2", true), ("1.3", false)] {
        let gateway = Gateway::secured(
            &upstream,
            &[("a", &pair)],
            &format!("min_version = \"{min}\""),
            &[],
        );
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let old = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(root.roots())
            .with_no_client_auth();
        let mut stream = connect(gateway.address(), "a.test", old);
        assert_eq!(
            ask(&mut stream, "a.test").is_ok_and(|status| status == 200),
            expected,
            "{min}"
        );
    }
}

// The certificates that are served are looked at when they are loaded, and each says when it ends.
#[test]
fn a_certificate_that_ends_soon_is_warned_of_and_a_renewed_one_is_not() {
    let (root, upstream) = (Authority::new(), Upstream::start());
    let until = |days: i64| {
        let end = crate::support::now()
            .checked_add_signed(days * 24 * 60 * 60)
            .unwrap();
        root.sign_with(&["a.test"], |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after =
                rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(end);
        })
    };
    let directory = tempfile::tempdir().unwrap();
    until(3).write(directory.path(), "a");
    let place = |name: &str| directory.path().join(name).display().to_string();
    let toml = format!(
        "[server.tls]\ncertificates = [{{ cert_file = \"{}\", key_file = \"{}\" }}]\n{}[[routes]]\n\
         path = \"/**\"\n\
         upstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n",
        place("a.pem"),
        place("a.key"),
        upstream.toml("orders")
    );
    let series = format!(
        "scopegate_certificate_expiry_timestamp_seconds{{file=\"{}\"}}",
        place("a.pem")
    );
    let process = Process::run_alone(&toml);
    let days = || {
        (process.metric(&series) - f64::from(u32::try_from(crate::support::now()).unwrap()))
            / 86_400.0
    };
    process.wait_for_log("a certificate ends soon: renew it file=");
    assert!((2.9..=3.0).contains(&days()), "{}", days());
    until(300).write(directory.path(), "a");
    wait_until("the renewed one is shown", || days() > 299.0);
    until(-1).write(directory.path(), "a");
    process.wait_for_log("a certificate has ended: clients refuse it; renew it file=");
    assert_eq!(
        process.errors().matches("a certificate ends soon").count(),
        1,
        "{}",
        process.errors()
    );
}
