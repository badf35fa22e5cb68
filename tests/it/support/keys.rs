//! Signing keys and tokens.

use std::sync::{LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Returns the time in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Encodes as base64url without padding, the form of tokens and keys.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A signing key with a `kid`.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: String,
    pair: std::sync::Arc<Pair>,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// Returns an RSA key of 2048 bits. Generating one is slow, so each `number` is generated once.
    pub(crate) fn rsa(kid: &str, number: usize) -> Self {
        static KEYS: LazyLock<Mutex<Vec<std::sync::Arc<Pair>>>> = LazyLock::new(Mutex::default);
        let mut keys = KEYS.lock().unwrap();
        while keys.len() <= number {
            let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
            let der = pair.as_der().unwrap();
            keys.push(std::sync::Arc::new(Pair::Rsa(
                RsaKeyPair::from_pkcs8(der.as_ref()).unwrap(),
            )));
        }
        Self {
            kid: kid.to_owned(),
            pair: keys[number].clone(),
        }
    }

    pub(crate) fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            kid: kid.to_owned(),
            pair: Pair::P256(pair).into(),
        }
    }

    pub(crate) fn p384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self {
            kid: kid.to_owned(),
            pair: Pair::P384(pair).into(),
        }
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            pair: Pair::Ed25519(Ed25519KeyPair::generate().unwrap()).into(),
        }
    }

    /// Returns the same key with another `kid`.
    pub(crate) fn named(&self, kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            pair: self.pair.clone(),
        }
    }

    /// Returns the default algorithm of the key's tokens.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &*self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// Returns the public key as a JWK with `kid` and `use`, without `alg`.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &*self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            Pair::P256(pair) => point("P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => point("P-384", pair.public_key().as_ref()),
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// Returns an RSA public key in OpenSSL's file format.
    pub(crate) fn pem(&self) -> String {
        let Pair::Rsa(pair) = &*self.pair else {
            panic!("{} is not RSA", self.kid)
        };
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }

    /// Signs a message, with `algorithm` if the key supports several.
    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut bytes = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut bytes).unwrap();
                bytes
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

fn point(curve: &str, bytes: &[u8]) -> Value {
    let (x, y) = bytes[1..].split_at((bytes.len() - 1) / 2);
    json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
}

/// A token under construction. Header and claims are JSON, so that a test can set anything.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Token {
    /// Returns a good token of an issuer, like an RFC 9068 access token, valid for an hour from
    /// now.
    pub(crate) fn of(issuer: &str, scope: &str) -> Self {
        let claims = json!({
            "iss": issuer, "aud": "api", "sub": "alice", "client_id": "app", "jti": "1",
            "iat": now(), "exp": now() + 3600, "scope": scope,
        });
        Self {
            header: json!({}),
            claims,
        }
    }

    /// Sets a claim. `Value::Null` removes it; for a claim that is `null` see [`Token::claims`].
    pub(crate) fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => drop(self.claims.as_object_mut().unwrap().remove(claim)),
            value => self.claims[claim] = value,
        }
        self
    }

    /// Sets a member of the header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// Signs the token; `alg` and `kid` are the key's unless the header has its own.
    pub(crate) fn signed(&self, key: &Key) -> String {
        let mut header = self.header.clone();
        if header.get("alg").is_none() {
            header["alg"] = json!(key.algorithm());
        }
        if header.get("kid").is_none() {
            header["kid"] = json!(key.kid);
        }
        Self::signed_text(&header.to_string(), &self.claims.to_string(), key)
    }

    /// Signs any two texts, with the algorithm that the header names if the key supports it.
    pub(crate) fn signed_text(header: &str, claims: &str, key: &Key) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let named: Option<Value> = serde_json::from_str(header).ok();
        let algorithm = named
            .as_ref()
            .and_then(|header| header["alg"].as_str())
            .unwrap_or_default();
        let signature = key.sign(algorithm, message.as_bytes());
        format!("{message}.{}", encode(signature))
    }
}
