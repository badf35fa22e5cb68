//! The requirement of a route: scope rules, `authenticated`, `public`, `deny`, and the methods that
//! they are for.

use serde_json::json;

use crate::config::language::document::{KeyValue, Kind, Table, Value};
use crate::config::language::json;
use crate::config::language::{AnyKey, Custom, Key, Reader, Span, Str, collect};
use crate::config::notes::methods as notes;
use crate::policy::{Requirement, Rule, Scope, Term};
use crate::route::MethodPattern;

const SCOPE_RULE: Custom = Custom {
    words: "a scope, a list of scopes, { any = [..] } or { all = [..] }",
    json_schema: || json::reference("scope_rule"),
};

pub(super) const SCOPES: Key<Custom> = Key::new("scopes", SCOPE_RULE)
    .absent("the authorization of the group; an error without it")
    .doc(
        "A string is one scope, and a list requires all of its scopes; `{ any = [..] }` and `{ \
         all = [..] }` state it explicitly and may be nested once. Scopes are compared as a whole \
         and case-sensitively (RFC 6749 section 3.3).",
    )
    .not(&["scope"])
    .example(r#"{ any = ["orders.read", "orders.admin"] }"#);

/// `true` and no other value: the opposite is the absence of the key, not `false`.
const TRUE: Custom = Custom {
    words: "true",
    json_schema: || json!({ "const": true }),
};

pub(super) const AUTHENTICATED: Key<Custom> = Key::new("authenticated", TRUE)
    .absent("the authorization of the group; an error without it")
    .doc("Any valid token of the route's issuers is sufficient.")
    .example("true");

pub(super) const PUBLIC: Key<Custom> = Key::new("public", TRUE)
    .absent("the authorization of the group; an error without it")
    .doc("No token is required, and none is read.")
    .example("true");

pub(super) const DENY: Key<Custom> = Key::new("deny", TRUE)
    .absent("the authorization of the group; an error without it")
    .doc(
        "Every request is refused with 403 `route_denied`, before a token is looked for. The route \
         takes part in matching as any other, so that no less specific route answers its paths. A \
         route that denies every method needs no upstream and no issuer; without an upstream it \
         protects its paths on [all upstreams of its host](traffic.md#denied-routes).",
    )
    .not(&["denied", "forbidden", "block"])
    .example("true");

const METHOD_MAP: Custom = Custom {
    words: "a method, a list of methods, or a map from method to scopes",
    json_schema: || {
        let (text, map) = (json::text, json::reference("method_map"));
        json!({ "anyOf": [text(), json::list(text()), map] })
    },
};

pub(super) const METHODS: Key<Custom> = Key::new("methods", METHOD_MAP)
    .absent("`ANY`")
    .doc(
        "A map from method to requirement: scopes, `{ authenticated = true }`, `{ public = true }` \
         or `{ deny = true }`. Or one method or a list of methods, which then have the requirement \
         of the route. `GET` also answers `HEAD`, unless `head` is `false`; `ANY` stands for every \
         common method that no route of the path names.",
    )
    .example(r#"{ GET = "orders.read", POST = "orders.write" }"#);

pub(super) const METHOD: Key<Str> = Key::new("method", Str)
    .absent("see `methods`")
    .doc("The same as `methods` with one method.")
    .example(r#""GET""#);

/// The keys that state an authorization.
const STATEMENTS: [&Key<Custom>; 4] = [&SCOPES, &AUTHENTICATED, &PUBLIC, &DENY];

/// The items of a combination of scopes.
struct Combination<'v> {
    /// Set for `all`, not set for `any`.
    all: bool,
    items: &'v [Value],
    span: Span,
}

/// A method with its requirement.
pub(super) type MethodRequirement = (MethodPattern, Requirement);

/// Returns whether a method of a route needs a token.
pub(super) fn needs_token(methods: &[MethodRequirement]) -> bool {
    methods
        .iter()
        .any(|(_, requirement)| requirement.needs_token())
}

/// Returns whether every method of a route is denied. The methods are empty if they are unknown.
pub(super) fn is_denied(methods: &[MethodRequirement]) -> bool {
    let mut requirements = methods.iter().map(|(_, requirement)| requirement);
    !methods.is_empty() && requirements.all(Requirement::is_denied)
}

/// Returns why no token of a route is read; `None` if its methods are unknown.
pub(super) fn why_without_token(methods: &[MethodRequirement]) -> Option<&'static str> {
    let (_, first) = methods.first()?;
    let is_same = methods.iter().all(|(_, requirement)| requirement == first);
    Some(match first {
        Requirement::Denied if is_same => "the route denies every request",
        Requirement::Public if is_same => "the route is public and reads no token",
        _ => "no method of the route reads a token",
    })
}

/// Returns a requirement that no caller meets, in place of an invalid one. It needs a token, so
/// that the rest of the route is checked as that of a protected one.
fn refuse_all() -> Requirement {
    Requirement::Scopes(Rule::Any(Vec::new()))
}

/// The authorization that a table states.
#[derive(Clone, Default)]
pub(super) enum Statement {
    /// No authorization is stated.
    #[default]
    Nothing,
    /// One under a misspelled key, which is reported by itself.
    Misspelled,
    Requirement(Requirement),
}

impl Statement {
    /// Returns what a table states by `scopes`, `authenticated`, `public` or `deny`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        match stated(reader) {
            Some(requirement) => Self::Requirement(requirement),
            None if STATEMENTS.into_iter().any(|key| reader.is_misspelled(key)) => Self::Misspelled,
            None => Self::Nothing,
        }
    }

    /// Returns this statement, or else that of the enclosing table.
    fn within(self, outer: &Self) -> Self {
        match self {
            Self::Nothing => outer.clone(),
            own => own,
        }
    }
}

