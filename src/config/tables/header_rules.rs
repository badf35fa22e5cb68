//! The tables of a route about heads: header rules and CORS.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use crate::config::context::Context;
use crate::config::language::document::{KeyValue, Kind, Value};
use crate::config::language::problem::Problem;
use crate::config::language::reader::{Reader, Text};
use crate::config::language::source::Span;
use crate::config::schema::{CORS, HEADER_RULES};
use crate::route::MethodPattern;
use crate::transform::{
    Cors, Direction, FieldPattern, HeaderRuleError, HeaderRules, Origin, Origins,
    header_rule_value, is_twin,
};

/// Header rules, with the position of each field name. Prefixes (`name-*`) are not among the names.
#[derive(Clone, Debug, Default)]
pub(super) struct LocatedRules {
    pub(super) rules: HeaderRules,
    pub(super) names: Vec<(HeaderName, Span)>,
}

pub(super) fn header_rules(
    outer: &mut Reader<'_>,
    key: &'static str,
    direction: Direction,
) -> Option<Arc<LocatedRules>> {
    let present = outer.has(key);
    let table = outer.table(key);
    if !present {
        return None;
    }
    let mut reader = Reader::new(
        outer.context,
        &HEADER_RULES,
        &table,
        format!("{}: \"{key}\"", outer.subject),
    );
    let mut located = LocatedRules::default();
    for name in reader.texts("remove").unwrap_or_default() {
        let pattern = direction.pattern(&name.text);
        let pattern = located.checked(&reader, pattern, &name.text, name.span);
        located.rules.remove.extend(pattern);
    }
    located.rules.set = located.map(&mut reader, direction, "set");
    located.rules.add = located.map(&mut reader, direction, "add");
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
        key: &'static str,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let Some(value) = reader.value(key) else {
            return Vec::new();
        };
        let Kind::Table(table) = &value.kind else {
            reader.mismatched(key, &value);
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

pub(super) fn cors(outer: &mut Reader<'_>) -> Option<Arc<Cors>> {
    let present = outer.has("cors");
    let table = outer.table("cors");
    if !present {
        return None;
    }
    let mut reader = Reader::new(
        outer.context,
        &CORS,
        &table,
        format!("{}: \"cors\"", outer.subject),
    );
    let texts = reader.texts("origins");
    let span = reader.key_span("credentials");
    let cors = Cors {
        origins: origins(&reader, "origins", texts.as_deref().unwrap_or_default()),
        methods: methods(&mut reader),
        headers: names(&mut reader, "headers"),
        expose: names(&mut reader, "expose"),
        credentials: reader.flag("credentials").unwrap_or_default(),
        max_age: reader.duration("max_age").unwrap_or_default(),
    };
    if cors.credentials && cors.origins == Origins::Any {
        reader.problem(
            span,
            "\"credentials\" with origins = \"any\" would let every page read the data of its \
             visitors: name the origins",
        );
    }
    reader.finish();
    Some(Arc::new(cors))
}

/// Returns the origins that a key names, or `Any`.
pub(super) fn origins(reader: &Reader<'_>, key: &str, texts: &[Text]) -> Origins {
    if let [only] = texts
        && only.text == "any"
    {
        return Origins::Any;
    }
    let mut origins = Vec::new();
    for text in texts {
        let subject = format_args!("\"{key}\" has \"{}\"", text.text);
        origins.extend(reader.accept(text.span, subject, Origin::parse(&text.text)));
    }
    Origins::These(origins)
}

fn methods(reader: &mut Reader<'_>) -> Option<Vec<Method>> {
    let mut methods = Vec::new();
    for text in reader.texts("methods")? {
        let subject = format_args!("\"methods\" has \"{}\"", text.text);
        match reader.accept(text.span, subject, MethodPattern::parse(&text.text)) {
            Some(MethodPattern::One(method)) => methods.push(method),
            Some(MethodPattern::Any) => reader.problem(
                text.span,
                "\"methods\" has \"ANY\": leave the key out for the methods of the route",
            ),
            None => {}
        }
    }
    Some(methods)
}

fn names(reader: &mut Reader<'_>, key: &'static str) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for text in reader.texts(key).unwrap_or_default() {
        match HeaderName::from_bytes(text.text.as_bytes()) {
            Ok(name) if text.text != "*" => names.push(name),
            _ => reader.problem(
                text.span,
                format!("\"{key}\" has \"{}\", which is not a field name", text.text),
            ),
        }
    }
    names
}
