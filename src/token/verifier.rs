//! The verification of bearer tokens: from a token to an identity.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cache::{CacheResult, Hot, VerifiedToken, WorkerCache};
use super::claims::Registered;
use super::jwt::{Jwt, Typ};
use super::{Audience, BearerToken, Rules, TokenError, TypPolicy};
use crate::clock::UnixTime;
use crate::issuer::{Issuer, KeyError};
use crate::net::{Fingerprint, Peer};
use crate::policy::{Claim, Claims, Identity, Principal, ScopeSet};

/// The claims that an access token of RFC 9068 §2.2 has.
const RFC_9068_CLAIMS: [&str; 7] = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];

/// The claims that only ID tokens have (OpenID Connect Core §2, §3.3.2.11), which bind them to a
/// login.
const ID_TOKEN_CLAIMS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// The claims that mark an access token of an issuer that does not type its tokens: they state the
/// scope of the access, or the client that has it. One of them is enough. An ID token has none of
/// them but `azp`, which is therefore not listed. `cid` is Okta's, `appid` and `roles` are Entra's.
const ACCESS_TOKEN_CLAIMS: [&str; 7] = [
    "scope",
    "scp",
    "client_id",
    "cid",
    "appid",
    "roles",
    "permissions",
];

/// An issuer and the rules for its tokens. A reload that changes either makes a new verifier, and
/// tokens that the old one verified are verified again.
#[derive(Debug)]
pub struct Verifier {
    id: u64,
    issuer: Arc<Issuer>,
    rules: Rules,
}

/// The facts of a request that the claims of its token are checked against, besides the rules of
/// its issuer.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The time of the request.
    pub now: UnixTime,
    /// The verified client certificate of the request's connection.
    pub certificate: Option<&'a Fingerprint>,
    /// The other end of the connection; `None` if there is no connection. No claim is checked
    /// against it; it tells whether the request came from a trusted proxy.
    pub peer: Option<&'a Peer>,
}

impl RequestContext<'_> {
    /// Returns the context of a token that is checked at this time, without a connection or a
    /// certificate.
    #[must_use]
    pub const fn at(now: UnixTime) -> Self {
        Self {
            now,
            certificate: None,
            peer: None,
        }
    }
}

/// The refusal of a token.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The error of the token.
    pub error: TokenError,
    /// The name of the issuer that the token is of, or claims to be of, if it is one of the route's
    /// issuers.
    pub issuer: Option<Arc<str>>,
}

impl From<TokenError> for Rejection {
    fn from(error: TokenError) -> Self {
        Self {
            error,
            issuer: None,
        }
    }
}

