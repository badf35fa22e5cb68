//! A client over a plain socket: it sends exactly the given bytes, and checks every answer against
//! the invariants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::PATIENCE;

/// A request under construction.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Adds a field. `Host` and the framing are added by the client unless they are given here.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.field("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Returns the head as a server reads it, to ask `decide` without sending it.
    pub(crate) fn head(&self) -> http::Request<()> {
        let mut head = http::Request::builder()
            .method(self.method.as_str())
            .uri(&self.target);
        if !self.has("host") {
            head = head.header("host", "api.test");
        }
        for (name, value) in &self.fields {
            head = head.header(name, value.trim());
        }
        head.body(()).expect("the request can be read")
    }

    fn has(&self, name: &str) -> bool {
        self.fields
            .iter()
            .any(|(field, _)| field.eq_ignore_ascii_case(name))
    }

    /// Returns the bytes to send.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            text.push_str("Host: api.test\r\n");
        }
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.body.is_some() && !self.has("content-length") && !self.has("transfer-encoding") {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        [text.as_bytes(), b"\r\n", body].concat()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The fields in the order of arrival, with their names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Set when the body ended as its framing says, not by a cut connection.
    pub(crate) complete: bool,
}

impl Answer {
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

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the code of a problem body.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.problem()["code"]
            .as_str()
            .expect("a problem has a code")
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(
            self.field("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        serde_json::from_slice(&self.body).expect("a problem is JSON")
    }

    /// Returns a parameter of the challenge.
    #[track_caller]
    pub(crate) fn challenge(&self, name: &str) -> Option<String> {
        let challenge = self
            .field("www-authenticate")
            .expect("there is a challenge");
        let (scheme, parameters) = challenge
            .split_once(' ')
            .expect("a challenge has parameters");
        assert_eq!(scheme, "Bearer");
        let start = format!("{name}=\"");
        let found = parameters
            .split(", ")
            .find_map(|parameter| parameter.strip_prefix(start.as_str()));
        found.map(|value| {
            value
                .strip_suffix('"')
                .expect("a parameter is quoted")
                .to_owned()
        })
    }
}

/// A connection to the gateway.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    /// Texts that no answer may contain: the tokens that were sent.
    secrets: Vec<String>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the gateway accepts"))
    }

    /// Connects, if the address accepts the connection.
    pub(crate) fn try_connect(address: &str) -> Option<Self> {
        TcpStream::connect(address).ok().map(Self::over)
    }

    /// Takes a connection to the gateway.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            reader: BufReader::new(stream),
            secrets: Vec::new(),
        }
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) -> Answer {
        self.write_request(request);
        self.read(&request.method).expect("there is an answer")
    }

    /// Sends a request without reading an answer.
    #[track_caller]
    pub(crate) fn write_request(&mut self, request: &Request) {
        for text in request
            .fields
            .iter()
            .map(|(_, value)| value)
            .chain([&request.target])
        {
            self.secrets.extend(tokens(text));
        }
        self.write(&request.bytes());
    }

    /// Sends these bytes. If the gateway has closed the connection, the next read shows it.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.reader.get_mut().write_all(bytes);
    }

    /// Closes the sending side, and keeps reading.
    pub(crate) fn half_close(&self) {
        self.reader.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// Resets the connection, like a client that is killed while it waits. A drop closes it in
    /// order instead, which looks like [`Client::half_close`] until the gateway writes.
    pub(crate) fn abort(self) {
        socket2::SockRef::from(self.reader.get_ref())
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// Returns the sending half, for another thread.
    pub(crate) fn writer(&self) -> Writer {
        Writer(self.reader.get_ref().try_clone().unwrap())
    }

    /// Reads the answer to a request of this method; `None` if the connection was closed before it.
    #[track_caller]
    pub(crate) fn read(&mut self, method: &str) -> Option<Answer> {
        loop {
            let head = self.read_head()?;
            let mut answer = parse_head(&head);
            // 100 (Continue) precedes the answer.
            if answer.status == 100 {
                continue;
            }
            self.read_body(method, &mut answer);
            self.check(method, &answer);
            return Some(answer);
        }
    }

    /// Reads the head of an answer only, whatever follows it.
    #[track_caller]
    pub(crate) fn read_head_only(&mut self) -> Answer {
        parse_head(&self.read_head().expect("there is an answer"))
    }

    /// Reads exactly `count` bytes.
    #[track_caller]
    pub(crate) fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader
            .read_exact(&mut bytes)
            .expect("there is more to read");
        bytes
    }

    /// Returns whether the gateway closes the connection, or has closed it, within the usual
    /// patience.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.reader.read(&mut [0; 1]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Returns whether the gateway closes the connection in order, not by a reset, within the usual
    /// patience.
    pub(crate) fn ends(&mut self) -> bool {
        self.reader.read(&mut [0; 1]).is_ok_and(|read| read == 0)
    }

    /// Returns whether the gateway closes the connection within this time without sending anything.
    pub(crate) fn is_closed_within(&mut self, time: Duration) -> bool {
        self.reader.get_ref().set_read_timeout(Some(time)).unwrap();
        let closed = self.is_closed();
        self.reader
            .get_ref()
            .set_read_timeout(Some(PATIENCE))
            .unwrap();
        closed
    }

    /// Returns whether an answer starts to arrive within this time.
    pub(crate) fn has_answer_within(&mut self, time: Duration) -> bool {
        self.reader.get_ref().set_read_timeout(Some(time)).unwrap();
        let begun = self.reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        self.reader
            .get_ref()
            .set_read_timeout(Some(PATIENCE))
            .unwrap();
        begun
    }

    fn read_head(&mut self) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.reader.read_until(b'\n', &mut head) {
                Ok(0) => {
                    assert!(
                        head.is_empty(),
                        "the head was cut: {:?}",
                        String::from_utf8_lossy(&head)
                    );
                    return None;
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
        Some(head)
    }

    fn read_body(&mut self, method: &str, answer: &mut Answer) {
        answer.complete = true;
        if method == "HEAD" || answer.status == 204 || answer.status == 304 {
            return;
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            answer.complete = self.read_chunks(answer).is_some();
        } else if let Some(length) = answer.field("content-length") {
            let length: u64 = length.parse().expect("a length is a number");
            let read = (&mut self.reader)
                .take(length)
                .read_to_end(&mut answer.body);
            answer.complete = read.is_ok() && answer.body.len() as u64 == length;
        } else {
            answer.complete = self.reader.read_to_end(&mut answer.body).is_ok();
        }
    }

    fn read_chunks(&mut self, answer: &mut Answer) -> Option<()> {
        loop {
            let mut line = String::new();
            self.reader
                .read_line(&mut line)
                .ok()
                .filter(|read| *read > 0)?;
            let size = u64::from_str_radix(line.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            let before = answer.body.len() as u64;
            (&mut self.reader)
                .take(size)
                .read_to_end(&mut answer.body)
                .ok()?;
            (answer.body.len() as u64 == before + size).then_some(())?;
            self.reader.read_exact(&mut [0; 2]).ok()?;
        }
        loop {
            let mut line = String::new();
            self.reader
                .read_line(&mut line)
                .ok()
                .filter(|read| *read > 0)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    answer
                        .trailers
                        .push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                None => return Some(()),
            }
        }
    }

    /// Checks the invariants of every answer.
    #[track_caller]
    fn check(&self, method: &str, answer: &Answer) {
        let has = |name: &str| answer.fields.iter().any(|(field, _)| field == name);
        assert!(
            (200..600).contains(&answer.status),
            "no final status: {answer:?}"
        );
        for hop in ["keep-alive", "upgrade", "proxy-authenticate", "te"] {
            // RFC 9110 §15.5.22: a 426 must name the protocol.
            let is_right = hop == "upgrade" && answer.status == 426;
            assert!(is_right || !has(hop), "{hop} came through: {answer:?}");
        }
        assert!(
            !(has("content-length") && has("transfer-encoding")),
            "framed twice: {answer:?}"
        );
        let problem = answer.field("content-type") == Some("application/problem+json");
        // The parser's own refusals have no body, and close the connection.
        let is_bare = !has("via") && !has("x-request-id");
        if !problem && matches!(answer.status, 400 | 414 | 431) && is_bare {
            assert_eq!(answer.field("connection"), Some("close"), "{answer:?}");
            return;
        }
        assert!(
            answer
                .field("x-request-id")
                .is_some_and(|id| !id.is_empty()),
            "no request id: {answer:?}"
        );
        if problem && method != "HEAD" {
            let body = answer.problem();
            assert_eq!(
                body["status"], answer.status,
                "the problem tells another status"
            );
            assert_eq!(body["request_id"].as_str(), answer.field("x-request-id"));
            assert_eq!(answer.field("cache-control"), Some("no-store"));
        }
        if problem {
            assert_eq!(
                answer.status == 405,
                has("allow"),
                "405 and Allow go together: {answer:?}"
            );
            // No credentials help on a denied route.
            let is_denied = method == "HEAD" || answer.problem()["code"] == "route_denied";
            if answer.status == 401 || answer.status == 403 && !is_denied {
                // RFC 6750 §3: Bearer with one or more parameters, each quoted.
                assert!(answer.challenge("realm").is_some(), "{answer:?}");
            }
            if answer.status == 503 {
                assert!(has("retry-after"), "{answer:?}");
            }
        }
        let all = format!("{:?}{}", answer.fields, answer.text());
        for secret in self.secrets.iter().filter(|_| problem) {
            assert!(
                !all.contains(secret.as_str()),
                "the answer reflects the token: {answer:?}"
            );
        }
    }
}

/// The sending half of a connection.
pub(crate) struct Writer(TcpStream);

impl Writer {
    /// Sends `count` bytes, or fewer if the gateway closes the connection; returns how many were
    /// sent.
    pub(crate) fn write_until_closed(mut self, count: usize) -> usize {
        let piece = [b'x'; 65_536];
        let mut sent = 0;
        while sent < count {
            match self.0.write(&piece[..piece.len().min(count - sent)]) {
                Ok(written) => sent += written,
                Err(_) => break,
            }
        }
        sent
    }
}

/// Returns the parts of a text that look like tokens.
fn tokens(text: &str) -> impl Iterator<Item = String> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let words = text.split(move |c| !is_token(c));
    words
        .filter(|word| word.len() > 40 && word.matches('.').count() > 1)
        .map(str::to_owned)
}

fn parse_head(head: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_end().split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("there is a status line");
    let fields = lines
        .map(|line| line.split_once(':').expect("a field has a colon"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer {
        status,
        fields,
        body: Vec::new(),
        trailers: Vec::new(),
        complete: false,
    }
}

/// Sends bytes on a new connection and reads everything until it is closed.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the gateway accepts");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A gateway that refuses early may have closed the connection by now.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
