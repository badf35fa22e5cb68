//! Whose certificates are trusted when the gateway is the client.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// What a TLS client connects with: TLS 1.2 and 1.3, certificate and name verified unless its terms
/// say otherwise. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Config,
    server_name: Option<ServerName<'static>>,
}

#[derive(Clone)]
enum Config {
    /// That of the system's roots, made when it is first wanted.
    System,
    Given(Arc<ClientConfig>),
}

/// What a TLS connection to one party is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM certificates to trust instead of the system's.
    pub roots: Option<Arc<str>>,
    /// PEM: our certificate with its chain, and its key.
    pub identity: Option<(Arc<str>, Arc<str>)>,
    /// The name to ask for and to find in the certificate, instead of the URL's.
    pub server_name: Option<Arc<str>>,
    /// Whether any certificate will do: whoever is in between reads and changes everything.
    pub trust_anyone: bool,
}

/// What is offered (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2, or else HTTP/1.1.
    Both,
}

/// Why a text is no list of roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// Not PEM, or a certificate in it cannot be read.
    Pem,
    /// PEM, but with no certificate in it.
    Empty,
    /// The private key is none, or not that of the certificate.
    Key,
    /// No name that a certificate can have.
    Name,
    /// The TLS library refuses the protocol versions, which no configuration can cause.
    Library,
}

impl Tls {
    /// The roots of the operating system, read at the first TLS connection and once per process;
    /// HTTP/1.1.
    #[must_use]
    pub fn system() -> Self {
        Self {
            config: Config::System,
            server_name: None,
        }
    }

    /// These PEM certificates and no others; HTTP/1.1.
    ///
    /// # Errors
    /// [`TlsError`]; one bad certificate spoils the list, so that a typing error is not silently
    /// less trust.
    pub fn with_roots(pem: &str) -> Result<Self, TlsError> {
        Self::new(
            &TlsSettings {
                roots: Some(pem.into()),
                ..TlsSettings::default()
            },
            Alpn::Http1,
        )
    }

    /// By these terms. The system's roots are read now, if they are wanted, rather than at the
    /// first connection, which would hold up a worker.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn new(terms: &TlsSettings, alpn: Alpn) -> Result<Self, TlsError> {
        let config = Config::Given(Arc::new(config(terms, alpn)?));
        let name =
            |name: &Arc<str>| ServerName::try_from(name.to_string()).map_err(|_| TlsError::Name);
        Ok(Self {
            config,
            server_name: terms.server_name.as_ref().map(name).transpose()?,
        })
    }

    /// What a TLS client connects with.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        match &self.config {
            Config::Given(config) => Ok(Arc::clone(config)),
            Config::System => system_config(),
        }
    }

    /// The name to ask for, where it is not the URL's.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.config {
            Config::System => "Tls(system roots)",
            Config::Given(_) => "Tls(by terms)",
        })
    }
}

fn system_config() -> Result<Arc<ClientConfig>, TlsError> {
    static SYSTEM: OnceLock<Result<Arc<ClientConfig>, TlsError>> = OnceLock::new();
    SYSTEM
        .get_or_init(|| config(&TlsSettings::default(), Alpn::Http1).map(Arc::new))
        .clone()
}

/// What of the system's store can be read. With none of it every verification fails, and the log
/// has said why.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
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
        Arc::new(store)
    };
    ROOTS.get_or_init(read).clone()
}

fn given_roots(pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|_| TlsError::Pem)?;
    }
    Ok(Arc::new(store))
}

/// At least one.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|_| TlsError::Pem)?;
    if certificates.is_empty() {
        Err(TlsError::Empty)
    } else {
        Ok(certificates)
    }
}

fn config(terms: &TlsSettings, alpn: Alpn) -> Result<ClientConfig, TlsError> {
    // The provider is named: a process-wide default is whatever the first caller made it.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| TlsError::Library)?;
    let builder = if terms.trust_anyone {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        let roots = terms
            .roots
            .as_deref()
            .map_or_else(|| Ok(system_roots()), given_roots)?;
        builder.with_root_certificates(roots)
    };
    let mut config = match &terms.identity {
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

/// Takes every certificate: what `verify = false` asks for, in as many words, and the log and
/// `scopegate check` report. That the peer holds the certificate's key is verified all the same.
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
            Self::Key => "the private key is none in PEM, or is not the certificate's",
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
