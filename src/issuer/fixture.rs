//! Keys and issuer settings for tests.

use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};

use super::status::Cause;
use super::{
    Algorithm, EntryHandle, FetchPolicy, Issuer, IssuerSettings, JwksError, KeyAccess, KeySet,
    KeySource,
};
use crate::telemetry::Metrics;

/// A private key for tests.
pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// Returns the RSA key of this process, which is generated once because that is slow.
    pub(crate) fn rsa() -> &'static Self {
        static RSA: OnceLock<Signer> = OnceLock::new();
        RSA.get_or_init(|| Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// Generates a P-256 key.
    pub(crate) fn p256() -> Self {
        Self::Ec(
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            "P-256",
        )
    }

    /// Generates a P-384 key.
    pub(crate) fn p384() -> Self {
        Self::Ec(
            EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            "P-384",
        )
    }

    /// Generates a P-521 key.
    pub(crate) fn p521() -> Self {
        Self::Ec(
            EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap(),
            "P-521",
        )
    }

    /// Generates an Ed25519 key.
    pub(crate) fn ed25519() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// Returns the public key as a JWK with this `kid` and otherwise only the required members.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let key = pair.public_key();
                let (n, e) = (key.modulus(), key.exponent());
                let (n, e) = (
                    n.big_endian_without_leading_zero(),
                    e.big_endian_without_leading_zero(),
                );
                json!({ "kty": "RSA", "kid": kid, "n": b64(n), "e": b64(e) })
            }
            Self::Ec(pair, crv) => {
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                json!({ "kty": "EC", "kid": kid, "crv": crv, "x": b64(x), "y": b64(y) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "kid": kid, "crv": "Ed25519", "x": b64(pair.public_key().as_ref()) })
            }
        }
    }

    /// Returns the public key in the type of the JWT library.
    pub(crate) fn decoding_key(&self) -> DecodingKey {
        match self {
            Self::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                DecodingKey::from_rsa_raw_components(
                    n.big_endian_without_leading_zero(),
                    e.big_endian_without_leading_zero(),
                )
            }
            Self::Ec(pair, _) => DecodingKey::from_ec_der(pair.public_key().as_ref()),
            Self::Ed(pair) => DecodingKey::from_ed_der(pair.public_key().as_ref()),
        }
    }

    /// Signs a message and returns the third part of a token.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> String {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &dyn RsaEncoding = match algorithm {
                    Algorithm::RS256 => &RSA_PKCS1_SHA256,
                    Algorithm::RS384 => &RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &RSA_PSS_SHA256,
                    Algorithm::PS384 => &RSA_PSS_SHA384,
                    Algorithm::PS512 => &RSA_PSS_SHA512,
                    _ => panic!("{algorithm} is not for RSA"),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .unwrap();
                b64(&signature)
            }
            Self::Ec(pair, _) => b64(pair.sign(&random, message).unwrap().as_ref()),
            Self::Ed(pair) => b64(pair.sign(message).as_ref()),
        }
    }
}

/// Encodes as base64url without padding.
pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns a JWK Set of these keys.
pub(crate) fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Issuer settings with a cool-down that is longer than any test.
pub(crate) fn entry(keys: KeySource) -> IssuerSettings {
    IssuerSettings {
        issuer: "https://idp.example.com/".into(),
        keys,
        algorithms: Algorithm::ALL.to_vec(),
        access: KeyAccess::default(),
        fetch: FetchPolicy {
            timeout: Duration::from_secs(10),
            cooldown: Duration::from_secs(600),
            wait: Duration::from_secs(10),
            refresh: Duration::from_secs(3600),
            refresh_min: Duration::from_secs(3600),
            refresh_max: Duration::from_secs(24 * 3600),
            keep_stale: Duration::from_secs(24 * 3600),
            keep_file: None,
            max_bytes: 512 * 1024,
            max_keys: 64,
            allow_http: false,
        },
    }
}

/// Returns the handle of an entry, with its counters.
pub(crate) fn handle(metrics: &Metrics, name: &str) -> EntryHandle {
    EntryHandle {
        name: name.into(),
        metrics: metrics.issuer(name),
    }
}

/// Returns the handle of the only entry, with counters that are not read.
pub(crate) fn unread() -> EntryHandle {
    handle(&Metrics::new(&[]).unwrap(), "idp")
}

/// Ends a fetch as the control thread does, with a key set or, for `None`, with a failure. Requests
/// have asked for the fetch and have not got their keys, so that the cool-downs begin.
pub(crate) fn end_fetch(issuer: &Issuer, jwks: Option<&str>) {
    let before = *issuer.follow().borrow();
    for cause in [Cause::MissingKey, Cause::BadSignature] {
        issuer.ask(&before, cause);
    }
    issuer.end_fetch(jwks.map(|text| match KeySet::parse(text.as_bytes(), 64) {
        Err(JwksError::Empty) => KeySet::default(),
        parsed => parsed.unwrap(),
    }));
}

/// Drops keys that are too old to trust, as the control thread does.
pub(crate) fn drop_keys(issuer: &Issuer) {
    issuer.drop_keys();
}
