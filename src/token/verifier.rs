//! The verification of bearer tokens: from a token to an identity.

use std::sync::Arc;

use super::access_token::other_kind;
use super::cache::{HotToken, VerifiedToken, WorkerCache};
use super::claims::Registered;
use super::error::{
    AbsentKey, Mismatch, NearMiss, OtherIssuer, UnmetClaim, WrongAlgorithm, WrongAudience,
    WrongSignature,
};
use super::excerpt::{Excerpt, Excerpts, ShownClaim};
use super::jwt::Jwt;
use super::verifier_id::{CacheSlot, SlotSet, VerifierId};
use super::{Audience, BearerToken, ClaimDemand, RequiredClaim, Rules, TokenError};
use crate::clock::UnixTime;
use crate::issuer::{Algorithm, Candidates, EntryHandle, Issuer, Key, KeyError, KeySet};
use crate::policy::{Claims, Identity, Principal, ScopeSet, SharedPrincipal};
use crate::telemetry::{CacheResult, IssuerMetrics};
use crate::tls::Fingerprint;

/// An entry of the configuration: an issuer, which other entries may have as well, and the entry's
/// own rules for its tokens. A reload that changes either makes a new verifier, and tokens that the
/// old one verified are verified again.
#[derive(Debug)]
pub struct Verifier {
    id: VerifierId,
    entry: EntryHandle,
    issuer: Arc<Issuer>,
    rules: Rules,
    slot: CacheSlot,
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
#[derive(Clone, Debug)]
pub struct Rejection<'v> {
    /// The error of the token.
    pub error: TokenError,
    /// The verifier of the issuer that the token is of, or claims to be of; `None` if none of the
    /// route's issuers is.
    pub verifier: Option<&'v Verifier>,
    /// The principal of the token; `None` if its signature was not verified.
    pub principal: Option<SharedPrincipal>,
}

impl From<TokenError> for Rejection<'_> {
    fn from(error: TokenError) -> Self {
        Self {
            error,
            verifier: None,
            principal: None,
        }
    }
}

impl Rejection<'_> {
    /// Says of an unknown `iss` whether it is that of others of these verifiers.
    pub fn look_among(&mut self, verifiers: &[Arc<Verifier>]) {
        if let TokenError::UnknownIssuer(other) = &mut self.error {
            for verifier in verifiers {
                if other.found.is(&verifier.issuer.entry().issuer) {
                    other.elsewhere.push(Arc::clone(verifier.name()));
                }
            }
        }
    }
}

impl Verifier {
    /// Makes a verifier with an identity of its own. No other verifier of the issuer should have
    /// its slot in the token cache.
    #[must_use]
    pub fn new(entry: EntryHandle, issuer: Arc<Issuer>, rules: Rules, slot: CacheSlot) -> Self {
        Self {
            id: VerifierId::next(),
            entry,
            issuer,
            rules,
            slot,
        }
    }

    /// Returns the number of the verifier.
    #[must_use]
    pub fn id(&self) -> VerifierId {
        self.id
    }

