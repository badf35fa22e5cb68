//! An upstream of HTTP/2 that writes its frames by hand, so that it can break every rule.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::PATIENCE;
use super::frames::{ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, frame, literal};

/// What goes over the wire for a stream of this number.
type Bytes = Box<dyn Fn(u32) -> Vec<u8> + Send>;

/// What the upstream does with a stream.
pub(crate) enum Act {
    /// Writes this.
    Write(Bytes),
    /// Writes the first, and then the second again and again until the other side gives up.
    Flood(Bytes, Bytes),
}

/// An upstream of HTTP/2.
pub(crate) struct Framed {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Act>>,
    streams: AtomicUsize,
    flooded: AtomicUsize,
}

/// A head with these fields, of which `:status` is the first.
pub(crate) fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

/// The answer to everything that the script says nothing of.
pub(crate) fn good(stream: u32) -> Vec<u8> {
    let head = head(stream, 0, &[(":status", "200"), ("content-length", "2")]);
    [head, frame(DATA, END_STREAM, stream, b"ok")].concat()
}

impl Framed {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let state = shared.clone();
                thread::spawn(move || serve(&state, socket));
            }
        });
        Self { address, state }
    }

    /// Its entry in a configuration.
    pub(crate) fn toml(&self, name: &str) -> String {
        format!("[upstreams.{name}]\nurl = \"http://{}\"\nprotocol = \"http2\"\n", self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does with the next streams; after that its answers are good.
    pub(crate) fn play(&self, script: impl IntoIterator<Item = Act>) {
        self.state.script.lock().unwrap().extend(script);
    }

    /// Streams that were ever opened.
    pub(crate) fn streams(&self) -> usize {
        self.state.streams.load(Ordering::SeqCst)
    }

    /// Bytes that [`Act::Flood`] has got rid of.
    pub(crate) fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }
}

/// Until either side has enough.
fn serve(state: &State, mut socket: TcpStream) -> Option<()> {
    socket.set_nodelay(true).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut preface = [0; PREFACE.len()];
    socket.read_exact(&mut preface).ok()?;
    assert_eq!(preface, PREFACE);
    socket.write_all(&frame(SETTINGS, 0, 0, &[])).ok()?;
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).ok()?;
        let mut payload = vec![0; usize::try_from(number(&[0, head[0], head[1], head[2]])).unwrap()];
        socket.read_exact(&mut payload).ok()?;
        let (kind, flags, stream) = (head[3], head[4], number(&head[5..]));
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let payload = if kind == PING { &*payload } else { &[] };
                socket.write_all(&frame(kind, ACK, 0, payload)).ok()?;
            }
            HEADERS => {
                state.streams.fetch_add(1, Ordering::SeqCst);
                act(state, &mut socket, stream)?;
            }
            _ => {}
        }
    }
}

fn act(state: &State, socket: &mut TcpStream, stream: u32) -> Option<()> {
    let act = state.script.lock().unwrap().pop_front();
    match act {
        None => socket.write_all(&good(stream)).ok(),
        // One that breaks a rule may be heard to the end, or not.
        Some(Act::Write(bytes)) => {
            let _ = socket.write_all(&bytes(stream));
            Some(())
        }
        Some(Act::Flood(first, again)) => {
            let again = again(stream);
            let mut next = socket.write_all(&first(stream));
            while next.is_ok() {
                next = socket.write_all(&again);
                state.flooded.fetch_add(again.len(), Ordering::SeqCst);
            }
            None
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