/// Returns the requirement that a table states by one of [`STATEMENTS`]; `None` if it states none.
fn stated(reader: &mut Reader<'_>) -> Option<Requirement> {
    let written: Vec<_> = STATEMENTS
        .into_iter()
        .filter(|key| reader.has(*key))
        .collect();
    let [scopes, authenticated, public, deny] = STATEMENTS.map(|key| reader.value(key));
    if let [first, second, ..] = *written.as_slice() {
        reader.refuse_beside(second, first);
    }
    if let Some(value) = deny {
        return Some(only_true(reader, "deny", value, Requirement::Denied));
    }
    if let Some(value) = authenticated {
        let requirement = Requirement::Authenticated;
        return Some(only_true(reader, "authenticated", value, requirement));
    }
    if let Some(value) = public {
        return Some(only_true(reader, "public", value, Requirement::Public));
    }
    scopes.map(|value| scopes_requirement(reader, "scopes", value))
}

fn only_true(
    reader: &Reader<'_>,
    name: &str,
    value: &Value,
    requirement: Requirement,
) -> Requirement {
    let message = match &value.kind {
        Kind::Flag(true) => return requirement,
        Kind::Flag(false) => format!(
            "\"{name} = false\" has no meaning: remove it, and state the authorization instead"
        ),
        _ => format!("\"{name}\" is true or absent, not {}", value.name()),
    };
    reader.problem(value.span, message);
    refuse_all()
}

fn scopes_requirement(reader: &Reader<'_>, name: &str, value: &Value) -> Requirement {
    match rule(reader, name, value) {
        Some(rule) => Requirement::Scopes(rule),
        None => refuse_all(),
    }
}

/// Returns the methods of a route with the requirement of each; none if the key that was to state
/// the authorization is misspelled.
pub(super) fn methods_of(reader: &mut Reader<'_>, inherited: &Statement) -> Vec<MethodRequirement> {
    let own = Statement::read(reader);
    let (methods, method) = (reader.value(&METHODS), reader.value(&METHOD));
    if methods.is_some() && method.is_some() {
        reader.problem_with_related(
            reader.key_span(&METHOD),
            "\"method\" beside \"methods\": keep one of them",
            reader.key_span(&METHODS),
            "the other one",
        );
    }
    if let Some(Value {
        kind: Kind::Table(table),
        ..
    }) = methods
    {
        refuse_statements(reader);
        return mapped(reader, table);
    }
    let methods = match methods.or(method) {
        Some(value) => named(reader, value),
        None => vec![MethodPattern::Any],
    };
    let requirement = match own.within(inherited) {
        Statement::Requirement(requirement) => requirement,
        // The requirement is unknown until that key is corrected.
        Statement::Misspelled => return Vec::new(),
        Statement::Nothing if reader.is_misspelled(&METHODS) => return Vec::new(),
        Statement::Nothing => report_no_authorization(reader),
    };
    let mut all = Vec::new();
    for method in methods {
        all.push((method, requirement.clone()));
    }
    all
}

