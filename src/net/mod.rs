//! Networking that upstreams, issuers and clients have in common: addresses, URLs, dialling, TLS,
//! and the small HTTP client.

mod acceptor;
mod address;
mod client;
mod dial;
#[cfg(test)]
pub(crate) mod fake;
mod fingerprint;
pub(crate) mod frames;
mod freshness;
mod nearness;
mod peer;
mod presence;
mod stream;
mod tls;
mod trusted;
mod url;

pub use acceptor::{
    Acceptor, AcceptorError, AcceptorSettings, Certificate, Certificates, ClientAuth, Life,
};
pub use address::Address;
pub use client::{Bounds, Client, FetchError, Fetched};
pub use dial::{DialError, DialTimeouts, Stage, dial, dial_addresses, resolve};
pub use fingerprint::Fingerprint;
pub use nearness::Nearness;
pub use peer::{Peer, Session};
pub use presence::Presence;
pub use stream::Stream;
pub use tls::{Alpn, Tls, TlsError, TlsSettings};
pub use trusted::TrustedProxies;
pub use url::{Url, UrlError};
