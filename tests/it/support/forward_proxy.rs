//! A forward proxy, and a TLS front for a server that speaks plain HTTP. Each thread ends with its
//! connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Identity;

/// A proxy that leads every request and every tunnel to one address, whatever the client names.
pub(crate) struct ForwardProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    /// Starts a proxy in front of `target`.
    pub(crate) fn start(target: SocketAddr) -> Self {
        Self::start_with(Some(target))
    }

    /// Starts a proxy that asks every client for a password.
    pub(crate) fn refusing() -> Self {
        Self::start_with(None)
    }

    fn start_with(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = heads.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = seen.clone();
                thread::spawn(move || serve(client, target, &seen));
            }
        });
        Self { address, heads }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, target: Option<SocketAddr>, seen: &Mutex<Vec<String>>) {
    let head = read_head(&mut client);
    seen.lock().unwrap().push(head.clone());
    let Some(target) = target else {
        let refusal = "HTTP/1.1 407 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let _ = client.write_all(refusal.as_bytes());
        return;
    };
    let mut server = TcpStream::connect(target).unwrap();
    if head.starts_with("CONNECT ") {
        let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
    } else {
        let _ = server.write_all(origin_form(&head).as_bytes());
    }
    relay(client, server);
}

/// Returns the head that a proxy sends on: with a path as its target, and without the fields that
/// are for the proxy.
fn origin_form(head: &str) -> String {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let method = words.next().unwrap();
    let target = words.next().unwrap();
    let path = target.splitn(4, '/').nth(3).unwrap_or_default();
    let mut sent = format!("{method} /{path} HTTP/1.1\r\n");
    for line in lines {
        if !line.to_ascii_lowercase().starts_with("proxy-") {
            sent.push_str(line);
            sent.push_str("\r\n");
        }
    }
    sent
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    head.truncate(head.len().saturating_sub(2));
    String::from_utf8(head).unwrap()
}

/// Copies both directions until both have ended.
fn relay(client: TcpStream, server: TcpStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let upward = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (server, client);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = upward.join();
}

/// Starts a server that speaks TLS with this certificate, and leads each request to `target`.
pub(crate) fn tls_front(identity: &Identity, target: SocketAddr) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.leaf()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let session = ServerConnection::new(config.clone()).unwrap();
            thread::spawn(move || answer(StreamOwned::new(session, client), target));
        }
    });
    address
}

/// Answers one request over TLS with what the server behind says.
fn answer(mut client: StreamOwned<ServerConnection, TcpStream>, target: SocketAddr) {
    let head = read_head(&mut client);
    // A client that does not trust the certificate sends none.
    if head.is_empty() {
        return;
    }
    let mut server = TcpStream::connect(target).unwrap();
    let _ = server.write_all(format!("{head}\r\n").as_bytes());
    let mut response = Vec::new();
    let _ = server.read_to_end(&mut response);
    let _ = client.write_all(&response);
    client.conn.send_close_notify();
    let _ = client.flush();
}
