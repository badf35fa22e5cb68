//! The framing of response bodies (RFC 9112 §6, §7).

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::fields::{FEW_FIELDS, Malformed, append};

/// The most bytes of the line before a chunk, and of all trailers with the line that ends them.
pub(super) const MAX_LINE: usize = 4 * 1024;
pub(super) const MAX_TRAILERS: usize = 16 * 1024;

const LINE_TOO_LONG: Malformed = Malformed("the line of a chunk is too long");
const TRAILERS_TOO_LONG: Malformed = Malformed("its trailers are too long");
const TRAILERS_BROKEN: Malformed = Malformed("its trailers are broken");

/// The framing of a response body, and the position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// `Content-Length`, with the number of bytes that are still to come.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunk),
    /// The body ends with the connection.
    UntilClose,
    /// The body has ended.
    Ended,
}

/// The next element of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line with the size of the next chunk.
    Line,
    /// The data of a chunk, with the number of bytes that are still to come.
    Data(u64),
    /// The line ending after the data of a chunk.
    End,
    /// The trailers and the empty line after them.
    Trailers,
}

/// The result of [`Framing::next`].
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame<Bytes>),
    /// More bytes must be read.
    More,
    End,
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunk::Line)
    }

    /// Returns whether the body has ended.
    pub(super) fn has_ended(self) -> bool {
        matches!(self, Self::Length(0) | Self::Ended)
    }

    /// Returns the number of bytes that are still to come, if known.
    pub(super) fn size_hint(self) -> SizeHint {
        match self {
            Self::Length(bytes) => SizeHint::with_exact(bytes),
            Self::Ended => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }

    /// Takes the next frame from the front of the bytes that were read.
    pub(super) fn next(&mut self, read: &mut BytesMut) -> Result<Next, Malformed> {
        let next = match self {
            Self::Length(0) | Self::Ended => Next::End,
            _ if read.is_empty() => Next::More,
            Self::Length(left) => Next::data(piece(read, left)),
            Self::UntilClose => Next::data(read.split().freeze()),
            Self::Chunked(chunk) => {
                let next = chunk.next(read)?;
                if next.ends_body() {
                    *self = Self::Ended;
                }
                next
            }
        };
        Ok(next)
    }

    /// Handles the end of the connection. Returns whether the body may end there.
    pub(super) fn close(&mut self) -> bool {
        let may = matches!(self, Self::UntilClose) || self.has_ended();
        if may {
            *self = Self::Ended;
        }
        may
    }
}

impl Chunk {
    fn next(&mut self, read: &mut BytesMut) -> Result<Next, Malformed> {
        while !read.is_empty() {
            match self {
                Self::Line => match line(read)? {
                    Some(0) => *self = Self::Trailers,
                    Some(size) => *self = Self::Data(size),
                    None => break,
                },
                Self::Data(left) => {
                    let piece = piece(read, left);
                    if *left == 0 {
                        *self = Self::End;
                    }
                    return Ok(Next::data(piece));
                }
                Self::End => match **read {
                    [b'\r', b'\n', ..] => {
                        read.advance(2);
                        *self = Self::Line;
                    }
                    [b'\r'] => break,
                    _ => return Err(Malformed("a chunk does not end where it should")),
                },
                Self::Trailers => {
                    return Ok(match trailers(read)? {
                        Some(trailers) if trailers.is_empty() => Next::End,
                        Some(trailers) => Next::Frame(Frame::trailers(trailers)),
                        None => Next::More,
                    });
                }
            }
        }
        Ok(Next::More)
    }
}

impl Next {
    fn data(bytes: Bytes) -> Self {
        Self::Frame(Frame::data(bytes))
    }

    /// Returns whether the body ends with it.
    fn ends_body(&self) -> bool {
        match self {
            Self::Frame(frame) => frame.is_trailers(),
            Self::More => false,
            Self::End => true,
        }
    }
}

/// Takes at most `left` bytes from the front.
fn piece(read: &mut BytesMut, left: &mut u64) -> Bytes {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
    *left -= count as u64;
    read.split_to(count).freeze()
}

/// Takes the line before a chunk, and returns the chunk's size; `None` if the line is not complete.
/// Chunk extensions are ignored (RFC 9112 §7.1.1).
fn line(read: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let broken = Malformed("the size of a chunk is not a number");
    // httparse reads a line without a digit as zero.
    if !read.first().is_some_and(u8::is_ascii_hexdigit) {
        return Err(broken);
    }
    match httparse::parse_chunk_size(read).map_err(|_| broken)? {
        httparse::Status::Complete((length, _)) if length > MAX_LINE => Err(LINE_TOO_LONG),
        httparse::Status::Complete((length, size)) => {
            // httparse accepts a lone LF within an extension, which other parsers take for the end
            // of the line (attacks.md#row-18).
            let line = read.get(..length).unwrap_or_default();
            if !has_whole_lines(line) || has_controls(line) {
                return Err(broken);
            }
            read.advance(length);
            Ok(Some(size))
        }
        httparse::Status::Partial if read.len() > MAX_LINE => Err(LINE_TOO_LONG),
        httparse::Status::Partial => Ok(None),
    }
}

/// Takes the trailers; `None` if they are not complete.
fn trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    // The usual case: there are no trailers.
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut fields = [httparse::EMPTY_HEADER; FEW_FIELDS];
    let length = match httparse::parse_headers(read, &mut fields) {
        Ok(httparse::Status::Complete((length, _))) if length < MAX_TRAILERS => length,
        Ok(httparse::Status::Partial) if read.len() < MAX_TRAILERS => return Ok(None),
        Ok(_) => return Err(TRAILERS_TOO_LONG),
        Err(_) => return Err(TRAILERS_BROKEN),
    };
    let bytes = read.split_to(length).freeze();
    if !has_whole_lines(&bytes) {
        return Err(TRAILERS_BROKEN);
    }
    let mut trailers = HeaderMap::new();
    let mut fields = [httparse::EMPTY_HEADER; FEW_FIELDS];
    if let Ok(httparse::Status::Complete((_, fields))) =
        httparse::parse_headers(&bytes, &mut fields)
    {
        append(&mut trailers, fields, &bytes)?;
    }
    Ok(Some(trailers))
}

/// Returns whether a CR precedes each LF: in a chunked body nothing else ends a line (RFC 9112
/// §7.1).
fn has_whole_lines(bytes: &[u8]) -> bool {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .all(|line| line.ends_with(b"\r\n"))
}

/// Returns whether a line has control characters before its end: some parsers end it there.
fn has_controls(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    line.iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
