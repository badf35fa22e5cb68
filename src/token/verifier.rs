//! The verification of bearer tokens: from a token to an identity.

use std::sync::Arc;

use super::cache::{HotToken, VerifiedToken, WorkerCache};
use super::claims::Registered;
use super::jwt::{Jwt, Typ};
use super::verifier_id::VerifierId;
use super::{BearerToken, Rules, TokenError, TypPolicy};
use crate::clock::UnixTime;
use crate::issuer::{Issuer, KeyError};
use crate::policy::{Claim, Claims, Identity, Principal, ScopeSet};
use crate::telemetry::CacheResult;
use crate::tls::Fingerprint;

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
    id: VerifierId,
    issuer: Arc<Issuer>,
    rules: Rules,
}

/// The facts of a request that the claims of its token are checked against, besides the rules of
/// its issuer: the time, and the client's certificate.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The time of the request.
    pub now: UnixTime,
    /// The verified client certificate of the request's connection.
    pub certificate: Option<&'a Fingerprint>,
}

impl RequestContext<'_> {
    /// Returns the context of a token that is checked at this time, without a certificate.
    #[must_use]
    pub const fn at(now: UnixTime) -> Self {
        Self {
            now,
            certificate: None,
        }
    }
}

/// The caller that a token authenticates.
#[derive(Clone, Debug)]
pub struct Authenticated<'v> {
    /// The identity of the caller.
    pub identity: Identity,
    /// The verifier of the token.
    pub verifier: &'v Verifier,
    /// The level of the cache that held the verified token.
    pub cache: CacheResult,
}

/// The refusal of a token.
#[derive(Clone, Copy, Debug)]
pub struct Rejection<'v> {
    /// The error of the token.
    pub error: TokenError,
    /// The verifier of the issuer that the token is of, or claims to be of; `None` if none of the
    /// route's issuers is.
    pub verifier: Option<&'v Verifier>,
}

impl From<TokenError> for Rejection<'_> {
    fn from(error: TokenError) -> Self {
        Self {
            error,
            verifier: None,
        }
    }
}

impl Verifier {
    /// Makes a verifier with an identity of its own.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, rules: Rules) -> Self {
        Self {
            id: VerifierId::next(),
            issuer,
            rules,
        }
    }

    /// Returns the number of the verifier.
    #[must_use]
    pub fn id(&self) -> VerifierId {
        self.id
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
        let rules = &self.rules;
        let registered = &token.registered;
        self.check_time(registered, context.now)?;
        let is_wrong_use = rules.token_use.is_some() && rules.token_use != registered.token_use;
        if is_wrong_use || !token.is_right_kind {
            return Err(TokenError::NotAccessToken);
        }
        if !rules.audience.is_named_by(&registered.audience) {
            return Err(TokenError::Audience);
        }
        if !rules.accepts_client(registered.client.as_deref()) {
            return Err(TokenError::Client);
        }
        for required in &rules.required_claims {
            if !required.is_met(&token.principal.claims) {
                return Err(TokenError::RequiredClaim);
            }
        }
        registered.confirmation.check(context.certificate)
    }

    fn check_time(&self, registered: &Registered, now: UnixTime) -> Result<(), TokenError> {
        let leeway = self.rules.leeway.as_secs();
        if now.0 >= registered.expires.saturating_add(leeway) {
            return Err(TokenError::Expired);
        }
        match registered.not_before {
            Some(start) if now.0.saturating_add(leeway) < start => Err(TokenError::NotYetValid),
            _ => Ok(()),
        }
    }

    /// Returns whether the token is of the kind that the issuer's entry accepts: an access token,
    /// unless the entry asks for ID tokens by name. The cache keeps the result, since it cannot
    /// change while the entry lives.
    fn is_right_kind(&self, typ: Typ, claims: &Claims) -> bool {
        match typ {
            Typ::Other => false,
            Typ::Untyped => self.accepts_untyped(claims),
            Typ::AtJwt if self.rules.typ == TypPolicy::AtJwt => has_rfc_9068_claims(claims),
            Typ::AtJwt => true,
        }
    }

    /// Returns whether a token without a type is of the kind that the issuer's entry accepts.
    fn accepts_untyped(&self, claims: &Claims) -> bool {
        if self.rules.token_use.as_deref() == Some("id") {
            return true;
        }
        if self.rules.typ == TypPolicy::AtJwt {
            return false;
        }
        match claims.get("typ").and_then(Claim::as_text) {
            // Keycloak states the type in the claims, and some of its access tokens have a nonce.
            Some("Bearer") => return true,
            Some("ID") => return false,
            _ => {}
        }
        if has_any(claims, &ID_TOKEN_CLAIMS) {
            return false;
        }
        match self.rules.typ {
            TypPolicy::Untyped => true,
            TypPolicy::AtJwt | TypPolicy::Access => {
                self.has_scope_claim(claims) || has_any(claims, &ACCESS_TOKEN_CLAIMS)
            }
        }
    }

    fn has_scope_claim(&self, claims: &Claims) -> bool {
        let paths = &self.rules.scope_claims;
        paths.iter().any(|path| claims.find(path).is_some())
    }

    async fn verify(&self, text: &str, jwt: Jwt<'_>) -> Result<VerifiedToken, TokenError> {
        if !self.issuer.entry().algorithms.contains(&jwt.algorithm) {
            return Err(TokenError::Algorithm);
        }
        let key = self
            .issuer
            .key(jwt.key_id.as_deref(), jwt.algorithm)
            .await?;
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
    fn still_finds_key(&self, token: &VerifiedToken) -> bool {
        let Some(algorithm) = token.without_kid else {
            return true;
        };
        match self.issuer.find(None, algorithm) {
            Some(key) => Arc::ptr_eq(&key, &token.key),
            None => false,
        }
    }

    /// Returns the scopes of all scope claims. A claim that is neither a string nor a list of
    /// strings grants nothing.
    fn scopes(&self, claims: &Claims) -> ScopeSet {
        let paths = self.rules.scope_claims.iter();
        ScopeSet::granted_by(paths.filter_map(|path| claims.find(path)))
    }

    fn rejection(&self, error: TokenError) -> Rejection<'_> {
        Rejection {
            error,
            verifier: Some(self),
        }
    }
}

