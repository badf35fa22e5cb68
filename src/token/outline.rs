//! The unverified content of a token, for operators that look for an error in it.

use super::jwt::Jwt;
use super::{BearerToken, TokenError};
use crate::policy::{Claim, ScopeSet};

/// The parts of a token that a decision depends on, as the token states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// `alg`
    pub algorithm: &'static str,
    /// `kid`
    pub key_id: Option<Box<str>>,
    /// `iss`
    pub issuer: Box<str>,
    /// `aud`; empty when it is absent.
    pub audience: Vec<Box<str>>,
    /// `client_id`, else `azp`, `appid` or `cid`.
    pub client: Option<Box<str>>,
    /// `token_use`
    pub token_use: Option<Box<str>>,
    /// `exp`, in seconds since 1970.
    pub expires: u64,
    /// `nbf`, in seconds since 1970.
    pub not_before: Option<u64>,
    /// `scope` and `scp`, as one string.
    pub scopes: String,
    /// `cnf`: the names of its members, with the values that are strings.
    pub confirmation: Option<String>,
}

impl Outline {
    /// Reads a token without a check of its signature.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] or [`TokenError::Algorithm`]
    pub fn of(token: BearerToken<'_>) -> Result<Self, TokenError> {
        let jwt = Jwt::parse(token.as_str()?)?;
        let scopes = ["scope", "scp"]
            .iter()
            .filter_map(|name| jwt.claims.get(name));
        Ok(Self {
            algorithm: jwt.algorithm.name(),
            confirmation: jwt.claims.get("cnf").map(members),
            scopes: ScopeSet::granted_by(scopes).to_string(),
            key_id: jwt.key_id,
            issuer: jwt.issuer,
            audience: jwt.registered.audience,
            client: jwt.registered.client,
            token_use: jwt.registered.token_use,
            expires: jwt.registered.expires,
            not_before: jwt.registered.not_before,
        })
    }
}

/// Lists the members of `cnf`.
fn members(claim: &Claim) -> String {
    let Claim::Map(members) = claim else {
        return "not an object".to_owned();
    };
    let mut text = String::new();
    for (name, value) in members.iter() {
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(name);
        if let Some(value) = value.as_text() {
            text.push(' ');
            text.push_str(value);
        }
    }
    text
}
