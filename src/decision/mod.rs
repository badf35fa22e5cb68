//! The decision about a request: whether it is forwarded, and why not.
//!
//! [`decide`] is [`route`] and then [`Routed::authorize`]. It takes facts of a request and no body,
//! and has no side effect but the memory of the token cache, so that the walk, `scopegate explain`,
//! tests and benchmarks ask one function. The facts come from [`admit`]; a [`Decision`] has the
//! permit that forwarding consumes. A [`Refusal`] becomes an answer in [`answer`] alone.

pub mod answer;
mod aws_http;
mod aws_rest;
mod cross_site;
mod facts;
#[cfg(test)]
pub(crate) mod fixture;
mod form;
pub mod forwarded;
pub mod grpc;
pub mod hygiene;
mod own_response;
mod preflight;
mod problem;
mod reason;
mod refusal;
mod respond;
mod rule;
mod values;

pub use answer::OwnAnswer;
pub use facts::RequestFacts;
pub use hygiene::{admit, check_body};
pub use reason::{Blame, Reason};
pub use refusal::{AmbiguityRefusal, Cause, Refusal};
pub use respond::respond;
pub use values::{RequestValues, claim_value};

use http::header::AUTHORIZATION;
use http::request::Parts;
use rule::Rule;

use crate::config::AccessLog;
use crate::net::Peer;
use crate::policy::{Denial, Identity, Permit};
use crate::snapshot::{Route, RouteMethod, Snapshot};
use crate::token::{
    BearerToken, CacheResult, Carrier, Rejection, RequestContext, SeenToken, TokenError, Verifier,
    WorkerCache, authenticate,
};

/// The verdict about a request that is not refused.
#[derive(Debug)]
pub enum Verdict<'s> {
    /// The request may be forwarded.
    Forward(Decision<'s>),
    /// The gateway answers the request itself.
    Answer(OwnAnswer<'s>),
}

/// The permission to forward a request, with the rule that gave it.
#[derive(Debug)]
pub struct Decision<'s> {
    /// The rule that the request matched.
    pub entry: &'s RouteMethod,
    /// The route of that rule.
    pub route: &'s Route,
    /// The permit that forwarding consumes.
    pub permit: Permit,
    /// The verifier of the token; `None` on a public route.
    pub verifier: Option<&'s Verifier>,
    /// The level of the cache that held the verified token; `None` on a public route.
    pub cache: Option<CacheResult>,
    /// The part of the request that carried the token; `None` on a public route.
    pub carrier: Option<Carrier>,
}

/// Decides about a request without forwarding it.
///
/// # Errors
/// A [`Refusal`]: 400, 401, 403, 404, 405, 414, 421 or 503.
pub async fn decide<'s>(
    snapshot: &'s Snapshot,
    facts: RequestFacts<'_>,
    cache: Option<&WorkerCache>,
    context: RequestContext<'_>,
) -> Result<Verdict<'s>, Refusal<'s>> {
    match route(snapshot, facts)? {
        Destination::Route(routed) => {
            let decision = routed.authorize(cache, context).await?;
            Ok(Verdict::Forward(decision))
        }
        Destination::Gateway(answer) => Ok(Verdict::Answer(answer)),
    }
}

/// The destination of a request.
#[derive(Debug)]
pub enum Destination<'s, 'r> {
    /// A route, if its requirement is met.
    Route(Routed<'s, 'r>),
    /// The gateway itself.
    Gateway(OwnAnswer<'s>),
}

/// A request that matched a rule, before its caller is known.
#[derive(Debug)]
pub struct Routed<'s, 'r> {
    snapshot: &'s Snapshot,
    facts: RequestFacts<'r>,
    rule: Rule<'s>,
}

/// Finds the destination of a request. It looks at no credentials.
///
/// # Errors
/// A [`Refusal`]: 400, 404, 405, 414 or 421.
pub fn route<'s, 'r>(
    snapshot: &'s Snapshot,
    facts: RequestFacts<'r>,
) -> Result<Destination<'s, 'r>, Refusal<'s>> {
    let max_bytes = snapshot.config.server.limits.target_bytes;
    let target = match facts.target(max_bytes) {
        Ok(target) => target,
        Err(cause) => {
            let refusal = Refusal::unrouted(cause);
            return Err(refusal.in_group_of(snapshot, facts.head, facts.peer));
        }
    };
    if let Some(resource) = snapshot.metadata_at(&target) {
        return Ok(Destination::Gateway(OwnAnswer::Metadata(resource)));
    }
    if let Some(answer) = preflight::answer(snapshot, &target, &facts.head.headers) {
        return Ok(Destination::Gateway(answer));
    }
    let rule = rule::find(snapshot, &target)?;
    Ok(Destination::Route(Routed {
        snapshot,
        facts,
        rule,
    }))
}

impl<'s> Refusal<'s> {
    /// Returns the refusal of a request for which no route was chosen, with the group that its head
    /// belongs to.
    #[must_use]
    pub fn in_group_of(
        mut self,
        snapshot: &'s Snapshot,
        head: &Parts,
        peer: Option<&Peer>,
    ) -> Self {
        if self.route.is_none() && self.group.is_none() {
            self.group = RequestFacts { head, peer }.group(snapshot);
        }
        self
    }
}

