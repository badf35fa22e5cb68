//! Signing keys of the embedded issuer. They are generated on first use and never stored.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::issuer::Algorithm;

/// The keys of one issuer, one for each algorithm that was used. Issuers share no keys, so that a
/// token of the wrong issuer is refused for the same reason in `dev` as in production.
#[derive(Default)]
pub(super) struct KeyRing(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    keys: BTreeMap<Algorithm, Arc<SigningKey>>,
    /// The RSA key. Generating one is slow, so the six RSA algorithms share it.
    rsa: Option<Arc<RsaKeyPair>>,
}

/// A private key for one algorithm.
pub(super) struct SigningKey {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Box<str>,
    pair: Pair,
}

enum Pair {
    Rsa(Arc<RsaKeyPair>, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
}

impl KeyRing {
    /// Returns the key for an algorithm, the same one for each call.
    pub(super) fn key(&self, algorithm: Algorithm) -> Arc<SigningKey> {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = ring.keys.get(&algorithm) {
            return Arc::clone(key);
        }
        let pair = ring
            .make(algorithm)
            .expect("making a key fails only without memory or random numbers");
        let key = Arc::new(SigningKey {
            algorithm,
            kid: new_kid(),
            pair,
        });
        ring.keys.insert(algorithm, Arc::clone(&key));
        key
    }
}

impl Ring {
    fn make(&mut self, algorithm: Algorithm) -> Result<Pair, Unspecified> {
        match algorithm {
            Algorithm::RS256 => self.rsa(&RSA_PKCS1_SHA256),
            Algorithm::RS384 => self.rsa(&RSA_PKCS1_SHA384),
            Algorithm::RS512 => self.rsa(&RSA_PKCS1_SHA512),
            Algorithm::PS256 => self.rsa(&RSA_PSS_SHA256),
            Algorithm::PS384 => self.rsa(&RSA_PSS_SHA384),
            Algorithm::PS512 => self.rsa(&RSA_PSS_SHA512),
            Algorithm::ES256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Algorithm::ES384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Algorithm::ES512 => ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            Algorithm::EdDSA => Ok(Pair::Ed25519(Ed25519KeyPair::generate()?)),
        }
    }

    fn rsa(&mut self, encoding: &'static dyn RsaEncoding) -> Result<Pair, Unspecified> {
        let key = match &self.rsa {
            Some(key) => Arc::clone(key),
            None => Arc::new(RsaKeyPair::generate(KeySize::Rsa2048)?),
        };
        self.rsa = Some(Arc::clone(&key));
        Ok(Pair::Rsa(key, encoding))
    }
}

fn ecdsa(
    algorithm: &'static EcdsaSigningAlgorithm,
    curve: &'static str,
) -> Result<Pair, Unspecified> {
    Ok(Pair::Ecdsa(EcdsaKeyPair::generate(algorithm)?, curve))
}

impl SigningKey {
    /// Signs a JWS signing input (RFC 7515 §5.1).
    pub(super) fn sign(&self, input: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, input, &mut signature)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair, _) => Ok(pair.sign(&random, input)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(input).as_ref().to_vec()),
        }
    }

    /// Returns the bytes of the public key, in the form of the library.
    pub(super) fn public_key(&self) -> &[u8] {
        match &self.pair {
            Pair::Rsa(pair, _) => pair.public_key().as_ref(),
            Pair::Ecdsa(pair, _) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// Returns the public key as a JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair, _) => {
                let (n, e) = rsa_integers(pair.public_key().as_ref()).expect(
                    "the library encodes an RSA public key as RFC 8017 appendix A.1.1 says",
                );
                let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
                json!({ "kty": "RSA", "n": n, "e": e })
            }
            Pair::Ecdsa(pair, curve) => {
                // The uncompressed point of SEC 1 §2.3.3: the octet 4, x, y.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({ "kty": "EC", "crv": curve, "x": x, "y": y })
            }
            Pair::Ed25519(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), self.algorithm.name().into());
            members.insert("kid".into(), (*self.kid).into());
        }
        jwk
    }
}

/// Generates a key id in Cognito's format: base64, not base64url. It always contains a `/`, so that
/// every run tests parsers that do not unescape JSON or that use a key id as a file name.
fn new_kid() -> Box<str> {
    loop {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).expect("the system has random numbers");
        let kid = STANDARD.encode(bytes);
        if kid.contains('/') {
            return kid.into();
        }
    }
}

