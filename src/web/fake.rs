//! A server for tests that misbehaves on request.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::net::Url;

/// The answer to requests for a path.
#[derive(Clone, Debug)]
pub(crate) enum FakeAnswer {
    /// These bytes, and then the end of the connection.
    Bytes(Vec<u8>),
    /// No answer until the client gives up.
    Hang,
    /// These bytes after [`Fake::release`].
    Held(Vec<u8>),
    /// These bytes one by one, each after a pause.
    Drip(Vec<u8>),
    /// A head without a length, and then bytes without end.
    Endless,
    /// A reset: the connection is closed with the request unread.
    Reset,
}

/// A server on the loopback interface; a thread per connection.
pub(crate) struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, FakeAnswer>>,
    heads: Mutex<Vec<String>>,
    released: Mutex<bool>,
    release: std::sync::Condvar,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let mine = Arc::clone(&shared);
        // The thread ends with the process: tests are short.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&mine);
                // An error means that the client went away, as many tests want it.
                thread::spawn(move || shared.serve(connection));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn answer(&self, path: &str, answer: FakeAnswer) {
        self.shared
            .answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), answer);
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The request heads so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Requests for a path so far.
    pub(crate) fn hits(&self, path: &str) -> usize {
        self.heads()
            .iter()
            .filter(|head| target(head) == path)
            .count()
    }

    /// Sends every held answer, from now on.
    pub(crate) fn release(&self) {
        *self.shared.released.lock().unwrap() = true;
        self.shared.release.notify_all();
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
            // The path is known after the first line, and a reset needs the rest unread.
            if head.ends_with(b" HTTP/1.1\r\n")
                && matches!(self.find(&head), Some(FakeAnswer::Reset))
            {
                self.heads
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&head).into());
                return Ok(());
            }
        }
        let answer = self.find(&head);
        self.heads
            .lock()
            .unwrap()
            .push(String::from_utf8_lossy(&head).into());
        match answer {
            None => stream.write_all(&response(404, "", "no")),
            Some(FakeAnswer::Bytes(bytes)) => stream.write_all(&bytes),
            Some(FakeAnswer::Hang | FakeAnswer::Reset) => stream.read(&mut byte).map(|_| ()),
            Some(FakeAnswer::Held(bytes)) => {
                let released = self.released.lock().unwrap();
                drop(
                    self.release
                        .wait_while(released, |released| !*released)
                        .unwrap(),
                );
                stream.write_all(&bytes)
            }
            Some(FakeAnswer::Drip(bytes)) => {
                // The pause is a read to which no bytes come; it ends early when the client leaves.
                stream.set_read_timeout(Some(Duration::from_millis(20)))?;
                bytes.iter().try_for_each(|byte| {
                    stream.write_all(&[*byte])?;
                    match stream.read(&mut [0]) {
                        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                        _ => Ok(()),
                    }
                })
            }
            Some(FakeAnswer::Endless) => {
                stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"keys\":[",
                )?;
                loop {
                    stream.write_all(&[b' '; 4096])?;
                }
            }
        }
    }

    fn find(&self, head: &[u8]) -> Option<FakeAnswer> {
        self.answers
            .lock()
            .unwrap()
            .get(target(&String::from_utf8_lossy(head)))
            .cloned()
    }
}

fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// Returns a response; `headers` are whole lines.
pub(crate) fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Returns a response with a JSON document.
pub(crate) fn json(body: &str) -> FakeAnswer {
    FakeAnswer::Bytes(response(200, "Content-Type: application/json\r\n", body))
}