/// Reports a requirement beside a map of methods, in which each method has its own.
fn refuse_statements(reader: &Reader<'_>) {
    for key in STATEMENTS.into_iter().filter(|key| reader.has(*key)) {
        let message = format!(
            "\"{}\" has no effect beside a map of \"methods\", in which each method has its own \
             authorization",
            key.name()
        );
        let (span, related) = (reader.key_span(key), reader.key_span(&METHODS));
        reader.problem_with_related(span, message, related, "the map");
    }
}

/// Reports a route without authorization.
fn report_no_authorization(reader: &Reader<'_>) -> Requirement {
    reader.problem_with_hint(
        reader.span(),
        "it states no authorization",
        "write scopes = \"..\", a map of methods to scopes, authenticated = true (any valid \
         token), public = true or deny = true",
    );
    refuse_all()
}

/// Returns the methods of a map with the requirement of each.
fn mapped(reader: &Reader<'_>, table: &Table) -> Vec<MethodRequirement> {
    if table.entries.is_empty() {
        reader.problem(
            table.span,
            "\"methods\" is empty: name at least one, or leave the key out",
        );
    }
    let mut methods = Vec::new();
    for entry in &table.entries {
        if let Some(method) = method(reader, &entry.key, entry.key_span) {
            let name = format!("methods.{}", entry.key);
            methods.push((method, method_requirement(reader, &name, &entry.value)));
        }
    }
    methods
}

/// Returns the requirement of one method of a map: scopes, `{ authenticated = true }`, `{ public =
/// true }` or `{ deny = true }`.
fn method_requirement(reader: &Reader<'_>, name: &str, value: &Value) -> Requirement {
    let Kind::Table(table) = &value.kind else {
        return scopes_requirement(reader, name, value);
    };
    let [entry] = table.entries.as_slice() else {
        return not_one_of(reader, name, table);
    };
    let requirement = match entry.key.as_str() {
        "public" => Requirement::Public,
        "deny" => Requirement::Denied,
        "authenticated" => Requirement::Authenticated,
        "any" | "all" => return scopes_requirement(reader, name, value),
        _ => return not_one_of(reader, name, table),
    };
    let name = format!("{name}.{}", entry.key);
    only_true(reader, &name, &entry.value, requirement)
}

fn not_one_of(reader: &Reader<'_>, name: &str, table: &Table) -> Requirement {
    let message = format!(
        "\"{name}\" is a table without exactly one of \"any\", \"all\", \"authenticated\", \
         \"public\" and \"deny\""
    );
    reader.problem_with_hint(
        table.span,
        message,
        "write scopes, { authenticated = true }, { public = true } or { deny = true }",
    );
    refuse_all()
}

/// Returns the methods of a list, or one method as a list.
fn named(reader: &Reader<'_>, value: &Value) -> Vec<MethodPattern> {
    let items = value.items();
    if items.is_empty() {
        reader.problem(
            value.span,
            "\"methods\" is empty: name at least one, or leave the key out",
        );
    }
    let mut methods = Vec::new();
    for item in items {
        let Kind::Text(text) = &item.kind else {
            let message = format!("a method is a string like \"GET\", not {}", item.name());
            reader.problem(item.span, message);
            continue;
        };
        match method(reader, text, item.span) {
            Some(method) if methods.contains(&method) => {
                reader.problem(item.span, format!("method \"{text}\" is named twice"));
            }
            method => methods.extend(method),
        }
    }
    methods
}

fn method(reader: &Reader<'_>, text: &str, span: Span) -> Option<MethodPattern> {
    let subject = format_args!("method \"{text}\"");
    let method = reader.accept(span, subject, MethodPattern::parse(text))?;
    notes::note(reader, text, span);
    Some(method)
}

