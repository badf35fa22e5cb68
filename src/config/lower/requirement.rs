//! The requirement of a route: scope rules, `authenticated`, `public`, and the methods that they
//! are for.

use super::super::document::{KeyValue, Kind, Table, Value};
use super::super::reader::Reader;
use super::super::source::Span;
use crate::policy::{Requirement, Rule, Scope, Term};
use crate::route::MethodPattern;

/// The keys that state an authorization.
pub(super) const STATEMENTS: [&str; 3] = ["scopes", "authenticated", "public"];

/// A method with its requirement.
pub(super) type MethodRequirement = (MethodPattern, Requirement);

/// Returns a requirement that no caller meets, in place of an invalid one.
fn nobody() -> Requirement {
    Requirement::Scopes(Rule::Any(Vec::new()))
}

/// Returns the requirement that a table states by `scopes`, `authenticated` or `public`; `None` if
/// it states none.
pub(super) fn stated(reader: &mut Reader<'_>) -> Option<Requirement> {
    let written: Vec<_> = STATEMENTS
        .into_iter()
        .filter(|name| reader.has(name))
        .collect();
    let [scopes, authenticated, public] = STATEMENTS.map(|name| reader.value(name));
    if let [first, second, ..] = *written.as_slice() {
        let message =
            format!("\"{second}\" beside \"{first}\": they exclude each other, keep one of them");
        let problem = reader.problem_at(reader.key_span(second), message);
        reader
            .context
            .problem(problem.related(reader.key_span(first), "the other one"));
    }
    if let Some(value) = authenticated {
        return Some(only_true(
            reader,
            "authenticated",
            &value,
            Requirement::Authenticated,
        ));
    }
    if let Some(value) = public {
        return Some(only_true(reader, "public", &value, Requirement::Public));
    }
    scopes.map(|value| scopes_requirement(reader, "scopes", &value))
}

fn only_true(
    reader: &Reader<'_>,
    name: &str,
    value: &Value,
    requirement: Requirement,
) -> Requirement {
    match &value.kind {
        Kind::Flag(true) => requirement,
        Kind::Flag(false) => {
            let message = format!(
                "\"{name} = false\" has no meaning: remove it, and state the authorization instead"
            );
            reader.problem(value.span, message);
            nobody()
        }
        _ => {
            reader.problem(
                value.span,
                format!("\"{name}\" is true or absent, not {}", value.name()),
            );
            nobody()
        }
    }
}

fn scopes_requirement(reader: &Reader<'_>, name: &str, value: &Value) -> Requirement {
    rule(reader, name, value).map_or_else(nobody, Requirement::Scopes)
}

/// Returns the methods of a route with the requirement of each.
pub(super) fn methods_of(
    reader: &mut Reader<'_>,
    inherited: Option<&Requirement>,
) -> Vec<MethodRequirement> {
    let stated_here = stated(reader);
    let (methods, method) = (reader.value("methods"), reader.value("method"));
    if methods.is_some() && method.is_some() {
        let problem = reader.problem_at(
            reader.key_span("method"),
            "\"method\" beside \"methods\": keep one of them",
        );
        reader
            .context
            .problem(problem.related(reader.key_span("methods"), "the other one"));
    }
    if let Some(Value {
        kind: Kind::Table(table),
        ..
    }) = &methods
    {
        refuse_statements(reader);
        return mapped(reader, table);
    }
    let methods = match methods.or(method) {
        Some(value) => named(reader, &value),
        None => vec![MethodPattern::Any],
    };
    let requirement = stated_here
        .or_else(|| inherited.cloned())
        .unwrap_or_else(|| silence(reader));
    methods
        .into_iter()
        .map(|method| (method, requirement.clone()))
        .collect()
}

/// Reports a requirement beside a map of methods, in which each method has its own.
fn refuse_statements(reader: &Reader<'_>) {
    for name in STATEMENTS.into_iter().filter(|name| reader.has(name)) {
        let message = format!(
            "\"{name}\" has no effect beside a map of \"methods\", in which each method has its \
             own authorization"
        );
        let problem = reader.problem_at(reader.key_span(name), message);
        reader
            .context
            .problem(problem.related(reader.key_span("methods"), "the map"));
    }
}

fn silence(reader: &Reader<'_>) -> Requirement {
    let problem = reader.problem_at(reader.span(), "it states no authorization");
    reader.context.problem(problem.hint(
        "write scopes = \"..\", a map of methods to scopes, authenticated = true (any valid token) \
         or public = true",
    ));
    nobody()
}

fn mapped(reader: &Reader<'_>, table: &Table) -> Vec<MethodRequirement> {
    if table.entries.is_empty() {
        reader.problem(
            table.span,
            "\"methods\" is empty: name at least one, or leave the key out",
        );
    }
    let answer = |entry: &KeyValue| {
        let method = method(reader, &entry.key, entry.key_span)?;
        let name = format!("methods.{}", entry.key);
        Some((method, method_requirement(reader, &name, &entry.value)))
    };
    table.entries.iter().filter_map(answer).collect()
}

