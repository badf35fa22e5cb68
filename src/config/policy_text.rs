//! The effective policy as text: the output of `scopegate check` for a valid file.
//!
//! Routes come in the order of the file, with the settings of groups and `[defaults]` applied.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::units::{show_duration, show_size};
use super::{Config, ForwardedFields, Issuer, Listener, Route, Server};
use crate::issuer::{Algorithm, KeySource};
use crate::policy::Requirement;
use crate::route::{Ambiguity, Distinct};
use crate::token::{Audience, Source};
use crate::upstream::{HostHeader, Settings};

/// Returns the effective policy of a configuration as text.
#[must_use]
pub fn effective_policy(config: &Config) -> String {
    let mut out = String::new();
    write_rows(&mut out, &server_rows(&config.server));
    section(
        &mut out,
        "issuers",
        config.issuers.iter().map(issuer_row).collect(),
    );
    section(
        &mut out,
        "upstreams",
        config.upstreams.iter().map(upstream_row).collect(),
    );
    let timeouts: Timeouts<'_> = config
        .upstreams
        .iter()
        .map(|upstream| (&*upstream.name, upstream.response_timeout))
        .collect();
    let routes = config
        .routes
        .iter()
        .flat_map(|route| route_rows(&config.server, &timeouts, route))
        .collect();
    section(&mut out, "routes", routes);
    if !config.notes.is_empty() {
        out.push_str("\nnotes\n");
        config
            .notes
            .iter()
            .for_each(|note| line(&mut out, &format!("  {note}")));
    }
    out
}

fn section<const N: usize>(out: &mut String, title: &str, rows: Vec<[String; N]>) {
    if !rows.is_empty() {
        line(out, &format!("\n{title}"));
        write_rows(out, &rows);
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

/// Writes rows in columns that are as wide as their widest cell, two spaces apart.
fn write_rows<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut text = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(text, "  {cell:width$}");
        }
        line(out, &text);
    }
}

