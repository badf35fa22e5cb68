//! TLS on the client side: the trusted roots, and the gateway's own certificate.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// The TLS configuration of a client: TLS 1.2 and 1.3, with verification of certificate and name
/// unless its settings turn that off. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Config,
    server_name: Option<ServerName<'static>>,
}

#[derive(Clone)]
enum Config {
    /// The configuration with the system's roots, made when it is first used.
    System,
    Given(Arc<ClientConfig>),
}

/// The settings of TLS connections to one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The trusted certificates in PEM, instead of the system's.
    pub roots: Option<Arc<str>>,
    /// The gateway's certificate with its chain, and its key, both in PEM.
    pub identity: Option<(Arc<str>, Arc<str>)>,
    /// The name to send and to verify, instead of the URL's.
    pub server_name: Option<Arc<str>>,
    /// Set if any certificate is accepted: an attacker in between can read and change everything.
    pub accepts_any_certificate: bool,
}

/// The protocols that are offered (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2, or else HTTP/1.1.
    Both,
}

/// The reason for which TLS settings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// The text is not PEM, or a certificate in it is malformed.
    Pem,
    /// The text has no certificate.
    Empty,
    /// The text is no private key, or the key does not match the certificate.
    Key,
    /// The server name is no name that a certificate can have.
    Name,
    /// The TLS library refuses the protocol versions, which no configuration can cause.
    Library,
}

impl Tls {
    /// Returns a configuration that trusts the roots of the operating system and offers HTTP/1.1.
    /// The roots are read once per process, at the first TLS connection.
    #[must_use]
    pub fn system() -> Self {
        Self {
            config: Config::System,
            server_name: None,
        }
    }

    /// Returns a configuration that trusts only these PEM certificates and offers HTTP/1.1.
    ///
    /// # Errors
    /// Returns a [`TlsError`] if one certificate is malformed: a typing error must not silently
    /// remove a root.
    pub fn with_roots(pem: &str) -> Result<Self, TlsError> {
        Self::new(
            &TlsSettings {
                roots: Some(pem.into()),
                ..TlsSettings::default()
            },
            Alpn::Http1,
        )
    }

    /// Returns a configuration with these settings. The system's roots, if they are used, are read
    /// now: at the first connection they would block a worker.
    ///
    /// # Errors
    /// Returns a [`TlsError`] if the settings cannot be used.
    pub fn new(settings: &TlsSettings, alpn: Alpn) -> Result<Self, TlsError> {
        let config = Config::Given(Arc::new(config(settings, alpn)?));
        let server_name = match &settings.server_name {
            Some(name) => Some(ServerName::try_from(name.to_string()).map_err(|_| TlsError::Name)?),
            None => None,
        };
        Ok(Self {
            config,
            server_name,
        })
    }

    /// Returns the configuration of the TLS library.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        match &self.config {
            Config::Given(config) => Ok(Arc::clone(config)),
            Config::System => system_config(),
        }
    }

    /// Returns the name to send and to verify, if it is not the URL's.
    pub(crate) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.config {
            Config::System => "Tls(system roots)",
            Config::Given(_) => "Tls(by settings)",
        })
    }
}

fn system_config() -> Result<Arc<ClientConfig>, TlsError> {
    static SYSTEM: OnceLock<Result<Arc<ClientConfig>, TlsError>> = OnceLock::new();
    SYSTEM
        .get_or_init(|| config(&TlsSettings::default(), Alpn::Http1).map(Arc::new))
        .clone()
}

/// Returns the readable certificates of the system's store.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| Arc::new(read_system_roots())).clone()
}

/// Reads the system's store, and logs its problems. If no certificate is readable, the store is
/// empty, and every verification fails.
fn read_system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, unusable) = store.add_parsable_certificates(found.certs);
    for error in &found.errors {
        tracing::warn!(%error, "system root certificates could not be read");
    }
    if usable == 0 {
        tracing::error!(
            unusable,
            "no system root certificate is usable: no TLS connection will succeed"
        );
    }
    store
}

fn given_roots(pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|_| TlsError::Pem)?;
    }
    Ok(Arc::new(store))
}

/// Returns the certificates of a PEM text, of which there is at least one.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|_| TlsError::Pem)?;
    if certificates.is_empty() {
        Err(TlsError::Empty)
    } else {
        Ok(certificates)
    }
}

/// Returns the configuration of the TLS library for these settings.
fn config(settings: &TlsSettings, alpn: Alpn) -> Result<ClientConfig, TlsError> {
    // The provider is explicit: any code of the process could set another default.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| TlsError::Library)?;
    let builder = if settings.accepts_any_certificate {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        let roots = match &settings.roots {
            Some(pem) => given_roots(pem)?,
            None => system_roots(),
        };
        builder.with_root_certificates(roots)
    };
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::Key)?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .map_err(|_| TlsError::Key)?
        }
    };
    config.alpn_protocols = match alpn {
        Alpn::Http1 => vec![b"http/1.1".to_vec()],
        Alpn::Http2 => vec![b"h2".to_vec()],
        Alpn::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// Accepts every certificate. Only `verify = false` asks for this; the log and `scopegate check`
/// report it. The signature, which proves that the peer has the certificate's key, is still
/// verified.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "a PEM certificate cannot be read",
            Self::Empty => "there is no PEM certificate in it",
            Self::Key => "it is no private key in PEM, or not the key of the certificate",
            Self::Name => "it is no name that a certificate can have",
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
