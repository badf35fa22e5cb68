//! `[routes.respond]`: an answer of the gateway in place of an upstream.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, DATE, HOST, LOCATION};
use http::{HeaderName, StatusCode};

use super::header_rules::{FIELDS, field_text};
use crate::config::language::document::{KeyValue, Kind};
use crate::config::language::{Count, Custom, DefaultKey, Key, Reader, Span, Str, Subtable, Table};
use crate::content;
use crate::route::Pattern;
use crate::transform::{
    Direction, Escape, Part, Place, Reference, Respond, RespondField, Template, has_parameter,
    header_rule_value, is_url,
};

pub(super) static TABLE: Table = Table {
    path: "routes[].respond",
    doc: "The answer of a route without an upstream: a redirect, a fixed text, a stand-in for a \
          service. The route states its authorization as any other. [What a value may refer \
          to](traffic.md#answers-without-an-upstream).",
    keys: &[&STATUS, &HEADERS, &BODY],
    refused: &[],
};

pub(super) const RESPOND: Key<Subtable> = Key::new("respond", Subtable(&TABLE))
    .absent("the upstream answers")
    .doc("The gateway answers permitted requests itself, in place of an upstream.")
    .not(&["response", "redirect", "mock"])
    .example("[routes.respond]");

const STATUS: DefaultKey<Count<u16>> = Key::new("status", Count::new(200, 599))
    .doc("The status of the response. 204, 205 and 304 have no body.")
    .not(&["code", "status_code"])
    .example("308")
    .or(200);

const HEADERS: Key<Custom> = Key::new("headers", FIELDS)
    .absent("`Content-Type` alone, if there is a body")
    .takes(&Place::RESPOND)
    .doc(
        "The header fields of the response. A value may refer to `{id}` and `{rest+}` of the \
         route's path (`{rest}` is what is below `**`), `${claim:name}`, `${query:name}`, \
         `${header:name}` and `${request_id}`, and a URL ends with `?${query}`, the whole query. A \
         field is left out where a value is absent; a URL \
         whose path lacks one is answered with 400. Framing, fields of one connection and fields \
         that the gateway writes itself are errors.",
    )
    .not(&["fields", "header"])
    .example(r#"{ location = "https://api.example.com/new/{rest}" }"#);

const BODY: Key<Str> = Key::new("body", Str)
    .absent("no body")
    .takes(&Place::BODY)
    .doc(
        "The body of the response. It may refer to `${claim:name}`, `${query:name}` and \
         `${request_id}`; braces are text. Values are escaped by the `Content-Type`, for JSON, \
         HTML and XML; elsewhere control characters are removed. Without that field the type is \
         `application/json` if the text is an object or a list of JSON, and `text/plain; \
         charset=utf-8` otherwise.",
    )
    .not(&["text", "content"])
    .example(r#"'{"status": "ok"}'"#);

/// The parts of a route that its answer may refer to.
pub(super) struct RouteFacts<'r> {
    /// The path; `None` if it is invalid.
    pub(super) pattern: Option<&'r Pattern>,
    /// Set if a method of the route needs a token.
    pub(super) needs_token: bool,
}

/// The answer of a route, with the positions of what it refers to.
pub(super) struct LocatedRespond {
    pub(super) respond: Arc<Respond>,
    pub(super) references: Vec<(Reference, Span)>,
}

/// Returns the answer of a route, if the file states one. Whether it refers to a place that may
/// hold a token depends on all routes, and is checked once they are known.
pub(super) fn respond(outer: &mut Reader<'_>, route: &RouteFacts<'_>) -> Option<LocatedRespond> {
    let mut reader = outer.table_below(&RESPOND)?;
    let status = StatusCode::from_u16(reader.get(&STATUS)).unwrap_or_default();
    let mut references = Vec::new();
    let fields = fields(&mut reader, route, &mut references);
    let body = body(&mut reader, route, status);
    if let Some(body) = &body {
        let span = reader.value_span(&BODY);
        references.extend(body.references().map(|(found, _)| (found.clone(), span)));
    }
    note_location(&reader, status, &fields);
    reader.finish();
    Some(LocatedRespond {
        respond: Arc::new(Respond::new(status, fields, body.as_ref())),
        references,
    })
}

fn fields(
    reader: &mut Reader<'_>,
    route: &RouteFacts<'_>,
    references: &mut Vec<(Reference, Span)>,
) -> Vec<RespondField> {
    let Some(value) = reader.value(&HEADERS) else {
        return Vec::new();
    };
    let Kind::Table(table) = &value.kind else {
        reader.mismatched(&HEADERS, value);
        return Vec::new();
    };
    let mut fields: Vec<RespondField> = Vec::new();
    for entry in &table.entries {
        let Some(field) = field(reader, route, entry) else {
            continue;
        };
        if fields.iter().any(|known| known.name() == field.name()) {
            let message = format!("\"{}\" is written twice: keep one of them", entry.key);
            reader.problem(entry.key_span, message);
        }
        let span = entry.value.span;
        references.extend(field.references().map(|found| (found.clone(), span)));
        fields.push(field);
    }
    fields
}

fn field(reader: &Reader<'_>, route: &RouteFacts<'_>, entry: &KeyValue) -> Option<RespondField> {
    let subject = format_args!("the answer cannot have \"{}\"", entry.key);
    let name = reader.accept(
        entry.key_span,
        subject,
        Direction::Response.name(&entry.key),
    );
    let text = field_text(reader, &entry.key, &entry.value)?;
    let (name, span) = (name?, entry.value.span);
    if name == DATE {
        let message = "the answer cannot have \"date\": the gateway writes it itself";
        reader.problem(entry.key_span, message);
    }
    let template = template(reader, route, &Written { text, span }, &Place::RESPOND)?;
    let subject = format_args!("the value of \"{}\"", entry.key);
    reader.accept(span, subject, header_rule_value(&template.sample("x")))?;
    check_place(reader, &name, span, &template)?;
    Some(RespondField::new(name, template))
}

fn body(reader: &mut Reader<'_>, route: &RouteFacts<'_>, status: StatusCode) -> Option<Template> {
    let text = reader.find(&BODY)?;
    if content::is_absent(status) {
        let message = format!("\"body\" beside status {}, which has none", status.as_u16());
        reader.problem(reader.key_span(&BODY), message);
    }
    let written = Written {
        text: &text.text,
        span: text.span,
    };
    template(reader, route, &written, &Place::BODY)
}

/// A text with its position.
struct Written<'t> {
    text: &'t str,
    span: Span,
}

