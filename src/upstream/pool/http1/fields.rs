//! The fields of HTTP/1.1 messages: writes those of requests, and parses those of responses.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The number of fields of a head that are parsed without an allocation, and the most fields that
/// trailers may have.
pub(super) const FEW_FIELDS: usize = 100;

/// The reason why a response is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Writes a field of a head or of trailers.
pub(super) fn write_field(name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends fields that were parsed from `bytes` to a map. Their values are slices of `bytes`, not
/// copies.
pub(super) fn append(
    map: &mut HeaderMap,
    fields: &[httparse::Header<'_>],
    bytes: &Bytes,
) -> Result<(), Malformed> {
    for field in fields {
        let (name, value) = read(field, bytes)?;
        map.append(name, value);
    }
    Ok(())
}

/// Returns a field that was parsed from `bytes`.
pub(super) fn read(
    field: &httparse::Header<'_>,
    bytes: &Bytes,
) -> Result<(HeaderName, HeaderValue), Malformed> {
    let name = HeaderName::from_bytes(field.name.as_bytes());
    let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
    match (name, value) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => Err(Malformed("a field is broken")),
    }
}
