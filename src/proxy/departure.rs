//! The checks of a permitted request before it is sent, for a request that is not sent.

use http::HeaderValue;
use http::request::Parts;

use super::function::check_event;
use super::headers::{self, Forwarding};
use super::mapped::Mapped;
use crate::decision::{Cause, Decision, Refusal, check_body, forwarded};
use crate::net::Peer;
use crate::snapshot::Snapshot;

/// The id of a request that has none.
const NO_ID: HeaderValue = HeaderValue::from_static("-");

/// Checks a permitted request as far as its head decides whether it can be sent: the announced
/// length of its body, and the path for the upstream. A request that the gateway answers itself
/// passes.
///
/// # Errors
/// A [`Refusal`]: 400 or 413.
pub fn check_departure<'s>(
    snapshot: &Snapshot,
    decision: &Decision<'s>,
    peer: &Peer,
    head: &Parts,
    body_bytes: u64,
) -> Result<(), Refusal<'s>> {
    let route = decision.route;
    let Some(index) = route.handler.upstream() else {
        return Ok(());
    };
    check_body(route, body_bytes)?;
    let upstream = snapshot.upstreams.get(index);
    if let Some(function) = upstream.and_then(|upstream| upstream.settings.lambda.as_ref())
        && let Err(cause) = check_event(route, function, body_bytes)
    {
        return Err(Refusal::at(route, cause));
    }
    match check_path(snapshot, decision, peer, head.clone()) {
        Ok(()) => Ok(()),
        Err(cause) => Err(Refusal::at(route, cause)),
    }
}

/// Checks that the route's rewrite has a path for the request.
fn check_path(
    snapshot: &Snapshot,
    decision: &Decision<'_>,
    peer: &Peer,
    mut head: Parts,
) -> Result<(), Cause> {
    let route = decision.route;
    let id = headers::valid_request_id(&head.headers).unwrap_or(NO_ID);
    let query = headers::query_without_tokens(head.uri.query(), route, decision.carrier);
    let forwarding = Forwarding {
        peer,
        server: &snapshot.config.server,
        route,
        claim_headers: &snapshot.claim_headers,
        principal: decision.permit.principal(),
        carrier: decision.carrier,
        request_id: &id,
        host: forwarded::requested_host(&head.uri, &head.headers),
        version: head.version,
    };
    drop(headers::to_upstream(&mut head.headers, &forwarding));
    Mapped::of(&forwarding, &head, query.as_deref()).map(drop)
}