    /// Returns the name of the entry in the configuration.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.entry.name
    }

    /// Returns the entry, as its issuer knows it.
    #[must_use]
    pub fn handle(&self) -> &EntryHandle {
        &self.entry
    }

    /// Returns the counters of the entry.
    #[must_use]
    pub fn metrics(&self) -> &IssuerMetrics {
        &self.entry.metrics
    }

    /// Returns the slot of its tokens in the cache.
    #[must_use]
    pub fn slot(&self) -> CacheSlot {
        self.slot
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
        if let Some(other) = &token.other_kind {
            return Err(TokenError::NotAccessToken(other.clone()));
        }
        if !rules.audience.is_named_by(&token.audience) {
            return Err(wrong_audience(rules, token));
        }
        if !rules.accepts_client(registered.client.as_deref()) {
            return Err(wrong_client(rules, registered));
        }
        let claims = &token.principal.claims;
        for required in &rules.required_claims {
            if !required.is_met(claims) {
                return Err(unmet(required, claims));
            }
        }
        registered.confirmation.check(context.certificate)
    }

    fn check_time(&self, registered: &Registered, now: UnixTime) -> Result<(), TokenError> {
        let leeway = self.rules.leeway.as_secs();
        if now.0 >= registered.expires.saturating_add(leeway) {
            let at = UnixTime(registered.expires);
            return Err(TokenError::Expired { at, now });
        }
        match registered.not_before {
            Some(start) if now.0.saturating_add(leeway) < start => {
                let from = UnixTime(start);
                Err(TokenError::NotYetValid { from, now })
            }
            _ => Ok(()),
        }
    }

    async fn verify(&self, text: &str, jwt: Jwt<'_>) -> Result<VerifiedToken, TokenError> {
        if !self.issuer.entry().algorithms.contains(&jwt.algorithm) {
            return Err(self.wrong_algorithm(&jwt));
        }
        let key = self.signer(&jwt).await?;
        let other_kind = other_kind(&jwt, &self.rules).map(Box::new);
        let is_named = jwt.key_id.is_some() && jwt.key_id.as_deref() == key.kid();
        let scopes = self.scopes(&jwt.claims);
        let audience = self.rules.audience_of(&jwt.claims);
        let principal = Principal {
            issuer: self.name().clone(),
            scopes,
            claims: jwt.claims,
            key_id: jwt.key_id,
        };
        Ok(VerifiedToken {
            text: text.into(),
            verifier: self.id,
            key,
            chosen_for: (!is_named).then_some(jwt.algorithm),
            registered: jwt.registered,
            audience,
            other_kind,
            principal: Arc::new(principal),
        })
    }

    /// Returns the key that has signed a token. If none of the keys in use has, asks the issuer for
    /// newer ones, at most once per cool-down.
    async fn signer(&self, jwt: &Jwt<'_>) -> Result<Arc<Key>, TokenError> {
        let issuer = &self.issuer;
        let (kid, algorithm) = (jwt.key_id.as_deref(), jwt.algorithm);
        let tried = issuer.candidates(kid, algorithm).await;
        let tried = tried.map_err(|error| self.no_key(jwt, error))?;
        if let Some(key) = self.signer_among(&tried, jwt) {
            issuer.confirm(&tried);
            return Ok(key);
        }
        let mut all: Vec<_> = tried.iter().collect();
        let newer = issuer.newer_candidates(kid, algorithm, &tried).await;
        let Some(newer) = newer.map_err(|error| self.no_key(jwt, error))? else {
            return Err(wrong_signature(jwt, &all));
        };
        let Some(key) = self.signer_among(&newer, jwt) else {
            // The new key of a `kid` is in the place of the one before.
            if kid.is_some() {
                all.clear();
            }
            all.extend(newer.iter());
            return Err(wrong_signature(jwt, &all));
        };
        issuer.confirm(&newer);
        Ok(key)
    }

    fn signer_among(&self, candidates: &Candidates, jwt: &Jwt<'_>) -> Option<Arc<Key>> {
        for (place, key) in candidates.iter().enumerate() {
            if place > 0 {
                self.entry.metrics.further_keys.inc();
            }
            if key.verify(jwt.algorithm, jwt.message, jwt.signature) {
                return Some(Arc::clone(key));
            }
        }
        None
    }

    /// Returns whether a new verification of the token would try the same key. The key of a `kid`
    /// does so while it lives. For another token it depends on the other keys of the issuer: a
    /// token without a `kid` is tried with the first few, and a key without a `kid` gives way to
    /// one that has the token's.
    fn still_finds_key(&self, token: &VerifiedToken) -> bool {
        let Some(algorithm) = token.chosen_for else {
            return true;
        };
        let kid = token.principal.key_id.as_deref();
        self.issuer.is_candidate(kid, algorithm, &token.key)
    }

    /// Returns the scopes of all scope claims.
    fn scopes(&self, claims: &Claims) -> ScopeSet {
        let named = self.rules.scope_claims.iter();
        ScopeSet::joined(named.map(|claim| claim.granted_by(claims)))
    }

    fn wrong_algorithm(&self, jwt: &Jwt<'_>) -> TokenError {
        let allowed = &self.issuer.entry().algorithms;
        let error = WrongAlgorithm {
            found: Excerpt::of(jwt.algorithm.name()),
            allowed: allowed.iter().map(|one| one.name()).collect(),
        };
        TokenError::Algorithm(Box::new(error))
    }

    /// Returns the error of a token whose key the issuer does not have.
    fn no_key(&self, jwt: &Jwt<'_>, error: KeyError) -> TokenError {
        match error {
            KeyError::Unknown => {
                let keys = self.issuer.keys();
                TokenError::UnknownKey(Box::new(AbsentKey {
                    key_id: jwt.key_id.as_deref().map(Excerpt::of),
                    algorithm: jwt.algorithm.name(),
                    present: Excerpts::of(keys.keys.iter().filter_map(|key| key.kid())),
                    others: algorithms_of(&keys, jwt.key_id.as_deref()),
                }))
            }
            KeyError::Unavailable { retry_after } => TokenError::KeysUnavailable { retry_after },
        }
    }

    fn rejection(&self, error: TokenError) -> Rejection<'_> {
        Rejection {
            error,
            verifier: Some(self),
            principal: None,
        }
    }
}

/// Returns the error of a signature that is none of these keys'. It is that of no key if it has not
/// the form of any of theirs.
fn wrong_signature(jwt: &Jwt<'_>, tried: &[&Arc<Key>]) -> TokenError {
    let faults = tried
        .iter()
        .map(|key| jwt.signature_fault(key.signature_bytes()));
    let all: Option<Vec<_>> = faults.collect();
    if let Some(malformation) = all.and_then(|all| all.into_iter().next()) {
        return malformation.into();
    }
    let key_id = match tried {
        [only] => only.kid(),
        _ => None,
    };
    TokenError::Signature(Box::new(WrongSignature {
        key_id: key_id.map(Excerpt::of),
        is_of_none: tried.len() > 1,
        algorithm: jwt.algorithm.name(),
    }))
}

