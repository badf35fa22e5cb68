//! The body of a request in its event.

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use http::header::CONTENT_TYPE;
use serde::{Serialize, Serializer};

use super::{EventFacts, MediaRange};

/// The body of a request in its event.
pub(super) enum EventBody<'r> {
    /// A body that is valid UTF-8.
    Text(&'r str),
    /// Any other body, and one of a type that the configuration names.
    Base64(&'r [u8]),
}

impl<'r> EventBody<'r> {
    /// Returns the body; `None` for an empty one.
    pub(super) fn of(facts: &EventFacts<'r>, binary: &[MediaRange]) -> Option<Self> {
        let body = facts.body;
        if body.is_empty() {
            return None;
        }
        let content_type = facts.fields.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let is_binary = content_type.is_some_and(|kind| binary.iter().any(|it| it.holds(kind)));
        Some(match str::from_utf8(body) {
            Ok(text) if !is_binary => Self::Text(text),
            _ => Self::Base64(body),
        })
    }

    /// Returns the bytes that it takes at least.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Base64(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }

    pub(super) fn is_base64(&self) -> bool {
        matches!(self, Self::Base64(_))
    }
}

impl Serialize for EventBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Base64(bytes) => {
                serializer.collect_str(&Base64Display::new(bytes, &BASE64_STANDARD))
            }
        }
    }
}
