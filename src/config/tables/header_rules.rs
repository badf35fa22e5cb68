//! `[routes.request_headers]` and `[routes.response_headers]`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::json;

use crate::config::context::Context;
use crate::config::language::document::{KeyValue, Kind, Value};
use crate::config::language::json;
use crate::config::language::{
    AnyKey, Custom, Key, Problem, Reader, Span, StrList, Subtable, Table,
};
use crate::transform::{
    Direction, FieldPattern, HeaderRuleError, HeaderRules, Place, header_rule_value, is_twin,
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

const FIELDS: Custom = Custom {
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
    .takes(&Place::SETTING)
    .doc("Fields that are set. They replace existing values, in every spelling of the name.")
    .example(r#"{ "x-env" = "prod" }"#);

const ADD: Key<Custom> = Key::new("add", FIELDS)
    .absent("nothing")
    .takes(&Place::SETTING)
    .doc("Fields that are added to existing values.")
    .example(r#"{ "x-served-by" = "scopegate" }"#);

/// Header rules, with the position of each field name. Prefixes (`name-*`) are not among the names.
#[derive(Clone, Debug, Default)]
pub(super) struct LocatedRules {
    pub(super) rules: HeaderRules,
    pub(super) names: Vec<(HeaderName, Span)>,
}

pub(super) fn header_rules(
    outer: &mut Reader<'_>,
    key: &Key<Subtable>,
    direction: Direction,
) -> Option<Arc<LocatedRules>> {
    let subject = format!("{}: \"{}\"", outer.subject, key.name());
    let mut reader = outer.table_if_present(key, subject)?;
    let mut located = LocatedRules::default();
    for name in reader.find(&REMOVE).unwrap_or_default() {
        let pattern = direction.pattern(&name.text);
        let pattern = located.checked(&reader, pattern, &name.text, name.span);
        located.rules.remove.extend(pattern);
    }
    located.rules.set = located.map(&mut reader, direction, &SET);
    located.rules.add = located.map(&mut reader, direction, &ADD);
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

    fn map(
        &mut self,
        reader: &mut Reader<'_>,
        direction: Direction,
        key: &dyn AnyKey,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let Some(value) = reader.value(key) else {
            return Vec::new();
        };
        let Kind::Table(table) = &value.kind else {
            reader.mismatched(key, value);
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for KeyValue {
            key,
            key_span,
            value,
        } in &table.entries
        {
            let name = self.checked(reader, direction.name(key), key, *key_span);
            let text = rule_text(reader, key, value);
            let (Some(name), Some(text)) = (name, text) else {
                continue;
            };
            let subject = format_args!("the value of \"{key}\"");
            if let Some(value) = reader.accept(value.span, subject, header_rule_value(text)) {
                pairs.push((name, value));
            }
        }
        pairs
    }
}

fn rule_text<'v>(reader: &Reader<'_>, name: &str, value: &'v Value) -> Option<&'v str> {
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
