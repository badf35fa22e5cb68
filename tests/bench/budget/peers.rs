//! The client and the upstream of a forwarded request. They run in the process that counts, so that
//! callgrind counts the gateway alone.
//!
//! Both wait until the gateway is asleep before they send. Otherwise it would find the next bytes
//! there or not, depending on the machine's load, and sleep less often or more.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, thread};

/// An answer like that of a common server.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nserver: upstream\r\ndate: Tue, 25 Nov 2025 10:00:00 GMT\r\n\
    content-type: application/json\r\ncontent-length: 27\r\n\r\n{\"orders\":[{\"id\":\"o-104\"}]}";

/// Answers every request with the same bytes.
pub(super) struct Upstream {
    address: SocketAddr,
    /// The process id of the gateway, once it runs.
    pub(super) gateway: Arc<AtomicU32>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Arc::new(AtomicU32::new(0));
        thread::spawn({
            let gateway = gateway.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    let gateway = gateway.load(Ordering::SeqCst);
                    thread::spawn(move || answer(stream, gateway));
                }
            }
        });
        Self { address, gateway }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(mut stream: TcpStream, gateway: u32) {
    stream.set_nodelay(true).unwrap();
    while read_until(&mut stream, |bytes| bytes.ends_with(b"\r\n\r\n")) {
        wait_until_asleep(gateway);
        stream.write_all(ANSWER).unwrap();
    }
}

/// Sends one request after the other on one connection.
pub(super) struct Client {
    stream: TcpStream,
    gateway: u32,
}

impl Client {
    /// Connects to the gateway with this address and process id.
    pub(super) fn connect(address: SocketAddr, gateway: u32) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, gateway }
    }

    pub(super) fn get(&mut self, path: &str, token: &str) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        wait_until_asleep(self.gateway);
        self.stream.write_all(head.as_bytes()).unwrap();
        let whole = |bytes: &[u8]| {
            assert!(
                bytes.starts_with(&b"HTTP/1.1 200"[..bytes.len().min(12)]),
                "{}",
                bytes.escape_ascii()
            );
            bytes.ends_with(b"}]}")
        };
        assert!(
            read_until(&mut self.stream, whole),
            "the gateway closed the connection"
        );
    }
}

/// Reads until the data is complete; false if the other side ended before.
fn read_until(stream: &mut TcpStream, is_whole: impl Fn(&[u8]) -> bool) -> bool {
    let mut buffer = [0; 8192];
    let mut filled = 0;
    while filled == 0 || !is_whole(&buffer[..filled]) {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return false,
            Ok(read) => filled += read,
        }
    }
    true
}

/// Waits until no thread of a process is running or runnable.
fn wait_until_asleep(pid: u32) {
    while fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
        .any(|thread| {
            // The state follows the name, which is in parentheses.
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('R'))
        })
    {
        thread::sleep(Duration::from_micros(50));
    }
}
