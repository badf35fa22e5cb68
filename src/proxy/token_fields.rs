//! The claims of a request's token that its line in the access log shows.

use crate::policy::{Claim, Principal};
use crate::telemetry::TokenFields;
use crate::token::{LoggedClaim, LoggedClaims, SeenToken, UnverifiedToken, client};

/// Returns the members of a line about a token; `None` if the line shows none of them.
pub(super) fn token_fields(token: &SeenToken, shown: LoggedClaims) -> Option<TokenFields<'_>> {
    if shown.is_empty() {
        return None;
    }
    let fields = match token {
        SeenToken::Verified(principal) => verified(principal, shown),
        SeenToken::Unverified(token) => unverified(token, shown),
    };
    (!fields.is_empty()).then_some(fields)
}

fn verified(principal: &Principal, shown: LoggedClaims) -> TokenFields<'_> {
    let claims = &principal.claims;
    let text = |claim, name| match shown.has(claim) {
        true => claims.get(name).and_then(Claim::as_text),
        false => None,
    };
    TokenFields {
        issuer: text(LoggedClaim::Issuer, "iss"),
        audience: match claims.get("aud").and_then(Claim::as_texts) {
            Some(audience) if shown.has(LoggedClaim::Audience) => audience,
            _ => Vec::new(),
        },
        client: client(claims).filter(|_| shown.has(LoggedClaim::Client)),
        key_id: principal
            .key_id
            .as_deref()
            .filter(|_| shown.has(LoggedClaim::KeyId)),
        jwt_id: text(LoggedClaim::JwtId, "jti"),
        scope: shown
            .has(LoggedClaim::Scope)
            .then(|| principal.scopes.to_string()),
        subject: text(LoggedClaim::Subject, "sub"),
        ..TokenFields::default()
    }
}

fn unverified(token: &UnverifiedToken, shown: LoggedClaims) -> TokenFields<'_> {
    TokenFields {
        is_unverified: true,
        algorithm: token.algorithm.as_deref(),
        typ: token.typ.as_deref(),
        issuer: token
            .issuer
            .as_deref()
            .filter(|_| shown.has(LoggedClaim::Issuer)),
        key_id: token
            .key_id
            .as_deref()
            .filter(|_| shown.has(LoggedClaim::KeyId)),
        ..TokenFields::default()
    }
}
