//! The errors of a request's token, with what was found and what was expected.

use std::fmt::{self, Display as _};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::absence::Absence;
use super::excerpt::{Excerpt, Excerpts, ShownClaim};
use super::kind::OtherKind;
use super::logged_claims::{LoggedClaim, LoggedClaims};
use super::malformation::Malformation;
use super::other_credential::OtherCredential;
use super::placeholder::Placeholder;
use crate::clock::UnixTime;
use crate::telemetry::Verification;

/// The reason for which a token does not authenticate its request.
///
/// `Display` writes a sentence for operators, in one line of bounded length. The client never gets
/// it. The values are copied only when a token is refused, and are small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// There is no token in the places where the route looks for one.
    Missing(Box<Absence>),
    /// There is no token, but the `Authorization` field has something else.
    WrongScheme(Box<OtherCredential>),
    /// The request has more than one token (RFC 6750 §3.1 `invalid_request`).
    Several,
    /// The token is longer than the limit.
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The client sends a placeholder in place of a token.
    Placeholder(Placeholder),
    /// The token is no JWT: only its issuer can read it.
    Opaque,
    /// The token is encrypted (RFC 7516).
    Encrypted,
    /// The token is not a JWS in compact serialization with a JSON object of claims (RFC 7515
    /// §3.1), has critical extensions, or lacks a claim that every token needs.
    Malformed(Box<Malformation>),
    /// The issuer may not use the algorithm in `alg`.
    Algorithm(Box<WrongAlgorithm>),
    /// `iss` is not one of the route's issuers.
    UnknownIssuer(Box<OtherIssuer>),
    /// No key of the issuer has this `kid` and algorithm.
    UnknownKey(Box<AbsentKey>),
    /// The signature does not verify with the key.
    Signature(Box<WrongSignature>),
    /// The issuer's keys are not available, which is not the caller's fault.
    KeysUnavailable {
        /// The time after which a retry is worthwhile.
        retry_after: Duration,
    },
    /// `exp` has passed.
    Expired {
        /// `exp`
        at: UnixTime,
        /// The time of the request.
        now: UnixTime,
    },
    /// `nbf` is in the future.
    NotYetValid {
        /// `nbf`
        from: UnixTime,
        /// The time of the request.
        now: UnixTime,
    },
    /// The audience is not this API.
    Audience(Box<WrongAudience>),
    /// The client is none of those whose tokens are accepted.
    Client(Box<Mismatch>),
    /// `token_use`, `typ`, or the other claims show that it is not of the kind that the issuer's
    /// entry accepts, which is mostly an access token.
    NotAccessToken(Box<OtherKind>),
    /// A claim that the issuer's entry requires is absent or has another value.
    RequiredClaim(Box<UnmetClaim>),
    /// `cnf`: the token is bound to a key whose possession is not checked here (RFC 7800 §3.1).
    SenderConstrained,
    /// `cnf`: the token is bound to a client certificate that the connection does not have (RFC
    /// 8705 §3). Set if the connection has another one.
    ClientCertificate {
        /// Set if the connection has a client certificate, which is another one.
        has_other: bool,
    },
}

/// An algorithm that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongAlgorithm {
    /// `alg`
    pub found: Excerpt,
    /// The algorithms of the issuer's entry; empty if no issuer may use the algorithm.
    pub allowed: Vec<&'static str>,
}

/// An `iss` that is none of the route's issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherIssuer {
    /// `iss`
    pub found: Excerpt,
    /// The issuers of the route.
    pub accepted: Excerpts,
    /// The issuer of the route that differs by a final slash or by case only.
    pub near: Option<NearMiss>,
    /// The names of the configuration's other entries that have this `iss`.
    pub elsewhere: Vec<Arc<str>>,
}

/// A key that the issuer does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentKey {
    /// `kid`
    pub key_id: Option<Excerpt>,
    /// `alg`
    pub algorithm: &'static str,
    /// The key ids that the issuer has.
    pub present: Excerpts,
    /// The algorithms of the keys that have the `kid`; empty if there are none.
    pub others: Vec<&'static str>,
}

/// A signature that is not the issuer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSignature {
    /// The `kid` of the key; `None` if it has none, or if several were tried.
    pub key_id: Option<Excerpt>,
    /// Set if several keys were tried.
    pub is_of_none: bool,
    /// `alg`
    pub algorithm: &'static str,
}

/// The values that a token has, and those of which it must have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The values of the token; empty if it has none.
    pub found: Excerpts,
    /// The values of the issuer's entry.
    pub wanted: Excerpts,
    /// The one of them from which a value of the token hardly differs.
    pub near: Option<NearMiss>,
}

/// An audience that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongAudience {
    /// The claim that names the audience; all claims that may, if the token has none of them.
    pub claims: Vec<Box<str>>,
    /// The audiences of the token, and those that are accepted.
    pub mismatch: Mismatch,
}

