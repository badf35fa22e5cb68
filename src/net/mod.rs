//! Talking to others: what is common to upstreams, issuers and clients.

mod dial;
mod peer;
mod tls;
mod url;

pub use dial::{DialError, Stage, Stream, dial};
pub use peer::Peer;
pub use tls::{Tls, TlsError};
pub use url::{Url, UrlError};
