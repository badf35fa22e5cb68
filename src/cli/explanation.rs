//! The steps of a decision, as `scopegate explain` shows them.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};

use crate::clock::UnixTime;
use crate::config::{printable, unjudged};
use crate::decision::{Cause, Decision, OwnAnswer, Refusal, answer};
use crate::policy::Requirement;
use crate::snapshot::{Resource, RouteMethod, Snapshot};
use crate::telemetry::{Label as _, Quoted};
use crate::tls::Fingerprint;
use crate::token::{BearerToken, Outline, RequestContext, TokenError};

/// The steps of a decision, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) steps: Vec<Step>,
}

/// One step and its result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) says: String,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The check succeeded.
    Passed,
    /// The check failed and ended the decision.
    Failed,
    /// A fact that does not affect the decision.
    Note,
}

/// The checks of a token in the order in which they are made, each with the text for success. A
/// check that depends on the route's issuer comes after the issuer.
const TOKEN_CHECKS: [(&str, &str); 11] = [
    ("token", "present in a source of the route"),
    ("form", "a signed JWT with an object of claims"),
    ("algorithm", "allowed for the issuer"),
    ("issuer", "one of the route's issuers"),
    ("key", "the issuer has a key with this kid and alg"),
    ("signature", "made with this key"),
    ("time", "not expired, and already valid"),
    ("kind", "an access token"),
    ("audience", "this API, and an allowed client"),
    ("claims", "the required ones are present"),
    ("binding", "none, or to the certificate of the client"),
];

/// Returns the check that produces an error, as an index into [`TOKEN_CHECKS`].
fn check_of(error: &TokenError) -> usize {
    match error {
        TokenError::Missing
        | TokenError::WrongScheme(_)
        | TokenError::Several
        | TokenError::TooLong { .. }
        | TokenError::Placeholder(_) => 0,
        TokenError::Opaque | TokenError::Encrypted | TokenError::Malformed(_) => 1,
        TokenError::Algorithm(_) => 2,
        TokenError::UnknownIssuer(_) => 3,
        TokenError::UnknownKey(_) | TokenError::KeysUnavailable { .. } => 4,
        TokenError::Signature(_) => 5,
        TokenError::Expired { .. } | TokenError::NotYetValid { .. } => 6,
        TokenError::NotAccessToken(_) => 7,
        TokenError::Audience(_) | TokenError::Client(_) => 8,
        TokenError::RequiredClaim(_) => 9,
        TokenError::SenderConstrained | TokenError::ClientCertificate { .. } => 10,
    }
}

impl Explanation {
    pub(super) fn step(&mut self, name: &'static str, outcome: Outcome, says: impl Into<String>) {
        self.steps.push(Step {
            name,
            outcome,
            says: says.into(),
        });
    }

    /// Adds the rule for the request, its requirement and its token sources.
    pub(super) fn routed(&mut self, snapshot: &Snapshot, entry: &RouteMethod) {
        let Some(route) = snapshot.routes.get(entry.route) else {
            return;
        };
        let asks = match &entry.requirement {
            Requirement::Public => "is public".to_owned(),
            asked => {
                let sources = list(route.config.token_from.iter());
                let names = list(route.verifiers.iter().map(|verifier| verifier.name()));
                format!("asks for {asked}, in a token of {names} from {sources}")
            }
        };
        self.step("route", Outcome::Passed, format!("{} {asks}", route.label));
    }

    /// Adds the contents of the token, before any of it is verified.
    pub(super) fn outline(&mut self, token: Option<&str>, context: RequestContext<'_>) {
        let Some(outline) = token.and_then(|text| Outline::of(BearerToken::new(text))) else {
            return;
        };
        self.claim("alg", &quoted(outline.algorithm.as_deref()));
        self.claim("kid", &quoted(outline.key_id.as_deref()));
        self.claim("iss", &quoted(outline.issuer.as_deref()));
        let audience = outline.audience.iter().map(AsRef::as_ref);
        self.claim("aud", &all_quoted(audience));
        self.claim("client", &quoted(outline.client.as_deref()));
        self.claim("token_use", &quoted(outline.token_use.as_deref()));
        match outline.expires {
            Some(end) => self.claim("exp", &moment(end, context.now)),
            None => self.claim("exp", "none"),
        }
        if let Some(start) = outline.not_before {
            self.claim("nbf", &moment(start, context.now));
        }
        self.claim("scope", &all_quoted(outline.scopes.split_whitespace()));
        if let Some(confirmation) = outline.confirmation {
            self.claim("cnf", &quoted(Some(&confirmation)));
            match context.certificate.map(Fingerprint::thumbprint) {
                Some(thumbprint) => self.claim("shown", &thumbprint),
                None => self.claim("shown", "no certificate"),
            }
        }
    }

    fn claim(&mut self, name: &str, value: &str) {
        self.step("", Outcome::Note, format!("{name:<9} {value}"));
    }

    pub(super) fn permitted(&mut self, snapshot: &Snapshot, decision: &Decision<'_>) {
        match decision.permit.principal() {
            Some(principal) => {
                self.token_checks(TOKEN_CHECKS.len());
                let says = format!("granted: {}", all_quoted(principal.scopes.iter()));
                self.step("scopes", Outcome::Passed, says);
            }
            None => self.step("token", Outcome::Note, "not checked"),
        }
        self.forwarded(snapshot, decision);
        let removed = match &decision.route.upstream_token_from {
            Some(all) if decision.carrier.is_some() => {
                list(unjudged(all, &decision.route.config.token_from))
            }
            _ => return,
        };
        if !removed.is_empty() {
            let says = format!(
                "without {removed}: other routes to this upstream take their tokens from there"
            );
            self.step("", Outcome::Note, says);
        }
    }