/// An accepted text from which a text of the token hardly differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The accepted text.
    wanted: Excerpt,
    /// The difference.
    by: &'static str,
}

impl NearMiss {
    /// Finds the accepted text; `None` if each one differs by more.
    pub(super) fn find<'t>(
        found: &str,
        accepted: impl IntoIterator<Item = &'t str>,
    ) -> Option<Self> {
        for wanted in accepted {
            let by = if differs_by_slash(wanted, found) {
                "the final slash"
            } else if wanted.eq_ignore_ascii_case(found) {
                "upper and lower case"
            } else {
                continue;
            };
            let wanted = Excerpt::of(wanted);
            return Some(Self { wanted, by });
        }
        None
    }
}

fn differs_by_slash(one: &str, other: &str) -> bool {
    one.strip_suffix('/') == Some(other) || other.strip_suffix('/') == Some(one)
}

/// A required claim that the token does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetClaim {
    /// The name or path of the claim.
    pub claim: Box<str>,
    /// The value that the token has.
    pub found: Option<ShownClaim>,
    /// The accepted values; `None` if the claim only has to be there.
    pub wanted: Option<ShownClaim>,
}

impl From<Malformation> for TokenError {
    fn from(malformation: Malformation) -> Self {
        Self::Malformed(Box::new(malformation))
    }
}

impl TokenError {
    /// Returns the result of the verification in metrics.
    #[must_use]
    pub fn verification(&self) -> Verification {
        match self {
            Self::Missing(_) => Verification::Missing,
            Self::WrongScheme(_) => Verification::WrongScheme,
            Self::Several => Verification::Several,
            Self::TooLong { .. } => Verification::TooLong,
            Self::Placeholder(_) => Verification::Placeholder,
            Self::Opaque => Verification::Opaque,
            Self::Encrypted => Verification::Encrypted,
            Self::Malformed(_) => Verification::Malformed,
            Self::Algorithm(_) => Verification::Algorithm,
            Self::UnknownIssuer(_) => Verification::UnknownIssuer,
            Self::UnknownKey(_) => Verification::UnknownKey,
            Self::Signature(_) => Verification::Signature,
            Self::KeysUnavailable { .. } => Verification::KeysUnavailable,
            Self::Expired { .. } => Verification::Expired,
            Self::NotYetValid { .. } => Verification::NotYetValid,
            Self::Audience(_) => Verification::Audience,
            Self::Client(_) => Verification::Client,
            Self::NotAccessToken(_) => Verification::NotAccessToken,
            Self::RequiredClaim(_) => Verification::RequiredClaim,
            Self::SenderConstrained => Verification::SenderConstrained,
            Self::ClientCertificate { .. } => Verification::ClientCertificate,
        }
    }

    /// Returns the sentence for operators with those values of the token that `shown` has.
    pub fn sentence(&self, shown: LoggedClaims) -> impl fmt::Display {
        Sentence { error: self, shown }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentence(LoggedClaims::ALL).fmt(f)
    }
}

/// The sentence of an error, with the values that it may show.
struct Sentence<'e> {
    error: &'e TokenError,
    shown: LoggedClaims,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shown;
        match self.error {
            TokenError::Missing(absence) => absence.fmt(f),
            TokenError::WrongScheme(other) => other.fmt(f),
            TokenError::Several => f.write_str("the request holds more than one token"),
            TokenError::TooLong { bytes, limit } => write!(
                f,
                "the token has {bytes} bytes, more than the {limit} of \"token_bytes\""
            ),
            TokenError::Placeholder(placeholder) => placeholder.fmt(f),
            TokenError::Opaque => f.write_str(
                "the token is opaque and not a JWT: let the issuer issue JWTs to this client",
            ),
            TokenError::Encrypted => f.write_str(
                "the token is encrypted (five parts): let the issuer sign its tokens only",
            ),
            TokenError::Malformed(malformation) => {
                f.write_str("the token ")?;
                malformation.write(f, !shown.is_empty())
            }
            TokenError::Algorithm(wrong) => wrong.write(f, !shown.is_empty()),
            TokenError::UnknownIssuer(other) => other.write(f, shown.has(LoggedClaim::Issuer)),
            TokenError::UnknownKey(absent) => absent.write(f, shown),
            TokenError::Signature(wrong) => wrong.write(f, shown),
            TokenError::KeysUnavailable { .. } => {
                f.write_str("the issuer's keys are not available")
            }
            TokenError::Expired { .. } if shown.is_empty() => f.write_str("the token has expired"),
            TokenError::NotYetValid { .. } if shown.is_empty() => {
                f.write_str("the token is not valid yet")
            }
            TokenError::Expired { at, now } => {
                let ago = elapsed(*at, *now);
                write!(f, "the token expired {ago} ago, at {}", Moment(*at))
            }
            TokenError::NotYetValid {
                from: UnixTime(from),
                ..
            } if MILLISECONDS.contains(from) => write!(
                f,
                "the token's nbf is {from}, which looks like milliseconds and must be seconds"
            ),
            TokenError::NotYetValid { from, now } => {
                let left = elapsed(*now, *from);
                write!(f, "the token is valid in {left}, from {}", Moment(*from))
            }
            TokenError::Audience(wrong) => wrong.write(f, shown),
            TokenError::Client(mismatch) => {
                mismatch.write(f, "client", shown.has(LoggedClaim::Client))
            }
            TokenError::NotAccessToken(other) => {
                write!(f, "the token is {}: ", other.accepted.contrary())?;
                other.fault.write(f, !shown.is_empty())
            }
            TokenError::RequiredClaim(unmet) => unmet.write(f, shown.has_compared(&unmet.claim)),
            TokenError::SenderConstrained => {
                f.write_str("the token is bound to a key (\"cnf\") whose possession is not checked")
            }
            TokenError::ClientCertificate { has_other } => {
                let has = if *has_other { "another" } else { "none" };
                write!(
                    f,
                    "the token is bound to a client certificate, and the connection has {has}"
                )
            }
        }
    }
}

