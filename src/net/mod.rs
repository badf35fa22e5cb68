//! Talking to others: what is common to upstreams and issuers.

mod url;

pub use url::{Url, UrlError};
