//! A token as the access log describes it.

use super::{BearerToken, Excerpt, Outline};
use crate::policy::SharedPrincipal;

/// The token of a request, as far as it was read.
#[derive(Clone, Debug)]
pub enum SeenToken {
    /// The signature verified.
    Verified(SharedPrincipal),
    /// The signature did not verify, or was not checked: anybody can have written the token.
    Unverified(Box<UnverifiedToken>),
}

/// What a token says of itself that helps to find out why it was refused, as beginnings of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedToken {
    /// `alg`
    pub algorithm: Option<Box<str>>,
    /// `typ`
    pub typ: Option<Box<str>>,
    /// `kid`
    pub key_id: Option<Box<str>>,
    /// `iss`
    pub issuer: Option<Box<str>>,
}

impl SeenToken {
    /// Describes a token without a check of its signature; `None` for a text that is no JWT.
    #[must_use]
    pub fn unverified(token: BearerToken<'_>) -> Option<Self> {
        let outline = Outline::of(token)?;
        Some(Self::Unverified(Box::new(UnverifiedToken {
            algorithm: bounded(outline.algorithm),
            typ: bounded(outline.typ),
            key_id: bounded(outline.key_id),
            issuer: bounded(outline.issuer),
        })))
    }
}

fn bounded(text: Option<Box<str>>) -> Option<Box<str>> {
    Some(Excerpt::of(&text?).into_text())
}
