//! The settings that `[defaults]`, groups and routes have in common. The value of the innermost
//! table is used, as a whole.

use std::sync::Arc;
use std::time::Duration;

use super::header_rules::{LocatedRules, cors, header_rules, origins};
use super::{Defined, Names};
use crate::config::language::document::{KeyValue, Kind, Value};
use crate::config::language::reader::{Reader, Text};
use crate::route::{Ambiguities, Ambiguity, Distinct};
use crate::token::{ForwardedClaim, Source};
use crate::transform::{Cors, Direction, Origins, is_twin};

/// The settings of one table; `None` for a setting that the enclosing table decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) upstream: Option<Text>,
    pub(super) issuers: Option<Vec<Text>>,
    pub(super) token_from: Option<Vec<Source>>,
    pub(super) forward_token: Option<bool>,
    pub(super) forward_authorization: Option<bool>,
    pub(super) cookie_origins: Option<Origins>,
    pub(super) forward: Option<Vec<ForwardedClaim>>,
    pub(super) allow: Option<Ambiguities>,
    pub(super) distinct: Option<Distinct>,
    pub(super) body_bytes: Option<u64>,
    pub(super) response_timeout: Option<Duration>,
    pub(super) websocket: Option<bool>,
    pub(super) request_timeout: Option<Duration>,
    pub(super) idle_body: Option<Duration>,
    pub(super) request_headers: Option<Arc<LocatedRules>>,
    pub(super) response_headers: Option<Arc<LocatedRules>>,
    pub(super) cors: Option<Arc<Cors>>,
}

impl Shared {
    pub(super) fn read(reader: &mut Reader<'_>, names: &Names) -> Self {
        Self {
            upstream: upstream(reader, names),
            issuers: issuers(reader, names),
            token_from: token_from(reader),
            forward_token: reader.flag("forward_token"),
            forward_authorization: forward_authorization(reader),
            cookie_origins: cookie_origins(reader),
            forward: forward(reader),
            allow: allow(reader),
            distinct: distinct(reader),
            body_bytes: reader.size("body_bytes"),
            response_timeout: reader.duration("response_timeout"),
            websocket: reader.flag("websocket"),
            request_timeout: reader.duration("request_timeout"),
            idle_body: reader.duration("idle_body"),
            request_headers: header_rules(reader, "request_headers", Direction::Request),
            response_headers: header_rules(reader, "response_headers", Direction::Response),
            cors: cors(reader),
        }
    }

    /// Returns these settings, with those of the enclosing table in place of the absent ones.
    pub(super) fn within(self, outer: &Self) -> Self {
        Self {
            upstream: self.upstream.or_else(|| outer.upstream.clone()),
            issuers: self.issuers.or_else(|| outer.issuers.clone()),
            token_from: self.token_from.or_else(|| outer.token_from.clone()),
            forward_token: self.forward_token.or(outer.forward_token),
            forward_authorization: self.forward_authorization.or(outer.forward_authorization),
            cookie_origins: self.cookie_origins.or_else(|| outer.cookie_origins.clone()),
            forward: self.forward.or_else(|| outer.forward.clone()),
            allow: self.allow.or(outer.allow),
            distinct: self.distinct.or(outer.distinct),
            body_bytes: self.body_bytes.or(outer.body_bytes),
            response_timeout: self.response_timeout.or(outer.response_timeout),
            websocket: self.websocket.or(outer.websocket),
            request_timeout: self.request_timeout.or(outer.request_timeout),
            idle_body: self.idle_body.or(outer.idle_body),
            request_headers: self
                .request_headers
                .or_else(|| outer.request_headers.clone()),
            response_headers: self
                .response_headers
                .or_else(|| outer.response_headers.clone()),
            cors: self.cors.or_else(|| outer.cors.clone()),
        }
    }
}

/// Returns the name of the upstream, even if it is not defined. The problem is then reported once,
/// here, and not for each route below.
fn upstream(reader: &mut Reader<'_>, names: &Names) -> Option<Text> {
    let name = reader.text("upstream")?;
    check_defined(reader, "upstream", &name, &names.upstreams);
    Some(name)
}

fn issuers(reader: &mut Reader<'_>, names: &Names) -> Option<Vec<Text>> {
    let mut issuers: Vec<Text> = Vec::new();
    for name in reader.texts("issuer")? {
        check_defined(reader, "issuer", &name, &names.issuers);
        if issuers.iter().any(|other| other.text == name.text) {
            let message = format!("issuer \"{}\" is named twice", name.text);
            reader.problem(name.span, message);
        }
        issuers.push(name);
    }
    Some(issuers)
}

