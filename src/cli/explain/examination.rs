//! The decision about one request, by the same functions that serve traffic.

use std::sync::Arc;

use http::request::Parts;

use super::account::{Account, Given};
use super::checks::Check;
use super::found_token::FoundToken;
use super::reading::{Asked, entry, read};
use super::report::Report;
use super::shown::list;
use crate::config::Variable;
use crate::decision::{Cause, Refusal, Verdict, admit, decide};
use crate::issuer::{KeySource, maintain};
use crate::net::{Peer, Proxies};
use crate::proxy::check_departure;
use crate::server::ParsedHead;
use crate::snapshot::{Route, Snapshot};
use crate::telemetry::Quoted;
use crate::token::RequestContext;

/// The fields by which a trusted proxy states where a request comes from, or that are compared with
/// its statements.
const ORIGIN_FIELDS: [&str; 5] = [
    "origin",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
];

/// A request whose decision is explained.
pub(super) struct Question<'a> {
    pub(super) request: Asked<'a>,
    pub(super) peer: &'a Peer,
    /// The time, and the certificate that the client shows.
    pub(super) context: RequestContext<'a>,
    /// The options that were given, and may lead to another verdict.
    pub(super) given: Given,
}

/// Explains the decision about a request. Runs in a `LocalSet`, whose tasks fetch keys.
pub(super) async fn examine(snapshot: &Snapshot, question: Question<'_>) -> Report {
    let mut account = Account {
        snapshot,
        given: question.given,
        report: Report::default(),
    };
    let mut notes: Vec<String> = variables(&snapshot.config.variables).into_iter().collect();
    let read = read(snapshot, &question.request, &mut notes).await;
    match &read {
        Ok(parsed) => {
            account.asked(&parsed.head);
            if states_origin(&parsed.head) && is_presumed_direct(snapshot, question.given) {
                let says = "it is presumed to come from no trusted proxy; --peer names its address";
                notes.push(says.to_owned());
            }
        }
        Err(refusal) => account.unread(refusal),
    }
    for note in notes {
        account.report.note(note);
    }
    if let Ok(parsed) = read {
        judge(&mut account, parsed, &question).await;
    }
    account.report
}

/// Returns the note on the values of variables, of which a running gateway may have others.
fn variables(all: &[Variable]) -> Option<String> {
    let mut texts = Vec::new();
    for variable in all {
        let (name, value) = (&variable.name, Quoted(&variable.value));
        texts.push(format!("{name} = {value} ({})", variable.origin_text()));
    }
    (!texts.is_empty()).then(|| {
        format!(
            "variables: {}; a running gateway may have others, which /policy of its admin listener \
             shows",
            texts.join(", ")
        )
    })
}

/// Returns whether the request states its origin, which a trusted proxy may have written.
fn states_origin(head: &Parts) -> bool {
    ORIGIN_FIELDS
        .iter()
        .any(|name| head.headers.contains_key(*name))
}

fn is_presumed_direct(snapshot: &Snapshot, given: Given) -> bool {
    !given.peer && !snapshot.config.server.trusted_proxies.is_empty()
}

async fn judge(account: &mut Account<'_>, mut parsed: ParsedHead, question: &Question<'_>) {
    let snapshot = account.snapshot;
    let entry = entry(snapshot, &parsed.head);
    let route = entry.and_then(|entry| snapshot.routes.get(entry.route));
    let needs_token = entry.is_some_and(|entry| entry.requirement.needs_token());
    if let Some(route) = route.filter(|_| needs_token) {
        fetch_keys(route);
    }
    let verdict = decided(snapshot, &mut parsed, question).await;
    // A refusal without a route came before any route was looked for.
    let is_routed = match &verdict {
        Ok(Verdict::Forward(_)) => true,
        Ok(Verdict::Answer(_)) => false,
        Err(refusal) => refusal.route.is_some(),
    };
    let mut token = None;
    if let (Some(entry), Some(route), true) = (entry, route, is_routed) {
        account.routed(entry, route);
        if needs_token {
            let found = FoundToken::of(&parsed.head, route, question.context);
            if found.view.is_some() && uses_keys(&verdict) {
                note_fetch(&mut account.report, route);
            }
            account.outline(&found);
            token = Some(found);
        }
    }
    match verdict {
        Ok(Verdict::Forward(decision)) => {
            account.permitted(&parsed.head, &decision, token.as_ref());
        }
        Ok(Verdict::Answer(answer)) => account.answered(&answer),
        Err(refusal) => account.refused(&parsed.head, &refusal, token.as_ref()),
    }
}

/// Decides as the walk of a request does, up to the request's departure.
async fn decided<'s>(
    snapshot: &'s Snapshot,
    parsed: &mut ParsedHead,
    question: &Question<'_>,
) -> Result<Verdict<'s>, Refusal<'s>> {
    let max_fields = snapshot.config.server.limits.head_fields;
    let facts = admit(&mut parsed.head, Some(question.peer), max_fields)?;
    let verdict = decide(snapshot, facts, None, question.context).await?;
    if let Verdict::Forward(decision) = &verdict {
        let (head, body_bytes) = (&parsed.head, parsed.body_bytes);
        check_departure(snapshot, decision, question.peer, head, body_bytes)?;
    }
    Ok(verdict)
}

/// Starts the tasks that fetch the keys of a route's issuers. A running gateway has the keys of
/// its own last fetch.
fn fetch_keys(route: &Route) {
    let proxies = Proxies::from_environment();
    for verifier in &route.verifiers {
        tokio::task::spawn_local(maintain(Arc::downgrade(verifier.issuer()), proxies.clone()));
    }
}

/// Returns whether a decision comes from keys, and not from what goes before them.
fn uses_keys(verdict: &Result<Verdict<'_>, Refusal<'_>>) -> bool {
    match verdict {
        Ok(_) => true,
        Err(refusal) => match &refusal.cause {
            Cause::Token { error, .. } => Check::of(error) >= Check::Key,
            Cause::Denied(_) => true,
            Cause::BodyTooLarge | Cause::EventTooLarge | Cause::Unmappable(_) => true,
            _ => false,
        },
    }
}

/// Adds that keys were fetched, which a running gateway did earlier.
fn note_fetch(report: &mut Report, route: &Route) {
    let mut fetched = Vec::new();
    for verifier in &route.verifiers {
        if !matches!(verifier.issuer().entry().keys, KeySource::Static(_)) {
            fetched.push(verifier.name());
        }
    }
    if !fetched.is_empty() {
        let names = list(fetched);
        report.note(format!(
            "the keys of {names} are fetched now; a running gateway has those of its last fetch"
        ));
    }
}
