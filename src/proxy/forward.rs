//! Forwards a permitted request to its upstream, and turns the upstream's response into the
//! client's.

use std::borrow::Cow;
use std::time::Duration;

use http::uri::{Parts, PathAndQuery};
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body as _, Incoming};

use super::exchange::Exchange;
use super::headers;
use super::mapped::Mapped;
use super::permitted::{
    BodyDeadlines, OwnFields, Permitted, has_no_content, head_to_client, note_answer, refused_cause,
};
use super::reply_body::{Relay, ReplySource};
use super::request_body::{RequestBody, UploadStatus};
use super::upgrade::{Handshake, Upgrades};
use super::worker::View;
use crate::clock;
use crate::decision::{Cause, Decision, Refusal, forwarded};
use crate::net::Peer;
use crate::snapshot::Route;
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
        let permitted = Permitted::of(decision, view, exchange, peer, upgrades, &head, &body)?;
        let Permitted {
            route, deadlines, ..
        } = permitted;
        let (body, upload) = RequestBody::new(
            body,
            route.config.body_bytes,
            deadlines.timer(),
            exchange.view(),
            upgrades.bodies(),
        );
        let host = forwarded::requested_host(&head.uri, &head.headers);
        let query = permitted.query_without_tokens(&head);
        let OwnFields { own, mapped } =
            match permitted.cross(&mut head, query.as_deref(), host, exchange) {
                Ok(fields) => fields,
                Err(cause) => return Err(Refusal::at(route, cause)),
            };
        head.version = Version::HTTP_11;
        if let Err(cause) = rewrite(&mut head.uri, query.as_deref(), &mapped, route) {
            return Err(Refusal::at(route, cause));
        }
        permitted.apply_rules(mapped.request, &mut head.headers);
        if let Some(method) = &route.config.heads.method {
            head.method = method.clone();
        }
        let handshake = permitted.handshake;
        if let Some(handshake) = &handshake {
            handshake.to_upstream(&mut head.headers);
        }
        Ok(Self {
            route,
            upstream: permitted.upstream,
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
        note_answer(self.upstream, took, exchange);
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
        let made = self.response_fields.iter().cloned();
        head_to_client(
            self.route,
            self.removed_token,
            made,
            &mut response,
            exchange,
        );
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