/// Returns modulus and exponent, without leading zeros, of `SEQUENCE { INTEGER, INTEGER }` (RFC
/// 8017 appendix A.1.1).
fn rsa_integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let (body, _) = der_element(der, SEQUENCE)?;
    let (modulus, rest) = der_element(body, INTEGER)?;
    let (exponent, _) = der_element(rest, INTEGER)?;
    Some((unsigned(modulus), unsigned(exponent)))
}

fn unsigned(integer: &[u8]) -> &[u8] {
    integer.strip_prefix(&[0]).unwrap_or(integer)
}

/// Returns the content of the first DER element, which must have this tag, and the bytes that
/// follow it.
fn der_element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    if first < 0x80 {
        return rest.split_at_checked(usize::from(first));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let mut length = 0_usize;
    for digit in digits {
        length = length.checked_mul(256)?.checked_add(usize::from(*digit))?;
    }
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
        RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents,
        UnparsedPublicKey,
    };

    use super::*;

    fn member(jwk: &Value, name: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()
    }

    fn verifies(jwk: &Value, message: &[u8], signature: &[u8]) -> bool {
        let point = || [&[4], &*member(jwk, "x"), &member(jwk, "y")].concat();
        match jwk["alg"].as_str().unwrap() {
            "ES256" => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point()).verify(message, signature)
            }
            "ES384" => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point()).verify(message, signature)
            }
            "ES512" => {
                UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point()).verify(message, signature)
            }
            "EdDSA" => {
                UnparsedPublicKey::new(&ED25519, member(jwk, "x")).verify(message, signature)
            }
            rsa => {
                let scheme = match rsa {
                    "RS256" => &RSA_PKCS1_2048_8192_SHA256,
                    "PS512" => &RSA_PSS_2048_8192_SHA512,
                    other => panic!("no case for {other}"),
                };
                let key = RsaPublicKeyComponents {
                    n: member(jwk, "n"),
                    e: member(jwk, "e"),
                };
                key.verify(scheme, message, signature)
            }
        }
        .is_ok()
    }

    #[test]
    fn a_published_key_verifies_what_the_private_one_signed() {
        let ring = KeyRing::default();
        for algorithm in [
            Algorithm::RS256,
            Algorithm::PS512,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::ES512,
            Algorithm::EdDSA,
        ] {
            let key = ring.key(algorithm);
            let (jwk, signature) = (key.jwk(), key.sign(b"message").unwrap());
            assert!(verifies(&jwk, b"message", &signature), "{algorithm}");
            assert!(!verifies(&jwk, b"another", &signature), "{algorithm}");
            assert_eq!((&jwk["use"], &jwk["kid"]), (&json!("sig"), &json!(key.kid)));
        }
    }

    #[test]
    fn a_key_stays_and_is_nobody_elses() {
        let (one, two) = (KeyRing::default(), KeyRing::default());
        let kid = one.key(Algorithm::ES256).kid.clone();
        assert_eq!(one.key(Algorithm::ES256).kid, kid);
        assert_ne!(two.key(Algorithm::ES256).kid, kid);
        assert_ne!(
            one.key(Algorithm::ES256).jwk()["x"],
            two.key(Algorithm::ES256).jwk()["x"]
        );
    }

    #[test]
    fn a_key_id_is_base64_with_a_slash_and_padding() {
        let kid = new_kid();
        assert!(kid.contains('/') && kid.ends_with('='), "{kid}");
        assert_eq!(STANDARD.decode(&*kid).unwrap().len(), 32);
    }

    #[test]
    fn a_der_element_is_read_within_its_bounds() {
        assert_eq!(
            rsa_integers(&[0x30, 7, 2, 2, 0, 0x91, 2, 1, 3]),
            Some((&[0x91][..], &[3][..]))
        );
        assert_eq!(
            der_element(&[2, 0x81, 1, 9, 8], 2),
            Some((&[9][..], &[8][..]))
        );
        for broken in [&[][..], &[2], &[2, 5, 1], &[2, 0x82, 1], &[3, 1, 1]] {
            assert_eq!(der_element(broken, 2), None, "{broken:?}");
        }
    }
}
