//! The words about a decision: the route, the token beside what is accepted, the checks, the
//! verdict and the answer.

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};

use super::checks::Check;
use super::found_token::FoundToken;
use super::near::near_misses;
use super::report::{AskedFor, Entry, Outcome, Report, Verdict};
use super::shown::{all_quoted, first_quoted, list, moment, quoted, unquoted};
use crate::config::{ErrorProfile, printable, unjudged};
use crate::decision::{Cause, Decision, OwnAnswer, Refusal, RequestValues, answer, grpc, respond};
use crate::lambda::{ApiRoute, Function, route_name};
use crate::policy::{Denial, Requirement, ScopeSet};
use crate::proxy::api_route;
use crate::route::{MethodPattern, Target, TargetError};
use crate::server::HeadRefusal;
use crate::snapshot::{Handler, Route, RouteMethod, Snapshot};
use crate::telemetry::{Label as _, Quoted};
use crate::token::{SeenToken, TokenError};
use crate::transform::Respond;

/// Returns the words for the event that a function gets: its version, the function, and the route
/// as the event names it.
fn event_words(function: &Function, route: &ApiRoute<'_>, rule: &MethodPattern) -> String {
    let (version, name) = (function.event.as_str(), function.name.as_str());
    let route = route_name(function.event, route, rule);
    format!("an event {version} of function \"{name}\", for \"{route}\",")
}

/// A hint for a user whose token is from `dev`: only `dev` has the keys for it.
pub(super) const DEV_KEYS: &str =
    "for a token of a running \"scopegate dev\", add --dev, which uses its keys";

/// A hint for a token that is bound to a certificate, which cannot come from a connection here.
const CERTIFICATE: &str = "if the client presents a certificate, add --client-cert-file";

/// A hint where the keys could not be fetched.
const OLDER_KEYS: &str =
    "a running gateway may still have the keys of an earlier fetch, or those of its keep_file";

/// A hint for a target that is no path.
const TARGETS: &str = "a target is a path that begins with \"/\", or a whole http or https URL";

/// Options that were given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given {
    pub(super) dev: bool,
    pub(super) certificate: bool,
    pub(super) peer: bool,
}

/// The report of a decision while it is written.
pub(super) struct Account<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) given: Given,
    pub(super) report: Report,
}

