//! The faults in the kind of a token.

use std::fmt;

use super::excerpt::Excerpt;

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
    /// Returns whether the issuer's entry accepts ID tokens.
    #[must_use]
    pub fn wants_id_token(&self) -> bool {
        matches!(self, Self::TokenUse { wanted, .. } if wanted.is("id"))
    }

    /// Returns the kind of token that the issuer's entry accepts.
    pub(super) fn wanted(&self) -> &'static str {
        match self.wants_id_token() {
            true => "ID token",
            false => "access token",
        }
    }

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
        let fault = |found: &str, wanted: &str| {
            let found = Some(Excerpt::of(found));
            let wanted = Excerpt::of(wanted);
            TokenError::NotAccessToken(Box::new(KindFault::TokenUse { found, wanted })).to_string()
        };
        for (found, wanted, kind) in [
            ("id", "access", "access token"),
            ("access", "id", "ID token"),
            ("access", "m2m", "access token"),
        ] {
            let sentence = fault(found, wanted);
            let begin = format!(
                "the token is not an {kind}: the issuer's entry requires token_use \"{wanted}\", and it is "
            );
            assert!(sentence.starts_with(&begin), "{sentence}");
        }
    }
}