fn server_rows(server: &Server) -> Vec<[String; 2]> {
    let listen: Vec<_> = server.listeners.iter().map(listener_text).collect();
    let mut admin = server
        .admin
        .map_or("off".to_owned(), |admin| admin.to_string());
    if server.admin.is_some() && !server.admin_hosts.is_empty() {
        let _ = write!(admin, " (also as {})", server.admin_hosts.join(", "));
    }
    let mut rows = vec![
        ["listen".into(), listen.join(", ")],
        ["admin".into(), admin],
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

fn listener_text(listener: &Listener) -> String {
    let tls = if listener.tls.is_some() { " (TLS)" } else { "" };
    format!("{}{tls}", listener.address)
}

fn issuer_row(issuer: &Issuer) -> [String; 5] {
    let keys = match &issuer.entry.keys {
        KeySource::Discovery(_) => "keys by discovery".into(),
        KeySource::Uri(url) => format!("keys from {url}"),
        KeySource::Static(_) => "keys from a file or inline".into(),
    };
    let audience = match &issuer.rules.audience {
        Audience::Any => "any audience".into(),
        Audience::OneOf(list) => format!("audience {}", list.join(" or ")),
    };
    let mut rest = Vec::new();
    if !issuer.rules.client_ids.is_empty() {
        rest.push(format!("clients {}", issuer.rules.client_ids.join(", ")));
    }
    if let Some(token_use) = &issuer.rules.token_use {
        rest.push(format!("token_use {token_use}"));
    }
    if issuer.entry.algorithms != Algorithm::ALL {
        let names: Vec<_> = issuer
            .entry
            .algorithms
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        rest.push(names.join(" or "));
    }
    [
        issuer.entry.name.to_string(),
        issuer.entry.issuer.to_string(),
        keys,
        audience,
        rest.join("; "),
    ]
}

fn upstream_row(upstream: &Settings) -> [String; 3] {
    let host = match &upstream.host {
        HostHeader::Upstream => "own Host".into(),
        HostHeader::Preserve => "client's Host".into(),
        HostHeader::Named(name) => format!("Host {name}"),
    };
    [
        upstream.name.to_string(),
        upstream.url.with_path("").to_string(),
        host,
    ]
}

/// The response timeout of each upstream, by its name.
type Timeouts<'c> = HashMap<&'c str, Duration>;

/// Returns one row for each set of methods with the same requirement, in the order of the file.
fn route_rows(server: &Server, timeouts: &Timeouts<'_>, route: &Route) -> Vec<[String; 6]> {
    let mut groups: Vec<(Vec<String>, &Requirement)> = Vec::new();
    for (method, requirement) in &route.methods {
        match groups.iter_mut().find(|(_, other)| *other == requirement) {
            Some((methods, _)) => methods.push(method.to_string()),
            None => groups.push((vec![method.to_string()], requirement)),
        }
    }
    let host = route
        .host
        .as_ref()
        .map_or("*".to_owned(), ToString::to_string);
    let row = |(methods, requirement): (Vec<String>, &Requirement)| {
        let issuers = match requirement {
            Requirement::Public => "no token".into(),
            _ => issuer_names(route),
        };
        let target = format!(
            "-> {}{}",
            route.upstream,
            settings(server, timeouts, route, requirement)
        );
        [
            methods.join(", "),
            host.clone(),
            route.pattern.to_string(),
            requirement.to_string(),
            issuers,
            target,
        ]
    };
    groups.into_iter().map(row).collect()
}

/// Returns the issuers by their names in the file. A route accepts all tenants of an entry, or
/// none.
fn issuer_names(route: &Route) -> String {
    let mut names: Vec<String> = Vec::new();
    for issuer in &route.issuers {
        let name = issuer
            .split_once('/')
            .map_or(issuer.to_string(), |(name, _)| format!("{name}/*"));
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// Returns the settings of a route that differ from the defaults, in parentheses; empty if none
/// does.
fn settings(
    server: &Server,
    timeouts: &Timeouts<'_>,
    route: &Route,
    requirement: &Requirement,
) -> String {
    let mut said = Vec::new();
    let strip = route
        .strip
        .as_ref()
        .filter(|_| route.heads.rewrite.is_none());
    said.extend(strip.map(|prefix| format!("prefix {prefix} removed")));
    said.extend(
        route
            .heads
            .rewrite
            .as_ref()
            .map(|rewrite| format!("rewritten to {}", rewrite.as_str())),
    );
    if *requirement != Requirement::Public {
        if route.token_from != [Source::Bearer] {
            let sources: Vec<_> = route.token_from.iter().map(ToString::to_string).collect();
            said.push(format!("token from {}", sources.join(", ")));
        }
        said.extend(
            route
                .forward
                .iter()
                .map(|claim| format!("{}: {}", claim.header, claim.claim)),
        );
    }
    if !route.allow.is_empty() {
        let allowed: Vec<_> = route.allow.iter().map(Ambiguity::name).collect();
        said.push(format!("allows {}", allowed.join(", ")));
    }
    if route.distinct != Distinct::default() {
        let names: Vec<_> = route.distinct.names().collect();
        said.push(format!("distinguishes {}", names.join(", ")));
    }
    if route.method_fallthrough.is_some() {
        said.push("other methods fall through".into());
    }
    if route.body_bytes != server.limits.body_bytes {
        said.extend(
            route
                .body_bytes
                .map(|bytes| format!("body up to {}", show_size(bytes))),
        );
    }
    if route.response_timeout != timeouts.get(&*route.upstream).copied() {
        said.extend(
            route
                .response_timeout
                .map(|time| format!("response within {}", show_duration(time))),
        );
    }
    if route.heads.idle_body != Some(server.timeouts.idle_body) {
        said.extend(
            route
                .heads
                .idle_body
                .map(|time| format!("body idle up to {}", show_duration(time))),
        );
    }
    if route.heads.request_timeout != server.timeouts.request {
        let limit = route
            .heads
            .request_timeout
            .map_or("without limit".into(), |time| {
                format!("within {}", show_duration(time))
            });
        said.push(format!("request {limit}"));
    }
    if !route.heads.request.is_empty() || !route.heads.response.is_empty() {
        let names = route
            .heads
            .request
            .names()
            .chain(route.heads.response.names());
        said.push(format!(
            "changes {}",
            names
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    if route.heads.cors.is_some() {
        said.push("CORS".into());
    }
    if said.is_empty() {
        String::new()
    } else {
        format!(" ({})", said.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
