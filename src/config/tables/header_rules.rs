//! `[routes.request_headers]` and `[routes.response_headers]`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use http::HeaderName;
use serde_json::json;

use crate::config::context::Context;
use crate::config::language::document::{KeyValue, Kind, Value};
use crate::config::language::json;
use crate::config::language::{
    AnyKey, Custom, Key, Problem, Reader, Span, StrList, Subtable, Table,
};
use crate::token::ForwardedClaim;
use crate::transform::{
    Direction, Escape, FieldPattern, FieldTemplate, HeaderRuleError, HeaderRules, Place, Reference,
    ReferenceKind, Template, header_rule_value, is_twin,
};

pub(super) static TABLE: Table = Table {
    path: "routes[].request_headers",
    doc: "The changes of a route to the header fields of requests, made after the gateway's own \
          rules. `response_headers` has the same keys and changes every response of the route; in \
          a response of the gateway itself the gateway's own fields stay. A rule cannot name a \
          field that the gateway owns: the framing, fields of one connection, `Via`, \
          `X-Request-ID`; in requests `Host`, `Authorization`, `Forwarded`, `X-Forwarded-*` and \
          fields with claims; in responses `WWW-Authenticate` and `Access-Control-*`. A rule for \
          requests cannot set a field that names another method or path.",
    keys: &[&REMOVE, &SET, &ADD],
    refused: &[],
};

/// A map from the names of header fields to their values.
pub(super) const FIELDS: Custom = Custom {
    words: "a map from field name to value",
    json_schema: || json!({ "type": "object", "additionalProperties": json::text() }),
};

