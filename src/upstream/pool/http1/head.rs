//! The heads of HTTP/1.1 messages: writes those of requests, and parses those of responses (RFC
//! 9112).

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use httparse::ParserConfig;

use super::super::super::HeadLimits;
use super::super::super::exchange::{AddedFields, origin_form};
use super::coding::Coding;
use super::fields::{FEW_FIELDS, Malformed, read, write_field};
use super::framing::Framing;
use crate::content::ends_with_head;

/// The first bytes of every response.
const BEGINNING: &[u8] = b"HTTP/1.";

const NOT_HTTP1: Malformed = Malformed("it is not HTTP/1");
const TOO_LONG: Malformed = Malformed(HeadLimits::TOO_LONG);
const OTHER_CODING: Malformed = Malformed("a transfer coding other than chunked");

/// The largest `Content-Length`: many implementations cannot represent more.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// Room for the fields that the gateway adds to a response, so that the map does not grow for them.
const OWN_FIELDS: usize = 4;

/// A response head, and the framing that it declares.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Set if another exchange may follow on the connection.
    pub(super) persists: bool,
}

/// Writes the head of a request in origin form. Its fields must not contain the framing of its
/// body, which `coding` declares.
pub(super) fn write(head: &Parts, own: &AddedFields, coding: Option<&Coding>, out: &mut Vec<u8>) {
    let target = origin_form(&head.uri);
    for part in [
        head.method.as_str().as_bytes(),
        b" ",
        target.as_bytes(),
        b" HTTP/1.1\r\n",
    ] {
        out.extend_from_slice(part);
    }
    for (name, value) in &head.headers {
        write_field(name, value, out);
    }
    for (name, value) in own {
        write_field(name, value, out);
    }
    match coding {
        Some(coding) => coding.declare(out),
        // RFC 9110 §8.6: a method for which a body is usual declares its absence.
        None if anticipates_content(&head.method) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        None => {}
    }
    out.extend_from_slice(b"\r\n");
}

fn anticipates_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Takes a head from the front of the bytes that were read; `None` if it is not complete. The first
/// `scanned` bytes were searched before and do not contain its end. `empty` returns the map for its
/// fields.
///
/// # Errors
/// If it is not a head of HTTP/1, exceeds its limits, or has a framing that can be read in two ways
/// (RFC 9112 §6.3).
pub(super) fn take(
    read: &mut BytesMut,
    scanned: &mut usize,
    method: &Method,
    limits: HeadLimits,
    empty: impl FnOnce() -> HeaderMap,
) -> Result<Option<Head>, Malformed> {
    // A server of another protocol may never send an empty line, and an empty line before a head is
    // not allowed.
    if !read.iter().zip(BEGINNING).all(|(is, should)| is == should) {
        return Err(NOT_HTTP1);
    }
    let Some(end) = end_of(read, *scanned) else {
        *scanned = read.len();
        return if read.len() < limits.bytes {
            Ok(None)
        } else {
            Err(TOO_LONG)
        };
    };
    if end > limits.bytes {
        return Err(TOO_LONG);
    }
    *scanned = 0;
    parse(&read.split_to(end).freeze(), method, limits.fields, empty).map(Some)
}

/// Returns the position after the empty line that ends a head. A lone LF may end a line (RFC 9112
/// §2.2).
fn end_of(read: &[u8], scanned: usize) -> Option<usize> {
    let start = scanned.saturating_sub(2);
    let rest = read.get(start..)?;
    for at in memchr::memchr_iter(b'\n', rest) {
        match rest.get(at + 1..)? {
            [b'\n', ..] => return Some(start + at + 2),
            [b'\r', b'\n', ..] => return Some(start + at + 3),
            _ => {}
        }
    }
    None
}

/// Parses a complete head.
fn parse(
    bytes: &Bytes,
    method: &Method,
    max_fields: usize,
    empty: impl FnOnce() -> HeaderMap,
) -> Result<Head, Malformed> {
    let mut few = [const { MaybeUninit::uninit() }; FEW_FIELDS];
    let few = few
        .get_mut(..max_fields.min(FEW_FIELDS))
        .unwrap_or_default();
    let mut many = Vec::new();
    let config = ParserConfig::default();
    let mut parsed = httparse::Response::new(&mut []);
    let mut result = config.parse_response_with_uninit_headers(&mut parsed, bytes, few);
    if max_fields > FEW_FIELDS && matches!(result, Err(httparse::Error::TooManyHeaders)) {
        many.resize_with(max_fields, MaybeUninit::uninit);
        parsed = httparse::Response::new(&mut []);
        result = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut many);
    }
    match result {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed(HeadLimits::TOO_MANY)),
        Err(httparse::Error::Version) => return Err(NOT_HTTP1),
        Ok(_) | Err(_) => return Err(Malformed("its head is broken")),
    }
    compile(&parsed, bytes, method, empty)
}

