//! The answers of the operator's own (`[[errors.responses]]`).

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use crate::config::ErrorResponse;
use crate::content;
use crate::transform::{Escape, Facts, Reference, Value};

/// The values that an answer may show: only those that the answer of the profile shows, too.
pub(super) struct Told<'a> {
    pub(super) request_id: &'a HeaderValue,
    /// The code of the gateway's own answer. The reason of the log would tell a forger which check
    /// of a token failed.
    pub(super) code: &'static str,
    pub(super) detail: &'a str,
    /// The label of the route; empty without one.
    pub(super) route: &'a str,
}

impl Facts for Told<'_> {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        let text = match reference {
            Reference::RequestId => self.request_id.as_bytes(),
            Reference::Reason => self.code.as_bytes(),
            // The gateway's own sentence: what is read as a list or decoded in other values is a
            // character here.
            Reference::Detail => return Some(Value::Field(self.detail.as_bytes())),
            Reference::Route => self.route.as_bytes(),
            // The configuration takes no others here.
            _ => return None,
        };
        Some(Value::Text(text.into()))
    }
}

/// Replaces the parts of an answer that an entry states. The fields that the status or the protocol
/// needs stay: an entry cannot name them.
pub(super) fn apply(entry: &ErrorResponse, told: &Told<'_>, response: &mut Response<Bytes>) {
    if let Some(status) = entry.status {
        *response.status_mut() = status;
    }
    let fields = response.headers_mut();
    if let Some(body) = &entry.body {
        fields.insert(CONTENT_TYPE, body.content_type.clone());
    }
    for (name, template) in &entry.headers {
        let rendered = template.render(Escape::of_field(name), told);
        // A field without a value is not set.
        if let Ok(text) = rendered
            && let Ok(value) = HeaderValue::try_from(text)
        {
            fields.insert(name.clone(), value);
        }
    }
    if let Some(body) = &entry.body {
        // Each reference that a body takes has a value.
        let text = body.template.render(body.escape, told).unwrap_or_default();
        *response.body_mut() = text.into();
    }
    if content::is_absent(response.status()) {
        response.headers_mut().remove(CONTENT_TYPE);
        *response.body_mut() = Bytes::new();
    }
}
