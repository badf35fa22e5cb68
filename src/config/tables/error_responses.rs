//! `[[errors.responses]]`: answers of the operator's own to refused requests.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::de::IgnoredAny;

use super::header_rules::{FIELDS, field_text};
use crate::config::language::document::{KeyValue, Kind};
use crate::config::language::nearness::did_you_mean;
use crate::config::language::{
    Count, Custom, Key, Reader, Span, Str, StrList, Subtables, Table, Text,
};
use crate::content;
use crate::telemetry::{Label as _, Reason};
use crate::transform::{Direction, Escape, Place, Template, header_rule_value};

/// The largest body of an entry, in bytes.
pub const MAX_ERROR_BODY: usize = 64 << 10;

/// The most references in the body of an entry: each can be as long as the list of a route's
/// scopes.
pub const MAX_ERROR_REFERENCES: usize = 64;

/// The word for every reason about a token whose signature is not verified: the code that these
/// reasons have in answers.
const UNVERIFIED: &str = "invalid_token";

/// An answer of the operator's own. What it does not state is that of the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The status: 200 to 599.
    pub status: Option<StatusCode>,
    /// The header fields; no name twice.
    pub headers: Vec<(HeaderName, Template)>,
    /// The body.
    pub body: Option<ErrorBody>,
}

/// The body of an answer of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorBody {
    /// The text.
    pub template: Template,
    /// The rule by which values are written into it.
    pub escape: Escape,
    /// The content type, if no header field states it.
    pub content_type: HeaderValue,
}

/// The entries of one table, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Responses {
    /// The entry that names each reason, in the order of [`Reason::ALL`]; empty without entries.
    named: Vec<Option<Arc<ErrorResponse>>>,
    client: Option<Arc<ErrorResponse>>,
    server: Option<Arc<ErrorResponse>>,
    /// The number of entries.
    pub(super) count: usize,
}

/// The refusals that an entry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Reason(Reason),
    ClientErrors,
    ServerErrors,
}

impl Responses {
    /// Returns the entry for a reason: one that names it, or else one for the class of its status.
    pub(super) fn find(&self, reason: Reason, is_client_error: bool) -> Option<&ErrorResponse> {
        let named = self.named.get(reason.index()).and_then(Option::as_deref);
        let class = match is_client_error {
            true => &self.client,
            false => &self.server,
        };
        named.or(class.as_deref())
    }

    fn add(&mut self, subject: Subject, response: &Arc<ErrorResponse>) {
        self.named.resize(Reason::ALL.len(), None);
        let place = match subject {
            Subject::Reason(reason) => self.named.get_mut(reason.index()),
            Subject::ClientErrors => Some(&mut self.client),
            Subject::ServerErrors => Some(&mut self.server),
        };
        if let Some(place) = place {
            *place = Some(Arc::clone(response));
        }
    }
}

pub(super) static TABLE: Table = Table {
    path: "errors.responses[]",
    doc: "An answer of your own to refused requests, in `[errors]` or in `errors` of a group. An \
          entry of the group goes before those of `[errors]`; in each of them an entry that names \
          the reason goes before one for a class. One entry answers, and what it does not state is \
          that of the profile. Values are escaped for the content type of the answer: as JSON, as \
          HTML or XML, or without control characters. Calls of gRPC do not get these answers.",
    keys: &[&FOR, &STATUS, &HEADERS, &BODY],
    refused: &[],
};

pub(super) const RESPONSES: Key<Subtables> = Key::new("responses", Subtables(&TABLE))
    .absent("the answers of the profile")
    .doc("Answers of your own to refused requests.")
    .not(&["response"])
    .example("[[errors.responses]]");

