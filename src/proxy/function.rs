//! Invokes the function that an upstream is, and turns its answer into the client's response.
//!
//! Unlike a forwarded request, the request and the answer are kept in memory as a whole. A permit
//! of the upstream bounds how many are kept at a time: it is taken before the body is read, and
//! freed when the client's connection has taken the whole answer. An invocation goes on, and keeps
//! its permit, when its client has left. Of the client's request nothing but the event reaches the
//! Invoke API: its fields are the gateway's own.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRAILER, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::api_route::api_route;
use super::exchange::Exchange;
use super::permitted::{
    OwnFields, Permitted, has_no_content, head_to_client, note_answer, refused_cause,
};
use super::reply_body::{KeptBody, ReplySource};
use super::request_body::{RequestBody, UploadFailure, UploadStatus, Whole};
use super::upgrade::Upgrades;
use super::worker::View;
use crate::decision::{Cause, Decision, Refusal, forwarded};
use crate::lambda::{
    self, Answer, AnswerError, AnswerLimits, Caller, EventFacts, Function, MAX_PAYLOAD,
};
use crate::net::Peer;
use crate::policy::Requirement;
use crate::snapshot::Route;
use crate::upstream::{AddedFields, Fault, Outgoing, RequestPermit, WholeAnswer, WholeLimits};

/// The field by which the Invoke API says that the function failed.
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");

/// A permitted request that invokes a function.
struct Invocation<'v, 'r> {
    request: Permitted<'v, 'r>,
    function: &'v Function,
}

/// The invocation's body, and what of the request the response needs.
struct Event {
    body: Whole,
    /// The fields of the response whose values depend on the request.
    response_fields: Vec<(HeaderName, HeaderValue)>,
}

/// Invokes the function of a route, and returns the client's response. It consumes the permit of
/// the decision: without a permit no function is invoked.
///
/// # Errors
/// A [`Refusal`]: 400, 408, 413, 502, 503 or 504.
pub(super) async fn invoke<'v>(
    decision: Decision<'v>,
    view: &'v View,
    exchange: &mut Exchange,
    peer: &Peer,
    upgrades: &Upgrades,
    head: request::Parts,
    body: Incoming,
) -> Result<Response<ReplySource>, Refusal<'v>> {
    let permitted = Permitted::of(decision, view, exchange, peer, upgrades, &head, &body)?;
    let Permitted {
        route, upstream, ..
    } = permitted;
    let Some(function) = &upstream.upstream().settings.lambda else {
        return Err(Refusal::at(route, Cause::Defect));
    };
    let invocation = Invocation {
        request: permitted,
        function,
    };
    let answered = invocation.run(exchange, upgrades, head, body).await;
    answered.map_err(|cause| Refusal::at(route, cause))
}

impl Invocation<'_, '_> {
    async fn run(
        &self,
        exchange: &mut Exchange,
        upgrades: &Upgrades,
        head: request::Parts,
        body: Incoming,
    ) -> Result<Response<ReplySource>, Cause> {
        let permit = self.request.upstream.admit();
        let permit = permit.map_err(Cause::Upstream)?;
        let body = self.read_body(exchange, upgrades, body).await?;
        let removed_token = self.request.query_without_tokens(&head);
        let event = self.event(head, removed_token.as_deref(), &body, exchange)?;
        drop(body);
        let mut answer = self.send(event.body, permit, exchange).await?;
        let permit = answer.permit.take();
        let answer = self.parse(answer).map_err(Cause::Function)?;
        let mut response = self.respond(answer, permit, exchange.method());
        let removed_token = removed_token.is_some();
        let made = event.response_fields;
        head_to_client(
            self.request.route,
            removed_token,
            made,
            &mut response,
            exchange,
        );
        Ok(response)
    }

    /// Sends the event, and returns the answer of the Invoke API. The invocation goes on when this
    /// future is dropped.
    async fn send(
        &self,
        event: Whole,
        permit: Option<RequestPermit>,
        exchange: &mut Exchange,
    ) -> Result<WholeAnswer, Cause> {
        let sent = event.progress();
        let body = RequestBody::Whole(Box::new(event));
        let mut outgoing = Outgoing::new(self.request_head(), AddedFields::new(), body);
        outgoing.admitted(permit);
        let limits = WholeLimits {
            bytes: MAX_PAYLOAD,
            answer: self.request.route.response_timeout,
            until: self.request.deadlines.until,
            abandoned: self.function.timeout,
        };
        let upstream = self.request.upstream;
        let answered = upstream.exchange_whole(outgoing, sent, limits).await;
        let answer = answered.map_err(|fault| self.cause(None, fault))?;
        note_answer(upstream, answer.took, exchange);
        Ok(answer)
    }