fn check_defined(reader: &Reader<'_>, what: &str, name: &Text, defined: &Defined) {
    if defined.span(&name.text).is_some() {
        return;
    }
    let meant = defined.suggestion(&name.text);
    let message = format!("{what} \"{}\" is not defined{meant}", name.text);
    if meant.is_empty() {
        let hint = format!("define it under [{what}s.{}]", name.text);
        reader.problem_with_hint(name.span, message, hint);
    } else {
        reader.problem(name.span, message);
    }
}

fn token_from(reader: &mut Reader<'_>) -> Option<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    for text in reader.texts("token_from")? {
        let subject = format_args!("\"token_from\" has \"{}\"", text.text);
        let Some(source) = reader.accept(text.span, subject, Source::parse(&text.text)) else {
            continue;
        };
        if sources.contains(&source) {
            let message = format!("\"token_from\" has \"{}\" twice", text.text);
            reader.problem(text.span, message);
            continue;
        }
        note_query(reader, &text, &source);
        sources.push(source);
    }
    Some(sources)
}

fn note_query(reader: &Reader<'_>, text: &Text, source: &Source) {
    if matches!(source, Source::Query(_)) {
        let message = format!(
            "tokens are taken from the query (\"{}\"), which logs and browser histories keep (RFC \
             9700 section 4.3.2)",
            text.text
        );
        reader.note(text.span, message);
    }
}

fn forward_authorization(reader: &mut Reader<'_>) -> Option<bool> {
    let forwards = reader.flag("forward_authorization");
    if forwards == Some(true) {
        let span = reader.key_span("forward_authorization");
        let message = "upstreams get an unverified \"Authorization\" where the token came from \
                       elsewhere: they must not trust it";
        reader.note(span, message);
    }
    forwards
}

fn cookie_origins(reader: &mut Reader<'_>) -> Option<Origins> {
    let texts = reader.texts("cookie_origins")?;
    let origins = origins(reader, "cookie_origins", &texts);
    if origins == Origins::Any {
        let message = "pages of every origin may use tokens in cookies (cookie_origins = \"any\"): \
                       the upstream itself has to detect cross-site request forgery";
        reader.note(reader.key_span("cookie_origins"), message);
    }
    Some(origins)
}

fn forward(reader: &mut Reader<'_>) -> Option<Vec<ForwardedClaim>> {
    let value = reader.value("forward")?;
    let Kind::Table(table) = &value.kind else {
        reader.mismatched("forward", &value);
        return None;
    };
    let mut claims: Vec<ForwardedClaim> = Vec::new();
    for entry in &table.entries {
        if let Some(claim) = forwarded_claim(reader, entry) {
            refuse_twin(reader, entry, &claim, &claims);
            claims.push(claim);
        }
    }
    Some(claims)
}

fn forwarded_claim(reader: &Reader<'_>, entry: &KeyValue) -> Option<ForwardedClaim> {
    let name = claim_name(reader, &entry.key, &entry.value)?;
    let subject = format_args!("\"forward\" has \"{}\"", entry.key);
    reader.accept(
        entry.key_span,
        subject,
        ForwardedClaim::parse(&entry.key, name),
    )
}

/// Reports a field that differs from an earlier one only in its spelling.
fn refuse_twin(
    reader: &Reader<'_>,
    entry: &KeyValue,
    claim: &ForwardedClaim,
    earlier: &[ForwardedClaim],
) {
    for other in earlier {
        // CGI-style upstreams map both fields to one variable (`HTTP_X_USER_ID`).
        if is_twin(other.header.as_str(), claim.header.as_str()) {
            let message = format!(
                "\"forward\" has \"{}\" and \"{}\", which many upstreams treat as one field",
                other.header, entry.key
            );
            reader.problem(entry.key_span, message);
            return;
        }
    }
}

fn claim_name<'v>(reader: &Reader<'_>, header: &str, value: &'v Value) -> Option<&'v str> {
    match &value.kind {
        Kind::Text(claim) => Some(claim),
        _ => {
            let message = format!(
                "\"forward\": the claim of \"{header}\" is a string, not {}",
                value.name()
            );
            reader.problem(value.span, message);
            None
        }
    }
}

fn allow(reader: &mut Reader<'_>) -> Option<Ambiguities> {
    let words = reader.words("allow", never_allowed)?;
    let mut allowed = Ambiguity::ALLOWABLE.to_vec();
    allowed.retain(|ambiguity| words.contains(&ambiguity.name()));
    Some(allowed.into_iter().collect())
}

fn distinct(reader: &mut Reader<'_>) -> Option<Distinct> {
    let words = reader.words("distinct", |_| None)?;
    let [slash, case] = Distinct::NAMES.map(|name| words.contains(&name));
    Some(Distinct { slash, case })
}

fn never_allowed(word: &str) -> Option<&'static str> {
    match word {
        "dot-segment" => {
            Some("the upstream would serve another path than the one that was authorized")
        }
        "control-character" | "invalid-encoding" => Some("parsers disagree about such a path"),
        _ => None,
    }
}
