//! Forwards a permitted request to its upstream, and turns the upstream's response into the
//! client's.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::uri::{Parts, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body as _, Incoming};

use super::body_timer::BodyTimer;
use super::exchange::Exchange;
use super::headers::{self, Forwarding};
use super::mapped::Mapped;
use super::reply_body::{Relay, ReplySource};
use super::request_body::{RequestBody, UploadFailure, UploadStatus};
use super::upgrade::{Handshake, Upgrades};
use super::worker::View;
use crate::clock;
use crate::config::Server;
use crate::decision::{Cause, Decision, Refusal, check_body, forwarded};
use crate::net::Peer;
use crate::snapshot::Route;
use crate::transform::Direction;
use crate::upstream::{Fault, Outgoing, Reply, UpstreamClient};

/// A permitted request that is being forwarded, and the facts that its response depends on.
pub(super) struct Forward<'v> {
    route: &'v Route,
    upstream: &'v UpstreamClient<RequestBody>,
    outgoing: Outgoing<RequestBody>,
    upload: Option<UploadStatus>,
    handshake: Option<Handshake>,
    deadlines: BodyDeadlines,
    /// Set when a token was removed from the query.
    removed_token: bool,
    /// The fields of the response whose values depend on the request.
    response_fields: Vec<(HeaderName, HeaderValue)>,
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
    pub(super) fn new(route: &Route, server: &Server, began: Instant) -> Self {
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

impl<'v> Forward<'v> {
    /// Makes the upstream's request of the client's. It consumes the permit of the decision:
    /// without a permit nothing is forwarded.
    ///
    /// # Errors
    /// A [`Refusal`]: 400 or 413.
    pub(super) fn begin(
        decision: Decision<'v>,
        view: &'v View,
        exchange: &Exchange,
        peer: &Peer,
        upgrades: &Upgrades,
        mut head: request::Parts,
        body: Incoming,
    ) -> Result<Self, Refusal<'v>> {
        let Decision {
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
        let server = &view.snapshot.config.server;
        upgrades.set_response_timeout(route.response_timeout);
        let handshake = match handshake_of(&head, &body, route) {
            Ok(handshake) => handshake,
            Err(cause) => return Err(Refusal::at(route, cause)),
        };
        check_body(route, body.size_hint().lower())?;
        let deadlines = BodyDeadlines::new(route, server, exchange.began().monotonic);
        let (body, upload) = RequestBody::new(
            body,
            route.config.body_bytes,
            deadlines.timer(),
            exchange.view(),
            upgrades.bodies(),
        );

        let host = forwarded::requested_host(&head.uri, &head.headers);
        let query = headers::query_without_tokens(head.uri.query(), route, carrier);
        let version = std::mem::replace(&mut head.version, Version::HTTP_11);
        let forwarding = Forwarding {
            peer,
            server,
            route,
            claim_headers: &view.snapshot.claim_headers,
            principal: permit.principal(),
            carrier,
            request_id: exchange.request_id(),
            host,
            version,
        };
        let own = headers::to_upstream(&mut head.headers, &forwarding);
        let mapped = match Mapped::of(&forwarding, &head, query.as_deref()) {
            Ok(mapped) => mapped,
            Err(cause) => return Err(Refusal::at(route, cause)),
        };
        if let Err(cause) = rewrite(&mut head.uri, query.as_deref(), &mapped, route) {
            return Err(Refusal::at(route, cause));
        }
        let heads = &route.config.heads;
        heads.request.apply(Direction::Request, &mut head.headers);
        for (name, value) in mapped.request {
            head.headers.append(name, value);
        }
        if let Some(method) = &heads.method {
            head.method = method.clone();
        }
        if let Some(handshake) = &handshake {
            handshake.to_upstream(&mut head.headers);
        }
        Ok(Self {
            route,
            upstream,
            outgoing: Outgoing::new(head, own, body),
            upload,
            handshake,
            deadlines,
            removed_token: query.is_some(),
            response_fields: mapped.response,
        })
    }

    /// Sends the request, and makes the client's response of the upstream's.
    ///
    /// # Errors
    /// A [`Refusal`]: 400, 408, 413, 502 or 504.
    pub(super) async fn complete(
        &mut self,
        exchange: &mut Exchange,
    ) -> Result<Response<ReplySource>, Refusal<'v>> {
        if let Some(upload) = &self.upload {
            exchange.uploads(upload);
        }
        let limit = self.route.response_timeout;
        let progress = self.upload.as_ref().map(|upload| &upload.progress);
        let sent = self
            .upstream
            .send(&mut self.outgoing, limit, self.deadlines.until, progress)
            .await;
        let response = match sent {
            Ok(response) => response,
            Err(fault) => return Err(self.refused(fault)),
        };
        let took = clock::monotonic() - self.outgoing.departed();
        self.upstream.upstream().metrics.duration.observe(took);
        exchange.upstream_answered(took);
        self.answer(response, exchange)
    }

    fn answer(
        &self,
        mut response: Response<Reply<RequestBody>>,
        exchange: &mut Exchange,
    ) -> Result<Response<ReplySource>, Refusal<'v>> {
        let has_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let handshake = match &self.handshake {
            Some(handshake) if has_switched && handshake.is_answered_by(response.headers()) => {
                Some(handshake)
            }
            // An upstream must not open a tunnel that the client did not ask for
            // (attacks.md#row-18).
            _ if has_switched => {
                return Err(self.protocol_error("101 that the request did not ask for"));
            }
            _ => None,
        };
        head_to_client(self.route, self.removed_token, &mut response, exchange);
        for (name, value) in &self.response_fields {
            response.headers_mut().append(name.clone(), value.clone());
        }
        if let Some(handshake) = handshake {
            let idle = exchange.view().snapshot.config.server.timeouts.tunnel;
            return switch(response, handshake, idle)
                .ok_or_else(|| self.protocol_error("101 on a stream"));
        }
        if has_no_content(exchange.method(), response.status()) && !response.body().is_end_stream()
        {
            // An HTTP/2 upstream can send content where none is allowed (RFC 9110 §6.4.1); clients
            // would take it for a broken stream.
            return Ok(response.map(|_| ReplySource::Own(None)));
        }
        let (head, reply) = response.into_parts();
        // An event stream has no length; the others need no look at their type.
        if reply.size_hint().exact().is_none() && headers::is_event_stream(&head.headers) {
            exchange.streams_events();
        }
        let relay = Relay {
            reply,
            timer: self.deadlines.timer(),
            upload: self.upload.clone(),
        };
        Ok(Response::from_parts(head, ReplySource::Upstream(relay)))
    }

    fn protocol_error(&self, what: &str) -> Refusal<'v> {
        let fault = Fault::Protocol(what.into());
        Refusal::at(self.route, Cause::Upstream(fault))
    }

    /// Returns the refusal for a request without a response.
    fn refused(&self, fault: Fault) -> Refusal<'v> {
        let upload = self.upload.as_ref();
        let cause = refused_cause(self.route, self.deadlines, upload, fault);
        Refusal::at(self.route, cause)
    }
}