const REMOVE: Key<StrList> = Key::new("remove", StrList)
    .absent("nothing")
    .doc(
        "Fields that are removed, in every spelling: `x_debug` and `x.debug` are removed with \
         `x-debug`. `name-*` is every field whose name begins with `name-`, except for fields \
         that the gateway owns.",
    )
    .example(r#"["x-debug", "x-amzn-oidc-*"]"#);

const SET: Key<Custom> = Key::new("set", FIELDS)
    .absent("nothing")
    .takes(&Place::REQUEST)
    .doc(
        "Fields that are set. They replace existing values, in every spelling of the name. A value \
         may refer to the request, such as `${claim:sub}` ([templates](traffic.md#templates)); the \
         field is left out if the request has no such value.",
    )
    .example(r#"{ "x-env" = "prod" }"#);

const ADD: Key<Custom> = Key::new("add", FIELDS)
    .absent("nothing")
    .takes(&Place::REQUEST)
    .doc("Fields that are added to existing values, with the same references as in `set`.")
    .example(r#"{ "x-served-by" = "scopegate" }"#);

/// Header rules, with the position of each field name. Prefixes (`name-*`) are not among the names.
#[derive(Clone, Debug, Default)]
pub(super) struct LocatedRules {
    pub(super) rules: HeaderRules,
    pub(super) names: Vec<(HeaderName, Span)>,
    /// The positions of the values of `rules.templates`.
    pub(super) templates: Vec<Span>,
}

pub(super) fn header_rules(
    outer: &mut Reader<'_>,
    key: &Key<Subtable>,
    direction: Direction,
) -> Option<Arc<LocatedRules>> {
    let mut reader = outer.table_below(key)?;
    let mut located = LocatedRules::default();
    for name in reader.find(&REMOVE).unwrap_or_default() {
        let pattern = direction.pattern(&name.text);
        let pattern = located.checked(&reader, pattern, &name.text, name.span);
        located.rules.remove.extend(pattern);
    }
    located.read(&mut reader, direction, &SET);
    located.read(&mut reader, direction, &ADD);
    reader.finish();
    Some(Arc::new(located))
}

impl LocatedRules {
    /// Checks that a rule may name this field, and that no earlier rule names it.
    fn checked<T: Clone + Into<FieldPattern>>(
        &mut self,
        reader: &Reader<'_>,
        parsed: Result<T, HeaderRuleError>,
        text: &str,
        span: Span,
    ) -> Option<T> {
        let subject = format_args!("a rule cannot name \"{text}\"");
        let field = reader.accept(span, subject, parsed)?;
        self.note(reader, field.clone().into(), text, span);
        Some(field)
    }

    fn note(&mut self, reader: &Reader<'_>, field: FieldPattern, text: &str, span: Span) {
        let FieldPattern::Name(name) = field else {
            return;
        };
        let mut names = self.names.iter().map(|(name, _)| name.as_str());
        if names.any(|other| is_twin(other, name.as_str())) {
            reader.problem(
                span,
                format!("\"{text}\" has two rules: write one for each field"),
            );
        }
        self.names.push((name, span));
    }

    /// Reads the rules of `set` or `add`.
    fn read(&mut self, reader: &mut Reader<'_>, direction: Direction, key: &Key<Custom>) {
        let Some(value) = reader.value(key) else {
            return;
        };
        let Kind::Table(table) = &value.kind else {
            reader.mismatched(key, value);
            return;
        };
        for KeyValue {
            key: name,
            key_span,
            value,
        } in &table.entries
        {
            let field = self.checked(reader, direction.name(name), name, *key_span);
            let template = template(reader, direction, name, value);
            if let (Some(field), Some(template)) = (field, template) {
                let rule = Rule {
                    name: field,
                    replaces: key.name() == SET.name(),
                };
                self.add(reader, rule, value.span, template);
            }
        }
    }

    /// Adds the rule of a field: a constant, or a template.
    fn add(&mut self, reader: &Reader<'_>, rule: Rule, span: Span, value: Template) {
        let Rule { name, replaces } = rule;
        let subject = format_args!("the value of \"{name}\"");
        let Some(text) = value.literal() else {
            if let Some(reference) = value.in_host(Escape::of_field(&name)) {
                let message = format!("{subject}: \"{reference}\" would be a part of a host");
                let hint = "write a \"/\" between the host and the value";
                reader.problem_with_hint(span, message, hint);
                return;
            }
            if reader
                .accept(span, subject, header_rule_value(&value.sample("x")))
                .is_none()
            {
                return;
            }
            self.templates.push(span);
            self.rules.templates.push(FieldTemplate {
                name,
                value,
                replaces,
            });
            return;
        };
        let Some(value) = reader.accept(span, subject, header_rule_value(text)) else {
            return;
        };
        match replaces {
            true => self.rules.set.push((name, value)),
            false => self.rules.add.push((name, value)),
        }
    }
}

/// The field of a rule.
struct Rule {
    name: HeaderName,
    /// Set for a rule of `set`.
    replaces: bool,
}

/// Returns the value of a rule with its variables filled in, or reports why it is invalid.
fn template(
    reader: &Reader<'_>,
    direction: Direction,
    name: &str,
    value: &Value,
) -> Option<Template> {
    let text = field_text(reader, name, value)?;
    let place = match direction {
        Direction::Request => &Place::REQUEST,
        Direction::Response => &Place::RESPONSE,
    };
    let subject = format_args!("the value of \"{name}\"");
    let template = reader.accept(value.span, subject, Template::parse(text, place))?;
    let template = reader.context.filled(&template);
    if direction == Direction::Request && has_claim(&template) {
        // Such a field is removed from every request, so it must not be one that requests need.
        let claim = ForwardedClaim::parse(name, "claim");
        reader.accept(value.span, format_args!("\"{name}\""), claim)?;
    }
    Some(template)
}

fn has_claim(template: &Template) -> bool {
    let mut references = template.references();
    references.any(|(reference, _)| reference.kind() == ReferenceKind::Claim)
}

/// Returns the text of a field's value, or reports that it is none.
pub(super) fn field_text<'v>(reader: &Reader<'_>, name: &str, value: &'v Value) -> Option<&'v str> {
    match &value.kind {
        Kind::Text(text) => Some(text),
        _ => {
            reader.problem(
                value.span,
                format!("the value of \"{name}\" is a string, not {}", value.name()),
            );
            None
        }
    }
}

impl LocatedRules {
    /// Returns the references of the rules, with the positions of their values.
    pub(super) fn references(&self) -> impl Iterator<Item = (&Reference, Span)> {
        let templates = self.rules.templates.iter().zip(&self.templates);
        templates.flat_map(|(field, span)| {
            let references = field.value.references();
            references.map(|(reference, _)| (reference, *span))
        })
    }
}

/// Reports each rule for a field in which some route forwards a claim: these fields belong to the
/// gateway, on every route.
pub(super) fn check_claims(
    context: &Context,
    located: &[(String, Arc<LocatedRules>)],
    claims: &[HeaderName],
) {
    // All routes of a table share its rules, and most routes forward the same few claims. Each rule
    // and each name is therefore checked once.
    let claims: BTreeSet<&str> = claims.iter().map(HeaderName::as_str).collect();
    let mut seen: HashSet<Span> = HashSet::new();
    let mut known: HashMap<&str, bool> = HashMap::new();
    for (subject, located) in located {
        for (name, span) in &located.names {
            if !seen.insert(*span) {
                continue;
            }
            let name = name.as_str();
            let is_claim = known
                .entry(name)
                .or_insert_with(|| claims.iter().any(|claim| is_twin(claim, name)));
            if *is_claim {
                let message = format!(
                    "{subject}: a rule cannot name \"{name}\": a route forwards a claim in it"
                );
                context.problem(Problem::at(*span, message));
            }
        }
    }
}