    fn forwarded(&mut self, snapshot: &Snapshot, decision: &Decision<'_>) {
        let mut says = "forwarded".to_owned();
        if let Some(upstream) = snapshot.upstreams.get(decision.route.upstream) {
            let settings = &upstream.settings;
            says = format!("{says} to {} ({})", settings.name, settings.url);
        }
        if let Some(prefix) = &decision.route.config.strip {
            says = format!("{says}, without {prefix}");
        }
        self.step("verdict", Outcome::Passed, says);
    }

    /// Adds that the gateway answers the request itself.
    pub(super) fn answered(&mut self, answer: &OwnAnswer<'_>) {
        match answer {
            OwnAnswer::Metadata(resource) => self.metadata(resource),
            OwnAnswer::Preflight { headers, .. } => self.preflight(headers),
        }
    }

    fn metadata(&mut self, resource: &Resource) {
        let says = format!(
            "200 OK, the metadata of the protected resource {}",
            resource.url()
        );
        self.step("verdict", Outcome::Passed, says);
    }

    fn preflight(&mut self, headers: &HeaderMap) {
        let says = match headers.get(ACCESS_CONTROL_ALLOW_ORIGIN) {
            Some(_) => "204 No Content: the page may make the request",
            None => "204 No Content: a preflight that permits nothing",
        };
        self.step("verdict", Outcome::Passed, says);
    }

    pub(super) fn refused(&mut self, snapshot: &Snapshot, refusal: &Refusal<'_>) {
        let name = self.failed_step(&refusal.cause);
        let says = format!(
            "{} ({})",
            refusal.cause.explanation(),
            refusal.reason().name()
        );
        self.step(name, Outcome::Failed, says);
        let answer = answer::to(snapshot, refusal, &HeaderValue::from_static("-"), None);
        self.step("verdict", Outcome::Failed, answer.status().to_string());
        for name in [WWW_AUTHENTICATE, ALLOW, RETRY_AFTER] {
            if let Some(value) = answer.headers().get(&name) {
                let value = String::from_utf8_lossy(value.as_bytes());
                let says = format!("{name}: {}", printable(&value));
                self.step("", Outcome::Note, says);
            }
        }
    }

    /// Adds the checks of the token before the one that failed, and returns the name of that one.
    fn failed_step(&mut self, cause: &Cause) -> &'static str {
        match cause {
            Cause::TargetTooLong | Cause::Target(_) | Cause::Ambiguous { .. } => "target",
            Cause::NotFound | Cause::NoMetadata | Cause::Method { .. } => "route",
            Cause::Shadowed { .. } => "tolerant",
            Cause::Token { error, .. } => {
                let failed = check_of(error);
                self.token_checks(failed);
                TOKEN_CHECKS.get(failed).map_or("token", |(name, _)| name)
            }
            Cause::CrossSite => {
                self.token_checks(1);
                "origin"
            }
            Cause::Denied(_) => {
                self.token_checks(TOKEN_CHECKS.len());
                "scopes"
            }
            _ => "request",
        }
    }

    /// Adds the first `count` checks as passed.
    fn token_checks(&mut self, count: usize) {
        for (name, says) in TOKEN_CHECKS.iter().take(count) {
            self.step(name, Outcome::Passed, *says);
        }
    }

    /// Formats one line for each step: its mark, its name and its text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let mark = match step.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "NO",
                Outcome::Note => "",
            };
            let line = format!("{mark:<3} {:<9} {}", step.name, step.says);
            let _ = writeln!(text, "{}", printable(&line));
        }
        text
    }
}

/// The most values of a list that are shown. A token may have any number.
const MAX_VALUES: usize = 50;

/// Returns a value of a token as it is shown.
fn quoted(value: Option<&str>) -> String {
    match value {
        Some(value) => Quoted(value).to_string(),
        None => "none".to_owned(),
    }
}

/// Returns values of a token as they are shown.
fn all_quoted<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut count = 0;
    for value in values {
        count += 1;
        if count <= MAX_VALUES {
            text.push_str(if text.is_empty() { "" } else { ", " });
            let _ = write!(text, "{}", Quoted(value));
        }
    }
    if count == 0 {
        return "none".to_owned();
    }
    match count.saturating_sub(MAX_VALUES) {
        0 => text,
        more => format!("{text}, and {more} more"),
    }
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    items.join(", ")
}

/// Formats a time together with its distance from now.
fn moment(seconds: u64, now: UnixTime) -> String {
    // The end of the year 9999. Later times cannot be formatted as a date.
    const LAST: u64 = 253_402_300_799;
    if seconds > LAST {
        return format!("{seconds}, after the year 9999");
    }
    let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
    let apart = humantime::format_duration(Duration::from_secs(seconds.abs_diff(now.0)));
    if seconds >= now.0 {
        format!("{date}, in {apart}")
    } else {
        format!("{date}, {apart} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_from_now() {
        assert_eq!(moment(3600, UnixTime(0)), "1970-01-01T01:00:00Z, in 1h");
        assert_eq!(moment(0, UnixTime(90)), "1970-01-01T00:00:00Z, 1m 30s ago");
        assert!(moment(u64::MAX, UnixTime(0)).ends_with("after the year 9999"));
    }

    #[test]
    fn a_step_shows_its_result() {
        let mut explanation = Explanation::default();
        explanation.token_checks(1);
        explanation.step("form", Outcome::Failed, "no");
        assert_eq!(
            explanation.text(),
            "ok  token     present in a source of the route\nNO  form      no\n"
        );
    }
}
