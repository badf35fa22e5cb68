//! TLS on the server side: the gateway's certificates, and the certificates of clients.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

/// The TLS configuration of a listener: versions, certificates and client authentication. Cheap to
/// clone. It holds private keys, so that its `Debug` output shows the names of certificates only.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    asks: bool,
    handshake_timeout: Duration,
}

/// The settings of an [`Acceptor`], without its certificates.
#[derive(Debug)]
pub struct AcceptorSettings {
    /// The authentication of clients by certificates.
    pub client_auth: ClientAuth,
    /// Set if TLS 1.2 is refused.
    pub only_tls13: bool,
    /// The time for a whole handshake.
    pub handshake_timeout: Duration,
}

/// The authentication of clients by certificates.
#[derive(Debug)]
pub enum ClientAuth {
    /// Clients are not asked for a certificate.
    Off,
    /// A client may send a certificate, which must be issued by one of these PEM roots.
    Optional(String),
    /// A client must send a certificate that is issued by one of these PEM roots.
    Required(String),
}

/// A certificate with its key and its DNS names.
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Box<[Box<str>]>,
    life: Option<Life>,
    file: Box<str>,
}

/// The validity of a certificate, in seconds since 1970 (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// `notBefore`.
    pub begins: u64,
    /// `notAfter`.
    pub ends: u64,
}

/// The certificates of one listener. The first one is for clients that send no server name or an
/// unknown one.
#[derive(Debug)]
pub struct Certificates(Vec<Certificate>);

/// The reason for which no TLS is possible with the configured files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptorError {
    /// The file of certificates is not PEM, or has none.
    Certificates,
    /// The file has no usable private key.
    Key,
    /// The key belongs to another certificate.
    Mismatch,
    /// The file of roots for client certificates is not PEM, or has none.
    ClientRoots,
    /// The TLS library refuses the protocol versions, which no configuration can cause.
    Library,
}

impl Certificate {
    /// Reads a certificate chain and its key, both in PEM.
    ///
    /// # Errors
    /// Returns an [`AcceptorError`] if one of them is unusable, or they do not match.
    pub fn parse(chain: &str, key: &str) -> Result<Self, AcceptorError> {
        let chain = certificates(chain).ok_or(AcceptorError::Certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| AcceptorError::Key)?;
        let leaf = chain.first().ok_or(AcceptorError::Certificates)?;
        let parsed =
            webpki::EndEntityCert::try_from(leaf).map_err(|_| AcceptorError::Certificates)?;
        let names = parsed
            .valid_dns_names()
            .map(|name| name.to_ascii_lowercase().into())
            .collect();
        let life = Life::of(&parsed);
        let provider = aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => AcceptorError::Mismatch,
            _ => AcceptorError::Key,
        })?;
        Ok(Self {
            key: Arc::new(key),
            names,
            life,
            file: "".into(),
        })
    }

    /// Sets the file of the certificate, which metrics and warnings name.
    #[must_use]
    pub fn in_file(self, file: &str) -> Self {
        Self {
            file: file.into(),
            ..self
        }
    }

    /// Returns the file of the certificate.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the validity of the certificate; `None` if it is malformed.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        self.life
    }

    fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| covers(name, host))
    }
}

impl Life {
    /// Returns the validity of a certificate. The library checks the validity before anything else,
    /// and its errors for the earliest and the latest time have the two limits. So a second parser
    /// of certificates is not needed: `x509-parser` would bring twenty crates for two dates.
    fn of(certificate: &webpki::EndEntityCert<'_>) -> Option<Self> {
        let webpki::Error::CertNotValidYet { not_before, .. } =
            verification_error(certificate, Duration::ZERO)?
        else {
            return None;
        };
        let webpki::Error::CertExpired { not_after, .. } =
            verification_error(certificate, Duration::MAX)?
        else {
            return None;
        };
        Some(Self {
            begins: not_before.as_secs(),
            ends: not_after.as_secs(),
        })
    }
}

/// Verifies a certificate at a time, and returns the error.
fn verification_error(
    certificate: &webpki::EndEntityCert<'_>,
    time: Duration,
) -> Option<webpki::Error> {
    let time = UnixTime::since_unix_epoch(time);
    let usage = webpki::KeyUsage::server_auth();
    certificate
        .verify_for_usage(&[], &[], &[], time, usage, None, None)
        .err()
}

/// Returns whether a name of a certificate covers a host: the names are equal, or the host has one
/// label in the place of the `*` (RFC 6125 §6.4.3).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && same(rest, parent)),
        None => same(name, host),
    }
}

/// Returns whether two DNS names are the same, without regard to case and to a dot at the end.
fn same(a: &str, b: &str) -> bool {
    let a = a.strip_suffix('.').unwrap_or(a);
    let b = b.strip_suffix('.').unwrap_or(b);
    a.eq_ignore_ascii_case(b)
}

impl Certificates {
    /// Returns the certificate for a host. An exact name has precedence over a wildcard, whatever
    /// the order of the certificates.
    fn find(&self, host: &str) -> Option<&Certificate> {
        self.0
            .iter()
            .find(|one| one.names.iter().any(|name| same(name, host)))
            .or_else(|| self.0.iter().find(|one| one.covers(host)))
    }

    /// Returns the certificate that a client is shown.
    fn select(&self, server_name: Option<&str>) -> Option<&Certificate> {
        server_name
            .and_then(|name| self.find(name))
            .or(self.0.first())
    }

    /// Returns whether a certificate is for the host.
    #[must_use]
    pub fn has_name(&self, host: &str) -> bool {
        self.find(host).is_some()
    }

