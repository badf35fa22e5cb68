//! The journey: a permitted request to its upstream, and the answer back.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::uri::{Parts, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};

use super::body::{Relay, ReplySource, RequestBody, UploadFailure, UploadStatus, Watch};
use super::exchange::Exchange;
use super::headers::{self, Forwarding};
use super::upgrade::{Handshake, Upgrades};
use super::{Cause, Refusal};
use crate::clock;
use crate::net::Peer;
use crate::policy::Permit;
use crate::route::Direction;
use crate::snapshot::Route;
use crate::token::Carrier;
use crate::upstream::{Balance, Fault, Outgoing, Reply};

/// A permitted request on its way, and what its answer depends on.
pub(super) struct Forward<'v> {
    index: usize,
    route: &'v Route,
    upstream: &'v Balance<RequestBody>,
    outgoing: Outgoing<RequestBody>,
    upload: Option<UploadStatus>,
    handshake: Option<Handshake>,
    idle_body: Duration,
    until: Option<Instant>,
    /// Whether a token was taken out of the query.
    hid_token: bool,
}

impl<'v> Forward<'v> {
    /// Makes the upstream's request of the client's. It takes the permit: without one there is no
    /// forwarding. `carrier` is what carried the token.
    ///
    /// # Errors
    /// A [`Refusal`]: 400 or 413.
    pub(super) fn begin(
        permit: Permit,
        index: usize,
        carrier: Option<Carrier>,
        exchange: &'v Exchange,
        peer: &Peer,
        upgrades: &Upgrades,
        request: Request<Incoming>,
    ) -> Result<Self, Refusal> {
        let view = exchange.view();
        let refuse = |cause| Refusal::at(index, cause);
        let server = &view.snapshot.config.server;
        // The snapshot that gave the index has the route, and its view a way to each upstream.
        let route = view
            .snapshot
            .routes
            .get(index)
            .ok_or_else(|| refuse(Cause::Defect))?;
        let upstream = view
            .upstreams
            .get(route.upstream)
            .ok_or_else(|| refuse(Cause::Defect))?;
        upgrades.awaits(route.response_timeout);
        let handshake = match Handshake::of(&request) {
            Some(handshake) if route.websocket => Some(handshake),
            // An `Upgrade` may be ignored (RFC 9110 §7.8); a CONNECT is nothing else.
            Some(Handshake::Http2 { .. }) => return Err(refuse(Cause::Upgrade)),
            Some(Handshake::Http1) | None => None,
        };
        let (mut head, body) = request.into_parts();
        if route
            .body_bytes
            .is_some_and(|limit| body.size_hint().lower() > limit)
        {
            return Err(refuse(Cause::BodyTooLarge));
        }
        let idle_body = route.heads.idle_body.unwrap_or(server.timeouts.idle_body);
        let until = route
            .heads
            .request_timeout
            .map(|limit| exchange.began().monotonic + limit);
        let watch = Watch::new(idle_body, until);
        let (body, upload) = RequestBody::new(body, route.body_bytes, watch, view, upgrades);

        let host = headers::requested_host(&head.uri, &head.headers);
        let query = headers::query_without_tokens(head.uri.query(), route, carrier);
        if route.strip > 0 || route.heads.rewrite.is_some() || query.is_some() {
            head.uri = rewritten(&head.uri, query.as_deref(), route)
                .ok_or_else(|| refuse(Cause::Defect))?;
        }
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
        route
            .heads
            .request
            .apply(Direction::Request, &mut head.headers);
        if let Some(handshake) = &handshake {
            handshake.to_upstream(&mut head.headers);
        }
        let outgoing = Outgoing::new(head, own, body);
        let hid_token = query.is_some();
        Ok(Self {
            index,
            route,
            upstream,
            outgoing,
            upload,
            handshake,
            idle_body,
            until,
            hid_token,
        })
    }

    /// Forwards it, and makes the client's answer of the upstream's.
    ///
    /// # Errors
    /// A [`Refusal`]: 400, 408, 413, 502 or 504.
    pub(super) async fn complete(
        &mut self,
        exchange: &Exchange,
    ) -> Result<Response<ReplySource>, Refusal> {
        let limits = (self.route.response_timeout, self.until);
        let sent = self.upload.as_ref().map(|upload| &upload.progress);
        let response = self.upstream.send(&mut self.outgoing, limits, sent).await;
        let response = response.map_err(|fault| self.refused(fault))?;
        let took = clock::monotonic() - self.outgoing.departed();
        self.upstream.upstream().metrics.duration.observe(took);
        self.answer(response, exchange)
    }

