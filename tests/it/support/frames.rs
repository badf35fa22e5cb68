//! A client of HTTP/2 that writes its frames by hand, so that it can break every rule.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, TlsClient};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The payload of the client's own PING.
const ARE_YOU_THERE: &[u8; 8] = b"scopegat";

/// A frame that was received.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Returns the error code of RST_STREAM or GOAWAY.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        self.number(at)
    }

    /// Returns four bytes as a number.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Returns the status at the start of a head, in the encodings that the gateway's library uses:
    /// an entry of the static table, or a literal of digits in Huffman code.
    pub(crate) fn status(&self) -> u16 {
        // A change of the table's size may precede it.
        let block: Vec<u8> = self
            .payload
            .iter()
            .copied()
            .skip_while(|byte| byte & 0xe0 == 0x20)
            .collect();
        match block[0] {
            index @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
            _ => {
                let length = usize::from(block[1] & 0x7f);
                let text = &block[2..2 + length];
                if block[1] & 0x80 == 0 {
                    digits(text)
                } else {
                    huffman_digits(text)
                }
            }
        }
    }
}

fn digits(text: &[u8]) -> u16 {
    String::from_utf8_lossy(text)
        .parse()
        .expect("a status is a number")
}

/// RFC 7541, appendix B: 0 to 2 have five bits, 3 to 9 have six.
fn huffman_digits(code: &[u8]) -> u16 {
    let bits: Vec<u16> = code
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)))
        .collect();
    let mut number = 0;
    let mut at = 0;
    for _ in 0..3 {
        let value = |count: usize| {
            bits[at..at + count]
                .iter()
                .fold(0, |value, bit| value << 1 | bit)
        };
        let digit = if value(5) <= 2 {
            value(5)
        } else {
            value(6) - 0x19 + 3
        };
        at += if digit <= 2 { 5 } else { 6 };
        number = number * 10 + digit;
    }
    number
}

/// Returns the bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes a field as a literal that is not indexed, with a new name (RFC 7541 §6.2.2).
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        // An integer with a prefix of seven bits (RFC 7541 §5.1).
        let mut rest = text.len();
        if rest < 0x7f {
            block.push(u8::try_from(rest).unwrap());
        } else {
            block.push(0x7f);
            rest -= 0x7f;
            while rest >= 0x80 {
                block.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
                rest >>= 7;
            }
            block.push(u8::try_from(rest).unwrap());
        }
        block.extend(text.as_bytes());
    }
    block
}

/// Encodes the fields of a request for a path, pseudo-fields first.
pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "api.test"),
    ]
    .iter()
    .flat_map(|(name, value)| literal(name, value))
    .collect()
}

/// The result of a flood.
#[derive(Debug)]
pub(crate) struct Flooded {
    /// The number of pieces that were written before the end was known; the socket buffers hold
    /// many.
    pub(crate) sent: usize,
    /// The frames that were received.
    pub(crate) frames: Vec<Frame>,
    /// Set if the gateway has read everything and continues.
    pub(crate) is_alive: bool,
}

impl Flooded {
    /// Returns the error code of GOAWAY.
    pub(crate) fn error(&self) -> Option<u32> {
        self.goaway().map(Frame::error)
    }

    /// Returns the number of requests that the gateway has taken, according to its GOAWAY.
    pub(crate) fn requests(&self) -> Option<u32> {
        self.goaway().map(|frame| frame.number(0).div_ceil(2))
    }

    fn goaway(&self) -> Option<&Frame> {
        self.frames.iter().find(|frame| frame.kind == GOAWAY)
    }

    pub(crate) fn count(&self, kind: u8) -> usize {
        self.frames
            .iter()
            .filter(|frame| frame.kind == kind)
            .count()
    }
}

/// The number of pieces of a flood that are written at once.
const AT_ONCE: usize = 32;

/// The transport of the frames.
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsClient>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        }
    }
}

/// A connection of HTTP/2.
pub(crate) struct Frames {
    wire: Wire,
    buffer: Vec<u8>,
    /// Frames that were received and skipped.
    pub(crate) seen: Vec<Frame>,
}

