//! Talking to others: what is common to upstreams and issuers.

mod dial;
mod tls;
mod url;

pub use dial::{DialError, Stage, Stream, dial};
pub use tls::{Tls, TlsError};
pub use url::{Url, UrlError};
