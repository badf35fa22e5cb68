//! An upstream that follows a script and checks every arrival against the invariants.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::wait_until;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The fields in the order of arrival, with their names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// The connection of the request, counted from 0.
    pub(crate) connection: usize,
}

impl Arrival {
    /// Returns the value of a field that occurs once.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(field, _)| field == name);
        let first = found.next();
        assert!(
            found.next().is_none(),
            "{name} occurs twice: {:?}",
            self.fields
        );
        first.map(|(_, value)| value.as_str())
    }
}

/// The upstream's action for a request.
#[derive(Clone, Debug, Default)]
pub(crate) enum Script {
    /// Answers 200 with the body `ok`, and keeps the connection.
    #[default]
    Ok,
    /// Answers 200 with the target and the body of the request, and keeps the connection.
    Echo,
    /// Writes the first bytes and then the second again and again, until the other side gives up.
    Flood(Vec<u8>, Vec<u8>),
    /// Writes these bytes after the request was read, and keeps the connection if `true`.
    Raw(Vec<u8>, bool),
    /// Writes these bytes, then resets the connection.
    RawThenReset(Vec<u8>),
    /// Writes the bytes piece by piece, each after a call of [`Upstream::go_on`].
    Pieces(Vec<Vec<u8>>),
    /// Reads the request and sends nothing until the client gives up.
    Hang,
    /// Closes the connection without an answer after the request was read.
    Close,
    /// Writes these bytes after the request's head, without reading its body.
    Early(Vec<u8>),
    /// Reads nothing of the body and sends nothing.
    Stall,
}

/// An upstream.
pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    arrivals: Mutex<Vec<Arrival>>,
    script: Mutex<VecDeque<Script>>,
    rest: Mutex<Script>,
    body_bytes: AtomicUsize,
    flooded: AtomicUsize,
    violations: Mutex<Vec<String>>,
    steps: Mutex<usize>,
    /// The connections; `None` for one that this side has finished. The last handle closes the
    /// connection, or resets it if the script says so.
    connections: Mutex<Vec<Option<TcpStream>>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        thread::spawn({
            let state = state.clone();
            move || {
                for (number, stream) in listener.incoming().flatten().enumerate() {
                    let state = state.clone();
                    state
                        .connections
                        .lock()
                        .unwrap()
                        .push(stream.try_clone().ok());
                    thread::spawn(move || {
                        serve(&state, stream, number);
                        state.connections.lock().unwrap()[number] = None;
                    });
                }
            }
        });
        Self { address, state }
    }

    /// Returns its entry in a configuration.
    pub(crate) fn toml(&self, name: &str) -> String {
        format!("[upstreams.{name}]\nurl = \"{}\"\n", self.url())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Sets the default action, instead of [`Script::Ok`].
    pub(crate) fn always(&self, script: Script) {
        *self.state.rest.lock().unwrap() = script;
    }

    /// Returns the number of bytes of bodies so far, including incomplete ones.
    pub(crate) fn body_bytes(&self) -> usize {
        self.state.body_bytes.load(Ordering::SeqCst)
    }

    /// Returns the number of bytes that [`Script::Flood`] has written.
    pub(crate) fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }

    /// Sets the actions for the next requests; after that it answers 200.
    pub(crate) fn play(&self, script: impl IntoIterator<Item = Script>) {
        self.state.script.lock().unwrap().extend(script);
    }

    /// Lets the next piece of [`Script::Pieces`] be sent.
    pub(crate) fn go_on(&self) {
        *self.state.steps.lock().unwrap() += 1;
    }

    /// Returns all arrivals.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.state.arrivals.lock().unwrap().clone()
    }

    /// Returns the last arrival.
    #[track_caller]
    pub(crate) fn last(&self) -> Arrival {
        let arrivals = self.state.arrivals.lock().unwrap();
        arrivals.last().cloned().expect("nothing has arrived")
    }

    /// Returns the number of arrivals.
    pub(crate) fn arrived(&self) -> usize {
        self.state.arrivals.lock().unwrap().len()
    }

    /// Returns the number of connections ever made.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.lock().unwrap().len()
    }

    /// Returns the number of connections that neither side has closed.
    pub(crate) fn open_connections(&self) -> usize {
        self.state
            .connections
            .lock()
            .unwrap()
            .iter()
            .flatten()
            .count()
    }

    /// Closes every connection from this side, also idle ones.
    pub(crate) fn close_connections(&self) {
        for stream in self.state.connections.lock().unwrap().iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until `count` requests have arrived.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        wait_until("requests arrive at the upstream", || {
            self.arrivals().len() >= count
        });
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let violations = self.state.violations.lock().unwrap();
        if !thread::panicking() {
            assert!(
                violations.is_empty(),
                "what arrived broke an invariant: {violations:#?}"
            );
        }
    }
}

