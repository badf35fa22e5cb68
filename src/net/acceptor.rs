//! TLS where the gateway is the server: its certificates, and what it asks of clients.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

/// What a TLS listener is: versions, certificates, client certificates. Cheap to clone. Keys are in
/// it, so that nothing of it is ever shown.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    asks: bool,
    handshake_timeout: Duration,
}

/// What an [`Acceptor`] is made of, besides certificates.
#[derive(Debug)]
pub struct AcceptorSettings {
    /// What clients are asked for.
    pub client_auth: ClientAuth,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// For a whole handshake.
    pub handshake_timeout: Duration,
}

/// What clients are asked for.
#[derive(Debug)]
pub enum ClientAuth {
    /// Nothing.
    Off,
    /// A certificate by one of these PEM roots, if they have one.
    Optional(String),
    /// A certificate by one of these PEM roots.
    Required(String),
}

/// A certificate with its key, and the names it is for.
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Box<[Box<str>]>,
    life: Option<Life>,
    file: Box<str>,
}

/// From when until when a certificate is valid, in seconds since 1970 (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// `notBefore`.
    pub begins: u64,
    /// `notAfter`.
    pub ends: u64,
}

/// The certificates of one listener; the first is for clients that ask for no name or for an
/// unknown one.
#[derive(Debug)]
pub struct Certificates(Vec<Certificate>);

/// Why there is no TLS with these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptorError {
    /// The certificates are not PEM, or none is there.
    Certificates,
    /// No private key is there that can be used.
    Key,
    /// The key is another certificate's.
    Mismatch,
    /// The roots for client certificates are not PEM, or none is there.
    ClientRoots,
    /// The TLS library refuses the protocol versions, which no configuration can cause.
    Library,
}

impl Certificate {
    /// A certificate chain and its key, both in PEM.
    ///
    /// # Errors
    /// [`AcceptorError`]
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

    /// The same as one that is in this file, for those who have to find it.
    #[must_use]
    pub fn in_file(self, file: &str) -> Self {
        Self {
            file: file.into(),
            ..self
        }
    }

    /// The file that it is in.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// From when until when it is valid; `None` where it does not say so as it should.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        self.life
    }

    fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| covers(name, host))
    }
}

impl Life {
    /// The library looks at it first of all when it verifies, and tells when it was asked for too
    /// early or too late a time. That spares us a second parser of certificates.
    fn of(certificate: &webpki::EndEntityCert<'_>) -> Option<Self> {
        let at = |time: Duration| {
            let (time, usage) = (
                UnixTime::since_unix_epoch(time),
                webpki::KeyUsage::server_auth(),
            );
            certificate
                .verify_for_usage(&[], &[], &[], time, usage, None, None)
                .err()
        };
        let begins = match at(Duration::ZERO) {
            Some(webpki::Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
            _ => return None,
        };
        match at(Duration::MAX) {
            Some(webpki::Error::CertExpired { not_after, .. }) => Some(Self {
                begins,
                ends: not_after.as_secs(),
            }),
            _ => None,
        }
    }
}

/// Whether a name of a certificate is for a host: itself, or one label in the place of the `*` (RFC
/// 6125 §6.4.3).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && same(rest, parent)),
        None => same(name, host),
    }
}

/// DNS does not tell cases apart, and a dot at the end adds nothing.
fn same(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).len();
    let (left, right) = (a.get(..plain(a)), b.get(..plain(b)));
    matches!((left, right), (Some(left), Some(right)) if left.eq_ignore_ascii_case(right))
}

impl Certificates {
    /// An exact name goes before a wildcard, whatever the order of the file.
    fn find(&self, host: &str) -> Option<&Certificate> {
        let exact = |one: &&Certificate| one.names.iter().any(|name| same(name, host));
        self.0
            .iter()
            .find(exact)
            .or_else(|| self.0.iter().find(|one| one.covers(host)))
    }

    fn select(&self, server_name: Option<&str>) -> Option<&Certificate> {
        server_name
            .and_then(|name| self.find(name))
            .or(self.0.first())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.0.iter()
    }

    /// Whether a connection that was opened for `server_name` may ask for `host`: the same name, or
    /// another one of the certificate that the client was shown, if none is more specific (RFC 9110
    /// §7.4).
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
    /// TLS with these certificates, of which there is at least one.
    ///
    /// # Errors
    /// [`AcceptorError`]
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
        let (pem, is_required) = match &settings.client_auth {
            ClientAuth::Off => ("", false),
            ClientAuth::Optional(pem) => (&**pem, false),
            ClientAuth::Required(pem) => (&**pem, true),
        };
        let asks = !matches!(settings.client_auth, ClientAuth::Off);
        let builder = if asks {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), provider);
            let verifier = if is_required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            builder.with_client_cert_verifier(
                verifier.build().map_err(|_| AcceptorError::ClientRoots)?,
            )
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Early data can be replayed (RFC 8446 §8).
        config.max_early_data_size = 0;
        if asks {
            // A resumed session would go on with a certificate that may have expired since.
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

    /// What a handshake is made with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// The certificates, for what a client may ask for later.
    #[must_use]
    pub fn certificates(&self) -> Arc<Certificates> {
        self.certificates.clone()
    }

    /// Whether clients are asked for a certificate.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.asks
    }

    /// For a whole handshake.
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }
}

/// The certificates of a PEM text; `None` where one is broken or none is there.
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
            Self::Mismatch => "the key is not that of the certificate",
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