impl WrongAlgorithm {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_shown: bool) -> fmt::Result {
        f.write_str("the token's alg is ")?;
        match is_shown {
            true => self.found.fmt(f)?,
            false => f.write_str("another")?,
        }
        if self.allowed.is_empty() {
            return f.write_str(", which no issuer may use");
        }
        let allowed = self.allowed.join(", ");
        write!(f, ", and the issuer's entry allows {allowed}")
    }
}

impl OtherIssuer {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_shown: bool) -> fmt::Result {
        f.write_str("the token's iss ")?;
        if is_shown {
            write!(f, "{} ", self.found)?;
        }
        if let Some(NearMiss { wanted, by }) = &self.near {
            return write!(f, "differs by {by} only from the route's issuer {wanted}");
        }
        write!(f, "is none of the route's issuers: {}", self.accepted)?;
        match self.elsewhere.as_slice() {
            [] => Ok(()),
            [name] => write!(f, "; it is that of the issuer \"{name}\" of other routes"),
            names => {
                let names = names.join("\", \"");
                write!(f, "; it is that of the issuers \"{names}\" of other routes")
            }
        }
    }
}

impl AbsentKey {
    fn write(&self, f: &mut fmt::Formatter<'_>, shown: LoggedClaims) -> fmt::Result {
        match &self.key_id {
            Some(_) => f.write_str("no key of the issuer has the token's kid")?,
            None => f.write_str("the token has no kid, and the issuer has not one key")?,
        }
        if let Some(key_id) = shown_key_id(&self.key_id, shown) {
            write!(f, " {key_id}")?;
        }
        let before_alg = if self.key_id.is_some() { "and" } else { "for" };
        match shown.is_empty() {
            true => write!(f, " {before_alg} its alg")?,
            false => write!(f, " {before_alg} alg {}", self.algorithm)?,
        }
        if !self.others.is_empty() {
            let others = self.others.join(", ");
            return write!(f, ": the key with this kid is for {others}");
        }
        if self.present.is_empty() {
            return f.write_str("; the issuer's keys have no kid");
        }
        write!(f, "; the issuer has {}", self.present)
    }
}

impl WrongSignature {
    fn write(&self, f: &mut fmt::Formatter<'_>, shown: LoggedClaims) -> fmt::Result {
        f.write_str(match self.is_of_none {
            true => "the token's signature is that of none of the issuer's keys",
            false => "the token's signature is not that of the issuer's key",
        })?;
        if let Some(key_id) = shown_key_id(&self.key_id, shown) {
            write!(f, " {key_id}")?;
        }
        match shown.is_empty() {
            true => Ok(()),
            false => write!(f, " for {}", self.algorithm),
        }
    }
}

/// Returns a key id that the log may show.
fn shown_key_id(key_id: &Option<Excerpt>, shown: LoggedClaims) -> Option<&Excerpt> {
    key_id.as_ref().filter(|_| shown.has(LoggedClaim::KeyId))
}

impl Mismatch {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str, is_shown: bool) -> fmt::Result {
        if self.found.is_empty() {
            write!(f, "the token has no {name}")?;
        } else if is_shown {
            write!(f, "the token's {name} is {}", self.found)?;
        } else {
            write!(f, "the token's {name} is another")?;
        }
        write!(f, ", and the issuer's entry accepts {}", self.wanted)?;
        match &self.near {
            Some(NearMiss { wanted, by }) if is_shown => {
                write!(f, ": it differs from {wanted} by {by} only")
            }
            _ => Ok(()),
        }
    }
}

