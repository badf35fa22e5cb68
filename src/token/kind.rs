//! The kinds of token, and the faults in the kind of one.

use std::borrow::Cow;
use std::fmt;

use super::excerpt::Excerpt;

/// The kind of token that the rules of an issuer, or of all issuers of a route, accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedKind {
    /// Access tokens.
    Access,
    /// ID tokens.
    Id,
    /// Tokens of both kinds.
    Any,
}

impl AcceptedKind {
    /// Returns the kind that several rules accept together; [`Self::Any`] for none.
    #[must_use]
    pub fn of_all(kinds: impl Iterator<Item = Self>) -> Self {
        let common = kinds.reduce(|all, one| if all == one { all } else { Self::Any });
        common.unwrap_or(Self::Any)
    }

    /// Returns a sentence about access tokens as one about this kind.
    #[must_use]
    pub fn in_place_of_access(self, sentence: &'static str) -> Cow<'static, str> {
        match self {
            Self::Access => sentence.into(),
            Self::Id => sentence.replace("access token", "ID token").into(),
            Self::Any => {
                let named = sentence.replace("an access token", "a token");
                named.replace("access token", "token").into()
            }
        }
    }

    /// Returns what a token of another kind is.
    #[must_use]
    pub fn contrary(self) -> &'static str {
        match self {
            Self::Access => "not an access token",
            Self::Id => "not an ID token",
            Self::Any => "neither an access token nor an ID token",
        }
    }
}

/// A token of another kind than the issuer's entry accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherKind {
    /// The kind that the entry accepts.
    pub accepted: AcceptedKind,
    /// The reason for which the token is not of that kind.
    pub fault: KindFault,
}

/// The reason for which a token is not of the kind that the issuer's entry accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindFault {
    /// `token_use` is absent or has another value.
    TokenUse {
        /// The value that it has.
        found: Option<Excerpt>,
        /// The value that the entry requires.
        wanted: Excerpt,
    },
    /// `typ` in the header is that of another kind of token.
    HeaderTyp(Excerpt),
    /// `typ` in the header is not `at+jwt`, which the entry requires.
    NotAtJwt(Option<Excerpt>),
    /// A claim that RFC 9068 requires is absent, `null`, or of another type.
    Rfc9068(&'static str),
    /// The claim `typ` is that of another kind of token, as Keycloak writes it.
    ClaimTyp(Excerpt),
    /// The token has a claim that only ID tokens have.
    IdToken(&'static str),
    /// The token has a `nonce`, and neither `scope` nor `scp` grants a scope.
    Nonce,
    /// The token reports a logout.
    Logout,
    /// The token has no claim that marks an access token.
    Unmarked,
}

impl KindFault {
    /// Writes the fault, with the texts of the token if they are shown.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, is_shown: bool) -> fmt::Result {
        match self {
            Self::TokenUse { found, wanted } => {
                write!(f, "the issuer's entry requires token_use {wanted}, and ")?;
                write_other(f, found.as_ref(), is_shown)
            }
            Self::HeaderTyp(_) if !is_shown => {
                f.write_str("\"typ\" in its header is that of another kind")
            }
            Self::HeaderTyp(typ) => write!(f, "\"typ\" in its header is {typ}"),
            Self::NotAtJwt(typ) => {
                f.write_str("the issuer's entry requires \"typ\" \"at+jwt\" in the header, and ")?;
                write_other(f, typ.as_ref(), is_shown)
            }
            Self::Rfc9068(name) => write!(
                f,
                "\"typ\" is at+jwt, which requires the claim \"{name}\" (RFC 9068 section 2.2)"
            ),
            Self::ClaimTyp(_) if !is_shown => {
                f.write_str("its claim \"typ\" is that of another kind")
            }
            Self::ClaimTyp(typ) => write!(f, "its claim \"typ\" is {typ}"),
            Self::IdToken(name) => write!(f, "it has \"{name}\", which only ID tokens have"),
            Self::Nonce => f.write_str(
                "it has \"nonce\" and no scope in \"scope\" or \"scp\", like an ID token",
            ),
            Self::Logout => f.write_str("its \"events\" report a logout"),
            Self::Unmarked => f.write_str(
                "it has neither a scope nor a client (an ID token has \"azp\" as well), and the \
                 issuer's entry does not say typ = \"untyped\"",
            ),
        }
    }
}

/// Writes what a token has instead of the value that it must have.
fn write_other(f: &mut fmt::Formatter<'_>, found: Option<&Excerpt>, is_shown: bool) -> fmt::Result {
    match found {
        Some(found) if is_shown => write!(f, "it is {found}"),
        Some(_) => f.write_str("it is another"),
        None => f.write_str("there is none"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::TokenError;
    use super::*;

    #[test]
    fn the_sentence_names_the_kind_that_is_accepted() {
        for (accepted, kind) in [
            (AcceptedKind::Access, "not an access token"),
            (AcceptedKind::Id, "not an ID token"),
            (AcceptedKind::Any, "neither an access token nor an ID token"),
        ] {
            let fault = KindFault::TokenUse {
                found: Some(Excerpt::of("x")),
                wanted: Excerpt::of("y"),
            };
            let other = OtherKind { accepted, fault };
            let sentence = TokenError::NotAccessToken(Box::new(other)).to_string();
            let begin = format!(
                "the token is {kind}: the issuer's entry requires token_use \"y\", and it is \"x\""
            );
            assert!(sentence.starts_with(&begin), "{sentence}");
        }
    }

    #[test]
    fn several_entries_accept_one_kind_or_any() {
        use AcceptedKind::{Access, Any, Id};
        for (kinds, expected) in [
            (&[Access][..], Access),
            (&[Id, Id], Id),
            (&[Id, Access], Any),
            (&[Any, Id], Any),
            (&[], Any),
        ] {
            assert_eq!(
                AcceptedKind::of_all(kinds.iter().copied()),
                expected,
                "{kinds:?}"
            );
        }
    }

    #[test]
    fn a_sentence_about_access_tokens_becomes_one_about_others() {
        let sentence = "This needs an access token, and no access token is here.";
        for (kind, expected) in [
            (AcceptedKind::Access, sentence),
            (
                AcceptedKind::Id,
                "This needs an ID token, and no ID token is here.",
            ),
            (
                AcceptedKind::Any,
                "This needs a token, and no token is here.",
            ),
        ] {
            assert_eq!(kind.in_place_of_access(sentence), expected);
        }
    }
}
