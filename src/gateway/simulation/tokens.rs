//! Tokens of fixed keys. Signatures of Ed25519 are the same each time (RFC 8032), those of ECDSA
//! are not.

use aws_lc_rs::signature::Ed25519KeyPair;
use serde_json::json;

use crate::clock;
use crate::issuer::Algorithm;
use crate::issuer::fixture::{Signer, b64, jwks};

/// The `iss` of the tokens.
pub(super) const ISSUER: &str = "https://issuer.test/";

/// Returns the private key with this number.
fn signer(key: u8) -> Signer {
    Signer::Ed(Ed25519KeyPair::from_seed_unchecked(&[key; 32]).expect("a seed has 32 bytes"))
}

/// Returns the id of a key.
pub(super) fn kid(key: u8) -> String {
    format!("key-{key}")
}

/// Returns the key set with these keys.
pub(super) fn key_set(keys: &[u8]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| signer(*key).jwk(&kid(*key)))
        .collect();
    jwks(&keys)
}

/// Returns a token with these scopes, which is signed with a key and names one.
pub(super) fn token(signed_with: u8, names: &str, scopes: &str) -> String {
    let now = clock::now().unix.0;
    let head = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": names });
    let claims = json!({
        "iss": ISSUER, "aud": "api", "sub": "alice", "client_id": "shop", "jti": "1",
        "iat": now, "exp": now + 3600, "scope": scopes,
    });
    let text = format!(
        "{}.{}",
        b64(head.to_string().as_bytes()),
        b64(claims.to_string().as_bytes())
    );
    let signature = signer(signed_with).sign(Algorithm::EdDSA, text.as_bytes());
    format!("{text}.{signature}")
}
