//! The protected header of a JWS (RFC 7515 §4): what is used of it, and that nothing else is asked
//! for.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::claims::Strict;

/// The members of a header that the gateway reads. Where else a key could come from (`jwk`, `jku`,
/// `x5u`, `x5c`) is skipped: keys are the issuer's.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) algorithm: Option<Box<str>>,
    pub(super) key_id: Option<Box<str>>,
    pub(super) typ: Option<Box<str>>,
}

impl Header {
    /// Reads a header; `None` for one that no access token has: not an object of unique members
    /// (RFC 7515 §4), a member of the wrong type, or one that changes what the token is.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

/// Header members that change what the token is: extensions that must be understood (RFC 7515
/// §4.1.11), unencoded payloads (RFC 7797 §7), encryption and compression (RFC 7516 §4.1).
const REFUSED: [&str; 4] = ["crit", "b64", "enc", "zip"];

/// Other members that are skipped. Real headers have one or two; each is compared with all before
/// it.
const MAX_SKIPPED: usize = 16;

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut skipped: Vec<Box<str>> = Vec::new();
        while let Some(name) = members.next_key::<Box<str>>()? {
            let slot = match &*name {
                "alg" => &mut header.algorithm,
                "kid" => &mut header.key_id,
                "typ" => &mut header.typ,
                other
                    if REFUSED.contains(&other)
                        || skipped.contains(&name)
                        || skipped.len() == MAX_SKIPPED =>
                {
                    return Err(A::Error::custom(
                        "a member that no access token has, or twice",
                    ));
                }
                _ => {
                    // As strictly as claims: another reader may see the other of two members.
                    members.next_value_seed(Strict::skipped())?;
                    skipped.push(name);
                    continue;
                }
            };
            if slot.replace(members.next_value()?).is_some() {
                return Err(A::Error::custom("a member occurs twice"));
            }
        }
        Ok(header)
    }
}