fn serve(state: &State, stream: TcpStream, number: usize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(head) = read_head(&mut reader) {
        let next = state.script.lock().unwrap().pop_front();
        let script = next.unwrap_or_else(|| state.rest.lock().unwrap().clone());
        let mut arrival = parse(&head, number);
        check(state, &head, &arrival);
        let body = if arrival.method == "HEAD" { "" } else { "ok" };
        let reads = !matches!(script, Script::Early(_) | Script::Stall);
        if reads && !read_body(state, &mut reader, &mut arrival) {
            return;
        }
        let echo = [arrival.target.as_bytes(), &arrival.body].concat();
        state.arrivals.lock().unwrap().push(arrival);
        match script {
            Script::Ok => {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes());
            }
            Script::Echo => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", echo.len());
                let _ = stream.write_all(&[head.as_bytes(), &echo].concat());
            }
            Script::Flood(first, again) => {
                let _ = stream.write_all(&first);
                while stream.write_all(&again).is_ok() {
                    state.flooded.fetch_add(again.len(), Ordering::SeqCst);
                }
                return;
            }
            Script::Raw(bytes, true) => drop(stream.write_all(&bytes)),
            Script::Raw(bytes, false) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Script::RawThenReset(bytes) => {
                let _ = stream.write_all(&bytes);
                reset(&stream);
                return;
            }
            Script::Pieces(pieces) => {
                for piece in pieces {
                    wait_until("the test lets the next piece go", || {
                        let mut steps = state.steps.lock().unwrap();
                        let may = *steps > 0;
                        *steps -= usize::from(may);
                        may
                    });
                    let _ = stream.write_all(&piece);
                }
            }
            Script::Early(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Write);
                let _ = reader.read_to_end(&mut Vec::new());
                return;
            }
            Script::Hang | Script::Stall => {
                // Blocks until the other side gives up.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                if matches!(script, Script::Hang) {
                    let _ = reader.read(&mut [0]);
                } else {
                    let _ = stream.peek(&mut [0]);
                    thread::park_timeout(Duration::from_secs(60));
                }
                return;
            }
            Script::Close => return,
        }
    }
}

/// Makes the close of a connection a reset.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn read_head(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn parse(head: &[u8], connection: usize) -> Arrival {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_end().split("\r\n");
    let mut line = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (
        line.next().unwrap_or_default().to_owned(),
        line.next().unwrap_or_default().to_owned(),
    );
    let fields = lines.filter_map(field).collect();
    Arrival {
        method,
        target,
        fields,
        body: Vec::new(),
        trailers: Vec::new(),
        connection,
    }
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// Reads `count` bytes of a body, and counts each piece as it arrives.
fn read_piece(
    state: &State,
    reader: &mut BufReader<TcpStream>,
    body: &mut Vec<u8>,
    size: usize,
) -> bool {
    let end = body.len() + size;
    while body.len() < end {
        let Ok(available) = reader.fill_buf() else {
            return false;
        };
        if available.is_empty() {
            return false;
        }
        let count = available.len().min(end - body.len());
        body.extend_from_slice(&available[..count]);
        reader.consume(count);
        state.body_bytes.fetch_add(count, Ordering::SeqCst);
    }
    true
}

