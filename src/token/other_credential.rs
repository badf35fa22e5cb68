//! Requests whose `Authorization` field has no token for the route, but something else.

use std::fmt;

use super::Source;
use super::absence::write_places;

/// The schemes that are shown: those of IANA's registry, and others that services take. Another
/// word may be a part of a credential.
const SCHEMES: [&str; 26] = [
    "Basic",
    "Concealed",
    "Digest",
    "DPoP",
    "GNAP",
    "HOBA",
    "Mutual",
    "Negotiate",
    "NTLM",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "vapid",
    "AWS4-HMAC-SHA256",
    "ApiKey",
    "Api-Key",
    "GoogleLogin",
    "Hawk",
    "HMAC",
    "JWT",
    "Key",
    "MAC",
    "SharedAccessSignature",
    "SharedKey",
    "Token",
];

/// The scheme of a bearer token, in lower case.
const BEARER: &str = "bearer";

/// The content of an `Authorization` field in which the route finds no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherCredential {
    /// A word without a scheme, where the route takes `Bearer`. Set if it looks like a JWT.
    Bare(bool),
    /// Anything in quotation marks.
    Quoted,
    /// `Bearer:`, with a colon.
    Colon,
    /// `Bearer` with another character than a space after it.
    NoSpace,
    /// The scheme `Bearer`, where the route takes a token without a scheme.
    Bearer,
    /// Another scheme; `None` if it is none that is known, and may be something else.
    Scheme(Option<&'static str>),
    /// Any content, where the route does not look at the field, but in these places.
    Unused(Box<[Source]>),
}

impl OtherCredential {
    /// Describes the value of an `Authorization` field; `None` for an empty one.
    pub(super) fn of(value: &[u8], sources: &[Source]) -> Option<Self> {
        let text = str::from_utf8(value).unwrap_or_default().trim();
        if value.is_empty() {
            return None;
        }
        if !sources.iter().any(Source::is_authorization) {
            return Some(Self::Unused(sources.into()));
        }
        if text.starts_with(['"', '\'']) {
            return Some(Self::Quoted);
        }
        let Some((scheme, _)) = text.split_once(|char: char| char.is_ascii_whitespace()) else {
            return Some(of_one_word(text));
        };
        if scheme.eq_ignore_ascii_case(BEARER) {
            return Some(match sources.contains(&Source::Bearer) {
                true => Self::NoSpace,
                false => Self::Bearer,
            });
        }
        if is_bearer_with_colon(scheme) {
            return Some(Self::Colon);
        }
        let mut known = SCHEMES.into_iter();
        Some(Self::Scheme(
            known.find(|known| known.eq_ignore_ascii_case(scheme)),
        ))
    }
}

fn of_one_word(text: &str) -> OtherCredential {
    let scheme = text.split(':').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case(BEARER) {
        return if scheme.len() < text.len() {
            OtherCredential::Colon
        } else {
            OtherCredential::Bearer
        };
    }
    if starts_with_bearer(text) {
        return OtherCredential::NoSpace;
    }
    OtherCredential::Bare(text.split('.').count() == 3)
}

fn starts_with_bearer(text: &str) -> bool {
    let start = text.get(..BEARER.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(BEARER))
}

fn is_bearer_with_colon(scheme: &str) -> bool {
    let word = scheme.strip_suffix(':');
    word.is_some_and(|word| word.eq_ignore_ascii_case(BEARER))
}

impl fmt::Display for OtherCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the Authorization field has ")?;
        match self {
            Self::Bare(true) => f.write_str(
                "a JWT without the scheme Bearer: token_from = [\"authorization:raw\", \
                 \"authorization:bearer\"] accepts both",
            ),
            Self::Bare(false) => f.write_str("one word and no scheme Bearer"),
            Self::Quoted => f.write_str("a value in quotation marks"),
            Self::Colon => f.write_str("\"Bearer:\", whose colon does not belong to the scheme"),
            Self::NoSpace => f.write_str("\"Bearer\" without a space after it"),
            Self::Bearer => f.write_str(
                "the scheme Bearer, and this route takes a token without a scheme \
                 (authorization:raw)",
            ),
            Self::Scheme(Some(scheme)) => {
                write!(
                    f,
                    "the scheme {scheme}, with which this route takes no token"
                )
            }
            Self::Scheme(None) => f.write_str("a scheme with which this route takes no token"),
            Self::Unused(places) => {
                f.write_str("a credential, and this route takes its token elsewhere")?;
                write_places(f, places)
            }
        }
    }
}