/// A caller that was identified.
struct Identified<'s> {
    identity: Identity,
    verifier: Option<&'s Verifier>,
    cache: Option<CacheResult>,
}

impl<'s> Routed<'s, '_> {
    /// Returns the rule that the request matched.
    #[must_use]
    pub fn entry(&self) -> &'s RouteMethod {
        self.rule.entry
    }

    /// Returns the route of that rule.
    #[must_use]
    pub fn route(&self) -> &'s Route {
        self.rule.route
    }

    /// Decides whether the caller may use the route. The only side effect is that `cache` keeps
    /// verified tokens.
    ///
    /// # Errors
    /// A [`Refusal`]: 400, 401, 403 or 503.
    pub async fn authorize(
        self,
        cache: Option<&WorkerCache>,
        context: RequestContext<'_>,
    ) -> Result<Decision<'s>, Refusal<'s>> {
        let Rule { entry, route } = self.rule;
        if entry.requirement.is_denied() {
            return Err(Refusal::at(route, Cause::Denied(Denial::RouteDenied)));
        }
        let token = match self.credential() {
            Ok(token) => token,
            Err(error) => {
                let text = self.misplaced(&error);
                return Err(self.unauthenticated(error.into(), text));
            }
        };
        let carrier = token.and_then(|token| token.carrier());
        let server = &self.snapshot.config.server;
        if carrier == Some(Carrier::Cookie) && cross_site::is_refused(self.facts, route, server) {
            return Err(Refusal::at(route, Cause::CrossSite));
        }
        let caller = match self.identify(token, cache, context).await {
            Ok(caller) => caller,
            Err(rejection) => return Err(self.unauthenticated(rejection, token)),
        };
        let principal = caller.identity.shared().cloned();
        match entry.requirement.authorize(caller.identity) {
            Ok(permit) => Ok(Decision {
                entry,
                route,
                permit,
                verifier: caller.verifier,
                cache: caller.cache,
                carrier,
            }),
            Err(denial) => Err(Refusal {
                cause: Cause::Denied(denial),
                route: Some(route),
                group: None,
                rule: Some(entry),
                verifier: caller.verifier,
                token: principal.map(SeenToken::Verified),
            }),
        }
    }

    /// Returns the token of the request; `None` on a public route, where no token is looked for.
    fn credential(&self) -> Result<Option<BearerToken<'_>>, TokenError> {
        let head = self.facts.head;
        if !self.rule.entry.requirement.needs_token() {
            BearerToken::refuse_two(&head.headers)?;
            return Ok(None);
        }
        let sources = &self.rule.route.config.token_from;
        BearerToken::find(sources, &head.headers, head.uri.query()).map(Some)
    }

    /// Returns the caller: that of the token, or an anonymous one on a public route. No other
    /// function calls [`Identity::anonymous`].
    async fn identify(
        &self,
        token: Option<BearerToken<'_>>,
        cache: Option<&WorkerCache>,
        context: RequestContext<'_>,
    ) -> Result<Identified<'s>, Rejection<'s>> {
        let Some(token) = token else {
            return Ok(Identified {
                identity: Identity::anonymous(),
                verifier: None,
                cache: None,
            });
        };
        let max_bytes = self.snapshot.config.server.limits.token_bytes;
        let verifiers = &self.rule.route.verifiers;
        let found = authenticate(verifiers, token, max_bytes, cache, context).await?;
        Ok(Identified {
            identity: found.identity,
            verifier: Some(found.verifier),
            cache: Some(found.cache),
        })
    }

    fn unauthenticated(
        &self,
        mut rejection: Rejection<'s>,
        token: Option<BearerToken<'_>>,
    ) -> Refusal<'s> {
        rejection.look_among(&self.snapshot.verifiers);
        let Rule { entry, route } = self.rule;
        let token = match rejection.principal {
            Some(principal) => Some(SeenToken::Verified(principal)),
            None => self.unverified(token),
        };
        Refusal {
            cause: Cause::Token {
                error: rejection.error,
                needed: entry.requirement.least(),
            },
            route: Some(route),
            group: None,
            rule: Some(entry),
            verifier: rejection.verifier,
            token,
        }
    }

    /// Returns the content of an `Authorization` field in which the route finds no token: it may
    /// have one nevertheless, which helps the operator.
    fn misplaced(&self, error: &TokenError) -> Option<BearerToken<'_>> {
        let TokenError::WrongScheme(_) = error else {
            return None;
        };
        let field = self.facts.head.headers.get(AUTHORIZATION)?;
        Some(BearerToken::new(field.to_str().ok()?))
    }

    /// Describes a token that was not verified, if the log shows it: such tokens cost their senders
    /// nothing, so that they must not cost more than they have to. One that is too long is not
    /// read.
    fn unverified(&self, token: Option<BearerToken<'_>>) -> Option<SeenToken> {
        let config = &self.snapshot.config;
        if config.log.access == AccessLog::Off || config.log.claims.is_empty() {
            return None;
        }
        let token = token.filter(|token| token.len() <= config.server.limits.token_bytes)?;
        SeenToken::unverified(token)
    }
}

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod profile_tests;
#[cfg(test)]
mod tests;