    /// Returns an iterator over the certificates.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.0.iter()
    }

    /// Returns whether a connection that was opened for `server_name` may have requests for `host`
    /// (RFC 9110 §7.4). The host is the same name, or another name of the certificate that the
    /// client was shown and no other certificate is more specific.
    #[must_use]
    pub fn may_ask(&self, server_name: &str, host: &str) -> bool {
        if same(server_name, host) {
            return true;
        }
        let shown = self.select(Some(server_name));
        let other = self.find(host);
        matches!((shown, other), (Some(shown), Some(other)) if std::ptr::eq(shown, other))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.select(hello.server_name()).map(|one| one.key.clone())
    }
}

impl Acceptor {
    /// Returns the TLS configuration with these certificates, of which there must be at least one.
    ///
    /// # Errors
    /// Returns an [`AcceptorError`] if the roots for client certificates are unusable.
    pub fn new(
        certificates: Vec<Certificate>,
        settings: AcceptorSettings,
    ) -> Result<Self, AcceptorError> {
        let certificates = Arc::new(Certificates(certificates));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions: &[_] = if settings.only_tls13 {
            &[&TLS13]
        } else {
            &[&TLS13, &TLS12]
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|_| AcceptorError::Library)?;
        let verifier = client_verifier(&settings.client_auth, provider)?;
        let asks = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Early data can be replayed (RFC 8446 §8).
        config.max_early_data_size = 0;
        if asks {
            // A resumed session would keep a client certificate that may have expired since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let handshake_timeout = settings.handshake_timeout;
        Ok(Self {
            config: Arc::new(config),
            certificates,
            asks,
            handshake_timeout,
        })
    }

    /// Returns the configuration of the TLS library.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Returns the certificates, by which later requests of a connection are checked.
    #[must_use]
    pub fn certificates(&self) -> Arc<Certificates> {
        self.certificates.clone()
    }

    /// Returns whether clients are asked for a certificate.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.asks
    }

    /// Returns the time for a whole handshake.
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }
}

/// Returns the verifier of client certificates; `None` if clients are not asked for any.
fn client_verifier(
    client_auth: &ClientAuth,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, AcceptorError> {
    let pem = match client_auth {
        ClientAuth::Off => return Ok(None),
        ClientAuth::Optional(pem) | ClientAuth::Required(pem) => pem,
    };
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), provider);
    if matches!(client_auth, ClientAuth::Optional(_)) {
        verifier = verifier.allow_unauthenticated();
    }
    verifier
        .build()
        .map(Some)
        .map_err(|_| AcceptorError::ClientRoots)
}

/// Returns the certificates of a PEM text; `None` if one is malformed or there is none.
fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .ok()?;
    (!found.is_empty()).then_some(found)
}

fn roots(pem: &str) -> Result<RootCertStore, AcceptorError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem).ok_or(AcceptorError::ClientRoots)? {
        store
            .add(certificate)
            .map_err(|_| AcceptorError::ClientRoots)?;
    }
    Ok(store)
}

impl PartialEq for Acceptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Acceptor {}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.certificates).finish()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.names).finish()
    }
}

impl fmt::Display for AcceptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificates => "it holds no PEM certificate, or one that cannot be read",
            Self::Key => "it holds no PEM private key that can be used",
            Self::Mismatch => "the key does not match the certificate",
            Self::ClientRoots => {
                "it holds no PEM certificate that can be a root, or one that cannot be read"
            }
            Self::Library => "the TLS library refuses TLS 1.2 and 1.3",
        })
    }
}

impl std::error::Error for AcceptorError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Certificate::parse(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap()
    }

    #[test]
    fn a_connection_speaks_for_the_names_of_the_certificate_it_was_shown() {
        let all = Certificates(vec![
            certificate(&["a.test", "also-a.test"]),
            certificate(&["*.b.test"]),
            certificate(&["x.b.test"]),
        ]);
        for (server_name, host, may) in [
            ("a.test", "a.test", true),
            ("a.test", "A.TEST.", true),
            ("a.test", "also-a.test", true),
            ("a.test", "one.b.test", false),
            ("one.b.test", "two.b.test", true),
            ("one.b.test", "x.b.test", false),
            ("x.b.test", "one.b.test", false),
            ("one.b.test", "a.b.b.test", false),
            ("one.b.test", "b.test", false),
            ("a.test", "unknown.test", false),
            ("unknown.test", "unknown.test", true),
            ("unknown.test", "other.test", false),
            ("unknown.test", "one.b.test", false),
        ] {
            assert_eq!(all.may_ask(server_name, host), may, "{server_name} {host}");
        }
    }

    #[test]
    fn a_certificate_tells_how_long_it_lives() {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        for is_ca in [
            rcgen::IsCa::NoCa,
            rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
        ] {
            params.is_ca = is_ca;
            let key = rcgen::KeyPair::generate().unwrap();
            let made = params.self_signed(&key).unwrap();
            let parsed = Certificate::parse(&made.pem(), &key.serialize_pem()).unwrap();
            assert_eq!(
                parsed.life(),
                Some(Life {
                    begins: 1_767_225_600,
                    ends: 1_775_001_600
                })
            );
        }
    }

    #[test]
    fn a_certificate_and_the_key_of_another_are_no_pair() {
        let made = || rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let parse = |chain: &str, key: &str| Certificate::parse(chain, key).map(drop);
        let key = one.signing_key.serialize_pem();
        assert_eq!(parse(&one.cert.pem(), &key), Ok(()));
        assert_eq!(parse(&other.cert.pem(), &key), Err(AcceptorError::Mismatch));
        assert_eq!(parse(&one.cert.pem(), ""), Err(AcceptorError::Key));
        assert_eq!(parse(&key, &key), Err(AcceptorError::Certificates));
    }
}
