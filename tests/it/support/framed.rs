//! An upstream of HTTP/2 that writes its frames by hand, so that it can break every rule.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::PATIENCE;
use super::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, literal,
};

/// Builds the bytes to write for a stream of this number.
type Bytes = Box<dyn Fn(u32) -> Vec<u8> + Send>;

/// The upstream's action for a stream.
pub(crate) enum Act {
    /// Writes these bytes.
    Write(Bytes),
    /// Writes these bytes when this much of the request's body has arrived.
    WriteAfter(usize, Bytes),
    /// Writes these bytes and closes the connection.
    WriteAndClose(Bytes),
    /// Writes the first bytes, and then the second again and again until the other side gives up.
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
    connections: AtomicUsize,
    flooded: AtomicUsize,
    /// Set if an answer is sent when its request ends, and contains the request's body.
    echoes: bool,
    /// The number of streams that a connection takes. After that it sends GOAWAY and ignores
    /// others.
    lifetime: Option<u32>,
}

/// A request on a connection.
#[derive(Default)]
struct Request {
    body: Vec<u8>,
    /// The bytes to write, and the length of the body at which they are written.
    after: Option<(usize, Bytes)>,
    /// Set if the request is answered when it has ended.
    is_echoed: bool,
}

/// Returns a HEADERS frame with these fields, of which `:status` is the first.
pub(crate) fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect();
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

/// Returns the default answer, for streams without an entry in the script.
pub(crate) fn good(stream: u32) -> Vec<u8> {
    let head = head(stream, 0, &[(":status", "200"), ("content-length", "2")]);
    [head, frame(DATA, END_STREAM, stream, b"ok")].concat()
}

/// Returns a GOAWAY frame with the last stream that is or will be processed, and an error.
pub(crate) fn goaway(last: u32, error: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), error.to_be_bytes()].concat(),
    )
}

/// Returns a RST_STREAM frame.
pub(crate) fn reset(stream: u32, error: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &error.to_be_bytes())
}

impl Framed {
    pub(crate) fn start() -> Self {
        Self::start_with(State::default())
    }

    /// Starts an upstream whose answers contain the request's body.
    pub(crate) fn start_echoing() -> Self {
        Self::start_with(State {
            echoes: true,
            ..State::default()
        })
    }

    /// Starts an echoing upstream whose connections take this many streams, like nginx with
    /// `keepalive_requests`.
    pub(crate) fn start_short_lived(streams: u32) -> Self {
        Self::start_with(State {
            echoes: true,
            lifetime: Some(streams),
            ..State::default()
        })
    }

    fn start_with(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(state);
        let shared = state.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let state = shared.clone();
                thread::spawn(move || serve(&state, socket));
            }
        });
        Self { address, state }
    }

    /// Returns its entry in a configuration.
    pub(crate) fn toml(&self, name: &str) -> String {
        format!(
            "[upstreams.{name}]\nurl = \"http://{}\"\nprotocol = \"http2\"\n",
            self.address
        )
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the actions for the next streams, after which the default answer is used.
    pub(crate) fn play(&self, script: impl IntoIterator<Item = Act>) {
        self.state.script.lock().unwrap().extend(script);
    }

    /// Returns the number of streams ever opened.
    pub(crate) fn streams(&self) -> usize {
        self.state.streams.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of bytes that [`Act::Flood`] has written.
    pub(crate) fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }
}

/// Serves a connection until either side ends it.
fn serve(state: &State, mut socket: TcpStream) -> Option<()> {
    socket.set_nodelay(true).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut preface = [0; PREFACE.len()];
    socket.read_exact(&mut preface).ok()?;
    assert_eq!(preface, PREFACE);
    socket.write_all(&frame(SETTINGS, 0, 0, &[])).ok()?;
    state.connections.fetch_add(1, Ordering::SeqCst);
    let mut requests = HashMap::<u32, Request>::new();
    let last = state.lifetime.map_or(u32::MAX, |streams| 2 * streams - 1);
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).ok()?;
        let mut payload =
            vec![0; usize::try_from(number(&[0, head[0], head[1], head[2]])).unwrap()];
        socket.read_exact(&mut payload).ok()?;
        let (kind, flags, stream) = (head[3], head[4], number(&head[5..]));
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let payload = if kind == PING { &*payload } else { &[] };
                socket.write_all(&frame(kind, ACK, 0, payload)).ok()?;
            }
            HEADERS if stream <= last && !requests.contains_key(&stream) => {
                state.streams.fetch_add(1, Ordering::SeqCst);
                if stream == last {
                    socket.write_all(&goaway(last, 0)).ok()?;
                }
                requests.insert(stream, act(state, &mut socket, stream)?);
            }
            DATA => {
                if let Some(request) = requests.get_mut(&stream) {
                    take(&mut socket, stream, request, &payload)?;
                }
            }
            _ => {}
        }
        if matches!(kind, HEADERS | DATA)
            && flags & END_STREAM != 0
            && let Some(request) = requests.get(&stream).filter(|request| request.is_echoed)
        {
            socket.write_all(&echo(stream, &request.body)).ok()?;
        }
    }
}

fn act(state: &State, socket: &mut TcpStream, stream: u32) -> Option<Request> {
    let act = state.script.lock().unwrap().pop_front();
    let mut request = Request::default();
    match act {
        None if state.echoes => request.is_echoed = true,
        None => socket.write_all(&good(stream)).ok()?,
        // The peer of a broken connection may or may not read to the end.
        Some(Act::Write(bytes)) => drop(socket.write_all(&bytes(stream))),
        Some(Act::WriteAfter(count, bytes)) => request.after = Some((count, bytes)),
        Some(Act::WriteAndClose(bytes)) => {
            let _ = socket.write_all(&bytes(stream));
            return None;
        }
        Some(Act::Flood(first, again)) => {
            let again = again(stream);
            let mut next = socket.write_all(&first(stream));
            while next.is_ok() {
                next = socket.write_all(&again);
                state.flooded.fetch_add(again.len(), Ordering::SeqCst);
            }
            return None;
        }
    }
    Some(request)
}

/// Takes a part of a body, and grants a window of the same size.
fn take(socket: &mut TcpStream, stream: u32, request: &mut Request, piece: &[u8]) -> Option<()> {
    request.body.extend(piece);
    if let Ok(count @ 1..) = u32::try_from(piece.len()) {
        let update = |stream| frame(WINDOW_UPDATE, 0, stream, &count.to_be_bytes());
        socket
            .write_all(&[update(0), update(stream)].concat())
            .ok()?;
    }
    if let Some((_, bytes)) = request
        .after
        .take_if(|(count, _)| *count <= request.body.len())
    {
        socket.write_all(&bytes(stream)).ok()?;
    }
    Some(())
}

/// Returns an answer with the request's body, or with its length if it is long.
fn echo(stream: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let body = if body.len() > 10_000 {
        length.as_bytes()
    } else {
        body
    };
    let head = head(stream, 0, &[(":status", "200")]);
    [head, frame(DATA, END_STREAM, stream, body)].concat()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
