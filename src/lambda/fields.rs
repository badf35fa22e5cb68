//! The header fields of a request in its event.

use std::borrow::Cow;

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, TE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::field_names::capitalized;

/// The fields of a connection or of a message's framing. An event has none of them, since its body
/// is whole.
const FRAMING: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
];

/// The header fields of a request: each name once, with its values.
pub(super) struct Fields<'r>(Vec<Field<'r>>);

struct Field<'r> {
    name: &'r HeaderName,
    /// Never empty.
    values: Vec<Cow<'r, str>>,
}

impl<'r> Fields<'r> {
    pub(super) fn of(fields: &'r HeaderMap) -> Self {
        let mut all = Vec::with_capacity(fields.keys_len());
        for name in fields.keys() {
            if FRAMING.contains(name) {
                continue;
            }
            let mut values = Vec::new();
            for value in fields.get_all(name) {
                values.push(text(value));
            }
            // HTTP/2 may split the field, which is one for every application (RFC 9113 §8.2.3).
            if *name == COOKIE && values.len() > 1 {
                values = vec![values.join("; ").into()];
            }
            all.push(Field { name, values });
        }
        Self(all)
    }

    /// Takes the cookies, each by itself, as format 2.0 has them.
    pub(super) fn take_cookies(&mut self) -> Vec<String> {
        let Some(at) = self.0.iter().position(|field| *field.name == COOKIE) else {
            return Vec::new();
        };
        let field = self.0.remove(at);
        let mut cookies = Vec::new();
        for cookie in field.values.iter().flat_map(|value| value.split(';')) {
            let cookie = cookie.trim();
            if !cookie.is_empty() {
                cookies.push(cookie.to_owned());
            }
        }
        cookies
    }

    /// Returns the last value of a field.
    pub(super) fn last(&self, name: &HeaderName) -> Option<&str> {
        let field = self.0.iter().find(|field| field.name == name)?;
        field.values.last().map(|value| &**value)
    }
}

/// The last value of each field, under its usual name: `headers` of format 1.0.
pub(super) struct LastValues<'f>(pub(super) &'f Fields<'f>);

/// All values of each field, under its usual name: `multiValueHeaders` of format 1.0.
pub(super) struct AllValues<'f>(pub(super) &'f Fields<'f>);

/// The values of each field joined by commas, under its name in lower case: `headers` of format
/// 2.0.
pub(super) struct JoinedValues<'f>(pub(super) &'f Fields<'f>);

impl Serialize for LastValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in &self.0.0 {
            map.serialize_entry(capitalized(field.name.as_str()), &field.values.last())?;
        }
        map.end()
    }
}

impl Serialize for AllValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in &self.0.0 {
            map.serialize_entry(capitalized(field.name.as_str()), &field.values)?;
        }
        map.end()
    }
}

impl Serialize for JoinedValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in &self.0.0 {
            map.serialize_entry(field.name.as_str(), &field.values.join(","))?;
        }
        map.end()
    }
}

/// Returns a value as text: that of its bytes as UTF-8, or else as ISO 8859-1, which has a
/// character for each byte.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}
