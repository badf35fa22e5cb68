//! The bookkeeping of one request: begun once, recorded once, however it ends.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, Response, Version};

use super::body::{BodyError, ReplyBody, ReplySource};
use super::upgrade::{Tunnel, Upgrades};
use super::worker::{View, Worker};
use super::{Cause, Refusal, grpc, headers, reply};
use crate::clock::{self, Now};
use crate::config::AccessLog;
use crate::net::Peer;
use crate::policy::Denial;
use crate::route::{HeaderRules, origin_of};
use crate::telemetry::{AccessLine, Ending};

/// One request and its answer; boxed, since it goes from hand to hand. It is recorded when it is
/// dropped: with the last byte of the answer, or when the client has left.
pub(super) struct Exchange {
    worker: Rc<Worker>,
    view: Rc<View>,
    began: Now,
    request_id: HeaderValue,
    method: Method,
    path: Box<str>,
    peer: Option<SocketAddr>,
    /// The client, where a trusted proxy says that it is another than the peer.
    client: Option<IpAddr>,
    /// The fingerprint of the certificate that the client has shown.
    client_certificate: Option<Box<str>>,
    protocol: Version,
    /// What a page of another origin says of itself, where some route asks.
    origin: Option<HeaderValue>,
    /// The content type of a gRPC request.
    grpc: Option<HeaderValue>,
    outcome: Outcome,
}

/// What is known of the end.
#[derive(Debug, Default)]
struct Outcome {
    route: Option<usize>,
    status: Option<u16>,
    /// The issuer of the token, an index into the snapshot's verifiers.
    issuer: Option<usize>,
    /// The reason and the explanation of a refusal, or why the answer was cut.
    failure: Option<(&'static str, Cow<'static, str>)>,
    /// The reason for which the answer ended early.
    early: Option<Ending>,
    /// When the answer was made, if the exchange outlives it.
    answered: Option<Instant>,
}

/// The refusal of a request whose client has closed its side of the connection in the middle of the
/// body. It may have closed that side alone and read the answer, or be gone: until
/// [`Unconfirmed::received`] says otherwise, it is gone.
pub struct Unconfirmed {
    exchange: Box<Exchange>,
    refusal: Refusal,
}

impl Unconfirmed {
    fn new(mut exchange: Box<Exchange>, refusal: Refusal) -> Self {
        exchange.outcome.answered = Some(clock::monotonic());
        exchange.leave();
        Self { exchange, refusal }
    }

    /// Records it as a refusal like any other: the client has its answer.
    pub fn received(mut self) {
        self.exchange.outcome.early = None;
        self.exchange.refused(&self.refusal);
    }
}

/// The index of a token that verified in `TokenError::RESULTS`.
const VALID: usize = 0;

/// The status, in the log alone, of a request that ended before its answer began, as nginx has it.
const UNANSWERED: u16 = 499;

/// The reason of an answer that ended before its end.
const CUT: &str = "answer_cut";

/// The reason of a request whose client did not wait for the end of its answer.
const LEFT: &str = "client_left";

