//! The framing of request bodies (RFC 9112 §6, §7).

use bytes::Bytes;
use http::header::TRAILER;
use http::{HeaderMap, HeaderName};
use http_body::{Frame, SizeHint};

use super::fields::write_field;

/// The framing of a request body, and the position in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// `Content-Length`, with the number of bytes that are still to come.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked {
        /// Set when the line ending of the last chunk was not written yet.
        is_open: bool,
        /// The trailers that the head has announced; no others are sent.
        announced: Vec<HeaderName>,
    },
    /// `Transfer-Encoding: chunked`; the last chunk and the trailers were written.
    Finished,
}

impl Coding {
    pub(super) fn of(hint: SizeHint, head: &HeaderMap) -> Self {
        match hint.exact() {
            Some(length) => Self::Length(length),
            None => Self::Chunked {
                is_open: false,
                announced: announced(head),
            },
        }
    }

    /// Writes the field that declares it.
    pub(super) fn declare(&self, out: &mut Vec<u8>) {
        match self {
            Self::Length(bytes) => {
                out.extend_from_slice(format!("content-length: {bytes}\r\n").as_bytes());
            }
            Self::Chunked { .. } | Self::Finished => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
        }
    }

    /// Writes the prefix of a part, and returns the part. Returns `None` if the body is longer than
    /// declared.
    pub(super) fn encode(&mut self, frame: Frame<Bytes>, out: &mut Vec<u8>) -> Option<Bytes> {
        let piece = match frame.into_data() {
            Ok(piece) => piece,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.encode_trailers(&trailers, out);
                }
                return Some(Bytes::new());
            }
        };
        if piece.is_empty() {
            // An empty chunk would be the last one.
            return Some(piece);
        }
        match self {
            Self::Length(left) => *left = left.checked_sub(piece.len() as u64)?,
            Self::Chunked { is_open, .. } => {
                end_chunk(*is_open, out);
                out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                *is_open = true;
            }
            Self::Finished => return None,
        }
        Some(piece)
    }

    /// Writes the last chunk and the trailers that were announced. Without chunks there are none.
    fn encode_trailers(&mut self, trailers: &HeaderMap, out: &mut Vec<u8>) {
        let Self::Chunked { is_open, announced } = self else {
            return;
        };
        end_chunk(*is_open, out);
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            if announced.contains(name) {
                write_field(name, value, out);
            }
        }
        out.extend_from_slice(b"\r\n");
        *self = Self::Finished;
    }

    /// Writes what follows the last part. Returns false if the body was shorter than declared.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        if let Self::Chunked { is_open, .. } = self {
            end_chunk(*is_open, out);
            out.extend_from_slice(b"0\r\n\r\n");
            *self = Self::Finished;
        }
        matches!(self, Self::Length(0) | Self::Finished)
    }
}

/// Returns the names in `Trailer` (RFC 9110 §6.6.2).
fn announced(head: &HeaderMap) -> Vec<HeaderName> {
    let mut announced = Vec::new();
    for value in head.get_all(TRAILER) {
        for name in value.as_bytes().split(|byte| *byte == b',') {
            announced.extend(HeaderName::from_bytes(name.trim_ascii()));
        }
    }
    announced
}

fn end_chunk(is_open: bool, out: &mut Vec<u8>) {
    if is_open {
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(mut coding: Coding, frames: Vec<Frame<Bytes>>) -> Option<String> {
        let mut out = Vec::new();
        coding.declare(&mut out);
        for frame in frames {
            let piece = coding.encode(frame, &mut out)?;
            out.extend_from_slice(&piece);
        }
        coding
            .finish(&mut out)
            .then(|| String::from_utf8(out).unwrap())
    }

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_body_of_unknown_length_goes_in_chunks_and_an_empty_piece_does_not_end_it() {
        let head = [(TRAILER, "X-Sum".parse().unwrap())].into_iter().collect();
        let chunked = || Coding::of(SizeHint::default(), &head);
        let frames = vec![data("ab"), data(""), data("0123456789abcdef")];
        let expected =
            "transfer-encoding: chunked\r\n2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
        assert_eq!(sent(chunked(), frames).as_deref(), Some(expected));
        assert_eq!(
            sent(chunked(), vec![]).as_deref(),
            Some("transfer-encoding: chunked\r\n0\r\n\r\n")
        );
        let trailer = |name: &str| (name.parse().unwrap(), "1".parse().unwrap());
        let trailers = [trailer("x-sum"), trailer("x-unannounced")]
            .into_iter()
            .collect();
        let expected = "transfer-encoding: chunked\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n";
        assert_eq!(
            sent(chunked(), vec![data("a"), Frame::trailers(trailers)]).as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn a_body_is_as_long_as_was_announced_or_fails() {
        let expected = "content-length: 3\r\nabc";
        assert_eq!(
            sent(Coding::Length(3), vec![data("a"), data("bc")]).as_deref(),
            Some(expected)
        );
        assert_eq!(sent(Coding::Length(3), vec![data("ab")]), None);
        assert_eq!(sent(Coding::Length(3), vec![data("abcd")]), None);
    }
}
