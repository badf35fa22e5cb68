//! The effective policy as text: the output of `scopegate check` for a valid file.
//!
//! Routes come in the order of the file, with the settings of groups and `[defaults]` applied.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use http::Method;

use super::language::printable::printable;
use super::language::units::{show_duration, show_size};
use super::{
    Config, ErrorDetail, Errors, ForwardedFields, Group, Issuer, Listener, Route, Server, Variable,
};
use crate::issuer::{Algorithm, KeySource};
use crate::lambda::Function;
use crate::policy::{Claim, Requirement};
use crate::route::{Ambiguity, Distinct, MethodPattern};
use crate::token::{Audience, ClaimDemand, RequiredClaim, Source, TypPolicy};
use crate::transform::{Cors, FieldNames};
use crate::upstream::{HostHeader, Settings};

/// Returns the effective policy of a configuration as text.
#[must_use]
pub fn effective_policy(config: &Config) -> String {
    let mut out = String::new();
    let mut rows = server_rows(&config.server);
    if *config.errors != Errors::default() {
        rows.push(["errors".into(), errors_text(&config.errors)]);
    }
    write_rows(&mut out, &rows);
    let variables: Vec<_> = config.variables.iter().map(variable_row).collect();
    write_section(&mut out, "variables", &variables);
    let all = &config.issuers;
    let issuers: Vec<_> = all.iter().map(|issuer| issuer_row(issuer, all)).collect();
    write_section(&mut out, "issuers", &issuers);
    let upstreams: Vec<_> = config.upstreams.iter().map(upstream_row).collect();
    write_section(&mut out, "upstreams", &upstreams);
    let defaults = Defaults::of(config);
    let mut routes = Vec::new();
    for route in &config.routes {
        routes.extend(route_rows(&defaults, route));
    }
    write_section(&mut out, "routes", &routes);
    let mut groups = Vec::new();
    for group in &config.groups {
        groups.extend(group_row(&config.errors, group));
    }
    write_section(&mut out, "paths without a route", &groups);
    if !config.notes.is_empty() {
        out.push_str("\nnotes\n");
        for note in &config.notes {
            write_line(&mut out, &format!("  {note}"));
        }
    }
    out
}

fn write_section<const N: usize>(out: &mut String, title: &str, rows: &[[String; N]]) {
    if !rows.is_empty() {
        out.push('\n');
        write_line(out, title);
        write_rows(out, rows);
    }
}

/// Writes a line. Strings of the file can hold any character, and must not be able to add a line.
fn write_line(out: &mut String, text: &str) {
    out.push_str(&printable(text.trim_end()));
    out.push('\n');
}

/// The greatest width of a column. A longer cell moves the rest of its row: one with thousands of
/// scopes would add that many spaces to each other row.
pub(crate) const MAX_WIDTH: usize = 1000;

/// Writes rows in columns that are as wide as their widest cell, two spaces apart.
fn write_rows<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count()).min(MAX_WIDTH);
        }
    }
    for row in rows {
        let mut text = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(text, "  {cell:width$}");
        }
        write_line(out, &text);
    }
}

fn server_rows(server: &Server) -> Vec<[String; 2]> {
    let listeners: Vec<_> = server.listeners.iter().map(listener_text).collect();
    let mut rows = vec![
        ["listen".into(), listeners.join(", ")],
        ["admin".into(), admin_text(server)],
    ];
    if !server.trusted_proxies.is_empty() {
        rows.push(["trusted proxies".into(), server.trusted_proxies.to_string()]);
    }
    let forwarded = match server.forwarded {
        ForwardedFields::Common => return rows,
        ForwardedFields::Standard => "Forwarded",
        ForwardedFields::Both => "X-Forwarded-* and Forwarded",
    };
    rows.push(["forwarding fields".into(), forwarded.into()]);
    rows
}

fn errors_text(errors: &Errors) -> String {
    let detail = match errors.detail {
        ErrorDetail::Full => "",
        ErrorDetail::Minimal => ", minimal detail",
    };
    let own = match errors.own_answers() {
        0 => String::new(),
        count => format!(", {count} of its own"),
    };
    format!("profile {}{detail}{own}", errors.profile.name())
}

