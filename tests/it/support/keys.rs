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

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Base64url without padding, as tokens and keys are written.
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
    /// RSA with 2048 bits. Making one takes a while, so that they are made once and told apart by
    /// `number`.
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

    /// The same key under another name.
    pub(crate) fn named(&self, kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            pair: self.pair.clone(),
        }
    }

    /// The algorithm that tokens of this key use unless told otherwise.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &*self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public half as a JWK with `kid` and `use`, without `alg`.
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

    /// The public half of an RSA key as a file of OpenSSL's.
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

    /// The signature over a message, for `algorithm` where the key can do several.
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

/// A token in the making: header and claims are JSON, so that a test can say anything.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Token {
    /// A good token of an issuer, like an RFC 9068 access token: valid now, for an hour.
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

    /// With a claim set, or removed by `Value::Null`… which is how a `null` is *not* written; see
    /// [`Token::claims`].
    pub(crate) fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => drop(self.claims.as_object_mut().unwrap().remove(claim)),
            value => self.claims[claim] = value,
        }
        self
    }

    /// With a header member set.
    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// Signed; `alg` and `kid` are the key's unless the header names its own.
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

    /// Any two texts, signed with the algorithm that the header names, if it is one the key can do.
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