/// Turns the head of the upstream's response into that of the client's.
pub(super) fn head_to_client<T>(
    route: &Route,
    removed_token: bool,
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
    *response.version_mut() = Version::HTTP_11;
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

/// Returns the handshake to forward, if there is one.
///
/// # Errors
/// A CONNECT for a WebSocket where the route allows none.
pub(super) fn handshake_of(
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

/// Returns whether a response has no content, whatever its header fields state.
pub(super) fn has_no_content(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Makes the response that begins a tunnel; `None` if the upstream's connection cannot switch.
fn switch(
    response: Response<Reply<RequestBody>>,
    handshake: &Handshake,
    idle: Duration,
) -> Option<Response<ReplySource>> {
    let (mut head, reply) = response.into_parts();
    let switched = reply.into_switched()?;
    handshake.to_client(&mut head.status, &mut head.headers);
    Some(Response::from_parts(
        head,
        ReplySource::Switched(switched, idle),
    ))
}

/// Replaces the URI by that for the upstream, if the route rewrites it or a token was removed from
/// the query, which leaves `query`.
fn rewrite(
    uri: &mut Uri,
    query: Option<&str>,
    mapped: &Mapped,
    route: &Route,
) -> Result<(), Cause> {
    if let Some((path, query)) = &mapped.target {
        *uri = target(path, query.as_deref()).ok_or(Cause::Defect)?;
        return Ok(());
    }
    if route.strip == 0 && route.config.heads.rewrite.is_none() && query.is_none() {
        return Ok(());
    }
    match rewritten(uri, query, route) {
        Some(rewritten) => {
            *uri = rewritten;
            Ok(())
        }
        None => Err(Cause::Defect),
    }
}

/// Returns the URI for the upstream: the path as the route rewrites it, with `query`, or else with
/// the query of `uri`.
fn rewritten(uri: &Uri, query: Option<&str>, route: &Route) -> Option<Uri> {
    let path: Cow<'_, str> = match &route.config.heads.rewrite {
        Some(rewrite) => rewrite.apply(uri.path())?.into(),
        None => strip_segments(uri.path(), route.strip).into(),
    };
    target(&path, query.or(uri.query()))
}

/// Returns a URI of a path and a query.
fn target(path: &str, query: Option<&str>) -> Option<Uri> {
    let text = match query {
        Some("") | None => path.to_owned(),
        Some(query) => format!("{path}?{query}"),
    };
    let mut parts = Parts::default();
    // A part of a valid path and query is itself valid. If it were not, the whole path must not be
    // sent instead.
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// Returns the path without its first `count` segments; `/` if no segment is left, as for the root
/// of a subtree.
fn strip_segments(path: &str, count: usize) -> &str {
    match path.match_indices('/').nth(count) {
        Some((at, _)) => path.get(at..).unwrap_or("/"),
        None => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripping_cuts_whole_segments_and_changes_nothing_else() {
        for (path, count, expected) in [
            ("/dev/tests", 1, "/tests"),
            ("/dev/", 1, "/"),
            ("/dev", 1, "/"),
            ("/a/b/c%20d/", 2, "/c%20d/"),
            ("/%64ev/x", 1, "/x"),
            ("/x", 0, "/x"),
        ] {
            assert_eq!(strip_segments(path, count), expected, "{path}");
        }
    }
}
