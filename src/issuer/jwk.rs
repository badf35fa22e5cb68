//! Parses one JSON Web Key (RFC 7517 §4) into a usable public key, or into the reason why it is
//! skipped.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::key::{Numbers, Thumbprint};
use super::{Algorithm, Key};

/// The reason why a JWK is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Not a JSON object.
    NotAnObject,
    /// A member occurs twice.
    RepeatedMember,
    /// The key includes its private numbers, so that any reader of the set can sign with it
    /// (CVE-2026-31837).
    Private,
    /// Another entry of the set has the private part of the same key.
    Leaked,
    /// `kty` is `oct`: a shared secret is not a public key.
    Symmetric,
    /// `kty` is none of RSA, EC, OKP.
    UnknownKty,
    /// `crv` is none of P-256, P-384, P-521, Ed25519.
    UnknownCurve,
    /// The key is for encryption: by its `use`, its `key_ops`, its `alg` or its curve. Such a key
    /// beside the signing keys is usual.
    Encryption,
    /// `use` is neither `sig` nor `enc`.
    Use,
    /// `key_ops` has items, and none of them is `verify`.
    KeyOps,
    /// `alg` is not an algorithm that a token may use.
    UnknownAlgorithm,
    /// `alg` does not belong to this `kty` and `crv`.
    UnfitAlgorithm,
    /// `kid` is not a string.
    Kid,
    /// The member with this name, a number of the key, is absent or not a string.
    Missing(&'static str),
    /// The number in this member is padded with `=`.
    Padding(&'static str),
    /// The number in this member is in the standard alphabet of base64, with `+` and `/`.
    Alphabet(&'static str),
    /// The number in this member is not base64url for another reason: a character of no alphabet,
    /// or a length that no octets have.
    Encoding(&'static str),
    /// An RSA modulus below 2048 bits (RFC 7518 §3.3) or above 8192.
    RsaSize,
    /// An RSA exponent that is even, below 3 or beyond 33 bits, or an even modulus.
    RsaNumbers,
    /// A coordinate of the wrong length.
    CoordinateLength,
    /// Not a point on its curve, or an Ed25519 point that verifies signatures made without a
    /// private key.
    Point,
    /// An earlier key has the same `kid` for the same algorithm.
    Duplicate,
    /// The set already has the largest number of usable keys.
    TooMany,
}

/// The members of a private or secret key (RFC 7518 §6.2.2, §6.3.2, §6.4.1 and RFC 8037 §2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The members that a public key consists of.
const NUMBERS: [&str; 5] = ["crv", "x", "y", "n", "e"];

/// The sizes of an RSA modulus, in bits. Above 8192 a verification is slow enough to be an attack.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The largest RSA exponent that the crypto library takes, in bits.
const MAX_EXPONENT_BITS: usize = 33;

/// The y coordinates of the Ed25519 points of small order, and their encodings beyond the field's
/// prime, without the sign bit. For such a key a signature can be made without a private key, and
/// RFC 8032 does not forbid them.
const SMALL_ORDER: [[u8; 32]; 7] = [
    small(0x00, 0x00, 0x00),
    small(0x01, 0x00, 0x00),
    small(0xec, 0xff, 0x7f),
    small(0xed, 0xff, 0x7f),
    small(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// The operations of a key for encryption or key agreement (RFC 7517 §4.3).
const ENCRYPTION_OPS: [&str; 6] = [
    "encrypt",
    "decrypt",
    "wrapKey",
    "unwrapKey",
    "deriveKey",
    "deriveBits",
];

/// The curves for key agreement alone (RFC 8037 §3.2).
const ENCRYPTION_CURVES: [&str; 2] = ["X25519", "X448"];

/// The beginnings of the names of asymmetric encryption algorithms (RFC 7518 §4.1).
const ENCRYPTION_ALGORITHMS: [&str; 4] = ["RSA1_5", "RSA-OAEP", "ECDH-ES", "ECDH-1PU"];

/// The members of a JWK, without those that are `null`.
pub(super) type Members = BTreeMap<String, Value>;

/// Parses the key that the members describe.
///
/// # Errors
/// [`Skipped`]
pub(super) fn read(members: &Members) -> Result<Key, Skipped> {
    let kty = text(members, "kty");
    if kty == Some("oct") {
        return Err(Skipped::Symmetric);
    }
    // A leaked private key is reported whatever else is wrong with the key, so this check comes
    // first.
    if PRIVATE.iter().any(|name| is_filled(members, name)) {
        return Err(Skipped::Private);
    }
    check_purpose(members)?;
    let kid = match members.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.as_str().into()),
        Some(_) => return Err(Skipped::Kid),
    };
    match kty {
        Some("RSA") => read_rsa(members, kid),
        Some("EC") => read_ec(members, kid),
        Some("OKP") => read_okp(members, kid),
        _ => Err(Skipped::UnknownKty),
    }
}

/// Returns the thumbprint of the public part of a key, whatever its `kid` and its purpose; `None`
/// if there is no usable key with these numbers.
pub(super) fn public_thumbprint(members: &Members) -> Option<Thumbprint> {
    let kty = text(members, "kty")?;
    let mut public = Members::new();
    for name in NUMBERS {
        if let Some(value) = members.get(name) {
            public.insert(name.to_owned(), value.clone());
        }
    }
    let key = match kty {
        "RSA" => read_rsa(&public, None),
        "EC" => read_ec(&public, None),
        "OKP" => read_okp(&public, None),
        _ => return None,
    };
    key.ok().map(|key| key.thumbprint())
}

/// Returns whether a member holds anything. Some libraries write `""` or `[]` for a number that a
/// key does not have.
fn is_filled(members: &Members, name: &str) -> bool {
    match members.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    }
}

/// Checks that the key is for verifying signatures (RFC 7517 §4.2 and §4.3).
fn check_purpose(members: &Members) -> Result<(), Skipped> {
    if is_for_encryption(members) {
        return Err(Skipped::Encryption);
    }
    if members.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err(Skipped::Use);
    }
    match members.get("key_ops") {
        None => Ok(()),
        // An empty list restricts nothing: libraries write it for a member that was not set.
        Some(Value::Array(ops)) if ops.is_empty() => Ok(()),
        Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => Ok(()),
        Some(_) => Err(Skipped::KeyOps),
    }
}

/// Returns whether the key can only encrypt.
fn is_for_encryption(members: &Members) -> bool {
    let alg = text(members, "alg").unwrap_or_default();
    let crv = text(members, "crv").unwrap_or_default();
    text(members, "use") == Some("enc")
        || ENCRYPTION_CURVES.contains(&crv)
        || ENCRYPTION_ALGORITHMS
            .iter()
            .any(|known| alg.starts_with(known))
        || has_only_encryption_ops(members)
}

fn has_only_encryption_ops(members: &Members) -> bool {
    let Some(Value::Array(ops)) = members.get("key_ops") else {
        return false;
    };
    let is_encryption = |op: &Value| op.as_str().is_some_and(|op| ENCRYPTION_OPS.contains(&op));
    !ops.is_empty() && ops.iter().all(is_encryption)
}

/// Returns the algorithms that the key may be used for: its `alg`, or else all that fit its type
/// (RFC 7517 §4.4).
fn algorithms(members: &Members, fit: &[Algorithm]) -> Result<Vec<Algorithm>, Skipped> {
    let Some(alg) = members.get("alg") else {
        return Ok(fit.to_vec());
    };
    let algorithm = alg
        .as_str()
        .and_then(Algorithm::parse)
        .ok_or(Skipped::UnknownAlgorithm)?;
    if fit.contains(&algorithm) {
        Ok(vec![algorithm])
    } else {
        Err(Skipped::UnfitAlgorithm)
    }
}

fn read_rsa(members: &Members, kid: Option<Box<str>>) -> Result<Key, Skipped> {
    let algorithms = algorithms(members, &Algorithm::RSA)?;
    let (n, e) = (number(members, "n")?, number(members, "e")?);
    let (n, e) = (without_zeros(&n), without_zeros(&e));
    if !RSA_BITS.contains(&bits(n)) {
        return Err(Skipped::RsaSize);
    }
    if !is_odd(n) || !is_odd(e) || !(2..=MAX_EXPONENT_BITS).contains(&bits(e)) {
        return Err(Skipped::RsaNumbers);
    }
    Key::new(kid, &algorithms, &Numbers::Rsa { n, e }).map_err(|_| Skipped::RsaNumbers)
}

fn read_ec(members: &Members, kid: Option<Box<str>>) -> Result<Key, Skipped> {
    let (crv, algorithm, length) = match text(members, "crv") {
        Some("P-256") => ("P-256", Algorithm::ES256, 32),
        Some("P-384") => ("P-384", Algorithm::ES384, 48),
        Some("P-521") => ("P-521", Algorithm::ES512, 66),
        _ => return Err(Skipped::UnknownCurve),
    };
    let algorithms = algorithms(members, &[algorithm])?;
    let (x, y) = (number(members, "x")?, number(members, "y")?);
    if x.len() != length || y.len() != length {
        return Err(Skipped::CoordinateLength);
    }
    let point = [&[0x04], x.as_slice(), y.as_slice()].concat();
    Key::new(kid, &algorithms, &Numbers::Ec { crv, point: &point }).map_err(|_| Skipped::Point)
}

fn read_okp(members: &Members, kid: Option<Box<str>>) -> Result<Key, Skipped> {
    if text(members, "crv") != Some("Ed25519") {
        return Err(Skipped::UnknownCurve);
    }
    let algorithms = algorithms(members, &[Algorithm::EdDSA])?;
    let x = number(members, "x")?;
    let mut y: [u8; 32] = x
        .as_slice()
        .try_into()
        .map_err(|_| Skipped::CoordinateLength)?;
    y[31] &= 0x7f;
    if SMALL_ORDER.contains(&y) {
        return Err(Skipped::Point);
    }
    Key::new(kid, &algorithms, &Numbers::Ed25519 { x: &x }).map_err(|_| Skipped::Point)
}

fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

/// Returns the octets of a number in base64url without padding (RFC 7518 §2).
fn number(members: &Members, name: &'static str) -> Result<Vec<u8>, Skipped> {
    let text = text(members, name).ok_or(Skipped::Missing(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| {
        // A text with both faults was written with the wrong encoder.
        if text.contains(['+', '/']) {
            Skipped::Alphabet(name)
        } else if text.ends_with('=') {
            Skipped::Padding(name)
        } else {
            Skipped::Encoding(name)
        }
    })
}

/// Removes leading zero octets. Some libraries write one before the modulus (RFC 7518 §6.3.1.1);
/// the number is the same without it.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// Returns the length in bits of a number without leading zeros.
fn bits(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(first) => bytes.len() * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

fn is_odd(bytes: &[u8]) -> bool {
    bytes.last().is_some_and(|last| last % 2 == 1)
}

const fn small(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let says = match self {
            Self::NotAnObject => "not a JSON object",
            Self::RepeatedMember => "a member occurs twice",
            Self::Private => {
                "it contains a private key, which is now public: have the key replaced"
            }
            Self::Leaked => {
                "the set also contains its private key, which is now public: have the key replaced"
            }
            Self::Symmetric => "a shared secret is no public key",
            Self::UnknownKty => "\"kty\" is not one of RSA, EC, OKP",
            Self::UnknownCurve => "\"crv\" is not one of P-256, P-384, P-521, Ed25519",
            Self::Encryption => "a key for encryption",
            Self::Use => "\"use\" is not \"sig\"",
            Self::KeyOps => "\"key_ops\" has no \"verify\"",
            Self::UnknownAlgorithm => "\"alg\" is not an algorithm that a token may use",
            Self::UnfitAlgorithm => "\"alg\" does not fit the kind of key",
            Self::Kid => "\"kid\" is not a string",
            Self::Missing(name) => return write!(f, "\"{name}\" is missing or not a string"),
            Self::Padding(name) => {
                return write!(
                    f,
                    "\"{name}\" ends with \"=\": base64url here has no padding"
                );
            }
            Self::Alphabet(name) => {
                return write!(
                    f,
                    "\"{name}\" is standard base64 (it has \"+\" or \"/\"), not base64url"
                );
            }
            Self::Encoding(name) => {
                return write!(
                    f,
                    "\"{name}\" is not base64url: it has another character, or a length that no \
                     number has"
                );
            }
            Self::RsaSize => "the modulus has fewer than 2048 or more than 8192 bits",
            Self::RsaNumbers => "the exponent or the modulus is not valid for RSA",
            Self::CoordinateLength => "a coordinate has the wrong length",
            Self::Point => "not a usable point of its curve",
            Self::Duplicate => "an earlier key has the same \"kid\" and algorithm",
            Self::TooMany => "the set already has \"max_keys\" usable keys",
        };
        f.write_str(says)
    }
}

/// A key id for a log line: quoted, escaped and shortened, because a peer chose it.
pub(super) struct Name<'a>(pub(super) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The number of characters that are shown.
        const SHOWN: usize = 64;
        f.write_char('"')?;
        for character in self.0.chars().take(SHOWN) {
            write!(f, "{}", character.escape_debug())?;
        }
        let is_cut = self.0.chars().nth(SHOWN).is_some();
        f.write_str(if is_cut { "…\"" } else { "\"" })
    }
}
