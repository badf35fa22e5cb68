//! TLS on both sides: the certificates that the gateway shows and those that it trusts.

mod acceptor;
mod client;
mod fault;
mod fingerprint;

pub use acceptor::{
    Acceptor, AcceptorError, AcceptorSettings, Certificate, Certificates, ClientAuth, Life,
};
pub use client::{Alpn, Tls, TlsError, TlsSettings};
pub use fault::{CertificateFault, HandshakeFault};
pub use fingerprint::Fingerprint;
