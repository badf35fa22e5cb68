//! The walk of one request, from its head to its response, in one straight line. Types force its
//! order: `forward` takes a permit, which only the policy makes, from an identity, which comes only
//! from a verified token or a public route.

mod body;
mod cross_site;
mod dates;
mod exchange;
mod forward;
mod headers;
mod heads;
mod upgrade;
mod worker;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::{HeaderMap, Method, Request, Response, Version};
use hyper::body::Incoming;

pub use body::{BodyError, ReplyBody, RequestBody};
pub use dates::http_date;
pub use exchange::Unconfirmed;
pub use heads::{head_to_client, head_to_upstream};
pub use upgrade::{Tunnel, Upgrades};
pub use worker::{View, Worker};

use body::ReplySource;
use exchange::Exchange;
use forward::Forward;

use crate::config::Limits;
use crate::decision::{Barred, Cause, Refusal, answer};
use crate::net::Peer;
use crate::policy::{Identity, Permit, Requirement};
use crate::route::{Miss, Target};
use crate::snapshot::{Resource, Route, RouteMethod, Snapshot};
use crate::token::{
    BearerToken, CacheResult, Carrier, Rejection, RequestContext, TokenError, WorkerCache,
    authenticate,
};
use crate::transform::origin_of;

/// A path whose requests panic, in tests of this library only.
#[cfg(test)]
pub const DEFECT: &str = "/defect";

/// Answers one request and records it exactly once, whatever the outcome. If the request became a
/// WebSocket, its tunnel is in `upgrades` when this returns.
pub async fn serve(
    worker: &Rc<Worker>,
    peer: &Peer,
    upgrades: &Upgrades,
    mut request: Request<Incoming>,
) -> Response<ReplyBody> {
    let view = worker.view();
    upgrade::from_connect(&mut request);
    let mut exchange = Exchange::begin(worker, view.clone(), peer, &request);
    let outcome = {
        let walk = pin!(walk(
            worker,
            &view.snapshot,
            &mut exchange,
            peer,
            upgrades,
            request
        ));
        catch_panic(walk).await
    };
    exchange.finish(outcome, upgrades)
}

/// Turns a panic of the walk into a refusal, so that a defect costs one request only: the
/// connection and the worker live on.
///
/// The walk is already pinned: it is large, and each function that it is moved through would copy
/// it and keep space for the copy.
fn catch_panic<T>(
    mut walk: Pin<&mut impl Future<Output = Result<T, Refusal>>>,
) -> impl Future<Output = Result<T, Refusal>> {
    poll_fn(move |cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| walk.as_mut().poll(cx)));
        poll.unwrap_or_else(|_| Poll::Ready(Err(Refusal::unrouted(Cause::Defect))))
    })
}

async fn walk(
    worker: &Worker,
    snapshot: &Snapshot,
    exchange: &mut Exchange,
    peer: &Peer,
    upgrades: &Upgrades,
    mut request: Request<Incoming>,
) -> Result<Response<ReplySource>, Refusal> {
    #[cfg(test)]
    assert_ne!(request.uri().path(), DEFECT, "made up");
    let limits = &snapshot.config.server.limits;
    if worker.is_overloaded(limits.requests) {
        return Err(Refusal::unrouted(Cause::Overloaded));
    }
    admit(&mut request, peer, limits).map_err(Refusal::unrouted)?;
    let context = RequestContext {
        now: exchange.began().unix,
        certificate: peer.certificate(),
        peer: Some(peer),
    };
    let Decision {
        entry,
        permit,
        cache,
        carrier,
        ..
    } = match decide(snapshot, &request, Some(&worker.cache), context).await? {
        Verdict::Forward(decision) => decision,
        Verdict::Metadata(resource) => {
            return Ok(answer::metadata(resource, exchange.request_id()).map(ReplySource::Own));
        }
        Verdict::Preflight { route, headers } => {
            exchange.decided(route, None);
            return Ok(answer::preflight(headers, exchange.request_id()).map(ReplySource::Own));
        }
    };
    let issuer = permit.principal().map(|principal| &principal.issuer);
    exchange.decided(entry.route, issuer);
    if let Some(result) = cache {
        worker.metrics().cache.increment(result as usize);
    }
    let mut forward = Forward::begin(
        permit,
        entry.route,
        carrier,
        exchange,
        peer,
        upgrades,
        request,
    )?;
    forward.complete(exchange).await
}

