//! Talking to others: what is common to upstreams, issuers and clients.

mod client;
mod dial;
#[cfg(test)]
pub(crate) mod fake;
mod freshness;
mod peer;
mod tls;
mod url;

pub use client::{Bounds, Client, FetchError, Fetched};
pub use dial::{DialError, Stage, Stream, dial};
pub use peer::{Peer, Session};
pub use tls::{Tls, TlsError};
pub use url::{Url, UrlError};