/// Returns the algorithms of the keys that have a `kid`.
fn algorithms_of(keys: &KeySet, kid: Option<&str>) -> Vec<&'static str> {
    let of_kid = |algorithm: &Algorithm| {
        let mut fitting = keys.keys.iter().filter(|key| key.allows(*algorithm));
        fitting.any(|key| kid.is_some() && key.kid() == kid)
    };
    let known = Algorithm::ALL.into_iter().filter(of_kid);
    known.map(Algorithm::name).collect()
}

fn wrong_audience(rules: &Rules, token: &VerifiedToken) -> TokenError {
    let claim = rules.audience_claim(&token.principal.claims);
    let wanted = match &rules.audience {
        Audience::Any => Excerpts::default(),
        Audience::OneOf(accepted) => Excerpts::of(accepted.iter().map(|one| &**one)),
    };
    let mismatch = Mismatch {
        found: Excerpts::of(token.audience.iter().map(|one| &**one)),
        wanted,
        near: near_audience(&rules.audience, token),
    };
    let claims = match claim {
        Some((name, _)) => vec![name.into()],
        None => rules.audience_claims.clone(),
    };
    TokenError::Audience(Box::new(WrongAudience { claims, mismatch }))
}

fn near_audience(audience: &Audience, token: &VerifiedToken) -> Option<NearMiss> {
    let Audience::OneOf(accepted) = audience else {
        return None;
    };
    let mut found = token.audience.iter();
    found.find_map(|found| NearMiss::find(found, accepted.iter().map(|one| &**one)))
}

fn wrong_client(rules: &Rules, registered: &Registered) -> TokenError {
    TokenError::Client(Box::new(Mismatch {
        found: Excerpts::of(registered.client.as_deref()),
        wanted: Excerpts::of(rules.client_ids.iter().map(|one| &**one)),
        near: None,
    }))
}

fn unmet(required: &RequiredClaim, claims: &Claims) -> TokenError {
    let wanted = match &required.demand {
        ClaimDemand::Present => None,
        ClaimDemand::OneOf(accepted) => Some(ShownClaim::one_of(accepted)),
    };
    TokenError::RequiredClaim(Box::new(UnmetClaim {
        claim: required.claim.clone(),
        found: claims.find(&required.claim).map(ShownClaim::of),
        wanted,
    }))
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
    let bytes = token.len();
    if bytes > max_bytes {
        let limit = max_bytes;
        return Err(TokenError::TooLong { bytes, limit }.into());
    }
    let (verifier, hot, result) = match find_cached(verifiers, token, cache) {
        Some(cached) => cached,
        None => {
            // Boxed, because the rarely used state of a verification would enlarge the future of
            // every request.
            let (verifier, hot) = Box::pin(verified(verifiers, token)).await?;
            if let Some(cache) = cache {
                cache.keep(&hot, verifier.slot);
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
        Err(error) => Err(Rejection {
            error,
            verifier: Some(verifier),
            principal: Some(hot.principal),
        }),
    }
}

/// Returns the cached token with the same text, its verifier and its cache level, if a new
/// verification would have the same result.
fn find_cached<'v>(
    verifiers: &'v [Arc<Verifier>],
    token: BearerToken<'_>,
    cache: Option<&WorkerCache>,
) -> Option<(&'v Verifier, HotToken, CacheResult)> {
    let cache = cache?;
    let text = token.as_bytes();
    let hash = cache.hash(text)?;
    let mut searched = SlotSet::default();
    for Verifier { slot, .. } in verifiers.iter().map(Arc::as_ref) {
        if searched.add(*slot)
            && let Some((hot, result)) = cache.find(text, hash, *slot)
            && let Some(verifier) = verifier_of(verifiers, &hot)
        {
            let is_valid = verifier.still_finds_key(&hot.token);
            return is_valid.then_some((verifier, hot, result));
        }
    }
    None
}

/// Returns the one of `verifiers` that has verified a cached token.
fn verifier_of<'v>(verifiers: &'v [Arc<Verifier>], hot: &HotToken) -> Option<&'v Verifier> {
    let mut verifiers = verifiers.iter().map(AsRef::as_ref);
    verifiers.find(|verifier: &&Verifier| verifier.id == hot.token.verifier)
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
            let checked = verifier.rules.check_types(&jwt.claims);
            let verified = match checked {
                Ok(()) => verifier.verify(text, jwt).await,
                Err(malformation) => Err(malformation.into()),
            };
            return match verified {
                Ok(verified) => Ok((verifier, HotToken::new(Arc::new(verified)))),
                Err(error) => Err(verifier.rejection(error)),
            };
        }
    }
    Err(unknown_issuer(verifiers, &jwt.issuer).into())
}

fn unknown_issuer(verifiers: &[Arc<Verifier>], found: &str) -> TokenError {
    let accepted = verifiers.iter().map(|one| &*one.issuer.entry().issuer);
    TokenError::UnknownIssuer(Box::new(OtherIssuer {
        found: Excerpt::of(found),
        near: NearMiss::find(found, accepted.clone()),
        accepted: Excerpts::of(accepted),
        elsewhere: Vec::new(),
    }))
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "vector_tests.rs"]
mod vector_tests;