fn admin_text(server: &Server) -> String {
    match server.admin {
        None => "off".to_owned(),
        Some(admin) if server.admin_hosts.is_empty() => admin.to_string(),
        Some(admin) => format!("{admin} (also as {})", server.admin_hosts.join(", ")),
    }
}

fn listener_text(listener: &Listener) -> String {
    let tls = if listener.tls.is_some() { " (TLS)" } else { "" };
    format!("{}{tls}", listener.address)
}

fn variable_row(variable: &Variable) -> [String; 3] {
    [
        variable.name.to_string(),
        variable.value.to_string(),
        variable.origin_text(),
    ]
}

fn issuer_row(issuer: &Issuer, all: &[Issuer]) -> [String; 5] {
    let mut keys = match &issuer.entry.keys {
        KeySource::Discovery(_) => "keys by discovery".into(),
        KeySource::Uri(url) => format!("keys from {url}"),
        KeySource::Static(_) => "keys from a file or inline".into(),
    };
    let sharing = names_sharing(issuer, all);
    if !sharing.is_empty() {
        keys.push_str(&format!(", shared with {}", sharing.join(", ")));
    }
    let mut audience = match &issuer.rules.audience {
        Audience::Any => "any audience".into(),
        Audience::OneOf(list) => format!("audience {}", list.join(" or ")),
    };
    let claims = &issuer.rules.audience_claims;
    if claims.iter().map(AsRef::as_ref).ne(["aud"]) {
        audience.push_str(&format!(" in {}", claims.join(", or else ")));
    }
    [
        issuer.name.to_string(),
        issuer.entry.issuer.to_string(),
        keys,
        audience,
        issuer_conditions(issuer),
    ]
}

/// Returns the names of the other entries of an issuer.
fn names_sharing<'c>(issuer: &Issuer, all: &'c [Issuer]) -> Vec<&'c str> {
    let mut names = Vec::new();
    for other in all {
        if other.entry.issuer == issuer.entry.issuer && other.name != issuer.name {
            names.push(&*other.name);
        }
    }
    names
}

/// Returns the conditions on the tokens of an issuer that differ from the defaults.
fn issuer_conditions(issuer: &Issuer) -> String {
    let mut conditions = Vec::new();
    if !issuer.rules.client_ids.is_empty() {
        conditions.push(format!("clients {}", issuer.rules.client_ids.join(", ")));
    }
    let rules = &issuer.rules;
    if let Some(token_use) = &rules.token_use {
        conditions.push(format!("token_use {token_use}"));
    }
    if rules.typ != TypPolicy::Access {
        conditions.push(format!("typ {}", typ_text(rules.typ)));
    }
    let names: Vec<_> = rules.scope_claims.iter().map(ToString::to_string).collect();
    if names != ["scope", "scp"] {
        conditions.push(format!("scopes in {}", names.join(" and ")));
    }
    for required in &rules.required_claims {
        conditions.push(required_text(required));
    }
    let algorithms = &issuer.entry.algorithms;
    if *algorithms != Algorithm::ALL {
        let names: Vec<_> = algorithms.iter().map(|one| one.name()).collect();
        conditions.push(names.join(" or "));
    }
    conditions.join("; ")
}

fn typ_text(typ: TypPolicy) -> &'static str {
    match typ {
        TypPolicy::AtJwt => "at+jwt",
        TypPolicy::Access => "access",
        TypPolicy::Untyped => "untyped",
        TypPolicy::Any => "any",
    }
}

/// Returns a claim that tokens must have, with its values.
fn required_text(required: &RequiredClaim) -> String {
    match &required.demand {
        ClaimDemand::Present => format!("claim {}", required.claim),
        ClaimDemand::OneOf(values) => {
            let values: Vec<_> = values.iter().map(claim_text).collect();
            format!("claim {} is {}", required.claim, values.join(" or "))
        }
    }
}

/// Returns a scalar as the file has it.
fn claim_text(claim: &Claim) -> String {
    match claim {
        Claim::Text(text) => format!("\"{text}\""),
        Claim::Number(number) => number.to_string(),
        Claim::Bool(value) => value.to_string(),
        Claim::Null | Claim::List(_) | Claim::Map(_) => String::new(),
    }
}