impl WrongAudience {
    fn write(&self, f: &mut fmt::Formatter<'_>, shown: LoggedClaims) -> fmt::Result {
        let is_shown = self.claims.iter().all(|claim| shown.has_audience(claim));
        self.mismatch
            .write(f, &self.claims.join(" and no "), is_shown)
    }
}

impl UnmetClaim {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_shown: bool) -> fmt::Result {
        write!(f, "the required claim \"{}\" is ", self.claim)?;
        match &self.found {
            None => f.write_str("absent")?,
            Some(found) if is_shown => found.fmt(f)?,
            Some(_) => f.write_str("another")?,
        }
        match &self.wanted {
            Some(wanted) => write!(f, ", and the issuer's entry accepts {wanted}"),
            None => Ok(()),
        }
    }
}

/// The times that are in milliseconds rather than in seconds: after the year 5000 in seconds, and
/// from 1973 to 5138 in milliseconds.
const MILLISECONDS: Range<u64> = 100_000_000_000..100_000_000_000_000;

/// A time as a date, as far as there is one.
struct Moment(UnixTime);

/// The end of the year 9999. Later times cannot be formatted as a date.
const LAST_DATE: u64 = 253_402_300_799;

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnixTime(seconds) = self.0;
        if seconds > LAST_DATE {
            return write!(f, "{seconds}, after the year 9999");
        }
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).fmt(f)
    }
}

/// Returns the time between two moments, in words.
fn elapsed(from: UnixTime, to: UnixTime) -> impl fmt::Display {
    humantime::format_duration(Duration::from_secs(to.0.saturating_sub(from.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Claim;

    fn key(key_id: Option<&str>, present: &[&str], others: &[&'static str]) -> TokenError {
        TokenError::UnknownKey(Box::new(AbsentKey {
            key_id: key_id.map(Excerpt::of),
            algorithm: "RS256",
            present: Excerpts::of(present.iter().copied()),
            others: others.to_vec(),
        }))
    }

    #[test]
    fn a_missing_key_is_told_with_those_that_are_there() {
        let none = "no key of the issuer has the token's kid \"a\" and alg RS256";
        for (error, expected) in [
            (
                key(Some("a"), &["b", "c"], &[]),
                format!("{none}; the issuer has \"b\", \"c\""),
            ),
            (
                key(Some("a"), &["a"], &["ES256", "ES384"]),
                format!("{none}: the key with this kid is for ES256, ES384"),
            ),
            (
                key(None, &[], &[]),
                "the token has no kid, and the issuer has not one key for alg RS256; \
                 the issuer's keys have no kid"
                    .to_owned(),
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
        let hidden = key(Some("a"), &["b"], &[])
            .sentence(LoggedClaims::NONE)
            .to_string();
        let expected = "no key of the issuer has the token's kid and its alg; the issuer has \"b\"";
        assert_eq!(hidden, expected);
    }

    #[test]
    fn a_value_that_hardly_differs_is_told_with_the_difference() {
        let error = |found: &str| {
            let near = NearMiss::find(found, ["https://api.test"]);
            let (found, wanted) = (Excerpts::of([found]), Excerpts::of(["https://api.test"]));
            TokenError::Client(Box::new(Mismatch {
                found,
                wanted,
                near,
            }))
        };
        let accepts = "and the issuer's entry accepts \"https://api.test\"";
        for (found, by) in [
            ("https://api.test/", "the final slash"),
            ("https://API.test", "upper and lower case"),
        ] {
            let expected = format!(
                "the token's client is \"{found}\", {accepts}: it differs from \
                 \"https://api.test\" by {by} only"
            );
            assert_eq!(error(found).to_string(), expected);
            let hidden = error(found).sentence(LoggedClaims::NONE).to_string();
            assert_eq!(hidden, format!("the token's client is another, {accepts}"));
        }
        let far = format!("the token's client is \"other\", {accepts}");
        assert_eq!(error("other").to_string(), far);
    }

    #[test]
    fn a_required_claim_is_told_as_it_was_found() {
        let text = |text: &str| ShownClaim::of(&Claim::Text(text.into()));
        for (found, wanted, expected) in [
            (None, None, "absent"),
            (
                None,
                Some(text("a")),
                "absent, and the issuer's entry accepts \"a\"",
            ),
            (
                Some(text("b")),
                Some(text("a")),
                "\"b\", and the issuer's entry accepts \"a\"",
            ),
        ] {
            let error = TokenError::RequiredClaim(Box::new(UnmetClaim {
                claim: "tenant".into(),
                found,
                wanted,
            }));
            let expected = format!("the required claim \"tenant\" is {expected}");
            assert_eq!(error.to_string(), expected);
        }
    }
}

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod sentence_tests;
