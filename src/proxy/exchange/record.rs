//! The record of an exchange: its metrics, and its line of the access log.

use std::time::Duration;

use super::{Exchange, Outcome};
use crate::clock;
use crate::config::AccessLog;
use crate::lambda::{domain_name, domain_prefix};
use crate::proxy::api_route::{api_route, function_of};
use crate::proxy::token_fields::token_fields;
use crate::snapshot::Route;
use crate::telemetry::{AccessLine, Departure, Ending, LineContext, LineRoute, TokenFields};

/// The status that the log shows for a request that ended before its response began; nginx uses the
/// same number. No client receives it.
const UNANSWERED: u16 = 499;

/// The reason in the log of a request whose client disconnected before the end of the response.
const LEFT: &str = "client_left";

impl Drop for Exchange {
    fn drop(&mut self) {
        let ended = self.outcome.answered.unwrap_or_else(clock::monotonic);
        let took = ended.saturating_duration_since(self.began.monotonic);
        if self.outcome.status.is_none() {
            self.note_early_end();
        }
        let status = self.outcome.status.unwrap_or(UNANSWERED);
        let ending = self.outcome.early.unwrap_or(Ending::Answered(status));
        if ending == Ending::Left {
            let departures = &self.worker.metrics().departures;
            departures.increment(self.departure());
        }
        self.route_metrics().record(&self.method, ending, took);
        self.log(status, took);
        self.worker.metrics().requests.dec();
    }
}

impl Exchange {
    /// Returns the moment at which the client left.
    fn departure(&self) -> Departure {
        let Outcome { status, upload, .. } = &self.outcome;
        let is_uploading = upload
            .as_ref()
            .is_some_and(|upload| !upload.progress.has_ended());
        match status {
            None if is_uploading => Departure::InBody,
            None => Departure::BeforeAnswer,
            Some(_) if self.outcome.is_body_cut => Departure::InBody,
            Some(_) if self.outcome.is_event_stream => Departure::InEventStream,
            Some(_) => Departure::InAnswer,
        }
    }

    /// Returns what the line shows of the token.
    fn token_fields(&self) -> Option<TokenFields<'_>> {
        let token = self.outcome.token.as_ref()?;
        token_fields(token, self.view.snapshot.config.log.claims)
    }

    /// Returns whether the access log has a line for the exchange: `Some` with the number of lines
    /// that were left out before it.
    fn admit_line(&self) -> Option<u64> {
        match self.view.snapshot.config.log.access {
            AccessLog::Off => None,
            AccessLog::Refusals if self.outcome.failure.is_none() => self.admit_departure(),
            AccessLog::Refusals | AccessLog::All => Some(0),
        }
    }

    /// Returns whether a client that left has a line beside those of refusals. Clients can leave
    /// any number of times without waiting for an answer, so that these lines have a rate.
    fn admit_departure(&self) -> Option<u64> {
        if self.outcome.early != Some(Ending::Left) || self.departure() == Departure::InEventStream
        {
            return None;
        }
        self.worker.departure_lines.admit(clock::monotonic())
    }

    fn log(&self, status: u16, took: Duration) {
        let Some(skipped) = self.admit_line() else {
            return;
        };
        let (reason, detail) = match (&self.outcome.failure, self.outcome.early) {
            (Some((reason, detail)), _) => (Some(*reason), Some(&**detail)),
            (None, Some(Ending::Left)) => (Some(LEFT), Some(sentence(self.departure()))),
            (None, _) => (None, None),
        };
        let line = AccessLine {
            ended: clock::since_epoch(),
            request_id: self.request_id.to_str().unwrap_or_default(),
            peer: self.peer,
            client: self.client,
            client_certificate: self.client_certificate.as_deref(),
            protocol: self.protocol,
            method: self.method.as_str(),
            path: &self.path,
            route: self.route().map(|route| &*route.label),
            status,
            upstream_status: self.upstream_status(),
            reason,
            detail,
            issuer: self.issuer(),
            token: self.token_fields(),
            skipped: (skipped > 0).then_some(skipped),
            took,
        };
        match &self.view.snapshot.config.log.format {
            None => self.worker.access_log.write(&line),
            Some(format) => {
                let log = &self.worker.access_log;
                log.write_as(format, &line, &self.line_context());
            }
        }
    }

    /// Returns the facts that only a format of the operator's own shows. Those of a route and of a
    /// host are the ones that a function gets.
    fn line_context(&self) -> LineContext<'_> {
        let shown = self.shown.as_deref();
        let host = shown.and_then(|shown| shown.host.as_ref()?.to_str().ok());
        LineContext {
            began: self.began.since_epoch,
            api_request_id: self.ids().of_api().to_str().unwrap_or_default(),
            route: self.route().map(|route| self.line_route(route)),
            domain_name: host.map(domain_name),
            domain_prefix: host.map(domain_prefix),
            user_agent: shown.and_then(|shown| shown.user_agent.as_ref()?.to_str().ok()),
            response_bytes: self.outcome.sent,
            upstream_took: self.outcome.upstream_took,
            failed: self.outcome.failed,
        }
    }

    /// Returns what a format of the operator's own shows of a route.
    fn line_route<'e>(&'e self, route: &'e Route) -> LineRoute<'e> {
        let snapshot = &self.view.snapshot;
        let named = api_route(snapshot, route);
        let function = function_of(snapshot, route);
        let rule = route.config.answering(&self.method);
        LineRoute {
            stage: named.stage(),
            resource: named.resource(),
            key: rule.map(|rule| named.key(rule)),
            account_id: function.map(|function| &*function.account_id),
            api_id: function.map(|function| &*function.api_id),
        }
    }

    /// Returns the status of the upstream's answer, if the client got that answer: an answer that
    /// the gateway refused became one of its own.
    fn upstream_status(&self) -> Option<u16> {
        let outcome = &self.outcome;
        let is_forwarded = outcome.upstream_took.is_some() && outcome.failed.is_none();
        outcome.status.filter(|_| is_forwarded)
    }

    /// Returns the name of the issuer of the request's token. The route has few verifiers, and the
    /// name is needed for a line of the log alone.
    fn issuer(&self) -> Option<&str> {
        let id = self.outcome.verifier?;
        let mut verifiers = self.route()?.verifiers.iter();
        let verifier = verifiers.find(|verifier| verifier.id() == id)?;
        Some(verifier.name())
    }
}

/// Returns the sentence of the log about a client that left.
fn sentence(departure: Departure) -> &'static str {
    match departure {
        Departure::InBody => "the client left before its request was forwarded whole",
        Departure::BeforeAnswer => "the client left while it waited for the answer",
        Departure::InAnswer => "the client left before the end of the answer",
        Departure::InEventStream => "the client ended an event stream",
    }
}
