//! The parts of an answer in which the profiles differ.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The answer of a profile to a refused request, without the fields that all answers have.
#[derive(Debug, PartialEq)]
pub(super) struct Form {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    /// Further fields, such as a challenge.
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The sentence that the body holds.
    pub(super) message: Cow<'static, str>,
}

/// Sets a field, unless the value has characters that no field has.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
