//! The bookkeeping of one request: it begins with the request and is recorded exactly once,
//! whatever the outcome.

mod record;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};

use super::body_timer::BodyError;
use super::headers;
use super::mapped::AnswerFacts;
use super::profile_ids::{self, Ids};
use super::request_body::UploadStatus;
use super::worker::{View, Worker};
use crate::clock::{self, Now};
use crate::config::{AccessLog, ErrorProfile};
use crate::content::ends_with_head;
use crate::decision::{Cause, Decision, OwnAnswer, Refusal, answer, forwarded, grpc};
use crate::net::Peer;
use crate::snapshot::{Route, RouteIndex};
use crate::telemetry::{Ending, FailedPart, Label as _, RouteMetrics, Verification};
use crate::token::{SeenToken, Verifier, VerifierId};
use crate::transform::{Facts, HeaderRules, origin_of};

/// One request and its response. It is boxed, since it moves through several owners. It is recorded
/// when it is dropped: after the last byte of the response, or when the client has disconnected.
pub(super) struct Exchange {
    worker: Rc<Worker>,
    view: Rc<View>,
    began: Now,
    request_id: HeaderValue,
    /// Set if the gateway made the request id.
    has_own_id: bool,
    /// The id in the field of a REST API: the one that the client chose, until the profile is
    /// known.
    amzn_id: Option<HeaderValue>,
    /// The profile in force, once it is known.
    profile: ErrorProfile,
    method: Method,
    path: Box<str>,
    peer: Option<SocketAddr>,
    /// The client's address, if a trusted proxy names one that differs from the peer's.
    client: Option<IpAddr>,
    /// The fingerprint of the client's certificate, for the access log.
    client_certificate: Option<Box<str>>,
    protocol: Version,
    /// The `Origin` of the request, if any route of the snapshot has CORS rules.
    origin: Option<HeaderValue>,
    /// The content type of the request, if it is a gRPC call.
    grpc: Option<HeaderValue>,
    /// The fields of the request that only a format of the operator's own shows.
    shown: Option<Box<ShownFields>>,
    outcome: Outcome,
}

/// Fields of a request that a format of the operator's own may show.
struct ShownFields {
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

/// The facts for the record that are collected until the exchange ends.
#[derive(Debug, Default)]
struct Outcome {
    route: Option<RouteIndex>,
    status: Option<u16>,
    /// The verifier of the token.
    verifier: Option<VerifierId>,
    /// The token, if the access log may have a line about it.
    token: Option<SeenToken>,
    /// The reason and the explanation of a refusal, or of a response that was cut off.
    failure: Option<(&'static str, Cow<'static, str>)>,
    /// The way in which the response ended early, if it did.
    early: Option<Ending>,
    /// The state of the request's body, if it has one that is forwarded.
    upload: Option<UploadStatus>,
    /// Set if the response is the refusal of a body that was cut off.
    is_body_cut: bool,
    /// Set if the response is an event stream.
    is_event_stream: bool,
    /// The part at which the request failed.
    failed: Option<FailedPart>,
    /// The time until the upstream's answer.
    upstream_took: Option<Duration>,
    /// The bytes of the response's body that the connection took.
    sent: u64,
    /// The time at which the response was made; set only if the exchange outlives its response.
    answered: Option<Instant>,
}

/// The refusal of a request whose client closed its sending side of the connection in the middle of
/// the body.
///
/// The client may have closed that side alone and still read the response, or it may have
/// disconnected. It counts as disconnected until [`UnconfirmedRefusal::received`] is called.
pub struct UnconfirmedRefusal {
    exchange: Box<Exchange>,
    cause: Cause,
}

impl UnconfirmedRefusal {
    pub(super) fn new(mut exchange: Box<Exchange>, cause: Cause) -> Self {
        exchange.outcome.answered = Some(clock::monotonic());
        exchange.note_early_end();
        exchange.outcome.is_body_cut = true;
        Self { exchange, cause }
    }

