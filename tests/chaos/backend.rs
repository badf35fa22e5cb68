//! An upstream that can be killed, paused, and made to reset its connections.

use std::collections::{HashMap, VecDeque};
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
}

/// The POSTs that have arrived. The last ones are known by their ids: a request is sent again
/// within seconds, and a day of ids would fill the memory.
#[derive(Default)]
pub(crate) struct Posts {
    arrivals: HashMap<String, usize>,
    /// The ids of `arrivals`, the oldest first.
    order: VecDeque<String>,
    total: usize,
    repeated: usize,
}

impl Posts {
    const KNOWN: usize = 200_000;

    fn add(&mut self, id: String) {
        let count = self.arrivals.entry(id.clone()).or_default();
        *count += 1;
        match *count {
            1 => self.total += 1,
            2 => self.repeated += 1,
            _ => {}
        }
        if *count == 1 {
            self.order.push_back(id);
        }
        if self.order.len() > Self::KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.arrivals.remove(&oldest);
        }
    }

    /// Returns the number of POSTs that arrived, and of those that arrived more than once.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.total, self.repeated)
    }
}

impl Backend {
    pub(crate) fn start(posts: Arc<Mutex<Posts>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            mode: Mode::Serve,
            connections: Vec::new(),
        };
        let backend = Self {
            address,
            state: Arc::new(Mutex::new(state)),
        };
        let state = backend.state.clone();
        thread::spawn(move || live(&state, &posts, listener, address));
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
}

fn live(
    state: &Arc<Mutex<State>>,
    posts: &Arc<Mutex<Posts>>,
    listener: TcpListener,
    address: SocketAddr,
) {
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
                    let (state, posts) = (state.clone(), posts.clone());
                    thread::spawn(move || serve(&state, &posts, stream));
                }
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn serve(state: &Mutex<State>, posts: &Mutex<Posts>, stream: TcpStream) {
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
            posts.lock().unwrap().add(id.clone());
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