impl Account<'_> {
    /// Explains why the parser of connections refuses the head.
    pub(super) fn unread(&mut self, refusal: &HeadRefusal) {
        let detail = refusal.detail;
        self.report.detail = Some(detail.to_owned());
        let Some((code, reason)) = refusal.answer else {
            self.report.step("request", Outcome::Failed, detail);
            let says = "no answer: the gateway would wait for the rest of the head";
            return self.report.step("verdict", Outcome::Failed, says);
        };
        self.report.reason = Some(reason);
        self.report.result = Verdict::Refused(code);
        let says = format!("the parser of connections refuses the head: {detail} ({reason})");
        self.report.step("request", Outcome::Failed, says);
        let status = match StatusCode::from_u16(code) {
            Ok(status) => status.to_string(),
            Err(_) => code.to_string(),
        };
        let says = format!("{status}, without a body; the connection closes");
        self.report.step("verdict", Outcome::Failed, says);
    }

    /// Adds the request.
    pub(super) fn asked(&mut self, head: &Parts) {
        let target = Target::parse(&head.method, &head.uri, head.version, &head.headers);
        let host = match &target {
            Ok(target) => target.host().map(unquoted),
            Err(_) => None,
        };
        let whole = head.uri.to_string();
        let query = head.uri.query().map(parameter_names);
        // A target in authority form has no path.
        let path = match head.uri.path() {
            "" => &whole,
            path => path,
        };
        // The method may be any token, of any length.
        let method = unquoted(head.method.as_str());
        let mut line = format!("{method} {}", Quoted(path));
        if let Some(query) = &query {
            line = format!("{line}, query {}", Quoted(query));
        }
        line = format!("{line}, host {}", quoted(host.as_deref()));
        self.report.step("request", Outcome::Note, line);
        self.report.request = Some(AskedFor {
            method,
            host,
            path: unquoted(path),
            query: query.as_deref().map(unquoted),
        });
    }

    /// Adds the rule for the request, its requirement and its token sources.
    pub(super) fn routed(&mut self, entry: &RouteMethod, route: &Route) {
        self.report.route = Some(route.label.to_string());
        let asks = match &entry.requirement {
            Requirement::Public => "is public".to_owned(),
            Requirement::Denied => "is denied".to_owned(),
            asked => {
                let sources = list(&route.config.token_from);
                let names = list(route.verifiers.iter().map(|verifier| verifier.name()));
                format!("asks for {asked}, in a token of {names} from {sources}")
            }
        };
        let says = format!("{} {asks}", route.label);
        self.report.step("route", Outcome::Passed, says);
    }

    /// Adds the contents of the token, before any of it is verified.
    pub(super) fn outline(&mut self, token: &FoundToken<'_>) {
        if let Some(view) = &token.view {
            let rows = view.rows();
            self.report
                .entries
                .push(Entry::Heading("the token says, unverified:"));
            self.report
                .entries
                .extend(rows.into_iter().map(Entry::Claim));
        }
    }

    pub(super) fn permitted(
        &mut self,
        head: &Parts,
        decision: &Decision<'_>,
        token: Option<&FoundToken<'_>>,
    ) {
        match decision.permit.principal() {
            Some(principal) => {
                if let Some(token) = token {
                    token
                        .passing(decision.verifier)
                        .report(&mut self.report, None);
                }
                self.report.issuer = Some(principal.issuer.to_string());
                self.granted(&principal.scopes);
                let says = format!("granted: {}", all_quoted(principal.scopes.iter()));
                self.report.step("scopes", Outcome::Passed, says);
            }
            None => self.report.step("token", Outcome::Note, "not checked"),
        }
        match &decision.route.handler {
            Handler::Respond(answer) => self.responded(head, decision, answer),
            Handler::Upstream(_) | Handler::Function(_) | Handler::Nobody => {
                self.forwarded(head, decision);
            }
        }
    }

    fn granted(&mut self, scopes: &ScopeSet) {
        self.report.granted = Some(first_quoted(scopes.iter()));
    }

    fn forwarded(&mut self, head: &Parts, decision: &Decision<'_>) {
        let mut says = "forwarded".to_owned();
        if let Some(index) = decision.route.handler.upstream()
            && let Some(upstream) = self.snapshot.upstreams.get(index)
        {
            let settings = &upstream.settings;
            if let Some(function) = &settings.lambda {
                let route = api_route(self.snapshot, decision.route);
                let rule = decision.route.config.answering(&head.method);
                let rule = rule.unwrap_or(&MethodPattern::Any);
                says = format!("forwarded as {}", event_words(function, &route, rule));
            }
            says = format!("{says} to {} ({})", settings.name, settings.url);
            self.report.upstream = Some(settings.name.to_string());
        }
        if let Some(prefix) = &decision.route.config.strip {
            says = format!("{says}, without {prefix}");
        }
        self.report.result = Verdict::Forwarded;
        self.report.step("verdict", Outcome::Passed, says);
        if let Some(all) = &decision.route.upstream_token_from
            && decision.carrier.is_some()
        {
            let removed = list(unjudged(all, &decision.route.config.token_from));
            if !removed.is_empty() {
                self.report.note(format!(
                    "without {removed}: other routes to this upstream take their tokens from there"
                ));
            }
        }
    }

    /// Adds the answer that the route has in place of an upstream's.
    fn responded(&mut self, head: &Parts, decision: &Decision<'_>, answer: &Respond) {
        let id = HeaderValue::from_static("-");
        let route = decision.route;
        let principal = decision.permit.principal();
        let values = RequestValues::of_client(&route.config.pattern, head, principal, &id);
        let response = match respond(route, answer, &values) {
            Ok(response) => response,
            Err(refusal) => return self.refused(head, &refusal, None),
        };
        let status = response.status();
        self.report.result = Verdict::Answered(status.as_u16());
        let says = format!("{status}, the answer of the route itself");
        self.report.step("verdict", Outcome::Passed, says);
        for (name, value) in response.headers() {
            self.field(name, Some(value));
        }
    }

    /// Adds that the gateway answers the request itself.
    pub(super) fn answered(&mut self, answer: &OwnAnswer<'_>) {
        let (status, says) = match answer {
            OwnAnswer::Metadata(resource) => {
                let url = resource.url();
                (
                    200,
                    format!("200 OK, the metadata of the protected resource {url}"),
                )
            }
            OwnAnswer::Preflight { headers, .. } => {
                let permits = headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
                let says = match permits {
                    true => "204 No Content: the page may make the request",
                    false => "204 No Content: a preflight that permits nothing",
                };
                (204, says.to_owned())
            }
        };
        self.report.route = answer.route().map(|route| route.label.to_string());
        self.report.result = Verdict::Answered(status);
        self.report.step("verdict", Outcome::Passed, says);
    }

    pub(super) fn refused(
        &mut self,
        head: &Parts,
        refusal: &Refusal<'_>,
        token: Option<&FoundToken<'_>>,
    ) {
        let reason = refusal.reason().name();
        let detail = printable(&refusal.cause.explanation()).into_owned();
        let step = self.failed_step(refusal, token);
        self.report
            .step(step, Outcome::Failed, format!("{detail} ({reason})"));
        self.report.reason = Some(reason);
        self.report.detail = Some(detail);
        // A 405 has the route of its path in the access log, too.
        if let (None, Some(route)) = (&self.report.route, refusal.route) {
            self.report.route = Some(route.label.to_string());
        }
        if let Some(verifier) = refusal.verifier {
            self.report.issuer = Some(verifier.name().to_string());
        }
        if let Some(token) = token {
            self.more_about(refusal, token);
        }
        if matches!(refusal.cause, Cause::NotFound | Cause::Method { .. }) {
            self.near(head);
        }
        self.answer(head, refusal);
        for hint in self.hints(&refusal.cause) {
            self.report.note(*hint);
        }
    }

    /// Adds the checks of the token before the one that failed, and returns the name of that one.
    fn failed_step(
        &mut self,
        refusal: &Refusal<'_>,
        token: Option<&FoundToken<'_>>,
    ) -> &'static str {
        let (name, failed) = match &refusal.cause {
            Cause::TargetTooLong | Cause::Target(_) | Cause::Ambiguous { .. } => return "target",
            Cause::NotFound | Cause::NoMetadata | Cause::Method { .. } => return "route",
            Cause::Shadowed { .. } => return "tolerant",
            Cause::Token { error, .. } => {
                let check = Check::of(error);
                (check.name(), Some(check))
            }
            Cause::CrossSite => ("origin", Some(Check::Form)),
            Cause::Denied(Denial::RouteDenied) => return "denied",
            Cause::Denied(_) => ("scopes", None),
            Cause::BodyTooLarge | Cause::EventTooLarge => ("body", None),
            Cause::Unmappable(_) if is_answered(refusal) => ("answer", None),
            Cause::Unmappable(_) => ("rewrite", None),
            _ => return "request",
        };
        if let Some(token) = token {
            let passing = token.passing(refusal.verifier);
            passing.report(&mut self.report, failed);
        }
        name
    }

    /// Adds what else the token shows: that it has expired, whatever was checked first; the scopes
    /// that it grants; the places that hold one of several.
    fn more_about(&mut self, refusal: &Refusal<'_>, token: &FoundToken<'_>) {
        if let Cause::Token { error, .. } = &refusal.cause {
            if *error == TokenError::Several {
                let places = format!("tokens are in {}", token.places);
                self.report.note(places);
            }
            let is_before = Check::of(error) < Check::Time;
            if let Some(view) = &token.view
                && is_before
                && view.is_expired()
            {
                let at = moment(view.outline.expires.unwrap_or_default(), view.now());
                let says = format!("the token has expired as well: {at}");
                self.report.step(Check::Time.name(), Outcome::Failed, says);
            }
        }
        if let Some(SeenToken::Verified(principal)) = &refusal.token {
            self.granted(&principal.scopes);
            if matches!(refusal.cause, Cause::Denied(_)) {
                let scopes = all_quoted(principal.scopes.iter());
                self.report.note(format!("the token grants {scopes}"));
            }
        }
    }

    fn near(&mut self, head: &Parts) {
        let target = Target::parse(&head.method, &head.uri, head.version, &head.headers);
        if let Ok(target) = target {
            let found = near_misses(self.snapshot, &target);
            self.report
                .entries
                .extend(found.into_iter().map(Entry::Near));
        }
    }

    /// Adds the answer that the client gets.
    fn answer(&mut self, head: &Parts, refusal: &Refusal<'_>) {
        let id = HeaderValue::from_static("-");
        let answer = answer::to(self.snapshot, refusal, &id, None);
        let status = answer.status();
        self.report.result = Verdict::Refused(status.as_u16());
        self.report
            .step("verdict", Outcome::Failed, status.to_string());
        for name in [WWW_AUTHENTICATE, ALLOW, RETRY_AFTER, answer::ERROR_TYPE] {
            self.field(&name, answer.headers().get(&name));
        }
        let profile = refusal.errors(self.snapshot).profile;
        if profile != ErrorProfile::Rfc6750 {
            let name = profile.name();
            self.report
                .note(format!("the answer has the form of the profile \"{name}\""));
        }
        let request = Request::from_parts(head.clone(), ());
        if let Some(content_type) = grpc::content_type(&request) {
            let answer = answer::to(self.snapshot, refusal, &id, Some(content_type));
            self.report
                .note("the client speaks gRPC-Web, and gets the refusal in a 200:");
            for name in ["grpc-status", "grpc-message"] {
                let name = HeaderName::from_static(name);
                self.field(&name, answer.headers().get(&name));
            }
        }
    }

    fn field(&mut self, name: &HeaderName, value: Option<&HeaderValue>) {
        if let Some(value) = value {
            let value = String::from_utf8_lossy(value.as_bytes());
            self.report.entries.push(Entry::Field {
                name: name.to_string(),
                value: printable(&value).into_owned(),
            });
        }
    }

    /// Returns the options and circumstances that may lead to another verdict.
    fn hints(&self, cause: &Cause) -> &'static [&'static str] {
        let error = match cause {
            Cause::Target(TargetError::Form) => return &[TARGETS],
            Cause::Token { error, .. } => error,
            _ => return &[],
        };
        match error {
            TokenError::UnknownKey(_) if !self.given.dev => &[DEV_KEYS],
            TokenError::KeysUnavailable { .. } if !self.given.dev => &[DEV_KEYS, OLDER_KEYS],
            TokenError::KeysUnavailable { .. } => &[OLDER_KEYS],
            TokenError::ClientCertificate { .. } if !self.given.certificate => &[CERTIFICATE],
            _ => &[],
        }
    }
}

/// Returns whether the route that refuses has an answer of its own in place of an upstream's.
fn is_answered(refusal: &Refusal<'_>) -> bool {
    refusal
        .route
        .is_some_and(|route| matches!(route.handler, Handler::Respond(_)))
}

/// Returns the names of the parameters in a query. Their values take no part in a decision, but for
/// a token, which is not shown.
fn parameter_names(query: &str) -> String {
    let mut names = String::new();
    for parameter in query.split('&') {
        let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
        names.push_str(if names.is_empty() { "" } else { "&" });
        names.push_str(name);
    }
    names
}