/// Returns the requirement of one method of a map: scopes, `{ public = true }` or `{ authenticated
/// = true }`.
fn method_requirement(reader: &Reader<'_>, name: &str, value: &Value) -> Requirement {
    let Kind::Table(table) = &value.kind else {
        return scopes_requirement(reader, name, value);
    };
    match table.entries.as_slice() {
        [
            KeyValue {
                key, value: stated, ..
            },
        ] => match key.as_str() {
            "public" => only_true(
                reader,
                &format!("{name}.public"),
                stated,
                Requirement::Public,
            ),
            "authenticated" => only_true(
                reader,
                &format!("{name}.authenticated"),
                stated,
                Requirement::Authenticated,
            ),
            "any" | "all" => scopes_requirement(reader, name, value),
            _ => not_one_of(reader, name, table),
        },
        _ => not_one_of(reader, name, table),
    }
}

fn not_one_of(reader: &Reader<'_>, name: &str, table: &Table) -> Requirement {
    let message = format!(
        "\"{name}\" is a table without exactly one of \"any\", \"all\", \"authenticated\" and \
         \"public\""
    );
    let problem = reader.problem_at(table.span, message);
    reader
        .context
        .problem(problem.hint("write scopes, { authenticated = true } or { public = true }"));
    nobody()
}

fn named(reader: &Reader<'_>, value: &Value) -> Vec<MethodPattern> {
    let items = match &value.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
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
        let Some(method) = method(reader, text, item.span) else {
            continue;
        };
        if methods.contains(&method) {
            reader.problem(item.span, format!("method \"{text}\" is named twice"));
            continue;
        }
        methods.push(method);
    }
    methods
}

fn method(reader: &Reader<'_>, text: &str, span: Span) -> Option<MethodPattern> {
    let parsed = MethodPattern::parse(text);
    parsed
        .map_err(|error| reader.problem(span, format!("method \"{text}\": {error}")))
        .ok()
}

/// Returns a rule: a scope, a list of scopes that are all required, or a table with `any` or `all`.
fn rule(reader: &Reader<'_>, name: &str, value: &Value) -> Option<Rule> {
    match &value.kind {
        Kind::Text(text) => Some(Rule::one(scope(reader, text, value.span)?)),
        Kind::List(items) => Some(Rule::All(terms(reader, name, items, value.span)?)),
        Kind::Table(table) => {
            let (all, items, span) = combination(reader, name, table)?;
            let terms = terms(reader, name, items, span)?;
            Some(if all {
                Rule::All(terms)
            } else {
                Rule::Any(terms)
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
    let terms: Vec<_> = items.iter().map(|item| term(reader, name, item)).collect();
    terms.into_iter().collect()
}

fn refuse_empty(reader: &Reader<'_>, name: &str, items: &[Value], span: Span) -> Option<()> {
    if !items.is_empty() {
        return Some(());
    }
    let message = format!("\"{name}\" has an empty list, which would require nothing");
    let problem = reader.problem_at(span, message);
    reader
        .context
        .problem(problem.hint("name a scope, or write authenticated = true for any valid token"));
    None
}

fn term(reader: &Reader<'_>, name: &str, value: &Value) -> Option<Term> {
    match &value.kind {
        Kind::Text(text) => Some(Term::Scope(scope(reader, text, value.span)?)),
        Kind::Table(table) => {
            let (all, items, span) = combination(reader, name, table)?;
            refuse_empty(reader, name, items, span)?;
            let scopes: Vec<_> = items
                .iter()
                .map(|item| innermost(reader, name, item))
                .collect();
            let scopes = scopes.into_iter().collect::<Option<Vec<_>>>()?;
            Some(if all {
                Term::All(scopes)
            } else {
                Term::Any(scopes)
            })
        }
        _ => {
            let message = format!(
                "\"{name}\" combines scopes and one more {{ any = [..] }} or {{ all = [..] }}, not \
                 {}",
                value.name()
            );
            reader.problem(value.span, message);
            None
        }
    }
}

fn innermost(reader: &Reader<'_>, name: &str, value: &Value) -> Option<Scope> {
    match &value.kind {
        Kind::Text(text) => scope(reader, text, value.span),
        Kind::Table(_) => {
            let problem = reader.problem_at(
                value.span,
                format!("\"{name}\" nests \"any\" and \"all\" more than once"),
            );
            reader.context.problem(
                problem.hint("write it as a list of alternatives, each at most one level deep"),
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

/// Returns the items of `{ all = [..] }` or `{ any = [..] }`, with `true` for `all`, and their
/// position.
fn combination<'v>(
    reader: &Reader<'_>,
    name: &str,
    table: &'v Table,
) -> Option<(bool, &'v [Value], Span)> {
    if let [KeyValue { key, value, .. }] = table.entries.as_slice()
        && (key == "all" || key == "any")
    {
        let Kind::List(items) = &value.kind else {
            reader.problem(
                value.span,
                format!("\"{name}.{key}\" is a list of scopes, not {}", value.name()),
            );
            return None;
        };
        return Some((key == "all", items, value.span));
    }
    let problem = reader.problem_at(
        table.span,
        format!("\"{name}\" is a table without exactly one of \"any\" and \"all\""),
    );
    reader
        .context
        .problem(problem.hint("write { any = [\"a\", \"b\"] } or { all = [\"a\", \"b\"] }"));
    None
}

fn scope(reader: &Reader<'_>, text: &str, span: Span) -> Option<Scope> {
    let parsed = Scope::parse(text);
    parsed
        .map_err(|error| reader.problem(span, format!("scope \"{text}\": {error}")))
        .ok()
}
