//! The protected header of a JWS (RFC 7515 §4): the members that are used, and a refusal of those
//! that would need more.

use super::claims::parse_object;
use super::excerpt::kind;
use super::malformation::{Malformation, Part};
use crate::policy::{Claim, Claims};

/// The members of a header that the gateway reads. Members that bring a key of their own (`jwk`,
/// `jku`, `x5u`, `x5c`) are skipped: only the issuer's published keys count.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) algorithm: Option<Box<str>>,
    pub(super) key_id: Option<Box<str>>,
    pub(super) typ: Option<Box<str>>,
}

/// The header members that change the meaning of the token: extensions that must be understood (RFC
/// 7515 §4.1.11), unencoded payloads (RFC 7797 §7), encryption and compression (RFC 7516 §4.1).
const REFUSED: [&str; 4] = ["crit", "b64", "enc", "zip"];

/// The maximum number of members. Real headers have three to five.
const MAX_MEMBERS: usize = 19;

impl Header {
    /// Parses a header.
    ///
    /// # Errors
    /// The fault of a header that no access token has: not an object of unique members (RFC 7515
    /// §4), a member of the wrong type, or a member that changes the meaning of the token. Members
    /// that are skipped are parsed as strictly as claims: another parser may take the other one of
    /// two equal names inside.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Malformation> {
        let members =
            parse_object(json).map_err(|fault| Malformation::NotJson(Part::Header, fault))?;
        if let Some(name) = REFUSED.into_iter().find(|name| members.get(name).is_some()) {
            return Err(Malformation::Extension(name));
        }
        if members.iter().count() > MAX_MEMBERS {
            return Err(Malformation::TooManyMembers);
        }
        Ok(Self {
            algorithm: text(&members, "alg")?,
            key_id: text(&members, "kid")?,
            typ: text(&members, "typ")?,
        })
    }
}

fn text(members: &Claims, name: &'static str) -> Result<Option<Box<str>>, Malformation> {
    match members.get(name) {
        None => Ok(None),
        Some(Claim::Text(text)) => Ok(Some(text.clone())),
        Some(other) => Err(Malformation::Type {
            part: Part::Header,
            name,
            found: kind(other),
            wanted: "a string",
        }),
    }
}