/// Makes a head of a parsed one, whose fields are slices of `bytes`.
#[inline]
fn compile(
    parsed: &httparse::Response<'_, '_>,
    bytes: &Bytes,
    method: &Method,
    empty: impl FnOnce() -> HeaderMap,
) -> Result<Head, Malformed> {
    let version = if parsed.version == Some(0) {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Malformed("its status is invalid"))?;
    let mut headers = empty();
    headers.reserve(parsed.headers.len() + OWN_FIELDS);
    let mut fields = FramingFields::default();
    for field in &*parsed.headers {
        let (name, value) = read(field, bytes)?;
        if fields.note(&name, &value)? {
            headers.append(name, value);
        }
    }
    let framing = fields.framing(status, version, method)?;
    let persists = framing != Framing::UntilClose && fields.persists(version);
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.headers_mut() = headers;
    Ok(Head {
        response,
        framing,
        persists,
    })
}

/// The framing and the persistence of the connection, as the fields of a response declare them.
/// They are collected while the fields are parsed, since looking a name up in the map costs more
/// than comparing each.
#[derive(Default)]
struct FramingFields {
    /// The length, and its number of digits.
    length: Option<(u64, usize)>,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
}

impl FramingFields {
    /// Notes a field. Returns whether it is passed on: `Connection` is not, unless it names other
    /// fields, which are then removed with it.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Malformed> {
        if *name == CONTENT_LENGTH {
            let length = length(value)?;
            // If it occurs more than once, the values must be equal (RFC 9110 §8.6).
            let before = self.length.replace(length);
            if before.is_some_and(|before| before != length) {
                return Err(Malformed("two lengths"));
            }
            // One of them is passed on. The answer to HEAD has the field that is passed on, and two
            // of them end the client's connection.
            return Ok(before.is_none());
        } else if *name == TRANSFER_ENCODING {
            if self.is_chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(OTHER_CODING);
            }
            self.is_chunked = true;
        } else if *name == CONNECTION {
            return Ok(self.note_options(value.as_bytes()));
        }
        Ok(true)
    }

    fn note_options(&mut self, options: &[u8]) -> bool {
        let mut names_fields = false;
        for option in options.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keeps_alive = true;
            } else {
                names_fields = true;
            }
        }
        names_fields
    }

    /// Returns the framing of the body (RFC 9112 §6.3). HTTP/1.0 has no transfer codings, so the
    /// end of one would be undefined.
    fn framing(
        &self,
        status: StatusCode,
        version: Version,
        method: &Method,
    ) -> Result<Framing, Malformed> {
        if self.is_chunked && version == Version::HTTP_10 {
            return Err(OTHER_CODING);
        }
        let is_bare = *method == Method::HEAD || ends_with_head(status);
        if is_bare || status.is_informational() {
            return Ok(Framing::Length(0));
        }
        Ok(match self.length {
            _ if self.is_chunked => Framing::chunked(),
            Some((length, _)) => Framing::Length(length),
            None => Framing::UntilClose,
        })
    }

    /// Returns whether the connection persists (RFC 9112 §9.3). If there are both a transfer coding
    /// and a length, the coding frames the body, and no bytes after it are trusted (§6.3).
    fn persists(&self, version: Version) -> bool {
        let is_ambiguous = self.is_chunked && self.length.is_some();
        let is_wanted = !self.closes && (version == Version::HTTP_11 || self.keeps_alive);
        is_wanted && !is_ambiguous
    }
}

/// Parses a `Content-Length`, which consists of digits only (RFC 9110 §8.6), and returns its number
/// of digits too.
fn length(value: &HeaderValue) -> Result<(u64, usize), Malformed> {
    let is_digits = value.as_bytes().iter().all(u8::is_ascii_digit);
    let length = match value.to_str() {
        Ok(text) if is_digits => text.parse().ok(),
        _ => None,
    };
    match length {
        Some(length) if length <= MAX_LENGTH => Ok((length, value.len())),
        _ => Err(Malformed("a length that is not a number")),
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