fn upstream_row(upstream: &Settings) -> [String; 3] {
    let host = match &upstream.host {
        HostHeader::Upstream => "own Host".into(),
        HostHeader::Preserve => "client's Host".into(),
        HostHeader::Named(name) => format!("Host {name}"),
    };
    let host = match &upstream.lambda {
        Some(function) => format!("{host}, {}", function_text(function)),
        None => host,
    };
    [
        upstream.name.to_string(),
        upstream.url.with_path("").to_string(),
        host,
    ]
}

/// Returns the function that an upstream is.
fn function_text(function: &Function) -> String {
    let (name, format) = (function.name.as_str(), function.event.as_str());
    format!("function \"{name}\" with events {format}")
}

/// The settings that a route has unless it states others.
struct Defaults<'c> {
    server: &'c Server,
    errors: &'c Errors,
    /// The response timeout of each upstream, by its name.
    response_timeouts: HashMap<&'c str, Duration>,
}

impl<'c> Defaults<'c> {
    fn of(config: &'c Config) -> Self {
        let mut response_timeouts = HashMap::new();
        for upstream in &config.upstreams {
            response_timeouts.insert(&*upstream.name, upstream.response_timeout);
        }
        Self {
            server: &config.server,
            errors: &config.errors,
            response_timeouts,
        }
    }
}

/// Returns the row of a group that answers requests without a route in its own way.
fn group_row(outer: &Errors, group: &Group) -> Option<[String; 3]> {
    let mut settings = Vec::new();
    if *group.errors != *outer {
        settings.push(format!("errors: {}", errors_text(&group.errors)));
    }
    if !group.response.is_empty() {
        settings.push(format!("changes {}", list(group.response.names())));
    }
    if group.cors.is_some() {
        settings.push("CORS".into());
    }
    if settings.is_empty() {
        return None;
    }
    let host = match &group.host {
        Some(host) => host.to_string(),
        None => "*".to_owned(),
    };
    Some([host, group.paths.to_string(), settings.join("; ")])
}

/// Returns one row for each set of methods with the same requirement, in the order of the file.
fn route_rows(defaults: &Defaults<'_>, route: &Route) -> Vec<[String; 6]> {
    let host = match &route.host {
        Some(host) => host.to_string(),
        None => "*".to_owned(),
    };
    let mut rows = Vec::new();
    for (methods, requirement) in methods_by_requirement(route) {
        let issuers = match requirement.needs_token() {
            false => "no token".into(),
            true => issuer_names(route),
        };
        let settings = settings(defaults, route, requirement);
        rows.push([
            methods.join(", "),
            host.clone(),
            route.pattern.to_string(),
            requirement.to_string(),
            issuers,
            format!("-> {}{settings}", route.handler),
        ]);
    }
    rows
}

fn methods_by_requirement(route: &Route) -> Vec<(Vec<String>, &Requirement)> {
    let mut groups: Vec<(Vec<String>, &Requirement)> = Vec::new();
    for (method, requirement) in &route.methods {
        match groups.iter_mut().find(|(_, other)| *other == requirement) {
            Some((methods, _)) => methods.push(method.to_string()),
            None => groups.push((vec![method.to_string()], requirement)),
        }
    }
    groups
}