    /// Reads the whole body of the request, within the limits of the route and of the event.
    async fn read_body(
        &self,
        exchange: &mut Exchange,
        upgrades: &Upgrades,
        body: Incoming,
    ) -> Result<Bytes, Cause> {
        let announced = body.size_hint();
        check_event(self.request.route, self.function, announced.lower())?;
        let (most, too_long) = body_limit(self.request.route, self.function);
        let (mut body, upload) = RequestBody::new(
            body,
            Some(most),
            self.request.deadlines.timer(),
            exchange.view(),
            upgrades.bodies(),
        );
        let Some(upload) = upload else {
            return Ok(Bytes::new());
        };
        exchange.uploads(&upload);
        let expected = announced
            .exact()
            .and_then(|bytes| usize::try_from(bytes).ok());
        let mut whole = BytesMut::with_capacity(expected.unwrap_or_default());
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err(match upload.failure() {
                    Some(UploadFailure::TooLarge) => too_long,
                    _ => self.cause(Some(&upload), Fault::Request),
                });
            };
            // Trailers are left out: an event has no place for them.
            if let Some(data) = frame.data_ref() {
                whole.extend_from_slice(data);
            }
        }
        Ok(whole.freeze())
    }

    /// Returns the event, as the body of the invocation.
    fn event(
        &self,
        mut head: request::Parts,
        query: Option<&str>,
        body: &[u8],
        exchange: &Exchange,
    ) -> Result<Event, Cause> {
        let host = forwarded::requested_host(&head.uri, &head.headers);
        let response_fields = self.make_fields(&mut head, query, host.as_ref(), exchange)?;
        // The route has matched.
        let rule = self.request.route.config.answering(&head.method);
        let rule = rule.ok_or(Cause::Defect)?;
        let ids = exchange.ids();
        let facts = EventFacts {
            method: &head.method,
            path: head.uri.path(),
            query: query.or(head.uri.query()),
            fields: &head.headers,
            body,
            route: api_route(&self.request.view.snapshot, self.request.route),
            rule,
            caller: self.request.permit.principal().map(|principal| Caller {
                principal,
                needs_scopes: matches!(self.request.requirement, Requirement::Scopes(_)),
            }),
            source: exchange.source(),
            version: head.version,
            host: host.as_ref().and_then(|host| host.to_str().ok()),
            request_id: ids.of_api().to_str().unwrap_or_default(),
            extended_request_id: ids.request.to_str().unwrap_or_default(),
            since_epoch: exchange.began().since_epoch,
        };
        match lambda::event(self.function, &facts) {
            Ok(event) => Ok(Event {
                body: Bytes::from(event).into(),
                response_fields,
            }),
            Err(lambda::EventTooLong) => Err(Cause::EventTooLarge),
        }
    }

    /// Turns the client's fields into those of the event: the fields that an upstream would get,
    /// but with the host that the client asked for. Returns the fields that templates add to the
    /// response.
    fn make_fields(
        &self,
        head: &mut request::Parts,
        query: Option<&str>,
        host: Option<&HeaderValue>,
        exchange: &Exchange,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Cause> {
        let request = &self.request;
        let OwnFields { own, mapped } = request.cross(head, query, host.cloned(), exchange)?;
        let fields = &mut head.headers;
        for (name, value) in own {
            if name != TE {
                fields.append(name, value);
            }
        }
        match host {
            Some(host) => fields.insert(HOST, host.clone()),
            None => fields.remove(HOST),
        };
        request.apply_rules(mapped.request, fields);
        Ok(mapped.response)
    }

    /// Returns the head of the invocation.
    fn request_head(&self) -> request::Parts {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.function.name.invocation().clone();
        let fields = request.headers_mut();
        if let Some(host) = &self.request.route.host {
            fields.insert(HOST, host.clone());
        }
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // No invocation is sent on a connection that had another one.
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        request.into_parts().0
    }

    /// Reads the answer of the Invoke API as that of a function.
    fn parse(&self, answer: WholeAnswer) -> Result<Answer, AnswerError> {
        let WholeAnswer { head, body, .. } = answer;
        match head.status {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return Err(AnswerError::Throttled),
            other => return Err(AnswerError::Refused(other.as_u16())),
        }
        let Some(payload) = body else {
            return Err(AnswerError::TooLong);
        };
        let settings = &self.request.upstream.upstream().settings;
        let limits = AnswerLimits {
            field_bytes: settings.response_head.bytes,
            fields: settings.response_head.fields,
        };
        let has_failed = head.headers.contains_key(FUNCTION_ERROR);
        Answer::parse(&payload, has_failed, self.function.event, limits)
    }

    fn cause(&self, upload: Option<&UploadStatus>, fault: Fault) -> Cause {
        refused_cause(self.request.route, self.request.deadlines, upload, fault)
    }

    /// Returns the function's response, whose body holds the permit.
    fn respond(
        &self,
        answer: Answer,
        permit: Option<RequestPermit>,
        method: &Method,
    ) -> Response<ReplySource> {
        let Answer {
            status,
            mut fields,
            body,
        } = answer;
        remove_framing(&mut fields);
        if *method == Method::HEAD && !body.is_empty() {
            // The length of the body that a GET would get (RFC 9110 §8.6).
            fields.insert(CONTENT_LENGTH, body.len().into());
        }
        let source = if body.is_empty() || has_no_content(method, status) {
            ReplySource::Own(None)
        } else {
            ReplySource::Kept(KeptBody::new(body, self.request.deadlines.timer(), permit))
        };
        let mut response = Response::new(source);
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        response
    }
}

/// Checks the announced length of a body, which becomes a part of an event.
///
/// # Errors
/// The body alone is longer than the limit of the route, or of the event.
pub(super) fn check_event(route: &Route, function: &Function, announced: u64) -> Result<(), Cause> {
    let (most, too_long) = body_limit(route, function);
    if announced > most {
        return Err(too_long);
    }
    Ok(())
}

/// Returns the most bytes of the body, and the cause for a longer one.
fn body_limit(route: &Route, function: &Function) -> (u64, Cause) {
    let of_event = function.event_bytes as u64;
    match route.config.body_bytes {
        Some(of_route) if of_route <= of_event => (of_route, Cause::BodyTooLarge),
        _ => (of_event, Cause::EventTooLarge),
    }
}

/// Removes the fields that frame the answer. The gateway frames its responses itself, whatever a
/// function says of its own.
fn remove_framing(fields: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, TRAILER, UPGRADE] {
        fields.remove(name);
    }
}
