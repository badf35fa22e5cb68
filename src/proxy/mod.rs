//! The walk: one request, one straight line. Its order is forced by types: `forward` takes a
//! permit, which only the policy makes, from an identity, which only a verified token or a public
//! route gives.

mod body;
mod cross_site;
mod dates;
mod exchange;
mod forward;
mod grpc;
mod headers;
mod heads;
mod refusal;
mod reply;
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
pub use refusal::{Barred, Cause, REASONS, Refusal};
pub use reply::to as reply_to;
pub use upgrade::{Tunnel, Upgrades};
pub use worker::{View, Worker};

use body::ReplySource;
use exchange::Exchange;
use forward::Forward;

use crate::net::Peer;
use crate::policy::{Identity, Permit, Requirement};
use crate::route::{Miss, Target, origin_of};
use crate::snapshot::{Resource, Route, RouteMethod, Snapshot};
use crate::token::{
    BearerToken, CacheResult, Carrier, Rejection, RequestContext, TokenError, WorkerCache,
    authenticate,
};

/// A path on which tests of this library, and nothing that is built otherwise, find a defect.
#[cfg(test)]
pub const DEFECT: &str = "/defect";

/// Answers one request and records it once, however it ends. If it became a WebSocket, the tunnel
/// is in `upgrades` when the answer is there.
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
        caught(walk).await
    };
    exchange.finish(outcome, upgrades)
}

/// A defect costs one request: a panic is a refusal like any other, and the connection and the
/// worker live on. The walk is pinned already: it is large, and each hand that it goes through
/// would copy it and keep the place of the copy.
fn caught<T>(
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
    if request.version() == Version::HTTP_2 {
        if headers::has_padded(request.headers()) {
            return Err(Refusal::unrouted(Cause::Padded));
        }
        headers::join_cookies(request.headers_mut());
        headers::remove_misnamed(request.headers_mut());
        if request.headers().len() > limits.head_fields {
            return Err(Refusal::unrouted(Cause::Fields));
        }
    }
    if !headers::is_plainly_framed(request.headers()) {
        return Err(Refusal::unrouted(Cause::Framing));
    }
    if is_misdirected(peer, &request) {
        return Err(Refusal::unrouted(Cause::Misdirected));
    }
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
        Verdict::Metadata(resource) => return Ok(reply::metadata(resource, exchange.request_id())),
        Verdict::Preflight { route, headers } => {
            exchange.decided(route, None);
            return Ok(reply::preflight(headers, exchange.request_id()));
        }
    };
    exchange.decided(
        entry.route,
        permit.principal().map(|principal| &principal.issuer),
    );
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

/// Whether a request names a host that its TLS connection does not speak for (attacks.md#row-6).
/// What cannot be read as a target is refused later, for what it is.
fn is_misdirected<B>(peer: &Peer, request: &Request<B>) -> bool {
    let Some(session) = &peer.tls else {
        return false;
    };
    let line = (request.method(), request.uri(), request.version());
    let target = Target::parse(line, request.headers(), usize::MAX);
    target
        .ok()
        .and_then(|target| target.host())
        .is_some_and(|host| !session.may_ask(host))
}

/// What is to become of a request that is not refused.
#[derive(Debug)]
pub enum Verdict<'s> {
    /// It may be forwarded.
    Forward(Decision<'s>),
    /// It asks for what the gateway itself tells of a protected resource (RFC 9728 §3).
    Metadata(&'s Resource),
    /// It is a browser's preflight about another request (the Fetch standard, "CORS-preflight
    /// request").
    Preflight {
        /// The route that would speak for that request, an index into the snapshot's.
        route: usize,
        /// The fields of the answer.
        headers: HeaderMap,
    },
}

/// A yes, and the rule that gave it.
#[derive(Debug)]
pub struct Decision<'s> {
    /// The rule that speaks for the request.
    pub entry: &'s RouteMethod,
    /// Its route.
    pub route: &'s Route,
    /// What forwarding takes.
    pub permit: Permit,
    /// Where the token's verification was found; `None` on a public route.
    pub cache: Option<CacheResult>,
    /// The carrier of the token; `None` on a public route.
    pub carrier: Option<Carrier>,
}