/// Returns the issuers by their names in the file. A route accepts all tenants of an entry, or
/// none.
fn issuer_names(route: &Route) -> String {
    let mut names: Vec<String> = Vec::new();
    for issuer in &route.issuers {
        let name = match issuer.split_once('/') {
            Some((entry, _)) => format!("{entry}/*"),
            None => issuer.to_string(),
        };
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// Returns the settings of a route that differ from the defaults, in parentheses; empty if none
/// does.
fn settings(defaults: &Defaults<'_>, route: &Route, requirement: &Requirement) -> String {
    let mut settings = Vec::new();
    if route.upstream().is_some() {
        add_path(&mut settings, route);
    }
    if requirement.needs_token() {
        add_token(&mut settings, route);
    }
    add_matching(&mut settings, route);
    add_limits(&mut settings, defaults, route);
    add_fields(&mut settings, route);
    if *route.errors != *defaults.errors {
        settings.push(format!("errors: {}", errors_text(&route.errors)));
    }
    if settings.is_empty() {
        String::new()
    } else {
        format!(" ({})", settings.join("; "))
    }
}

fn add_path(settings: &mut Vec<String>, route: &Route) {
    match (&route.heads.rewrite, &route.strip) {
        (Some(rewrite), _) => settings.push(format!("rewritten to {}", rewrite.as_str())),
        (None, Some(prefix)) => settings.push(format!("prefix {prefix} removed")),
        (None, None) => {}
    }
    if let Some(method) = &route.heads.method {
        settings.push(format!("method {method}"));
    }
}

fn add_token(settings: &mut Vec<String>, route: &Route) {
    if route.token_from != [Source::Bearer] {
        settings.push(format!("token from {}", list(&route.token_from)));
    }
    for claim in &route.forward {
        settings.push(format!("{}: {}", claim.header, claim.claim));
    }
}

fn add_matching(settings: &mut Vec<String>, route: &Route) {
    if !route.allow.is_empty() {
        settings.push(format!(
            "allows {}",
            list(route.allow.iter().map(Ambiguity::name))
        ));
    }
    if route.distinct != Distinct::default() {
        settings.push(format!("distinguishes {}", list(route.distinct.names())));
    }
    let get = MethodPattern::One(Method::GET);
    if !route.head && route.methods.iter().any(|(method, _)| *method == get) {
        settings.push("GET without HEAD".into());
    }
    if route.method_fallthrough.is_some() {
        settings.push("other methods fall through".into());
    }
}

fn add_limits(settings: &mut Vec<String>, defaults: &Defaults<'_>, route: &Route) {
    let server = defaults.server;
    let heads = &route.heads;
    if let Some(bytes) = route.body_bytes
        && server.limits.body_bytes != Some(bytes)
    {
        settings.push(format!("body up to {}", show_size(bytes)));
    }
    let default = match route.upstream() {
        Some(name) => defaults.response_timeouts.get(&**name),
        None => None,
    };
    if let Some(time) = &route.response_timeout
        && default != Some(time)
    {
        settings.push(format!("response within {}", show_duration(*time)));
    }
    if let Some(time) = heads.idle_body
        && server.timeouts.idle_body != time
    {
        settings.push(format!("body idle up to {}", show_duration(time)));
    }
    if heads.request_timeout != server.timeouts.request {
        settings.push(match heads.request_timeout {
            Some(time) => format!("request within {}", show_duration(time)),
            None => "request without limit".into(),
        });
    }
}

fn add_fields(settings: &mut Vec<String>, route: &Route) {
    let heads = &route.heads;
    if !heads.request.is_empty() || !heads.response.is_empty() {
        let names = heads.request.names().chain(heads.response.names());
        settings.push(format!("changes {}", list(names)));
    }
    if let Some(cors) = &heads.cors {
        settings.push(cors_text(cors));
    }
}

/// Returns the CORS rules of a route, as far as they are wide.
fn cors_text(cors: &Cors) -> String {
    let mut wide = Vec::new();
    if cors.origins.take_any_host() {
        wide.push("any host");
    }
    if cors.headers == FieldNames::Any {
        wide.push("any request field");
    }
    if cors.expose == FieldNames::Any {
        wide.push("any response field");
    }
    match wide.as_slice() {
        [] => "CORS".to_owned(),
        wide => format!("CORS with {}", wide.join(", ")),
    }
}

/// Returns the items as text, separated by commas.
fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    // The width of formatted text has a bound of 16 bits.
    #[test]
    fn a_cell_without_bound_moves_its_own_row_alone() {
        let mut out = String::new();
        let rows = [["a".repeat(100_000), "b".into()], ["c".into(), "d".into()]];
        write_rows(&mut out, &rows);
        let lines: Vec<_> = out.lines().map(str::len).collect();
        assert_eq!(lines, [100_005, MAX_WIDTH + 5]);
    }

    #[test]
    fn columns_line_up_and_lines_end_in_no_space() {
        let mut out = String::new();
        write_rows(
            &mut out,
            &[
                ["a".into(), "b".into()],
                ["long".into(), String::new()],
                ["é".into(), "c".into()],
            ],
        );
        assert_eq!(out, "  a     b\n  long\n  é     c\n");
    }
}
