//! Turns an export of API Gateway, or another OpenAPI document, into a configuration.
//!
//! Nothing becomes more open than the document says: what cannot be translated about an operation's
//! authorization is denied, with the reason beside it.

pub mod document;
pub mod openapi;
