//! Listeners other than plain TCP: PROXY headers and Unix-domain sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::{Gateway, PATIENCE, Upstream, wait_until};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

fn start(upstream: &Upstream, networks: &str) -> Gateway {
    let toml = format!(
        "[server]\nproxy_protocol_from = [{networks}]\n{}\n[[routes]]\npath = \"/**\"\n\
         upstream = \"orders\"\n\
         methods = \"ANY\"\npublic = true\n",
        upstream.toml("orders")
    );
    Gateway::start(&toml)
}

/// What is answered to these pieces, each in a segment of its own.
fn exchange(address: SocketAddr, pieces: &[&[u8]]) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for piece in pieces {
        // The other side may have closed already.
        let _ = socket.write_all(piece);
    }
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_balancer_announces_its_clients_and_nobody_else_does() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "\"127.0.0.0/8\"");
    let line = b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n";
    let binary =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x09\xc0\x00\x02\x08\x03\xe8\x01\xbb";
    let bytes: Vec<&[u8]> = line.chunks(1).chain([REQUEST]).collect();
    for (pieces, client) in [
        (vec![&line[..], REQUEST], "192.0.2.7"),
        (bytes, "192.0.2.7"),
        (vec![&[line, REQUEST].concat()[..]], "192.0.2.7"),
        (vec![&binary[..], REQUEST], "192.0.2.9"),
        (vec![&b"PROXY UNKNOWN\r\n"[..], REQUEST], "127.0.0.1"),
    ] {
        let answer = exchange(gateway.address(), &pieces);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(
            upstream.arrivals().last().unwrap().field("x-forwarded-for"),
            Some(client)
        );
    }
    let before = upstream.arrivals().len();
    for pieces in [vec![REQUEST], vec![&b"PROXY TCP4 junk\r\n"[..], REQUEST]] {
        assert_eq!(exchange(gateway.address(), &pieces), "");
    }
    for reason in ["proxy_header_missing", "proxy_header_malformed"] {
        let series = format!("scopegate_connection_errors_total{{reason=\"{reason}\"}}");
        gateway.wait_for_metric(&series, 1.0);
    }
    assert_eq!(upstream.arrivals().len(), before);
}

#[test]
fn a_header_of_whom_nobody_trusts_is_no_request() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "\"10.0.0.0/8\"");
    let line = b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n";
    assert!(exchange(gateway.address(), &[line, REQUEST]).starts_with("HTTP/1.1 400 "));
    assert!(exchange(gateway.address(), &[REQUEST]).starts_with("HTTP/1.1 200 "));
    assert_eq!(upstream.arrivals().len(), 1);
    assert_eq!(
        upstream.arrivals()[0].field("x-forwarded-for"),
        Some("127.0.0.1")
    );
}

#[cfg(unix)]
#[test]
fn a_unix_socket_takes_requests_under_its_mode_and_goes_with_the_gateway() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};
    let upstream = Upstream::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    // Left behind by a process that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let toml = format!(
        "[server]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\nunix_mode = \"0600\"\n{}\n[[routes]]\n\
         path = \"/**\"\n\
         upstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n",
        path.display(),
        upstream.toml("orders")
    );
    let gateway = Gateway::start_on_its_own_addresses(&toml);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut socket = UnixStream::connect(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(REQUEST).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(
        upstream.arrivals()[0].field("x-forwarded-for"),
        Some("unknown")
    );
    gateway.shutdown();
    wait_until("the file is gone", || !path.exists());
}

#[cfg(unix)]
fn on_a_socket(path: &std::path::Path, mode: &str, upstream: &Upstream) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\nadmin = \"off\"\n\
         unix_mode = \"{mode}\"\n{}\n[[routes]]\n\
         path = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n",
        path.display(),
        upstream.toml("orders")
    )
}

#[cfg(unix)]
#[test]
fn a_socket_on_which_another_process_listens_is_not_taken() {
    use std::os::unix::net::{UnixListener, UnixStream};
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("api.sock");
    let other = UnixListener::bind(&path).unwrap();
    let mut process =
        crate::support::Process::start(&["run"], &on_a_socket(&path, "0600", &upstream));
    assert_ne!(process.wait().code(), Some(0));
    let told = format!(
        "cannot listen on unix:{}: another process does already",
        path.display()
    );
    assert!(process.errors().contains(&told), "{}", process.errors());
    other.set_nonblocking(true).unwrap();
    while other.accept().is_ok() {}
    UnixStream::connect(&path).unwrap();
    other.accept().expect("the path is still the other's");
}

#[cfg(unix)]
#[test]
fn another_mode_for_a_socket_takes_effect_with_the_reload() {
    use std::os::unix::fs::PermissionsExt as _;
    let (upstream, directory) = (Upstream::start(), tempfile::tempdir().unwrap());
    let path = directory.path().join("api.sock");
    let gateway = Gateway::start_on_its_own_addresses(&on_a_socket(&path, "0600", &upstream));
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    for (text, expected) in [("0660", 0o660), ("0666", 0o666), ("0600", 0o600)] {
        gateway.rewrite(&on_a_socket(&path, text, &upstream));
        gateway.reload();
        wait_until("the mode is the new one", || mode() == expected);
    }
}