/// The verdict, without the journey and without side effects but the memory of `cache`.
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
    let refuse = |cause| Refusal::at(entry.route, cause);

    let unauthenticated = |rejection| {
        refuse(Cause::Token {
            rejection,
            needed: entry.requirement.least(),
        })
    };
    let token = credential(entry, route, request).map_err(|error| unauthenticated(error.into()))?;
    let carrier = token.and_then(|token| token.carrier());
    if carrier == Some(Carrier::Cookie)
        && cross_site::is_refused(request, route, &snapshot.config.server, context.peer)
    {
        return Err(refuse(Cause::CrossSite));
    }
    let (identity, cache) = identify(route, token, limits.token_bytes, cache, context)
        .await
        .map_err(unauthenticated)?;
    let permit = entry
        .requirement
        .authorize(identity)
        .map_err(|denial| refuse(Cause::Denied(denial)))?;
    Ok(Verdict::Forward(Decision {
        entry,
        route,
        permit,
        cache,
        carrier,
    }))
}

/// The answer to a preflight for a path whose routes have CORS, unless one of them answers
/// `OPTIONS` by name. It comes before authorization, since browsers send no credentials with it,
/// and tells nothing but what pages may ask for.
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
    let own = snapshot
        .table
        .find(target)
        .ok()
        .and_then(|entry| snapshot.routes.get(entry.route));
    if own.is_some_and(|route| route.answers_options) {
        return None;
    }
    let (index, is_routed) = match find(snapshot, &target.with_method(&method)) {
        Ok((entry, _)) => (entry.route, true),
        Err(Refusal {
            cause: Cause::Method { .. },
            route,
        }) => (route?, false),
        Err(_) => return None,
    };
    let heads = &snapshot.routes.get(index)?.heads;
    let mut headers = heads.cors.as_ref()?.preflight(origin, &method, is_routed);
    heads.response.complete(&mut headers);
    Some(Verdict::Preflight {
        route: index,
        headers,
    })
}

/// The token that a request shows; `None` on a public route, where none is looked for.
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

/// The caller's identity: the token's, or anonymous on a public route. The one caller of
/// [`Identity::anonymous`].
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

/// The rule for a target. What is ambiguous is refused unless the route that matched allows it, and
/// refused first: for a path that can be read in two ways "not found" would be an answer about one
/// of them.
fn find<'s>(
    snapshot: &'s Snapshot,
    target: &Target<'_>,
) -> Result<(&'s RouteMethod, &'s Route), Refusal> {
    let found = snapshot.table.find(target);
    let entry = match &found {
        Ok(entry) | Err(Miss::Shadowed { found: entry, .. }) => Some(*entry),
        Err(_) => None,
    };
    let route = entry.and_then(|entry| snapshot.routes.get(entry.route));
    let allowed = route.map(|route| route.allow).unwrap_or_default();
    if let Some(what) = target.ambiguities().first_beyond(allowed) {
        let barred = if route.is_some() {
            Barred::NotAllowed
        } else {
            Barred::NoRoute
        };
        let index = entry.map(|entry| entry.route);
        return Err(Refusal {
            cause: Cause::Ambiguous { what, barred },
            route: index,
        });
    }
    match (found, route) {
        (Ok(entry), Some(route)) => Ok((entry, route)),
        (Err(Miss::Method { allow, nearest }), _) => Err(Refusal::at(
            nearest.route,
            Cause::Method {
                allow: allow.into(),
            },
        )),
        (Err(Miss::Shadowed { found, by }), _) => {
            Err(Refusal::at(found.route, shadowed(snapshot, target, by)))
        }
        (Ok(_) | Err(Miss::NotFound), _) => Err(Refusal::unrouted(Cause::NotFound)),
    }
}

/// Why a path is refused that a tolerant application may take for one of a stricter route. Where
/// the path is ambiguous, the route that matched allows that: a spelling that needs leave is
/// answered as one that has none.
fn shadowed(snapshot: &Snapshot, target: &Target<'_>, by: &RouteMethod) -> Cause {
    let by = snapshot
        .routes
        .get(by.route)
        .map(|route| route.label.clone())
        .unwrap_or_default();
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
        let outcome: Result<(), Refusal> = runtime.block_on(caught(pin!(walk)));
        assert_eq!(outcome.unwrap_err().reason(), "internal_error");
    }
}
