//! Where a response body ends, and what of it has come (RFC 9112 §6, §7).

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::head::{self, FEW_FIELDS};

/// Bytes of the line before a chunk, and of all trailers with the line that ends them.
pub(super) const MAX_LINE: usize = 4 * 1024;
pub(super) const MAX_TRAILERS: usize = 16 * 1024;

const LINE_TOO_LONG: Malformed = Malformed("the line of a chunk is too long");
const TRAILERS_TOO_LONG: Malformed = Malformed("its trailers are too long");
const TRAILERS_BROKEN: Malformed = Malformed("its trailers are broken");

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How the end of a body is known, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunked(Chunk),
    /// By the end of the connection.
    UntilClose,
    /// It has ended by itself.
    Ended,
}

/// What comes next of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line that says how long the next chunk is.
    Line,
    /// So many bytes of a chunk.
    Data(u64),
    /// The end of a chunk's last line.
    End,
    /// The trailers, and the empty line.
    Trailers,
}

/// What there is to be had.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame<Bytes>),
    /// Nothing before more is read.
    More,
    End,
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunk::Line)
    }

    /// Whether nothing of the body is still to come.
    pub(super) fn has_ended(self) -> bool {
        matches!(self, Self::Length(0) | Self::Ended)
    }

    /// How many bytes are still to come, where that is known.
    pub(super) fn size_hint(self) -> SizeHint {
        match self {
            Self::Length(bytes) => SizeHint::with_exact(bytes),
            Self::Ended => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }

    /// Takes what there is from the front of what was read.
    pub(super) fn next(&mut self, read: &mut BytesMut) -> Result<Next, Malformed> {
        loop {
            let chunk = match self {
                Self::Length(0) | Self::Ended => return Ok(Next::End),
                _ if read.is_empty() => return Ok(Next::More),
                Self::Length(left) => {
                    let piece = piece(read, left);
                    return Ok(Next::Frame(Frame::data(piece)));
                }
                Self::UntilClose => return Ok(Next::Frame(Frame::data(read.split().freeze()))),
                Self::Chunked(chunk) => chunk,
            };
            match chunk {
                Chunk::Line => match line(read)? {
                    Some(0) => *chunk = Chunk::Trailers,
                    Some(size) => *chunk = Chunk::Data(size),
                    None => return Ok(Next::More),
                },
                Chunk::Data(left) => {
                    let piece = piece(read, left);
                    if *left == 0 {
                        *chunk = Chunk::End;
                    }
                    return Ok(Next::Frame(Frame::data(piece)));
                }
                Chunk::End => match **read {
                    [b'\r', b'\n', ..] => {
                        read.advance(2);
                        *chunk = Chunk::Line;
                    }
                    [b'\r'] => return Ok(Next::More),
                    _ => return Err(Malformed("a chunk does not end where it should")),
                },
                Chunk::Trailers => {
                    let Some(trailers) = trailers(read)? else {
                        return Ok(Next::More);
                    };
                    *self = Self::Ended;
                    if !trailers.is_empty() {
                        return Ok(Next::Frame(Frame::trailers(trailers)));
                    }
                }
            }
        }
    }

    /// The connection has ended: whether the body may end so.
    pub(super) fn close(&mut self) -> bool {
        let may = matches!(self, Self::UntilClose) || self.has_ended();
        if may {
            *self = Self::Ended;
        }
        may
    }
}

/// At most `left` bytes from the front.
fn piece(read: &mut BytesMut, left: &mut u64) -> Bytes {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
    *left -= count as u64;
    read.split_to(count).freeze()
}

/// The size of the next chunk, once its line is whole. Extensions say nothing to us (RFC 9112
/// §7.1.1).
fn line(read: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let broken = Malformed("the size of a chunk is no number");
    // The parser takes a line without a digit for a zero.
    if !read.first().is_some_and(u8::is_ascii_hexdigit) {
        return Err(broken);
    }
    match httparse::parse_chunk_size(read).map_err(|_| broken)? {
        httparse::Status::Complete((length, _)) if length > MAX_LINE => Err(LINE_TOO_LONG),
        httparse::Status::Complete((length, size)) => {
            // The parser takes a lone LF for a part of an extension, and others for its end
            // (attacks.md#row-18).
            if !has_whole_lines(read.get(..length).unwrap_or_default()) {
                return Err(broken);
            }
            read.advance(length);
            Ok(Some(size))
        }
        httparse::Status::Partial if read.len() > MAX_LINE => Err(LINE_TOO_LONG),
        httparse::Status::Partial => Ok(None),
    }
}

/// The trailers, once their last line is there.
fn trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    // As good as always there are none.
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
        head::append(&mut trailers, fields, &bytes)?;
    }
    Ok(Some(trailers))
}

/// Whether a CR stands before each LF: in a chunked body nothing else ends a line (RFC 9112 §7.1).
fn has_whole_lines(bytes: &[u8]) -> bool {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .all(|line| line.ends_with(b"\r\n"))
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