impl From<KeyError> for TokenError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => Self::UnknownKey,
            KeyError::Unavailable { retry_after } => Self::KeysUnavailable { retry_after },
        }
    }
}

/// Returns whether the claims have all that RFC 9068 §2.2 requires, none of them `null`.
fn has_rfc_9068_claims(claims: &Claims) -> bool {
    for name in RFC_9068_CLAIMS {
        if matches!(claims.get(name), None | Some(Claim::Null)) {
            return false;
        }
    }
    true
}

fn has_any(claims: &Claims, names: &[&str]) -> bool {
    names.iter().any(|name| claims.get(name).is_some())
}

/// Establishes the caller's identity from a token of one of `verifiers`. No other function calls
/// [`Identity::verified`].
///
/// # Errors
/// [`Rejection`]
pub async fn authenticate<'v>(
    verifiers: &'v [Arc<Verifier>],
    token: BearerToken<'_>,
    max_bytes: usize,
    cache: Option<&WorkerCache>,
    context: RequestContext<'_>,
) -> Result<Authenticated<'v>, Rejection<'v>> {
    if token.as_bytes().len() > max_bytes {
        return Err(TokenError::TooLong.into());
    }
    let (verifier, hot, result) = match find_cached(verifiers, token, cache) {
        Some(cached) => cached,
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
    match verifier.check_claims(&hot.token, context) {
        Ok(()) => Ok(Authenticated {
            identity: Identity::verified(hot.principal),
            verifier,
            cache: result,
        }),
        Err(error) => Err(verifier.rejection(error)),
    }
}

/// Returns the cached token with the same text, its verifier and its cache level, if a new
/// verification would have the same result.
fn find_cached<'v>(
    verifiers: &'v [Arc<Verifier>],
    token: BearerToken<'_>,
    cache: Option<&WorkerCache>,
) -> Option<(&'v Verifier, HotToken, CacheResult)> {
    let (hot, result) = cache?.find(token.as_bytes())?;
    for verifier in verifiers {
        if verifier.id == hot.token.verifier {
            let is_valid = verifier.still_finds_key(&hot.token);
            return is_valid.then_some((verifier, hot, result));
        }
    }
    None
}

/// Verifies a token's signature with the one of `verifiers` that its `iss` names, and returns that
/// verifier with the token.
async fn verified<'v>(
    verifiers: &'v [Arc<Verifier>],
    token: BearerToken<'_>,
) -> Result<(&'v Verifier, HotToken), Rejection<'v>> {
    let text = token.as_str()?;
    let jwt = Jwt::parse(text)?;
    for verifier in verifiers {
        if *verifier.issuer.entry().issuer == *jwt.issuer {
            return match verifier.verify(text, jwt).await {
                Ok(verified) => Ok((verifier, HotToken::new(Arc::new(verified)))),
                Err(error) => Err(verifier.rejection(error)),
            };
        }
    }
    Err(TokenError::UnknownIssuer.into())
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