    fn answer(
        &self,
        mut response: Response<Reply<RequestBody>>,
        exchange: &Exchange,
    ) -> Result<Response<ReplySource>, Refusal> {
        let Self {
            route,
            handshake,
            until,
            ..
        } = self;
        let protocol =
            |why: &str| Refusal::at(self.index, Cause::Upstream(Fault::Protocol(why.into())));
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let answered = |handshake: &Handshake| handshake.is_answered_by(response.headers());
        if switched && !handshake.as_ref().is_some_and(answered) {
            // What was not asked for is no tunnel (attacks.md#row-18).
            return Err(protocol("101 that the request did not ask for"));
        }
        let version = response.version();
        // It belongs to this status (RFC 9110 §15.5.22), and over HTTP/2 to none.
        let upgrade = (response.status() == StatusCode::UPGRADE_REQUIRED)
            .then(|| response.headers().get(UPGRADE).cloned())
            .flatten();
        headers::to_client(response.headers_mut(), version, exchange.request_id());
        if let Some(upgrade) = upgrade {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("upgrade"));
            response.headers_mut().insert(UPGRADE, upgrade);
        }
        if response.status() == StatusCode::NO_CONTENT {
            // RFC 9110 §8.6.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        route
            .heads
            .response
            .apply(Direction::Response, response.headers_mut());
        if self.hid_token {
            headers::keep_from_shared_caches(response.headers_mut());
        }
        if let Some(cors) = &route.heads.cors {
            cors.permit(exchange.origin(), response.headers_mut());
        }
        *response.version_mut() = Version::HTTP_11;
        if let Some(handshake) = handshake.as_ref().filter(|_| switched) {
            let tunnel = exchange.view().snapshot.config.server.timeouts.tunnel;
            return switch(response, handshake, tunnel).ok_or_else(|| protocol("101 on a stream"));
        }
        if has_no_content(exchange.method(), response.status()) && !response.body().is_end_stream()
        {
            // An upstream of HTTP/2 can send what must not be (RFC 9110 §6.4.1); clients take it
            // for a broken stream.
            return Ok(response.map(|_| ReplySource::Own(None)));
        }
        let watch = Watch::new(self.idle_body, *until);
        let upload = self.upload.clone();
        Ok(response.map(|reply| {
            ReplySource::Upstream(Relay {
                reply,
                watch,
                upload,
            })
        }))
    }

    /// What the client hears when there is no answer: its own doing before the upstream's.
    fn refused(&self, fault: Fault) -> Refusal {
        let over = self.until.is_some_and(|until| clock::monotonic() >= until);
        let failure = self.upload.as_ref().and_then(UploadStatus::failure);
        let cause = match (failure, self.route.heads.request_timeout) {
            (Some(UploadFailure::TooLarge), _) => Cause::BodyTooLarge,
            (Some(UploadFailure::Stalled), _) => Cause::BodyStalled,
            (Some(UploadFailure::Malformed), _) => Cause::BodyMalformed,
            (Some(UploadFailure::Left), _) => Cause::BodyCut,
            (_, Some(limit)) if over => Cause::Deadline(limit),
            // It ended early without a word.
            (None, _) if matches!(fault, Fault::Request) => Cause::BodyMalformed,
            _ => Cause::Upstream(fault),
        };
        Refusal::at(self.index, cause)
    }
}

/// Whether an answer ends with its head, whatever it says.
fn has_no_content(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The answer that begins a tunnel.
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

/// The path that the route makes of the one that was matched, and the query, or the one that goes
/// in its place.
fn rewritten(uri: &Uri, query: Option<&str>, route: &Route) -> Option<Uri> {
    let path: Cow<'_, str> = match &route.heads.rewrite {
        Some(rewrite) => rewrite.apply(uri.path()).into(),
        None => strip_segments(uri.path(), route.strip).into(),
    };
    let text = match query.or(uri.query()) {
        Some("") | None => path.into_owned(),
        Some(query) => format!("{path}?{query}"),
    };
    let mut parts = Parts::default();
    // A part of what was a path and query is one. Were it not, the whole must not go instead.
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// The path from its segment number `count` on; `/` when nothing is left, as for the root of a
/// subtree.
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
