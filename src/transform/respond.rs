//! The answer that a route gives in place of an upstream.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// The answer of a route that the gateway answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// The status: 200 to 599.
    pub status: StatusCode,
    /// The header fields; no name twice.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty for a status without content.
    pub body: Bytes,
}