impl Verifier {
    /// Makes a verifier with an identity of its own.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, rules: Rules) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            issuer,
            rules,
        }
    }

    /// Returns the issuer's name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.issuer.entry().name
    }

    /// Returns the issuer.
    #[must_use]
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Returns the rules for the issuer's tokens.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Makes all checks but that of the signature, which are the same for a token that was verified
    /// now and one from the cache.
    fn check_claims(
        &self,
        token: &VerifiedToken,
        context: RequestContext<'_>,
    ) -> Result<(), TokenError> {
        let leeway = self.rules.leeway.as_secs();
        let RequestContext {
            now, certificate, ..
        } = context;
        let Registered {
            expires,
            not_before,
            audience,
            client,
            token_use,
            confirmation,
        } = &token.registered;
        if now.0 >= expires.saturating_add(leeway) {
            return Err(TokenError::Expired);
        }
        if not_before.is_some_and(|start| now.0.saturating_add(leeway) < start) {
            return Err(TokenError::NotYetValid);
        }
        let wrong_use = self.rules.token_use.is_some() && self.rules.token_use != *token_use;
        if wrong_use || !token.is_right_kind {
            return Err(TokenError::NotAccessToken);
        }
        if let Audience::OneOf(ours) = &self.rules.audience
            && !ours.iter().any(|one| audience.contains(one))
        {
            return Err(TokenError::Audience);
        }
        let clients = &self.rules.client_ids;
        if !clients.is_empty()
            && client
                .as_ref()
                .is_none_or(|client| !clients.contains(client))
        {
            return Err(TokenError::Client);
        }
        let claims = &token.principal.claims;
        if !self
            .rules
            .required_claims
            .iter()
            .all(|required| required.is_met(claims))
        {
            return Err(TokenError::RequiredClaim);
        }
        confirmation.check(certificate)
    }

    /// Returns whether the token is of the kind that the issuer's entry accepts: an access token,
    /// unless the entry asks for ID tokens by name. The cache keeps the result, since it cannot
    /// change while the entry lives.
    fn is_right_kind(&self, typ: Typ, claims: &Claims) -> bool {
        let has = |name: &&str| claims.get(name).is_some();
        let says_something =
            |name: &&str| claims.get(name).is_some_and(|claim| *claim != Claim::Null);
        let says = |typ: &str| claims.get("typ").and_then(Claim::as_text) == Some(typ);
        let wants_id_tokens = self.rules.token_use.as_deref() == Some("id");
        match (typ, self.rules.typ) {
            (Typ::Other, _) => false,
            (Typ::Untyped, _) if wants_id_tokens => true,
            (Typ::AtJwt, TypPolicy::AtJwt) => RFC_9068_CLAIMS.iter().all(says_something),
            (Typ::AtJwt, _) => true,
            (Typ::Untyped, TypPolicy::AtJwt) => false,
            // Keycloak states the type in the claims, and some of its access tokens have a nonce.
            (Typ::Untyped, _) if says("Bearer") => true,
            (Typ::Untyped, _) if says("ID") || ID_TOKEN_CLAIMS.iter().any(has) => false,
            (Typ::Untyped, TypPolicy::Access) => {
                let scoped = self
                    .rules
                    .scope_claims
                    .iter()
                    .any(|path| claims.find(path).is_some());
                scoped || ACCESS_TOKEN_CLAIMS.iter().any(has)
            }
            (Typ::Untyped, TypPolicy::Untyped) => true,
        }
    }

    async fn verify(&self, text: &str, jwt: Jwt<'_>) -> Result<VerifiedToken, TokenError> {
        if !self.issuer.entry().algorithms.contains(&jwt.algorithm) {
            return Err(TokenError::Algorithm);
        }
        let key = self
            .issuer
            .key(jwt.key_id.as_deref(), jwt.algorithm)
            .await
            .map_err(|error| match error {
                KeyError::Unknown => TokenError::UnknownKey,
                KeyError::Unavailable { retry_after } => {
                    TokenError::KeysUnavailable { retry_after }
                }
            })?;
        if !key.verify(jwt.algorithm, jwt.message, jwt.signature) {
            return Err(TokenError::Signature);
        }
        let is_right_kind = self.is_right_kind(jwt.typ, &jwt.claims);
        let scopes = self.scopes(&jwt.claims);
        let principal = Principal {
            issuer: self.name().clone(),
            scopes,
            claims: jwt.claims,
        };
        Ok(VerifiedToken {
            text: text.into(),
            verifier: self.id,
            key,
            without_kid: jwt.key_id.is_none().then_some(jwt.algorithm),
            registered: jwt.registered,
            is_right_kind,
            principal: Arc::new(principal),
        })
    }

    /// Returns whether a new verification of the token would find the same key. The key of a `kid`
    /// stays the same while it lives; a token without a `kid` is refused once the issuer has a
    /// second key that it could name.
    fn finds_its_key(&self, token: &VerifiedToken) -> bool {
        token.without_kid.is_none_or(|algorithm| {
            self.issuer
                .find(None, algorithm)
                .is_some_and(|key| Arc::ptr_eq(&key, &token.key))
        })
    }

    /// Returns the scopes of all scope claims. A claim that is neither a string nor a list of
    /// strings grants nothing.
    fn scopes(&self, claims: &Claims) -> ScopeSet {
        ScopeSet::granted_by(
            self.rules
                .scope_claims
                .iter()
                .filter_map(|path| claims.find(path)),
        )
    }
}

/// Establishes the caller's identity from a token of one of `verifiers`. No other function calls
/// [`Identity::verified`].
///
/// # Errors
/// [`Rejection`]
pub async fn authenticate(
    verifiers: &[Arc<Verifier>],
    token: BearerToken<'_>,
    max_bytes: usize,
    cache: Option<&WorkerCache>,
    context: RequestContext<'_>,
) -> Result<(Identity, CacheResult), Rejection> {
    if token.as_bytes().len() > max_bytes {
        return Err(TokenError::TooLong.into());
    }
    let (cached, found) = cache.map_or((None, CacheResult::Miss), |cache| {
        cache.find(token.as_bytes())
    });
    let known = cached.and_then(|hot| {
        let verifier = verifiers
            .iter()
            .find(|verifier| verifier.id == hot.token.verifier)?;
        verifier
            .finds_its_key(&hot.token)
            .then_some((verifier, hot, found))
    });
    let (verifier, hot, result) = match known {
        Some(known) => known,
        None => {
            // Boxed, because the rarely used state of a verification would enlarge the future of
            // every request.
            let (verifier, hot) = Box::pin(verified(verifiers, token)).await?;
            if let Some(cache) = cache {
                cache.keep(&hot);
            }
            (verifier, hot, CacheResult::Miss)
        }
    };
    verifier
        .check_claims(&hot.token, context)
        .map_err(|error| verifier.rejection(error))?;
    Ok((Identity::verified(hot.principal), result))
}

/// Verifies a token's signature with the one of `verifiers` that its `iss` names, and returns that
/// verifier with the token.
async fn verified<'v>(
    verifiers: &'v [Arc<Verifier>],
    token: BearerToken<'_>,
) -> Result<(&'v Arc<Verifier>, Hot), Rejection> {
    let text = token.as_str()?;
    let jwt = Jwt::parse(text)?;
    let named = |verifier: &&Arc<Verifier>| *verifier.issuer.entry().issuer == *jwt.issuer;
    let verifier = verifiers
        .iter()
        .find(named)
        .ok_or(TokenError::UnknownIssuer)?;
    let verified = verifier
        .verify(text, jwt)
        .await
        .map_err(|error| verifier.rejection(error))?;
    Ok((verifier, Hot::new(Arc::new(verified))))
}

impl Verifier {
    fn rejection(&self, error: TokenError) -> Rejection {
        Rejection {
            error,
            issuer: Some(self.name().clone()),
        }
    }
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