impl Frames {
    /// Opens a connection without sending anything.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        Self::on(Wire::Plain(
            TcpStream::connect(address).expect("the gateway accepts"),
        ))
    }

    fn on(wire: Wire) -> Self {
        wire.socket().set_nodelay(true).unwrap();
        wire.socket().set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            wire,
            buffer: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Exchanges settings on a TLS connection. The client keeps no table of fields, so that every
    /// status is written out.
    pub(crate) fn over(stream: TlsClient) -> Self {
        Self::on(Wire::Tls(Box::new(stream))).settled(&[(1, 0)])
    }

    /// Opens a connection and exchanges settings.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[])
    }

    /// Opens a connection with these settings of the client, each an identifier and its value.
    pub(crate) fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::silent(address).settled(settings)
    }

    fn settled(mut self, settings: &[(u16, u32)]) -> Self {
        let client = &mut self;
        client.write(PREFACE);
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        client.send(SETTINGS, 0, 0, &payload);
        client
            .wait(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0)
            .expect("the gateway has settings");
        client.send(SETTINGS, ACK, 0, &[]);
        client
            .wait(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0)
            .expect("it takes ours");
        self
    }

    /// Sends these bytes. If the gateway has closed the connection, the next read shows it.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.wire.write_all(bytes);
    }

    /// Sends these bytes; returns whether the gateway took them all.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.wire.write_all(bytes).is_ok()
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload));
    }

    /// Sends a request without a body.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        self.send(
            HEADERS,
            END_STREAM | END_HEADERS,
            stream,
            &request("GET", path),
        );
    }

    /// Returns the next frame and answers PINGs; `None` if the connection was closed, or nothing
    /// arrived within this time.
    pub(crate) fn next_within(&mut self, time: Duration) -> Option<Frame> {
        let until = Instant::now() + time;
        loop {
            if let Some(frame) = self.take() {
                if frame.kind == PING && frame.flags & ACK == 0 {
                    self.send(PING, ACK, 0, &frame.payload);
                }
                return Some(frame);
            }
            let left = until
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())?;
            self.wire.socket().set_read_timeout(Some(left)).unwrap();
            let mut piece = [0; 16_384];
            match self.wire.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.buffer.extend(&piece[..count]),
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.buffer.get(..9)?;
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff;
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Waits for a frame that matches, and skips others.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next_within(PATIENCE)?;
            self.seen.push(frame.clone());
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Returns the status of the answer on a stream.
    #[track_caller]
    pub(crate) fn status(&mut self, stream: u32) -> u16 {
        let head = self.wait(|frame| frame.kind == HEADERS && frame.stream == stream);
        head.unwrap_or_else(|| panic!("no answer on stream {stream}: {:?}", self.seen))
            .status()
    }

    /// Reads the body of an answer to its end, and grants windows as it arrives.
    #[track_caller]
    pub(crate) fn body(&mut self, stream: u32) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let frame = self.wait(|frame| frame.stream == stream && frame.kind != WINDOW_UPDATE);
            let frame = frame.expect("the body goes on");
            assert!(matches!(frame.kind, DATA | HEADERS), "{frame:?}");
            if frame.kind == DATA && !frame.payload.is_empty() {
                let count = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
                self.send(WINDOW_UPDATE, 0, stream, &count);
                self.send(WINDOW_UPDATE, 0, 0, &count);
                body.extend(&frame.payload);
            }
            if frame.flags & END_STREAM != 0 {
                return body;
            }
        }
    }

    /// Returns whether the gateway answers a PING, and so has read everything that was sent.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.send(PING, 0, 0, ARE_YOU_THERE);
        self.wait(|frame| {
            frame.kind == PING && frame.flags & ACK != 0 && frame.payload == ARE_YOU_THERE
        })
        .is_some()
    }

    /// Sends pieces as fast as they are taken until the gateway ends the connection, and reads all
    /// the while.
    pub(crate) fn flood(mut self, pieces: impl IntoIterator<Item = Vec<u8>>) -> Flooded {
        let mut socket = self.wire.socket().try_clone().unwrap();
        let is_over = AtomicBool::new(false);
        let mut pieces = pieces.into_iter();
        thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let (mut frames, mut is_alive) = (Vec::new(), false);
                while !is_alive && let Some(frame) = self.next_of_flood() {
                    is_alive = frame.kind == PING && frame.payload == ARE_YOU_THERE;
                    if frame.kind == GOAWAY {
                        is_over.store(true, Ordering::SeqCst);
                    }
                    frames.push(frame);
                }
                is_over.store(true, Ordering::SeqCst);
                (frames, is_alive)
            });
            let mut sent = 0;
            while !is_over.load(Ordering::SeqCst) {
                let next: Vec<_> = pieces.by_ref().take(AT_ONCE).collect();
                let last = next.len() < AT_ONCE;
                sent += next.len();
                let end = if last {
                    frame(PING, 0, 0, ARE_YOU_THERE)
                } else {
                    Vec::new()
                };
                if socket.write_all(&[next.concat(), end].concat()).is_err() || last {
                    break;
                }
            }
            let (frames, is_alive) = reading.join().unwrap();
            Flooded {
                sent,
                frames,
                is_alive,
            }
        })
    }

    /// Returns the next frame. Another thread owns the writing half, so that nothing is answered.
    fn next_of_flood(&mut self) -> Option<Frame> {
        self.wire.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut piece = [0; 16_384];
            match self.wire.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.buffer.extend(&piece[..count]),
            }
        }
    }

    /// Returns the error with which the gateway ends the connection, and whether it has closed it.
    pub(crate) fn ended(&mut self) -> (Option<u32>, bool) {
        let error = self
            .wait(|frame| frame.kind == GOAWAY)
            .map(|frame| frame.error());
        (error, self.is_closed())
    }

    /// Returns whether the gateway closes the connection, or has closed it, within the usual
    /// patience.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.is_closed_within(PATIENCE)
    }

    pub(crate) fn is_closed_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while let Some(frame) = self.next_within(until.saturating_duration_since(Instant::now())) {
            self.seen.push(frame);
        }
        self.wire
            .socket()
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        match self.wire.read(&mut [0; 1]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
        }
    }
}