    /// Records the refusal as any other one, since the client has received its response.
    pub fn received(mut self) {
        self.exchange.outcome.early = None;
        self.exchange.count_refusal(&self.cause);
    }
}

/// The reason in the log of a response that was cut off.
const CUT: &str = "answer_cut";

impl ShownFields {
    fn of<B>(request: &Request<B>) -> Self {
        let agents = request.headers().get_all(USER_AGENT);
        Self {
            host: forwarded::requested_host(request.uri(), request.headers()),
            // The last one, as in the event of a function.
            user_agent: agents.iter().next_back().cloned(),
        }
    }
}

impl Exchange {
    /// Begins an exchange: reads the clock, and takes the client's request id or makes a new one.
    pub(super) fn begin<B>(
        worker: &Rc<Worker>,
        view: Rc<View>,
        peer: &Peer,
        request: &Request<B>,
    ) -> Box<Self> {
        let began = clock::now();
        worker.metrics().requests.inc();
        let chosen = headers::valid_request_id(request.headers());
        let has_own_id = chosen.is_none();
        let mut request_id = match chosen {
            Some(id) => id,
            None => worker.ids.next(began.since_epoch),
        };
        // No other request has this id, so it would only fill HPACK's dynamic table (RFC 7541
        // §7.1.3).
        request_id.set_sensitive(true);
        let snapshot = &view.snapshot;
        let is_logged = snapshot.config.log.access != AccessLog::Off;
        let path = if is_logged {
            request.uri().path().into()
        } else {
            Box::default()
        };
        let client_certificate = match peer.certificate() {
            Some(certificate) if is_logged => Some(certificate.to_string().into()),
            _ => None,
        };
        let origin = if snapshot.has_cors {
            origin_of(request.headers()).cloned()
        } else {
            None
        };
        let amzn_id = if snapshot.has_profiles {
            profile_ids::of_client(request.headers())
        } else {
            None
        };
        let shown = if snapshot.config.log.format.is_some() {
            Some(Box::new(ShownFields::of(request)))
        } else {
            None
        };
        Box::new(Self {
            began,
            request_id,
            has_own_id,
            amzn_id,
            profile: ErrorProfile::Rfc6750,
            method: request.method().clone(),
            path,
            peer: peer.address,
            client: forwarded::client(request.headers(), peer, &snapshot.config.server),
            client_certificate,
            protocol: request.version(),
            origin,
            grpc: grpc::content_type(request).cloned(),
            shown,
            outcome: Outcome::default(),
            worker: worker.clone(),
            view,
        })
    }

    pub(super) fn view(&self) -> &Rc<View> {
        &self.view
    }

    pub(super) fn began(&self) -> Now {
        self.began
    }

    pub(super) fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the route that the request matched.
    fn route(&self) -> Option<&Route> {
        self.view.snapshot.route(self.outcome.route?)
    }

    /// Returns the metrics of the request's route, or those of requests without a route.
    fn route_metrics(&self) -> &RouteMetrics {
        match self.route() {
            Some(route) => &route.metrics,
            None => &self.view.snapshot.unrouted,
        }
    }

    /// Returns the route's rules for the header fields of its responses.
    pub(super) fn response_rules(&self) -> Option<&HeaderRules> {
        Some(&self.route()?.config.heads.response)
    }

    /// Returns the address of the client: that which a trusted proxy names, or else the peer's.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.client.or(self.peer.map(|peer| peer.ip()))
    }

    pub(super) fn origin(&self) -> Option<&HeaderValue> {
        self.origin.as_ref()
    }

    /// Takes the profile in force. In a REST API the id that the client chose becomes that of the
    /// request, unless the client chose another one in `x-request-id`.
    fn take_profile(&mut self, profile: ErrorProfile) {
        self.profile = profile;
        if profile != ErrorProfile::AwsRest {
            return;
        }
        let mut id = match self.amzn_id.take() {
            Some(id) => id,
            None if profile_ids::is_uuid(&self.request_id) => self.request_id.clone(),
            None => self.worker.ids.next(self.began.since_epoch),
        };
        id.set_sensitive(true);
        if self.has_own_id {
            self.request_id = id.clone();
        }
        self.amzn_id = Some(id);
    }

