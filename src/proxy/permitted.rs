//! A permitted request, before it is known whether it is forwarded or invokes a function: its
//! checks, its fields on the way to the upstream, and those of the response.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, request};
use hyper::body::{Body as _, Incoming};

use super::body_timer::BodyTimer;
use super::exchange::Exchange;
use super::headers::{self, Forwarding};
use super::mapped::Mapped;
use super::request_body::{RequestBody, UploadFailure, UploadStatus};
use super::upgrade::{Handshake, Upgrades};
use super::worker::View;
use crate::clock;
use crate::config::Server;
use crate::content::ends_with_head;
use crate::decision::{Cause, Decision, Refusal, check_body};
use crate::net::Peer;
use crate::policy::{Permit, Requirement};
use crate::snapshot::Route;
use crate::token::Carrier;
use crate::transform::Direction;
use crate::upstream::{AddedFields, Fault, UpstreamClient};

/// A permitted request whose route, upstream and framing are known to be in order.
pub(super) struct Permitted<'v, 'r> {
    pub(super) route: &'v Route,
    pub(super) requirement: &'v Requirement,
    pub(super) permit: Permit,
    pub(super) carrier: Option<Carrier>,
    pub(super) view: &'v View,
    pub(super) upstream: &'v Rc<UpstreamClient<RequestBody>>,
    pub(super) peer: &'r Peer,
    pub(super) deadlines: BodyDeadlines,
    pub(super) handshake: Option<Handshake>,
}

/// The fields that a request gets on its way, beside the client's own.
pub(super) struct OwnFields {
    /// The gateway's own.
    pub(super) own: AddedFields,
    /// The ones that templates of the route make of the request.
    pub(super) mapped: Mapped,
}

impl<'v, 'r> Permitted<'v, 'r> {
    /// Checks a request before its body is read. It consumes the permit of the decision: without a
    /// permit nothing is forwarded.
    ///
    /// # Errors
    /// A [`Refusal`]: 413 or 501.
    pub(super) fn of(
        decision: Decision<'v>,
        view: &'v View,
        exchange: &Exchange,
        peer: &'r Peer,
        upgrades: &Upgrades,
        head: &request::Parts,
        body: &Incoming,
    ) -> Result<Self, Refusal<'v>> {
        let Decision {
            entry,
            route,
            permit,
            carrier,
            ..
        } = decision;
        let index = route.handler.upstream();
        let Some(upstream) = index.and_then(|index| view.upstreams.get(index)) else {
            // The view has the connections to each upstream of its snapshot.
            return Err(Refusal::at(route, Cause::Defect));
        };
        upgrades.set_response_timeout(route.response_timeout);
        let handshake = match handshake_of(head, body, route) {
            Ok(handshake) => handshake,
            Err(cause) => return Err(Refusal::at(route, cause)),
        };
        check_body(route, body.size_hint().lower())?;
        let server = &view.snapshot.config.server;
        Ok(Self {
            route,
            requirement: &entry.requirement,
            permit,
            carrier,
            view,
            upstream,
            peer,
            deadlines: BodyDeadlines::new(route, server, exchange.began().monotonic),
            handshake,
        })
    }

    /// Returns the query without the token of the request; `None` if it holds none.
    pub(super) fn query_without_tokens(&self, head: &request::Parts) -> Option<String> {
        headers::query_without_tokens(head.uri.query(), self.route, self.carrier)
    }

    /// Removes the client's fields that no upstream gets, and returns those that are added. `query`
    /// replaces the client's query, if that has a token; `host` is the one that the client asked
    /// for.
    ///
    /// # Errors
    /// The rewrite of the route has no path for the request.
    pub(super) fn cross(
        &self,
        head: &mut request::Parts,
        query: Option<&str>,
        host: Option<HeaderValue>,
        exchange: &Exchange,
    ) -> Result<OwnFields, Cause> {
        let snapshot = &self.view.snapshot;
        let forwarding = Forwarding {
            peer: self.peer,
            server: &snapshot.config.server,
            route: self.route,
            claim_headers: &snapshot.claim_headers,
            principal: self.permit.principal(),
            carrier: self.carrier,
            request_id: exchange.request_id(),
            host,
            version: head.version,
        };
        let own = headers::to_upstream(&mut head.headers, &forwarding);
        let mapped = Mapped::of(&forwarding, head, query)?;
        Ok(OwnFields { own, mapped })
    }

    /// Applies the header rules of the route to a request, and adds the fields that its templates
    /// make.
    pub(super) fn apply_rules(&self, made: Vec<(HeaderName, HeaderValue)>, fields: &mut HeaderMap) {
        let rules = &self.route.config.heads.request;
        rules.apply(Direction::Request, fields);
        for (name, value) in made {
            fields.append(name, value);
        }
    }
}