/// Returns a template whose references all have a value on the route, for some requests.
fn template(
    reader: &Reader<'_>,
    route: &RouteFacts<'_>,
    written: &Written<'_>,
    place: &Place,
) -> Option<Template> {
    let parsed = Template::parse(written.text, place);
    let template = reader.accept(written.span, format_args!("\"{}\"", written.text), parsed)?;
    let template = reader.context.filled(&template);
    let mut is_right = true;
    for (reference, _) in template.references() {
        if let Some(why) = objection(reference, route) {
            reader.problem(written.span, format!("\"{reference}\" {why}"));
            is_right = false;
        }
    }
    is_right.then_some(template)
}

/// Returns why an answer of the route cannot refer to this.
fn objection(reference: &Reference, route: &RouteFacts<'_>) -> Option<&'static str> {
    match reference {
        Reference::Parameter { name, is_open } => {
            let is_known = has_parameter(route.pattern?, name, *is_open);
            (!is_known).then_some("is not in the route's path")
        }
        Reference::Claim(_) if !route.needs_token => Some("has no value: the route reads no token"),
        Reference::Variable(_) => Some("is no variable"),
        _ => None,
    }
}

/// Refuses values of requests where they would decide about more than a text: the type of the body,
/// and the scheme and host of a URL.
fn check_place(
    reader: &Reader<'_>,
    name: &HeaderName,
    span: Span,
    template: &Template,
) -> Option<()> {
    if template.literal().is_some() {
        return Some(());
    }
    if has_misplaced_query(name, template) {
        let message =
            "\"${query}\" stands behind the \"?\" of \"location\" or \"content-location\"";
        let hint = "\"${query:name}\" is one parameter of it";
        reader.problem_with_hint(span, message, hint);
        return None;
    }
    if !is_url(name)
        && let Some(reference) = template.in_host(Escape::of_field(name))
    {
        let message = format!("\"{reference}\" would be a part of a host");
        let hint = "write a \"/\" between the host and the value";
        reader.problem_with_hint(span, message, hint);
        return None;
    }
    let message = match *name {
        CONTENT_TYPE => "values of a request cannot stand in \"content-type\"",
        _ if is_url(name) && !has_fixed_host(template) => {
            "values of a request cannot stand before the path of a URL, but for \
             \"https://${header:host}/\""
        }
        _ => return Some(()),
    };
    reader.problem_with_hint(
        span,
        message,
        match *name {
            CONTENT_TYPE => "write the type itself",
            _ => "begin the URL with \"https://host/\", or with one \"/\"",
        },
    );
    None
}

/// Returns whether the query of the request stands where a reader would not take it for one.
fn has_misplaced_query(name: &HeaderName, template: &Template) -> bool {
    let before = match template.split_once('?') {
        Some((before, _)) if is_url(name) => before,
        _ => template.clone(),
    };
    let mut references = before.references();
    references.any(|(reference, _)| *reference == Reference::WholeQuery)
}

/// Returns whether the text of a URL fixes its scheme and host, or takes the host of the request.
fn has_fixed_host(template: &Template) -> bool {
    let mut parts = template.parts();
    let Some(Part::Text(beginning)) = parts.next() else {
        return false;
    };
    let end = beginning.find(['?', '#']);
    let path = beginning.get(..end.unwrap_or(beginning.len()));
    let path = path.unwrap_or_default();
    if path.starts_with('/') && !path.starts_with("//") {
        return !path.starts_with("/\\");
    }
    let behind_scheme = path.split_once("://").map(|(_, rest)| rest);
    match (behind_scheme.or(path.strip_prefix("//")), end) {
        (Some(""), None) => takes_requested_host(parts),
        // "https:///" has no host at all.
        (Some(rest), None) => rest.find('/').is_some_and(|at| at > 0),
        (Some(rest), Some(_)) => !rest.is_empty() && !rest.starts_with('/'),
        (None, end) => end.is_some(),
    }
}

/// Returns whether the rest of a URL begins with the host of the request, and nothing beside it.
fn takes_requested_host<'t>(mut parts: impl Iterator<Item = Part<'t>>) -> bool {
    let Some(Part::Reference(Reference::Header(HOST))) = parts.next() else {
        return false;
    };
    match parts.next() {
        Some(Part::Text(text)) => text.starts_with(['/', '?']),
        Some(Part::Reference(_)) => false,
        None => true,
    }
}

/// Notes a redirect that leads nowhere.
fn note_location(reader: &Reader<'_>, status: StatusCode, fields: &[RespondField]) {
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let mut names = fields.iter().map(RespondField::name);
    if is_redirect && !names.any(|name| *name == LOCATION) && !reader.context.has_problems() {
        let message = format!("status {} without \"location\"", status.as_u16());
        reader.note(reader.span(), message);
    }
}