/// Checks the head of a request before its route is looked for, and gives an HTTP/2 request the
/// form of an HTTP/1.1 request.
///
/// # Errors
/// The cause of a refusal: 400, 421 or 431.
fn admit<B>(request: &mut Request<B>, peer: &Peer, limits: &Limits) -> Result<(), Cause> {
    if request.version() == Version::HTTP_2 {
        if headers::has_padded(request.headers()) {
            return Err(Cause::Padded);
        }
        headers::join_cookies(request.headers_mut());
        headers::remove_misnamed(request.headers_mut());
        if request.headers().len() > limits.head_fields {
            return Err(Cause::Fields);
        }
    }
    if !headers::is_plainly_framed(request.headers()) {
        return Err(Cause::Framing);
    }
    if is_misdirected(peer, request) {
        return Err(Cause::Misdirected);
    }
    Ok(())
}

/// Returns whether a request names a host that its TLS connection was not opened for
/// (attacks.md#row-6). A target that cannot be parsed is refused later, with its own reason.
fn is_misdirected<B>(peer: &Peer, request: &Request<B>) -> bool {
    let Some(session) = &peer.tls else {
        return false;
    };
    let line = (request.method(), request.uri(), request.version());
    match Target::parse(line, request.headers(), usize::MAX) {
        Ok(target) => target.host().is_some_and(|host| !session.may_ask(host)),
        Err(_) => false,
    }
}

/// The verdict about a request that is not refused.
#[derive(Debug)]
pub enum Verdict<'s> {
    /// The request may be forwarded.
    Forward(Decision<'s>),
    /// The request is for the metadata of a protected resource, which the gateway itself answers
    /// (RFC 9728 §3).
    Metadata(&'s Resource),
    /// The request is a browser's preflight for another request (the Fetch standard,
    /// "CORS-preflight request").
    Preflight {
        /// The route that the other request would match, an index into the snapshot's routes.
        route: usize,
        /// The header fields of the response.
        headers: HeaderMap,
    },
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
    /// The level of the cache that held the verified token; `None` on a public route.
    pub cache: Option<CacheResult>,
    /// The part of the request that carried the token; `None` on a public route.
    pub carrier: Option<Carrier>,
}

/// Decides about a request without forwarding it. The only side effect is that `cache` keeps
/// verified tokens.
///
/// # Errors
/// A [`Refusal`]: 400, 401, 403, 404, 405, 414 or 503.
pub async fn decide<'s, B>(
    snapshot: &'s Snapshot,
    request: &Request<B>,
    cache: Option<&WorkerCache>,
    context: RequestContext<'_>,
) -> Result<Verdict<'s>, Refusal> {
    let limits = &snapshot.config.server.limits;
    let line = (request.method(), request.uri(), request.version());
    let target = Target::parse(line, request.headers(), limits.target_bytes)
        .map_err(|error| Refusal::unrouted(Cause::Target(error)))?;
    if let Some(resource) = snapshot.metadata_at(&target) {
        return Ok(Verdict::Metadata(resource));
    }
    if let Some(preflight) = preflight(snapshot, &target, request.headers()) {
        return Ok(preflight);
    }
    let (entry, route) = find(snapshot, &target)?;
    let token =
        credential(entry, route, request).map_err(|error| unauthenticated(entry, error.into()))?;
    let carrier = token.and_then(|token| token.carrier());
    if carrier == Some(Carrier::Cookie)
        && cross_site::is_refused(request, route, &snapshot.config.server, context.peer)
    {
        return Err(Refusal::at(entry.route, Cause::CrossSite));
    }
    let (identity, cache) = identify(route, token, limits.token_bytes, cache, context)
        .await
        .map_err(|rejection| unauthenticated(entry, rejection))?;
    let permit = match entry.requirement.authorize(identity) {
        Ok(permit) => permit,
        Err(denial) => return Err(Refusal::at(entry.route, Cause::Denied(denial))),
    };
    Ok(Verdict::Forward(Decision {
        entry,
        route,
        permit,
        cache,
        carrier,
    }))
}

fn unauthenticated(entry: &RouteMethod, rejection: Rejection) -> Refusal {
    let needed = entry.requirement.least();
    Refusal::at(entry.route, Cause::Token { rejection, needed })
}

/// Returns the answer to a preflight for a path whose routes have CORS rules, unless one of them
/// lists `OPTIONS` itself. It comes before authorization, since browsers send no credentials with a
/// preflight, and tells only which requests a page may send.
fn preflight<'s>(
    snapshot: &'s Snapshot,
    target: &Target<'_>,
    headers: &HeaderMap,
) -> Option<Verdict<'s>> {
    if !snapshot.has_cors || *target.method() != Method::OPTIONS {
        return None;
    }
    let origin = origin_of(headers)?;
    let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    if let Ok(own) = snapshot.table.find(target)
        && let Some(route) = snapshot.routes.get(own.route)
        && route.answers_options
    {
        return None;
    }
    let PreflightRoute { index, has_method } = preflight_route(snapshot, target, &method)?;
    let heads = &snapshot.routes.get(index)?.heads;
    let mut headers = heads.cors.as_ref()?.preflight(origin, &method, has_method);
    heads.response.complete(&mut headers);
    Some(Verdict::Preflight {
        route: index,
        headers,
    })
}

