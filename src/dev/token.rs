//! The compact form of the tokens of the embedded issuer (RFC 7515 §7.1).

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::changes::{Hmac, Signature};
use super::grant_error::GrantError;
use super::key::SigningKey;

/// Writes a signed token. The key signs, or its public half is the secret of an HMAC.
pub(super) fn sign(
    key: &SigningKey,
    signature: Signature,
    header: Map<String, Value>,
    claims: Map<String, Value>,
) -> Result<String, GrantError> {
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = match signature {
        Signature::Key(_) => key
            .sign(input.as_bytes())
            .map_err(|_| GrantError::Signing)?,
        Signature::Hmac(algorithm) => mac(algorithm, key.public_key(), input.as_bytes()),
        Signature::None => Vec::new(),
    };
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn mac(algorithm: Hmac, secret: &[u8], input: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        Hmac::Sha256 => HMAC_SHA256,
        Hmac::Sha384 => HMAC_SHA384,
        Hmac::Sha512 => HMAC_SHA512,
    };
    let key = hmac::Key::new(algorithm, secret);
    hmac::sign(&key, input).as_ref().to_vec()
}

fn encode(members: Map<String, Value>) -> String {
    URL_SAFE_NO_PAD.encode(escape_slashes(&Value::from(members).to_string()))
}

/// Writes `/` as `\/`, like Cognito. A JSON parser reads the same text, but code that only searches
/// the JSON does not find it.
fn escape_slashes(json: &str) -> String {
    json.replace('/', "\\/")
}

/// Returns a random UUID (RFC 9562 §5.4).
pub(super) fn new_jti() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system has random numbers");
    let random = u128::from_be_bytes(bytes);
    let bits = random & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xffff,
        bits >> 48 & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}
