//! An upstream that can be killed, paused, and made to reset its connections.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// The behaviour of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Answers each request.
    Serve,
    /// Reads each request and answers after the pause.
    Pause,
    /// Reads each request and resets its connection.
    Reset,
    /// Is down: nothing is listening, and all connections are closed.
    Dead,
}

/// An upstream that keeps its port when it is killed.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    mode: Mode,
    connections: Vec<TcpStream>,
    /// The number of arrivals of each POST.
    posts: HashMap<String, usize>,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            mode: Mode::Serve,
            connections: Vec::new(),
            posts: HashMap::new(),
        };
        let backend = Self {
            address,
            state: Arc::new(Mutex::new(state)),
        };
        let state = backend.state.clone();
        thread::spawn(move || live(&state, listener, address));
        backend
    }

    pub(crate) fn set(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap();
        state.mode = mode;
        if mode == Mode::Dead {
            for stream in state.connections.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Returns the number of POSTs that arrived, and of those that arrived more than once.
    pub(crate) fn posts(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (
            state.posts.len(),
            state.posts.values().filter(|count| **count > 1).count(),
        )
    }

    /// Returns the ids of the POSTs that arrived.
    pub(crate) fn post_ids(&self) -> Vec<String> {
        self.state.lock().unwrap().posts.keys().cloned().collect()
    }
}

fn live(state: &Arc<Mutex<State>>, listener: TcpListener, address: SocketAddr) {
    let mut listening = Some(listener);
    loop {
        let dead = state.lock().unwrap().mode == Mode::Dead;
        match &listening {
            _ if dead => listening = None,
            // Another process may hold the port for a moment, since the system assigns ports at
            // random.
            None => listening = TcpListener::bind(address).ok(),
            Some(listener) => {
                listener.set_nonblocking(true).unwrap();
                while let Ok((stream, _)) = listener.accept() {
                    let state = state.clone();
                    thread::spawn(move || serve(&state, stream));
                }
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn serve(state: &Mutex<State>, stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    let Ok(copy) = stream.try_clone() else { return };
    {
        let mut state = state.lock().unwrap();
        state.connections.retain(|known| known.peer_addr().is_ok());
        state.connections.push(copy);
    }
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    while let Some((method, id)) = read(&mut reader) {
        if method == "POST" {
            *state.lock().unwrap().posts.entry(id.clone()).or_default() += 1;
        }
        loop {
            let mode = state.lock().unwrap().mode;
            match mode {
                Mode::Serve => break,
                Mode::Pause => thread::sleep(Duration::from_millis(2)),
                Mode::Reset => {
                    let _ = SockRef::from(&writer).set_linger(Some(Duration::ZERO));
                    // The handle in the list would keep the socket open.
                    let own = writer.peer_addr().ok();
                    state
                        .lock()
                        .unwrap()
                        .connections
                        .retain(|known| known.peer_addr().ok() != own);
                    return;
                }
                Mode::Dead => return,
            }
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nx-echo: {id}\r\ncontent-length: {}\r\n\r\n{id}",
            id.len()
        );
        if writer.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads the method and the id of the next request.
fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|count| *count > 0)?;
    let method = line.split(' ').next()?.to_owned();
    let (mut id, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name {
            "x-id" => value.clone_into(&mut id),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, id))
}
