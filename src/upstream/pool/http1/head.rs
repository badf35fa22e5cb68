//! Heads of HTTP/1.1: a request's to bytes, a response's from bytes (RFC 9112).

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};

use super::super::super::exchange::{OwnFields, origin_form};
use super::coding::Coding;
use super::framing::{Framing, Malformed};

/// Bytes of a response head.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Fields of a response head, or of trailers.
pub(super) const MAX_FIELDS: usize = 100;

/// How a response begins.
const BEGINNING: &[u8] = b"HTTP/1.";

const NOT_HTTP1: Malformed = Malformed("it is not HTTP/1");
const TOO_LONG: Malformed = Malformed("its head is too long");

/// Bytes of a body that announces its length: more is beyond what many count with.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// Room for what the gateway adds to a response, so that the map need not grow for it.
const OWN_FIELDS: usize = 4;

/// A response head, and what it says of what follows.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection is good for another exchange after this one.
    pub(super) persists: bool,
}

/// Writes the head of a request in origin form. Its fields say nothing yet of how its body is framed.
pub(super) fn write(head: &Parts, own: &OwnFields, coding: Option<&Coding>, out: &mut Vec<u8>) {
    let target = origin_form(&head.uri);
    for part in [head.method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"] {
        out.extend_from_slice(part);
    }
    write_fields(&head.headers, out);
    write_fields(own.iter().map(|(name, value)| (name, value)), out);
    match coding {
        Some(coding) => coding.declare(out),
        // RFC 9110 §8.6: where a body would have a meaning, say that there is none.
        None if anticipates_content(&head.method) => out.extend_from_slice(b"content-length: 0\r\n"),
        None => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes fields, of a head or of trailers.
pub(super) fn write_fields<'a>(
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    out: &mut Vec<u8>,
) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

fn anticipates_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Takes a head from the front of what was read; `None` while it is not whole. `scanned` bytes were looked at before and
/// hold no end.
///
/// # Errors
/// What is not a head of HTTP/1, or one whose framing can be read in two ways (RFC 9112 §6.3).
pub(super) fn take(
    read: &mut BytesMut,
    scanned: &mut usize,
    method: &Method,
) -> Result<Option<Head>, Malformed> {
    // What speaks something else may never end what is no head, and an empty line before one belongs to nothing.
    if !read.iter().zip(BEGINNING).all(|(is, should)| is == should) {
        return Err(NOT_HTTP1);
    }
    let Some(end) = end_of(read, *scanned) else {
        *scanned = read.len();
        return if read.len() < MAX_BYTES { Ok(None) } else { Err(TOO_LONG) };
    };
    if end > MAX_BYTES {
        return Err(TOO_LONG);
    }
    *scanned = 0;
    parse(&read.split_to(end).freeze(), method).map(Some)
}

/// Where the empty line ends that ends a head. A lone LF may end a line (RFC 9112 §2.2).
fn end_of(read: &[u8], scanned: usize) -> Option<usize> {
    let start = scanned.saturating_sub(2);
    let rest = read.get(start..)?;
    memchr::memchr_iter(b'\n', rest).find_map(|at| match rest.get(at + 1..)? {
        [b'\n', ..] => Some(start + at + 2),
        [b'\r', b'\n', ..] => Some(start + at + 3),
        _ => None,
    })
}

fn parse(bytes: &Bytes, method: &Method) -> Result<Head, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Malformed("its head is broken")),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed("its head has too many fields")),
        Err(httparse::Error::Version) => return Err(NOT_HTTP1),
        Err(_) => return Err(Malformed("its head is broken")),
    }
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Malformed("its status is none"))?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len() + OWN_FIELDS);
    append(&mut headers, parsed.headers, bytes)?;
    let framing = framing(status, version, &headers, method)?;
    let persists = framing != Framing::UntilClose && persists(version, &headers);
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.headers_mut() = headers;
    Ok(Head { response, framing, persists })
}

/// Adds fields that were parsed from `bytes` to a map. Their values are parts of `bytes`, not copies.
pub(super) fn append(
    map: &mut HeaderMap,
    fields: &[httparse::Header<'_>],
    bytes: &Bytes,
) -> Result<(), Malformed> {
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
        let (Ok(name), Ok(value)) = (name, value) else { return Err(Malformed("a field is broken")) };
        map.append(name, value);
    }
    Ok(())
}

/// What follows a head (RFC 9112 §6.3).
fn framing(
    status: StatusCode,
    version: Version,
    headers: &HeaderMap,
    method: &Method,
) -> Result<Framing, Malformed> {
    let length = content_length(headers)?;
    let is_chunked = is_chunked(headers, version)?;
    let has_none = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if *method == Method::HEAD || has_none || status.is_informational() {
        return Ok(Framing::Length(0));
    }
    Ok(match length {
        _ if is_chunked => Framing::chunked(),
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

/// Whether the body is chunked. Any other coding, or one that HTTP/1.0 does not know, leaves its end open.
fn is_chunked(headers: &HeaderMap, version: Version) -> Result<bool, Malformed> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(false) };
    let is_plain = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    if is_plain && version == Version::HTTP_11 {
        Ok(true)
    } else {
        Err(Malformed("a transfer coding other than chunked"))
    }
}

/// The length. Said more than once it has to be the same, and it is digits alone (RFC 9110 §8.6).
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(None) };
    if lengths.any(|other| other != first) {
        return Err(Malformed("two lengths"));
    }
    let is_digits = first.as_bytes().iter().all(u8::is_ascii_digit);
    let length = first.to_str().ok().filter(|_| is_digits).and_then(|text| text.parse().ok());
    length.filter(|length| *length <= MAX_LENGTH).map(Some).ok_or(Malformed("a length that is no number"))
}

/// Whether the connection persists (RFC 9112 §9.3). Where coding and length are both there, the coding frames the body, and
/// nothing after it is trusted (§6.3).
fn persists(version: Version, headers: &HeaderMap) -> bool {
    let is_ambiguous = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    let says = |option: &str| {
        let is_it = |one: &[u8]| one.trim_ascii().eq_ignore_ascii_case(option.as_bytes());
        let fields = headers.get_all(CONNECTION);
        fields.iter().any(|field| field.as_bytes().split(|b| *b == b',').any(is_it))
    };
    let wanted = !says("close") && (version == Version::HTTP_11 || says("keep-alive"));
    wanted && !is_ambiguous
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
