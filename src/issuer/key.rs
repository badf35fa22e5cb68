//! One usable public key of an issuer.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;

use super::Algorithm;
use super::liveness::Liveness;
use super::verification_key::{UnfitKey, VerificationKey};

/// A public key and the algorithms that it may be used for. It is live as long as its issuer
/// publishes it: the token cache keeps the key with a verified token and asks [`Key::is_live`].
pub struct Key {
    kid: Option<Box<str>>,
    /// One parsed key for each algorithm.
    uses: Box<[VerificationKey]>,
    thumbprint: Thumbprint,
    signature_bytes: usize,
    liveness: Liveness,
}

/// The SHA-256 hash of the required members of a JWK (RFC 7638 §3). Keys with equal thumbprints are
/// the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

/// The numbers of a public key, which the JWK parser has checked.
pub(super) enum Numbers<'a> {
    /// The modulus and the exponent, without leading zeros (RFC 7518 §6.3.1).
    Rsa { n: &'a [u8], e: &'a [u8] },
    /// The name of the curve and a point on it, `04 || x || y` (RFC 7518 §6.2.1).
    Ec { crv: &'static str, point: &'a [u8] },
    /// An Ed25519 public key (RFC 8037 §2).
    Ed25519 { x: &'a [u8] },
}

impl Key {
    /// Creates a key for these algorithms.
    ///
    /// # Errors
    /// [`UnfitKey`], if the numbers are not a key for one of the algorithms.
    pub(super) fn new(
        kid: Option<Box<str>>,
        algorithms: &[Algorithm],
        numbers: &Numbers<'_>,
    ) -> Result<Self, UnfitKey> {
        let material = numbers.material();
        let mut uses = Vec::with_capacity(algorithms.len());
        for algorithm in algorithms {
            uses.push(VerificationKey::parse(*algorithm, &material)?);
        }
        Ok(Self {
            kid,
            uses: uses.into(),
            thumbprint: Thumbprint::of(numbers),
            signature_bytes: numbers.signature_bytes(),
            liveness: Liveness::new(),
        })
    }

    /// Returns the key id, as the issuer spells it (RFC 7517 §4.5).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns whether a signature with this algorithm may be verified. The key's own `alg`
    /// decides, or else its type.
    #[must_use]
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms().any(|allowed| allowed == algorithm)
    }

    /// Returns whether `signature`, the third part of a token in base64url, is a signature of
    /// `message` with this key. It is not if the key does not allow the algorithm.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        match self.uses.iter().find(|key| key.algorithm == algorithm) {
            Some(key) => key.verifies(message, signature),
            None => false,
        }
    }

    /// Returns the length of every signature of the key.
    #[must_use]
    pub fn signature_bytes(&self) -> usize {
        self.signature_bytes
    }

    fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.uses.iter().map(|key| key.algorithm)
    }

    /// Returns whether the issuer still publishes the key. Once `false`, it stays `false`.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.liveness.is_live()
    }

    /// Invalidates every cached token that this key verified.
    pub(super) fn retire(&self) {
        self.liveness.retire();
    }

    /// Returns the identity of the key's numbers.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Returns whether `other` has the same numbers, the same `kid` and the same algorithms.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.kid == other.kid
            && self.thumbprint == other.thumbprint
            && self.algorithms().eq(other.algorithms())
    }

    /// Returns whether one token could select both keys: they share a `kid` and an algorithm.
    pub(super) fn is_confusable(&self, other: &Self) -> bool {
        self.kid.is_some()
            && self.kid == other.kid
            && self.algorithms().any(|algorithm| other.allows(algorithm))
    }
}

impl Numbers<'_> {
    /// Returns the length of a signature: that of the modulus (RFC 8017 §8.1.1), or twice that of a
    /// number of the curve (RFC 7518 §3.4, RFC 8032 §5.1.6).
    fn signature_bytes(&self) -> usize {
        match *self {
            Numbers::Rsa { n, .. } => n.len(),
            Numbers::Ec { point, .. } => point.len().saturating_sub(1),
            Numbers::Ed25519 { x } => x.len() * 2,
        }
    }

    /// Converts to the type of the JWT library.
    fn material(&self) -> DecodingKey {
        match *self {
            Numbers::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Numbers::Ec { point, .. } => DecodingKey::from_ec_der(point),
            Numbers::Ed25519 { x } => DecodingKey::from_ed_der(x),
        }
    }
}

