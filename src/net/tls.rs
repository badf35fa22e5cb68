//! Whose certificates are trusted when the gateway is the client.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

/// Roots of trust for connections that the gateway opens: TLS 1.2 and 1.3, HTTP/1.1, certificate and name always
/// verified. Cheap to clone; there is no way to turn verification off.
#[derive(Clone)]
pub struct Tls(Roots);

#[derive(Clone)]
enum Roots {
    System,
    Given(Arc<ClientConfig>),
}

/// Why a text is no list of roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// Not PEM, or a certificate in it cannot be read.
    Pem,
    /// PEM, but with no certificate in it.
    Empty,
    /// The TLS library refuses the protocol versions, which no configuration can cause.
    Library,
}

impl Tls {
    /// The roots of the operating system, read at the first TLS connection and once per process.
    #[must_use]
    pub fn system() -> Self {
        Self(Roots::System)
    }

    /// These PEM certificates and no others.
    ///
    /// # Errors
    /// [`TlsError`]; one bad certificate spoils the list, so that a typing error is not silently less trust.
    pub fn with_roots(pem: &str) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|_| TlsError::Pem)?;
            store.add(certificate).map_err(|_| TlsError::Pem)?;
        }
        if store.is_empty() {
            return Err(TlsError::Empty);
        }
        Ok(Self(Roots::Given(Arc::new(config(store)?))))
    }

    /// Reads the roots now rather than at the first connection, which would hold up a worker.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn prepare(&self) -> Result<(), TlsError> {
        self.config().map(drop)
    }

    /// What a TLS client connects with.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        match &self.0 {
            Roots::Given(config) => Ok(Arc::clone(config)),
            Roots::System => system_config(),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Roots::System => "Tls(system roots)",
            Roots::Given(_) => "Tls(given roots)",
        })
    }
}

fn system_config() -> Result<Arc<ClientConfig>, TlsError> {
    static SYSTEM: OnceLock<Result<Arc<ClientConfig>, TlsError>> = OnceLock::new();
    SYSTEM.get_or_init(|| config(system_roots()).map(Arc::new)).clone()
}

/// What of the system's store can be read. With none of it every verification fails, and the log has said why.
fn system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, unusable) = store.add_parsable_certificates(found.certs);
    for error in &found.errors {
        tracing::warn!(%error, "system root certificates could not be read");
    }
    if usable == 0 {
        tracing::error!(unusable, "no system root certificate is usable: no TLS connection will succeed");
    }
    store
}

fn config(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    // The provider is named: a process-wide default is whatever the first caller made it.
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| TlsError::Library)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "a PEM certificate cannot be read",
            Self::Empty => "there is no PEM certificate in it",
            Self::Library => "the TLS library refuses TLS 1.2 and 1.3",
        })
    }
}

impl std::error::Error for TlsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_pem_certificates_and_nothing_else() {
        let made = rcgen::generate_simple_self_signed(vec!["idp.test".to_owned()]).unwrap();
        let pem = made.cert.pem();
        assert!(Tls::with_roots(&pem).is_ok());
        assert!(Tls::with_roots(&format!("a comment\n{pem}{pem}")).is_ok());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, error) in [
            ("".to_owned(), TlsError::Empty),
            ("not PEM".to_owned(), TlsError::Empty),
            (made.signing_key.serialize_pem(), TlsError::Empty),
            (broken.to_owned(), TlsError::Pem),
            (format!("{pem}{broken}"), TlsError::Pem),
        ] {
            assert_eq!(Tls::with_roots(&text).map(|_| ()), Err(error), "{text}");
        }
    }
}