    /// Returns the ids of the request.
    pub(super) fn ids(&self) -> Ids<'_> {
        let is_rest = self.profile == ErrorProfile::AwsRest;
        Ids {
            request: &self.request_id,
            amzn: self.amzn_id.as_ref().filter(|_| is_rest),
        }
    }

    /// Adds the ids of the profile in force to an answer.
    fn add_ids(&self, fields: &mut HeaderMap) {
        profile_ids::add(self.profile, &self.ids(), fields);
    }

    /// Notes the route of a request that is forwarded, and the verifier of its token.
    pub(super) fn decided(&mut self, decision: &Decision<'_>) {
        if self.view.snapshot.has_profiles {
            self.take_profile(decision.route.config.errors.profile);
        }
        self.outcome.route = Some(decision.route.index);
        self.count_verification(decision.verifier, Verification::Valid);
        if self.view.snapshot.config.log.access != AccessLog::Off {
            let principal = decision.permit.shared_principal();
            self.outcome.token = principal.cloned().map(SeenToken::Verified);
        }
        if let Some(result) = decision.cache {
            self.worker.metrics().cache.increment(result);
        }
    }

    /// Makes the response to a request that the gateway answers itself.
    pub(super) fn answer(&mut self, answer: OwnAnswer<'_>) -> Response<Option<Bytes>> {
        self.take_profile(answer.errors(&self.view.snapshot).profile);
        self.outcome.route = answer.route().map(|route| route.index);
        answer::own(answer, &self.request_id)
    }

    /// Adds the date and the ids to the response, and notes its status.
    pub(super) fn answered<T>(&mut self, response: &mut Response<T>) {
        if self.profile != ErrorProfile::Rfc6750 {
            self.add_ids(response.headers_mut());
        }
        self.worker.dates.complete(response.headers_mut());
        self.outcome.status = Some(response.status().as_u16());
    }

    /// Makes the response to a refusal, and notes it.
    pub(super) fn refused(&mut self, refusal: &Refusal<'_>) -> Response<Bytes> {
        self.take_profile(refusal.errors(&self.view.snapshot).profile);
        let snapshot = &self.view.snapshot;
        let grpc = self.grpc.as_ref();
        let mut response = answer::to(snapshot, refusal, &self.request_id, grpc);
        // A call of gRPC has 200, which tells nothing.
        let status = match grpc {
            Some(_) => refusal.reason().status(),
            None => response.status(),
        };
        self.outcome.status = Some(status.as_u16());
        let fields = response.headers_mut();
        fields.insert(headers::REQUEST_ID, self.request_id.clone());
        self.add_ids(fields);
        self.worker.dates.complete(fields);
        self.note_refusal(refusal);
        self.apply_rules(refusal, response.headers_mut());
        response
    }

    /// Completes the header fields of an answer that a route has in place of an upstream's.
    pub(super) fn complete_own(&self, route: &Route, fields: &mut HeaderMap, facts: &impl Facts) {
        fields.insert(headers::REQUEST_ID, self.request_id.clone());
        let rules = &route.config.heads.response;
        rules.complete(fields);
        for (name, value) in rules.render(facts) {
            fields.entry(name).or_insert(value);
        }
        if let Some(cors) = &route.config.heads.cors {
            cors.permit(self.origin.as_ref(), fields);
        }
    }

    /// Applies the rules of the route, or of the group of a path that no route has, to the header
    /// fields of a refusal.
    fn apply_rules(&self, refusal: &Refusal<'_>, fields: &mut HeaderMap) {
        let (rules, cors) = match (refusal.route, refusal.group) {
            (Some(route), _) => (&route.config.heads.response, &route.config.heads.cors),
            (None, Some(group)) => (&group.response, &group.cors),
            (None, None) => return,
        };
        rules.complete(fields);
        for (name, value) in rules.render(&AnswerFacts(&self.request_id)) {
            fields.entry(name).or_insert(value);
        }
        // Pages of every origin may read that there is no metadata.
        if let Some(cors) = cors
            && !matches!(refusal.cause, Cause::NoMetadata)
        {
            cors.permit(self.origin.as_ref(), fields);
            if self.grpc.is_some() {
                grpc::expose(fields);
            }
        }
    }

    /// Notes the time until the upstream's answer.
    pub(super) fn upstream_answered(&mut self, took: Duration) {
        self.outcome.upstream_took = Some(took);
    }

    /// Notes that the connection took bytes of the response's body.
    pub(super) fn sends(&mut self, bytes: usize) {
        self.outcome.sent += bytes as u64;
    }

    /// Counts a tunnel as open until the returned guard is dropped.
    pub(super) fn tunnel(&self) -> OpenTunnel {
        self.worker.metrics().tunnels.inc();
        OpenTunnel(self.worker.clone())
    }

    /// Notes that the request's body is being forwarded.
    pub(super) fn uploads(&mut self, upload: &UploadStatus) {
        self.outcome.upload = Some(upload.clone());
    }

    /// Notes that the response is an event stream, which most clients end by leaving.
    pub(super) fn streams_events(&mut self) {
        self.outcome.is_event_stream = true;
    }

    /// Notes that the response was cut off by the gateway or the upstream.
    pub(super) fn cut(&mut self, error: &BodyError) {
        self.outcome.early = Some(Ending::Cut);
        self.outcome.failure = Some((CUT, error.to_string().into()));
    }

    /// Notes that the connection has dropped the response before its end.
    pub(super) fn abandoned(&mut self) {
        // Responses to HEAD and with these statuses have no content, so the connection never reads
        // their bodies.
        let status = self.outcome.status.map(StatusCode::from_u16);
        let is_bare = matches!(status, Some(Ok(status)) if ends_with_head(status));
        let is_empty = self.method == Method::HEAD || is_bare;
        if !is_empty && self.outcome.early.is_none() {
            self.note_early_end();
        }
    }

    /// Notes that the exchange ended before its response did. At the end of the drain the gateway
    /// has cut it off; at any other time the client disconnected, stopped reading, or broke the
    /// protocol.
    fn note_early_end(&mut self) {
        if self.worker.is_cutting() {
            self.outcome.early = Some(Ending::Cut);
            self.outcome.failure = Some((CUT, "the drain ended before the response did".into()));
        } else {
            self.outcome.early = Some(Ending::Left);
        }
    }

    fn note_refusal(&mut self, refusal: &Refusal<'_>) {
        self.outcome.route = refusal.route.map(|route| route.index);
        // A request that was authorized and failed later has a token already.
        if refusal.token.is_some() {
            self.outcome.token.clone_from(&refusal.token);
        }
        match &refusal.cause {
            Cause::Token { error, .. } => {
                self.count_verification(refusal.verifier, error.verification());
            }
            // The token is valid, but its scopes are not enough.
            Cause::Denied(_) => self.count_verification(refusal.verifier, Verification::Valid),
            Cause::Defect => self.worker.metrics().panics.inc(),
            // The refusal is counted once it is known whether the client received the response.
            Cause::BodyCut => return,
            _ => {}
        }
        self.count_refusal(&refusal.cause);
    }

    /// Counts a refusal, and keeps its reason for the access log.
    fn count_refusal(&mut self, cause: &Cause) {
        self.route_metrics().refused(cause.reason());
        let log = &self.view.snapshot.config.log;
        if log.access != AccessLog::Off {
            let detail = cause.detail(log.claims);
            self.outcome.failed = Some(failed_part(cause));
            self.outcome.failure = Some((cause.reason().name(), detail));
        }
    }

    /// Notes the verifier of the request's token, and counts the result of the token's
    /// verification.
    fn count_verification(&mut self, verifier: Option<&Verifier>, result: Verification) {
        if let Some(verifier) = verifier {
            self.outcome.verifier = Some(verifier.id());
            verifier.metrics().verifications.increment(result);
        }
    }
}

/// Returns the part of the gateway at which a request failed.
fn failed_part(cause: &Cause) -> FailedPart {
    match cause {
        Cause::Token { .. } | Cause::Denied(_) | Cause::CrossSite => FailedPart::Authorizer,
        Cause::Upstream(_) | Cause::Function(_) => FailedPart::Integration,
        _ => FailedPart::Other,
    }
}

/// Counts one open tunnel until it is dropped.
pub(super) struct OpenTunnel(Rc<Worker>);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.metrics().tunnels.dec();
    }
}