/// The deadlines of the bodies of a request and of its response.
#[derive(Clone, Copy)]
pub(super) struct BodyDeadlines {
    /// The time for the next piece of a body.
    pub(super) idle: Duration,
    /// The deadline of the request as a whole.
    pub(super) until: Option<Instant>,
}

impl BodyDeadlines {
    fn new(route: &Route, server: &Server, began: Instant) -> Self {
        let heads = &route.config.heads;
        Self {
            idle: heads.idle_body.unwrap_or(server.timeouts.idle_body),
            until: heads.request_timeout.map(|limit| began + limit),
        }
    }

    pub(super) fn timer(self) -> BodyTimer {
        BodyTimer::new(self.idle, self.until)
    }

    /// Returns whether the request as a whole has taken too long.
    fn are_over(self) -> bool {
        match self.until {
            Some(until) => clock::monotonic() >= until,
            None => false,
        }
    }
}

/// Returns the handshake to forward, if there is one.
///
/// # Errors
/// A CONNECT for a WebSocket where the route allows none.
fn handshake_of(
    head: &request::Parts,
    body: &Incoming,
    route: &Route,
) -> Result<Option<Handshake>, Cause> {
    match Handshake::of(head, body) {
        Some(handshake) if route.config.websocket => Ok(Some(handshake)),
        // A server may ignore `Upgrade` (RFC 9110 §7.8), but a CONNECT has no other meaning.
        Some(Handshake::Http2 { .. }) => Err(Cause::Upgrade),
        Some(Handshake::Http1) | None => Ok(None),
    }
}

/// Notes the time until the upstream's answer.
pub(super) fn note_answer(
    upstream: &UpstreamClient<RequestBody>,
    took: Duration,
    exchange: &mut Exchange,
) {
    upstream.upstream().metrics.duration.observe(took);
    exchange.upstream_answered(took);
}

/// Turns the head of the upstream's response into that of the client's, with the fields that
/// templates of the route make.
pub(super) fn head_to_client<T>(
    route: &Route,
    removed_token: bool,
    made: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    response: &mut Response<T>,
    exchange: &Exchange,
) {
    let (status, version) = (response.status(), response.version());
    let fields = response.headers_mut();
    // The status requires the field (RFC 9110 §15.5.22), though it is hop-by-hop. HTTP/2 has no
    // such field: hyper removes it there.
    let upgrade = match status {
        StatusCode::UPGRADE_REQUIRED => fields.get(UPGRADE).cloned(),
        _ => None,
    };
    headers::to_client(fields, version, exchange.request_id());
    if let Some(upgrade) = upgrade {
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, upgrade);
    }
    if status == StatusCode::NO_CONTENT {
        // A response without content has no length (RFC 9110 §8.6).
        fields.remove(CONTENT_LENGTH);
    }
    let rules = &route.config.heads.response;
    rules.apply(Direction::Response, fields);
    if removed_token {
        headers::keep_from_shared_caches(fields);
    }
    if let Some(cors) = &route.config.heads.cors {
        cors.permit(exchange.origin(), fields);
    }
    for (name, value) in made {
        fields.append(name, value);
    }
    *response.version_mut() = Version::HTTP_11;
}

/// Returns whether a response has no content, whatever its header fields state.
pub(super) fn has_no_content(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || ends_with_head(status)
}

/// Returns the cause for which a request has no response. A failure of the client's own upload goes
/// before the upstream's fault.
pub(super) fn refused_cause(
    route: &Route,
    deadlines: BodyDeadlines,
    upload: Option<&UploadStatus>,
    fault: Fault,
) -> Cause {
    let failure = upload.and_then(UploadStatus::failure);
    match (failure, route.config.heads.request_timeout) {
        (Some(UploadFailure::TooLarge), _) => Cause::BodyTooLarge,
        (Some(UploadFailure::Stalled), _) => Cause::BodyStalled,
        (Some(UploadFailure::Malformed), _) => Cause::BodyMalformed,
        (Some(UploadFailure::Disconnected), _) => Cause::BodyCut,
        (_, Some(limit)) if deadlines.are_over() => Cause::Deadline(limit),
        // The client's body ended early without an error of its own.
        (None, _) if matches!(fault, Fault::Request) => Cause::BodyMalformed,
        _ => Cause::Upstream(fault),
    }
}