/// Returns a rule: a scope, a list of scopes that are all required, or a table with `any` or `all`.
fn rule(reader: &Reader<'_>, name: &str, value: &Value) -> Option<Rule> {
    match &value.kind {
        Kind::Text(text) => Some(Rule::one(scope(reader, text, value.span)?)),
        Kind::List(items) => Some(Rule::All(terms(reader, name, items, value.span)?)),
        Kind::Table(table) => {
            let combination = combination(reader, name, table)?;
            let terms = terms(reader, name, combination.items, combination.span)?;
            Some(match combination.all {
                true => Rule::All(terms),
                false => Rule::Any(terms),
            })
        }
        _ => {
            let message = format!(
                "\"{name}\" is a scope, a list of scopes, {{ any = [..] }} or {{ all = [..] }}, \
                 not {}",
                value.name()
            );
            reader.problem(value.span, message);
            None
        }
    }
}

/// Returns the terms of a rule. Every term is checked, so that each invalid one is reported.
fn terms(reader: &Reader<'_>, name: &str, items: &[Value], span: Span) -> Option<Vec<Term>> {
    refuse_empty(reader, name, items, span)?;
    let mut terms = Some(Vec::new());
    for item in items {
        collect(&mut terms, term(reader, name, item));
    }
    terms
}

fn refuse_empty(reader: &Reader<'_>, name: &str, items: &[Value], span: Span) -> Option<()> {
    if !items.is_empty() {
        return Some(());
    }
    let message = format!("\"{name}\" has an empty list, which would require nothing");
    reader.problem_with_hint(
        span,
        message,
        "name a scope, or write authenticated = true for any valid token",
    );
    None
}

fn term(reader: &Reader<'_>, name: &str, value: &Value) -> Option<Term> {
    match &value.kind {
        Kind::Text(text) => Some(Term::Scope(scope(reader, text, value.span)?)),
        Kind::Table(table) => nested(reader, name, table),
        _ => {
            let message = format!(
                "\"{name}\" combines scopes and one more {{ any = [..] }} or {{ all = [..] }}, \
                 not {}",
                value.name()
            );
            reader.problem(value.span, message);
            None
        }
    }
}

/// Returns a term that combines scopes. It cannot hold another combination.
fn nested(reader: &Reader<'_>, name: &str, table: &Table) -> Option<Term> {
    let combination = combination(reader, name, table)?;
    refuse_empty(reader, name, combination.items, combination.span)?;
    let mut scopes = Some(Vec::new());
    for item in combination.items {
        collect(&mut scopes, innermost(reader, name, item));
    }
    Some(match combination.all {
        true => Term::All(scopes?),
        false => Term::Any(scopes?),
    })
}

fn innermost(reader: &Reader<'_>, name: &str, value: &Value) -> Option<Scope> {
    match &value.kind {
        Kind::Text(text) => scope(reader, text, value.span),
        Kind::Table(_) => {
            reader.problem_with_hint(
                value.span,
                format!("\"{name}\" nests \"any\" and \"all\" more than once"),
                "write it as a list of alternatives, each at most one level deep",
            );
            None
        }
        _ => {
            reader.problem(
                value.span,
                format!("a scope is a string, not {}", value.name()),
            );
            None
        }
    }
}

/// Returns the items of `{ all = [..] }` or `{ any = [..] }`.
fn combination<'v>(reader: &Reader<'_>, name: &str, table: &'v Table) -> Option<Combination<'v>> {
    if let [KeyValue { key, value, .. }] = table.entries.as_slice()
        && (key == "all" || key == "any")
    {
        let Kind::List(items) = &value.kind else {
            let message = format!("\"{name}.{key}\" is a list of scopes, not {}", value.name());
            reader.problem(value.span, message);
            return None;
        };
        return Some(Combination {
            all: key == "all",
            items,
            span: value.span,
        });
    }
    reader.problem_with_hint(
        table.span,
        format!("\"{name}\" is a table without exactly one of \"any\" and \"all\""),
        "write { any = [\"a\", \"b\"] } or { all = [\"a\", \"b\"] }",
    );
    None
}

fn scope(reader: &Reader<'_>, text: &str, span: Span) -> Option<Scope> {
    let subject = format_args!("scope \"{text}\"");
    if text == "*" {
        let message = "scope \"*\" is compared like any other: for any valid token write \
                       authenticated = true";
        reader.note(span, message);
    }
    reader.accept(span, subject, Scope::parse(text))
}
