//! The position of hyper's parser in the bytes of a client of HTTP/1.1.
//!
//! Hyper's decoder takes a lone LF for a byte of the trailers, and its parser then takes it for their end: what
//! other readers take for the next request is skipped (docs/design/attacks.md#row-18). It also accepts control characters
//! in the extension of a chunk. Therefore hyper gets one head at a time, and the lines of a body in chunks are checked before
//! it reads them.

use memchr::memchr_iter;

/// The part of the preface of HTTP/2 that looks like a head. Hyper recognizes the preface as a whole
/// only.
const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// A line of a body in chunks that readers could interpret differently.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedLine;

/// The part of the connection that hyper reads next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// A head, up to the empty line that ends it.
    Head {
        /// Set after the first line that is not empty: empty lines before it are skipped (RFC 9112
        /// §2.2).
        has_begun: bool,
        line: Line,
    },
    /// A body with the number of bytes that are still to come.
    Sized(u64),
    Chunked(Chunk),
}

/// The beginning of the current line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Empty,
    Cr,
    Full,
}

/// The next element of a body in chunks (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The size, with its value so far.
    Size(u64),
    /// White space and extensions after the size.
    Extension(u64),
    SizeLf(u64),
    /// The data, with the number of bytes that are still to come.
    Data(u64),
    DataCr,
    DataLf,
    /// The first byte of a line after the last chunk.
    LineStart,
    Trailer,
    TrailerLf,
    EndLf,
}

impl Default for Position {
    fn default() -> Self {
        Self::Head {
            has_begun: false,
            line: Line::Empty,
        }
    }
}

impl Position {
    /// Returns the position at the beginning of a body. Only a body in chunks has no exact length.
    pub(super) fn body(length: Option<u64>) -> Self {
        match length {
            Some(length) => Self::Sized(length),
            None => Self::Chunked(Chunk::Size(0)),
        }
    }

    /// Moves over the bytes that hyper may read in one go, and returns their number: at most to the
    /// end of the head or body.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, MalformedLine> {
        match self {
            Self::Head { has_begun, line } => match head_end(has_begun, line, bytes) {
                Some(end) => {
                    *self = Self::default();
                    Ok(end)
                }
                None => Ok(bytes.len()),
            },
            Self::Sized(left) => {
                let count = at_most(*left, bytes);
                *left -= count as u64;
                if *left == 0 {
                    *self = Self::default();
                }
                Ok(count)
            }
            Self::Chunked(chunk) => match chunk.advance(bytes)? {
                Some(end) => {
                    *self = Self::default();
                    Ok(end)
                }
                None => Ok(bytes.len()),
            },
        }
    }
}

/// Returns the number of bytes up to the end of a head, if it ends within them.
fn head_end(has_begun: &mut bool, line: &mut Line, bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    for at in memchr_iter(b'\n', bytes) {
        *line = line.after(bytes.get(from..at)?);
        if *line == Line::Full {
            *has_begun = true;
        } else if *has_begun && !bytes.get(..=at)?.ends_with(PREFACE_HEAD) {
            return Some(at + 1);
        }
        *line = Line::Empty;
        from = at + 1;
    }
    *line = line.after(bytes.get(from..)?);
    None
}

impl Line {
    /// Returns the beginning of a line after more of it.
    fn after(self, more: &[u8]) -> Self {
        match (self, more) {
            (_, []) => self,
            (Self::Empty, b"\r") => Self::Cr,
            _ => Self::Full,
        }
    }
}

impl Chunk {
    /// Moves over bytes, and returns their number up to the end of the body, if it ends within
    /// them.
    fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, MalformedLine> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if let Self::Data(left) = self {
                let count = at_most(*left, rest);
                *left -= count as u64;
                if *left == 0 {
                    *self = Self::DataCr;
                }
                rest = rest.get(count..).unwrap_or_default();
                continue;
            }
            rest = after;
            match self.next(*byte)? {
                Some(next) => *self = next,
                None => return Ok(Some(bytes.len() - rest.len())),
            }
        }
        Ok(None)
    }

    /// Returns the position after a byte that is not data; `None` at the end of the body.
    fn next(self, byte: u8) -> Result<Option<Self>, MalformedLine> {
        Ok(Some(match (self, byte) {
            (Self::Size(size) | Self::Extension(size), b'\r') => Self::SizeLf(size),
            (Self::Size(size), _) => match char::from(byte).to_digit(16) {
                Some(digit) => Self::Size(larger(size, digit).ok_or(MalformedLine)?),
                None => Self::Extension(size).unless_control(byte)?,
            },
            (Self::Extension(_), _) => self.unless_control(byte)?,
            (Self::SizeLf(0) | Self::TrailerLf, b'\n') => Self::LineStart,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0),
            (Self::LineStart, b'\r') => Self::EndLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::LineStart | Self::Trailer, _) => Self::Trailer.unless_control(byte)?,
            (Self::EndLf, b'\n') => return Ok(None),
            _ => return Err(MalformedLine),
        }))
    }

    /// Returns the position, unless a control character leads to it.
    fn unless_control(self, byte: u8) -> Result<Self, MalformedLine> {
        if byte.is_ascii_control() && byte != b'\t' {
            return Err(MalformedLine);
        }
        Ok(self)
    }
}

/// Returns a size with one more digit.
fn larger(size: u64, digit: u32) -> Option<u64> {
    size.checked_mul(16)?.checked_add(u64::from(digit))
}

fn at_most(count: u64, bytes: &[u8]) -> usize {
    usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(bytes.len())
}

#[cfg(test)]
#[path = "position_tests.rs"]
mod tests;