const FOR: Key<StrList> = Key::new("for", StrList)
    .doc(
        "The [reasons](answers.md#reasons) that the entry answers, or `4xx` or `5xx` for all of \
         that class. `invalid_token` stands for every reason before the signature of a token is \
         verified: they have one answer, which helps no forger.",
    )
    .example(r#"["no_route", "method_not_allowed"]"#);

const STATUS: Key<Count<u16>> = Key::new("status", Count::new(200, 599))
    .absent("that of the profile")
    .doc("The status; not for a class.")
    .example("404");

const HEADERS: Key<Custom> = Key::new("headers", FIELDS)
.takes(&Place::ERROR_FIELD)
.absent("those of the profile alone")
.doc(
    "Header fields, which replace those of the profile. They take the references of `body`, and \
     variables. They \
     cannot name the framing, fields of one connection, `Via`, `X-Request-ID`, `WWW-Authenticate` \
     (the challenge of the profile stays) and `Access-Control-*` (`cors` writes them).",
)
.example(r#"{ "content-type" = "text/html; charset=utf-8" }"#);

const BODY: Key<Str> = Key::new("body", Str)
    .takes(&Place::ERROR)
    .absent("that of the profile")
    .doc(
        "The body, of at most 64 KiB. `${request_id}` is the id of the request, `${reason}` the \
         `code` that the gateway's own answer has, `${detail}` the sentence that the answer of the \
         profile has, and `${route}` the route, empty without one; `$$` is a `$`. Without a \
         `content-type` it is `application/json` if it is JSON, and `text/plain` otherwise.",
    )
    .example(r#"'{"message": "${detail}", "id": "${request_id}"}'"#);

/// Reads the entries of a table.
pub(super) fn responses(outer: &mut Reader<'_>) -> Responses {
    let subject = format!("{}: an entry of \"responses\"", outer.subject);
    let mut responses = Responses::default();
    let mut seen: Vec<(Subject, Span)> = Vec::new();
    for mut reader in outer.tables(&RESPONSES, subject) {
        let subjects = subjects(&mut reader, &mut seen);
        let response = Arc::new(ErrorResponse {
            status: status(&mut reader, &subjects),
            headers: headers(&mut reader),
            body: None,
        });
        let response = with_body(&mut reader, response);
        reader.finish();
        responses.count += 1;
        for subject in subjects {
            responses.add(subject, &response);
        }
    }
    responses
}

/// Returns what an entry is for. Reports a word that another entry has as well.
fn subjects(reader: &mut Reader<'_>, seen: &mut Vec<(Subject, Span)>) -> Vec<Subject> {
    let texts = reader.find(&FOR).unwrap_or_default();
    let mut subjects = Vec::new();
    for text in &texts {
        for subject in meant(reader, text) {
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == subject) {
                let message = format!("\"for\" has \"{}\", which is answered already", text.text);
                reader.problem_with_related(text.span, message, *first, "by this entry");
                break;
            }
            seen.push((subject, text.span));
            subjects.push(subject);
        }
    }
    refuse_some_unverified(reader, &texts, &subjects);
    subjects
}

/// Returns the reasons or the class that a word stands for.
fn meant(reader: &Reader<'_>, text: &Text) -> Vec<Subject> {
    match text.text.as_str() {
        "4xx" => return vec![Subject::ClientErrors],
        "5xx" => return vec![Subject::ServerErrors],
        UNVERIFIED => return Reason::UNVERIFIED.map(Subject::Reason).into(),
        _ => {}
    }
    let mut all = Reason::ALL.iter();
    if let Some(reason) = all.find(|reason| reason.name() == text.text) {
        return vec![Subject::Reason(*reason)];
    }
    let known = Reason::NAMES
        .iter()
        .copied()
        .chain(["4xx", "5xx", UNVERIFIED]);
    let meant = did_you_mean(&text.text, known);
    let message = format!("\"for\" has \"{}\", which is no reason{meant}", text.text);
    reader.problem_with_hint(
        text.span,
        message,
        "write a reason, a list of reasons, \"4xx\" or \"5xx\"",
    );
    Vec::new()
}

/// Reports an entry for some of the reasons that a client must not tell apart.
fn refuse_some_unverified(reader: &Reader<'_>, texts: &[Text], subjects: &[Subject]) {
    let is_named = |reason: &Reason| subjects.contains(&Subject::Reason(*reason));
    let count = Reason::UNVERIFIED
        .iter()
        .filter(|one| is_named(one))
        .count();
    if count == 0 || count == Reason::UNVERIFIED.len() {
        return;
    }
    let one = Reason::UNVERIFIED.iter().find(|one| is_named(one));
    let name = one.map_or(UNVERIFIED, |one| one.name());
    let text = texts.iter().find(|text| text.text == name);
    reader.problem_with_hint(
        text.map_or(reader.span(), |text| text.span),
        format!(
            "\"for\" has \"{name}\" and not all reasons like it: until the signature of a token is \
             verified they have one answer, so that a forger does not learn which check failed"
        ),
        format!("write \"{UNVERIFIED}\", which stands for all of them"),
    );
}

fn status(reader: &mut Reader<'_>, subjects: &[Subject]) -> Option<StatusCode> {
    let status = reader.find(&STATUS)?;
    let is_class = |one: &Subject| matches!(one, Subject::ClientErrors | Subject::ServerErrors);
    if subjects.iter().any(is_class) {
        reader.problem_with_hint(
            reader.key_span(&STATUS),
            "\"status\" for a class would give all its reasons one status",
            "name the reasons that have this status",
        );
    }
    StatusCode::from_u16(status).ok()
}

fn headers(reader: &mut Reader<'_>) -> Vec<(HeaderName, Template)> {
    let Some(value) = reader.value(&HEADERS) else {
        return Vec::new();
    };
    let Kind::Table(table) = &value.kind else {
        reader.mismatched(&HEADERS, value);
        return Vec::new();
    };
    let mut headers: Vec<(HeaderName, Template)> = Vec::new();
    for entry in &table.entries {
        let Some((name, template)) = header(reader, entry) else {
            continue;
        };
        if headers.iter().any(|(other, _)| *other == name) {
            let message = format!("\"headers\" has \"{name}\" twice");
            reader.problem(entry.key_span, message);
            continue;
        }
        headers.push((name, template));
    }
    headers
}

fn header(reader: &Reader<'_>, entry: &KeyValue) -> Option<(HeaderName, Template)> {
    let subject = format_args!("\"headers\" cannot name \"{}\"", entry.key);
    let name = reader.accept(
        entry.key_span,
        subject,
        Direction::Response.name(&entry.key),
    );
    let text = field_text(reader, &entry.key, &entry.value)?;
    let subject = format_args!("the value of \"{}\"", entry.key);
    let span = entry.value.span;
    let parsed = Template::parse(text, &Place::ERROR_FIELD);
    let template = reader.accept(span, subject, parsed)?;
    let template = reader.context.filled(&template);
    // With the values of variables, which are a part of the field's value.
    reader.accept(span, subject, header_rule_value(&template.sample("x")))?;
    let name = name?;
    if name == CONTENT_TYPE && template.literal().is_none() {
        reader.problem(
            span,
            "\"content-type\" decides how values are escaped: it has none",
        );
        return None;
    }
    Some((name, template))
}

/// Reads the body, whose form depends on the header fields.
fn with_body(reader: &mut Reader<'_>, response: Arc<ErrorResponse>) -> Arc<ErrorResponse> {
    let stated = response
        .headers
        .iter()
        .find(|(name, _)| name == CONTENT_TYPE);
    let stated = stated.and_then(|(_, template)| template.literal());
    let Some(text) = reader.find(&BODY) else {
        if stated.is_some() {
            let message = "\"headers\" has \"content-type\", and there is no \"body\"";
            reader.problem(reader.key_span(&HEADERS), message);
        }
        return response;
    };
    if response.status.is_some_and(content::is_absent) {
        reader.problem(text.span, "\"body\" with a status that has no content");
    }
    let body = body(reader, &text, stated);
    Arc::new(ErrorResponse {
        body,
        ..ErrorResponse::clone(&response)
    })
}

fn body(reader: &Reader<'_>, text: &Text, stated: Option<&str>) -> Option<ErrorBody> {
    if text.text.len() > MAX_ERROR_BODY {
        reader.problem(text.span, "\"body\" is longer than 64 KiB");
        return None;
    }
    let parsed = Template::parse(&text.text, &Place::ERROR);
    let template = reader.accept(text.span, "\"body\"", parsed)?;
    if template.references().count() > MAX_ERROR_REFERENCES {
        let message = format!("\"body\" has more than {MAX_ERROR_REFERENCES} references");
        reader.problem(text.span, message);
    }
    let is_json = is_json_template(&template);
    let (escape, content_type) = match stated {
        Some(stated) => (
            Escape::of_content(stated),
            HeaderValue::from_str(stated).ok()?,
        ),
        None if is_json => (Escape::Json, HeaderValue::from_static("application/json")),
        None => (
            Escape::Plain,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
    };
    if escape == Escape::Json && !is_json {
        reader.problem_with_hint(
            text.span,
            "\"body\" is not JSON, which its \"content-type\" states",
            "write references inside of strings: \"${request_id}\"",
        );
    }
    Some(ErrorBody {
        template,
        escape,
        content_type,
    })
}

/// Returns whether a text is JSON with a word in the place of each value.
#[must_use]
pub fn is_json_template(template: &Template) -> bool {
    serde_json::from_str::<IgnoredAny>(&template.sample("x")).is_ok()
}