fn read_body(state: &State, reader: &mut BufReader<TcpStream>, arrival: &mut Arrival) -> bool {
    let coding = arrival.field("transfer-encoding").is_some();
    let length = arrival
        .field("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    if !coding {
        return read_piece(state, reader, &mut arrival.body, length);
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        let Ok(size) = usize::from_str_radix(line.trim(), 16) else {
            return false;
        };
        if size == 0 {
            break;
        }
        if !read_piece(state, reader, &mut arrival.body, size)
            || reader.read_exact(&mut [0; 2]).is_err()
        {
            return false;
        }
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        match field(line.trim_end()) {
            Some(trailer) => arrival.trailers.push(trailer),
            None => return true,
        }
    }
}

/// Checks the invariants of every arrival at any upstream (requirements.md#p01, #h03, #d54, #d55).
fn check(state: &State, head: &[u8], arrival: &Arrival) {
    let mut broken = Vec::new();
    let count = |name: &str| {
        arrival
            .fields
            .iter()
            .filter(|(field, _)| field == name)
            .count()
    };
    if count("host") != 1 {
        broken.push("not exactly one Host".to_owned());
    }
    if count("content-length") + count("transfer-encoding") > 1 {
        broken.push("framed twice".to_owned());
    }
    for hop in [
        "connection",
        "keep-alive",
        "upgrade",
        "http2-settings",
        "proxy-connection",
        "proxy-authorization",
        "expect",
    ] {
        // The only upgrade that a route can allow.
        let switches = arrival.field("connection") == Some("upgrade")
            && arrival.field("upgrade") == Some("websocket")
            && arrival.method == "GET";
        let is_last = hop == "connection" && is_invocation(arrival);
        if count(hop) > 0 && !is_last && !(switches && matches!(hop, "connection" | "upgrade")) {
            broken.push(format!("{hop} went further"));
        }
    }
    if arrival
        .fields
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value != "chunked")
    {
        broken.push("a transfer coding other than chunked".to_owned());
    }
    // A probe is the gateway's own request and has no forwarding fields.
    let is_probe = arrival.target.starts_with("/healthz")
        && arrival.field("user-agent") == Some(concat!("scopegate/", env!("CARGO_PKG_VERSION")));
    let forwarded = ["x-request-id", "via", "x-forwarded-for"];
    if is_probe && forwarded.iter().any(|name| count(name) > 0) {
        broken.push("a probe as if it were forwarded".to_owned());
    }
    // An invocation is the gateway's own request as well: the client's fields are in its event.
    let is_invocation = is_invocation(arrival);
    if is_invocation {
        check_invocation(arrival, &mut broken);
    }
    let is_told = count("x-forwarded-for").max(count("forwarded")) == 1;
    let is_own = is_probe || is_invocation;
    if !is_own && (count("x-request-id") != 1 || count("via") == 0 || !is_told) {
        broken.push("no request id, Via, or X-Forwarded-For or Forwarded".to_owned());
    }
    if !arrival.target.starts_with('/') {
        broken.push("the target is not in origin form".to_owned());
    }
    let path = arrival.target.split('?').next().unwrap_or_default();
    let dots = |segment: &str| {
        matches!(
            segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
            "." | ".."
        )
    };
    if path.split('/').any(dots) || path.contains('#') {
        broken.push("a dot segment or a fragment in the path".to_owned());
    }
    let bare = head
        .windows(2)
        .any(|pair| pair[1] == b'\n' && pair[0] != b'\r' || pair[0] == b'\r' && pair[1] != b'\n');
    if bare || head.contains(&0) {
        broken.push("a bare CR, LF or NUL".to_owned());
    }
    if !broken.is_empty() {
        let what = format!("{broken:?} in {}", String::from_utf8_lossy(head));
        state.violations.lock().unwrap().push(what);
    }
}

fn is_invocation(arrival: &Arrival) -> bool {
    arrival.target.starts_with("/2015-03-31/")
}

/// Checks that nothing of the client is in the head of an invocation.
fn check_invocation(arrival: &Arrival, broken: &mut Vec<String>) {
    if arrival.method != "POST" {
        broken.push(format!("an invocation with {}", arrival.method));
    }
    for (name, value) in &arrival.fields {
        let is_own = match &**name {
            "connection" => value == "close",
            "host" | "content-type" | "content-length" => true,
            _ => false,
        };
        if !is_own {
            broken.push(format!("{name} in an invocation"));
        }
    }
}