/// The route that a preflight asks about.
struct PreflightRoute {
    /// An index into the snapshot's routes.
    index: usize,
    /// Set if the route has the method.
    has_method: bool,
}

fn preflight_route(
    snapshot: &Snapshot,
    target: &Target<'_>,
    method: &Method,
) -> Option<PreflightRoute> {
    match find(snapshot, &target.with_method(method)) {
        Ok((entry, _)) => Some(PreflightRoute {
            index: entry.route,
            has_method: true,
        }),
        Err(Refusal {
            cause: Cause::Method { .. },
            route,
        }) => Some(PreflightRoute {
            index: route?,
            has_method: false,
        }),
        Err(_) => None,
    }
}

/// Returns the token of a request; `None` on a public route, where no token is looked for.
fn credential<'r, B>(
    entry: &RouteMethod,
    route: &Route,
    request: &'r Request<B>,
) -> Result<Option<BearerToken<'r>>, TokenError> {
    if entry.requirement == Requirement::Public {
        BearerToken::refuse_two(request.headers())?;
        return Ok(None);
    }
    BearerToken::find(&route.token_from, request.headers(), request.uri().query()).map(Some)
}

/// Returns the caller's identity: that of the token, or anonymous on a public route. No other
/// function calls [`Identity::anonymous`].
async fn identify(
    route: &Route,
    token: Option<BearerToken<'_>>,
    max_bytes: usize,
    cache: Option<&WorkerCache>,
    context: RequestContext<'_>,
) -> Result<(Identity, Option<CacheResult>), Rejection> {
    let Some(token) = token else {
        return Ok((Identity::anonymous(), None));
    };
    let (identity, found) =
        authenticate(&route.verifiers, token, max_bytes, cache, context).await?;
    Ok((identity, Some(found)))
}

/// Finds the rule for a target. An ambiguous path is refused unless the matched route allows it,
/// and before "not found" is answered: for a path with two readings, "not found" would be true of
/// one of them only.
fn find<'s>(
    snapshot: &'s Snapshot,
    target: &Target<'_>,
) -> Result<(&'s RouteMethod, &'s Route), Refusal> {
    let found = snapshot.table.find(target);
    let matched = match &found {
        Ok(entry) | Err(Miss::Shadowed { found: entry, .. }) => Some(*entry),
        Err(_) => None,
    };
    let route = matched.and_then(|entry| snapshot.routes.get(entry.route));
    if let Some(cause) = ambiguity(target, route) {
        let route = matched.map(|entry| entry.route);
        return Err(Refusal { cause, route });
    }
    match (found, route) {
        (Ok(entry), Some(route)) => Ok((entry, route)),
        (Err(Miss::Method { allow, nearest }), _) => {
            let allow = allow.into();
            Err(Refusal::at(nearest.route, Cause::Method { allow }))
        }
        (Err(Miss::Shadowed { found, by }), _) => {
            Err(Refusal::at(found.route, shadowed(snapshot, target, by)))
        }
        (Ok(_) | Err(Miss::NotFound), _) => Err(Refusal::unrouted(Cause::NotFound)),
    }
}

/// Returns the cause for a path with an ambiguity that its route does not allow.
fn ambiguity(target: &Target<'_>, route: Option<&Route>) -> Option<Cause> {
    let (allowed, barred) = match route {
        Some(route) => (route.allow, Barred::NotAllowed),
        None => (Default::default(), Barred::NoRoute),
    };
    let what = target.ambiguities().first_beyond(allowed)?;
    Some(Cause::Ambiguous { what, barred })
}

/// Returns the cause for a path that a tolerant application may read as one of a stricter route. If
/// the path is ambiguous, the matched route allows that, and the cause is the ambiguity: the
/// spelling is answered as if it were not allowed.
fn shadowed(snapshot: &Snapshot, target: &Target<'_>, by: &RouteMethod) -> Cause {
    let by = match snapshot.routes.get(by.route) {
        Some(route) => route.label.clone(),
        None => Box::default(),
    };
    match target.ambiguities().iter().next() {
        Some(what) => Cause::Ambiguous {
            what,
            barred: Barred::Shadowed(by),
        },
        None => Cause::Shadowed { by },
    }
}

#[cfg(test)]
mod cached_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_refusal() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let walk = async {
            tokio::task::yield_now().await;
            panic!("a defect")
        };
        let outcome: Result<(), Refusal> = runtime.block_on(catch_panic(pin!(walk)));
        assert_eq!(outcome.unwrap_err().reason(), "internal_error");
    }
}