impl Exchange {
    /// Begins an exchange: reads the clock, and gives the request an id.
    pub(super) fn begin<B>(
        worker: &Rc<Worker>,
        view: Rc<View>,
        peer: &Peer,
        request: &Request<B>,
    ) -> Box<Self> {
        let began = clock::now();
        let is_logged = view.snapshot.config.log.access != AccessLog::Off;
        worker.metrics().requests.inc();
        let mut request_id = headers::valid_request_id(request.headers())
            .unwrap_or_else(|| worker.ids.next(began.since_epoch));
        // It does not come again: the tables of HTTP/2 (RFC 7541 §7.1.3) are for fields that do.
        request_id.set_sensitive(true);
        Box::new(Self {
            began,
            request_id,
            method: request.method().clone(),
            path: if is_logged {
                request.uri().path().into()
            } else {
                Box::default()
            },
            peer: peer.address,
            client: headers::client(request.headers(), peer, &view.snapshot.config.server),
            client_certificate: peer
                .certificate()
                .filter(|_| is_logged)
                .map(|certificate| certificate.to_string().into()),
            protocol: request.version(),
            origin: view
                .snapshot
                .has_cors
                .then(|| origin_of(request.headers()))
                .flatten()
                .cloned(),
            grpc: grpc::content_type(request).cloned(),
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

    /// The route's rules for the fields of its answers.
    pub(super) fn response_rules(&self) -> Option<&HeaderRules> {
        let route = self
            .outcome
            .route
            .and_then(|index| self.view.snapshot.routes.get(index))?;
        Some(&route.heads.response)
    }

    pub(super) fn origin(&self) -> Option<&HeaderValue> {
        self.origin.as_ref()
    }

    /// Notes the route that speaks for the request, and the issuer of its caller.
    pub(super) fn decided(&mut self, route: usize, issuer: Option<&Arc<str>>) {
        self.outcome.route = Some(route);
        self.verified(issuer, VALID);
    }

    /// Makes the answer.
    pub(super) fn finish(
        mut self: Box<Self>,
        outcome: Result<Response<ReplySource>, Refusal>,
        upgrades: &Upgrades,
    ) -> Response<ReplyBody> {
        let refusal = match outcome {
            Ok(mut response) => {
                self.worker.dates.complete(response.headers_mut());
                self.outcome.status = Some(response.status().as_u16());
                return response.map(|answer| match answer {
                    ReplySource::Switched(upstream, idle) => {
                        upgrades.open(Tunnel::new(upstream, self, idle));
                        ReplyBody::switching()
                    }
                    answer => ReplyBody::new(answer, self),
                });
            }
            Err(refusal) => refusal,
        };
        let mut response = reply::to(&self.view.snapshot, &refusal, &self.request_id);
        response
            .headers_mut()
            .insert(headers::REQUEST_ID, self.request_id.clone());
        self.worker.dates.complete(response.headers_mut());
        self.note(&refusal, response.status().as_u16());
        if let Some(content_type) = &self.grpc {
            let detail = reply::detail(&self.view.snapshot, &refusal);
            response = grpc::refused(response, content_type, &detail);
        }
        if let Some(route) = refusal
            .route
            .and_then(|index| self.view.snapshot.routes.get(index))
        {
            route.heads.response.complete(response.headers_mut());
            if let Some(cors) = &route.heads.cors {
                cors.permit(self.origin.as_ref(), response.headers_mut());
                if self.grpc.is_some() {
                    grpc::expose(response.headers_mut());
                }
            }
        }
        if matches!(refusal.cause, Cause::BodyCut) {
            upgrades.confirm_later(Unconfirmed::new(self, refusal));
            return response.map(ReplyBody::unrecorded);
        }
        response.map(|bytes| ReplyBody::new(ReplySource::Own(Some(bytes)), self))
    }

    /// Counts a tunnel as open while the value lives.
    pub(super) fn tunnel(&self) -> OpenTunnel {
        self.worker.metrics().tunnels.inc();
        OpenTunnel(self.worker.clone())
    }

    /// Notes that the answer ended before its end, which was not the client's doing.
    pub(super) fn cut(&mut self, error: &BodyError) {
        self.outcome.early = Some(Ending::Cut);
        self.outcome.failure = Some((CUT, error.to_string().into()));
    }

    /// Notes that what was left of the answer is not asked for any more.
    pub(super) fn abandoned(&mut self) {
        // Answers to HEAD, and these two, have no content: their body is not asked for at all.
        let is_empty =
            self.method == Method::HEAD || matches!(self.outcome.status, Some(204 | 304));
        if !is_empty && self.outcome.early.is_none() {
            self.leave();
        }
    }

    /// Notes that the request ends before its answer has. At the end of the drain that is the
    /// gateway's doing, and any other time the client's: it left, took nothing more, or broke the
    /// protocol.
    fn leave(&mut self) {
        if self.worker.is_cutting() {
            self.outcome.early = Some(Ending::Cut);
            self.outcome.failure = Some((CUT, "the drain was over".into()));
        } else {
            self.outcome.early = Some(Ending::Left);
        }
    }

    fn note(&mut self, refusal: &Refusal, status: u16) {
        self.outcome.status = Some(status);
        self.outcome.route = refusal.route;
        match &refusal.cause {
            Cause::Token { rejection, .. } => {
                self.verified(rejection.issuer.as_ref(), rejection.error.index());
            }
            // The token was fine; what it grants was not enough.
            Cause::Denied(Denial::InsufficientScope { issuer, .. }) => {
                self.verified(Some(issuer), VALID);
            }
            Cause::Defect => self.worker.metrics().panics.inc(),
            // Whether the client is there to hear it is known later.
            Cause::BodyCut => return,
            _ => {}
        }
        self.refused(refusal);
    }

    /// Counts a refusal, and keeps its reason for the log.
    fn refused(&mut self, refusal: &Refusal) {
        self.view
            .snapshot
            .route_metrics(refusal.route)
            .refused(refusal.reason_index());
        if self.view.snapshot.config.log.access != AccessLog::Off {
            self.outcome.failure = Some((refusal.reason(), refusal.explanation()));
        }
    }

    /// Notes and counts what became of a token of this issuer.
    fn verified(&mut self, issuer: Option<&Arc<str>>, result: usize) {
        let snapshot = &self.view.snapshot;
        // Its place and not its name, whose reference count all workers share.
        self.outcome.issuer = issuer.and_then(|name| snapshot.issuer(name));
        if let Some(verifier) = self
            .outcome
            .issuer
            .and_then(|index| snapshot.verifiers.get(index))
        {
            verifier.issuer().metrics().verifications.increment(result);
        }
    }

    fn log(&self, status: u16, took: Duration) {
        let wanted = match self.view.snapshot.config.log.access {
            AccessLog::Off => false,
            AccessLog::Refusals => self.outcome.failure.is_some(),
            AccessLog::All => true,
        };
        if !wanted {
            return;
        }
        let snapshot = &self.view.snapshot;
        let route = self
            .outcome
            .route
            .and_then(|index| snapshot.routes.get(index));
        let issuer = self
            .outcome
            .issuer
            .and_then(|index| snapshot.verifiers.get(index));
        let (reason, detail) = match (&self.outcome.failure, self.outcome.early) {
            (Some((reason, detail)), _) => (Some(*reason), Some(&**detail)),
            (None, Some(Ending::Left)) => (Some(LEFT), None),
            (None, _) => (None, None),
        };
        self.worker.access_log.write(&AccessLine {
            ended: clock::since_epoch(),
            request_id: self.request_id.to_str().unwrap_or_default(),
            peer: self.peer,
            client: self.client,
            client_certificate: self.client_certificate.as_deref(),
            protocol: self.protocol,
            method: self.method.as_str(),
            path: &self.path,
            route: route.map(|route| &*route.label),
            status,
            reason,
            detail,
            issuer: issuer.map(|verifier| &**verifier.name()),
            took,
        });
    }
}

/// An open tunnel, counted.
pub(super) struct OpenTunnel(Rc<Worker>);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.metrics().tunnels.dec();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let ended = self.outcome.answered.unwrap_or_else(clock::monotonic);
        let took = ended.saturating_duration_since(self.began.monotonic);
        if self.outcome.status.is_none() {
            self.leave();
        }
        let status = self.outcome.status.unwrap_or(UNANSWERED);
        let ending = self.outcome.early.unwrap_or(Ending::Answered(status));
        self.view
            .snapshot
            .route_metrics(self.outcome.route)
            .record(&self.method, ending, took);
        self.log(status, took);
        self.worker.metrics().requests.dec();
    }
}
