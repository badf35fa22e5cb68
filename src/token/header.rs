//! The protected header of a JWS (RFC 7515 §4): the members that are used, and a refusal of those
//! that would need more.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::claims::Strict;

/// The members of a header that the gateway reads. Members that bring a key of their own (`jwk`,
/// `jku`, `x5u`, `x5c`) are skipped: only the issuer's published keys count.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) algorithm: Option<Box<str>>,
    pub(super) key_id: Option<Box<str>>,
    pub(super) typ: Option<Box<str>>,
}

impl Header {
    /// Parses a header. Returns `None` for one that no access token has: not an object of unique
    /// members (RFC 7515 §4), a member of the wrong type, or a member that changes the meaning of
    /// the token.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

/// The header members that change the meaning of the token: extensions that must be understood (RFC
/// 7515 §4.1.11), unencoded payloads (RFC 7797 §7), encryption and compression (RFC 7516 §4.1).
const REFUSED: [&str; 4] = ["crit", "b64", "enc", "zip"];

/// The maximum number of other members, which are skipped. Real headers have one or two; each name
/// is compared with all names before it.
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
                    // Skipped members are parsed as strictly as claims: another parser may take the
                    // other one of two equal names inside.
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