impl Thumbprint {
    /// Hashes the required members, in the order of their names and without white space (RFC 7638
    /// §3).
    fn of(numbers: &Numbers<'_>) -> Self {
        let text = match *numbers {
            Numbers::Rsa { n, e } => {
                let (e, n) = (encode(e), encode(n));
                format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
            }
            Numbers::Ec { crv, point } => {
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                let (x, y) = (encode(x), encode(y));
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Numbers::Ed25519 { x } => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x))
            }
        };
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shows what identifies the key, without its numbers.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms().collect::<Vec<_>>())
            .field("thumbprint", &self.thumbprint)
            .field("live", &self.is_live())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Signer, b64, jwks};
    use super::super::jwks::KeySet;
    use super::*;

    const MESSAGE: &[u8] = b"header.claims";

    fn key(signer: &Signer, alg: Option<&str>) -> std::sync::Arc<Key> {
        let mut jwk = signer.jwk("k");
        if let Some(alg) = alg {
            jwk["alg"] = alg.into();
        }
        KeySet::parse(jwks(&[jwk]).as_bytes(), 1)
            .unwrap()
            .keys
            .remove(0)
    }

    fn signers() -> Vec<(Signer, Vec<Algorithm>)> {
        use Algorithm::{ES256, ES384, ES512, EdDSA};
        vec![
            (Signer::p256(), vec![ES256]),
            (Signer::p384(), vec![ES384]),
            (Signer::p521(), vec![ES512]),
            (Signer::ed25519(), vec![EdDSA]),
        ]
    }

    fn verifies_its_own(signer: &Signer, algorithms: &[Algorithm]) {
        let key = key(signer, None);
        for &algorithm in algorithms {
            let signature = signer.sign(algorithm, MESSAGE);
            assert!(key.verify(algorithm, MESSAGE, &signature), "{algorithm}");
            let bytes = URL_SAFE_NO_PAD.decode(&signature).unwrap();
            assert_eq!(bytes.len(), key.signature_bytes(), "{algorithm}");
            assert!(
                !key.verify(algorithm, b"header.other", &signature),
                "{algorithm}"
            );
            assert!(
                !key.verify(algorithm, MESSAGE, &format!("{signature}A")),
                "{algorithm}"
            );
            assert!(
                !key.verify(algorithm, MESSAGE, &format!("{signature}=")),
                "{algorithm}"
            );
            for other in Algorithm::ALL
                .into_iter()
                .filter(|other| *other != algorithm)
            {
                assert!(
                    !key.verify(other, MESSAGE, &signature),
                    "{algorithm} as {other}"
                );
            }
        }
    }

    #[test]
    fn a_key_verifies_what_it_signed_with_the_algorithm_it_was_signed_with() {
        for (signer, algorithms) in signers() {
            verifies_its_own(&signer, &algorithms);
        }
        verifies_its_own(Signer::rsa(), &Algorithm::RSA);
    }

    // A key with an `alg` is for that algorithm only.
    #[test]
    fn a_key_for_one_algorithm_verifies_no_other() {
        let key = key(Signer::rsa(), Some("PS256"));
        assert!(key.verify(
            Algorithm::PS256,
            MESSAGE,
            &Signer::rsa().sign(Algorithm::PS256, MESSAGE)
        ));
        assert!(!key.verify(
            Algorithm::RS256,
            MESSAGE,
            &Signer::rsa().sign(Algorithm::RS256, MESSAGE)
        ));
    }

    // CVE-2022-21449, and texts that are not signatures.
    #[test]
    fn no_signature_is_no_signature() {
        for (signer, algorithms) in signers() {
            let key = key(&signer, None);
            for length in [0, 1, 63, 64, 65, 96, 132, 256] {
                for byte in [0x00, 0xff] {
                    assert!(
                        !key.verify(algorithms[0], MESSAGE, &b64(&vec![byte; length])),
                        "{length}"
                    );
                }
            }
            for text in ["", ".", "%", "é", "\n"] {
                assert!(!key.verify(algorithms[0], MESSAGE, text), "{text:?}");
            }
        }
    }

    #[test]
    fn a_retired_key_stays_retired() {
        let key = key(&Signer::p256(), None);
        assert!(key.is_live());
        key.retire();
        assert!(!key.is_live());
    }

    #[test]
    fn a_key_shows_its_name_and_not_its_numbers() {
        let signer = Signer::p256();
        let shown = format!("{:?}", key(&signer, None));
        assert!(
            shown.contains("\"k\"") && !shown.contains(signer.jwk("k")["x"].as_str().unwrap()),
            "{shown}"
        );
    }
}
