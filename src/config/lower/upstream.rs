//! Lowers `[upstreams.<name>]`.

use std::sync::Arc;

use http::StatusCode;
use http::uri::PathAndQuery;

use super::super::document::{Kind, Table, Value};
use super::super::load::Context;
use super::super::schema::{EJECTION, HEALTH, UPSTREAM};

use super::super::reader::{Reader, Text};
use super::super::source::Span;
use super::check_name;
use super::server::to_usize;
use crate::net::{Alpn, DialTimeouts, Tls, TlsSettings, Url};
use crate::route::is_authority;
use crate::upstream::{
    HeadLimits, Health, HostHeader, Listed, OutlierDetection, Protocol, Retry, Settings, Strategy,
};

pub(super) fn upstreams(context: &Context, tables: &[(Text, Table)]) -> Vec<Settings> {
    let mut all: Vec<_> = tables
        .iter()
        .filter_map(|(name, table)| upstream(context, name, table))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn upstream(context: &Context, name: &Text, table: &Table) -> Option<Settings> {
    let mut reader = Reader::new(
        context,
        &UPSTREAM,
        table,
        format!("upstream \"{}\"", name.text),
    );
    check_name(&reader, name);
    let endpoints = endpoints(&mut reader);
    let url = endpoints.first().map(|endpoint| endpoint.url.clone());
    let host = host(&mut reader);
    let balance = match reader.choice("balance") {
        Some("least_requests") => Strategy::LeastRequests,
        _ => Strategy::RoundRobin,
    };
    let retry = Retry {
        attempts: reader.count("retries").unwrap_or_default(),
        percent: reader.count("retry_percent").unwrap_or_default(),
        floor: reader.count("retry_min").unwrap_or_default(),
    };
    let ejection = ejection(&mut reader);
    let health = health(&mut reader);
    let protocol = match reader.choice("protocol") {
        Some("http2") => Protocol::Http2,
        Some("auto") => Protocol::Auto,
        _ => Protocol::Http1,
    };
    let dial_timeouts = DialTimeouts {
        connect: reader.duration("connect_timeout").unwrap_or_default(),
        handshake: reader.duration("tls_timeout").unwrap_or_default(),
    };
    let dns_refresh = reader.duration("dns_refresh").unwrap_or_default();
    let response_timeout = reader.duration("response_timeout").unwrap_or_default();
    let idle_timeout = reader.duration("idle_timeout").unwrap_or_default();
    let max_idle = reader.count("max_idle").unwrap_or_default();
    let connection_age = reader.duration("connection_age").unwrap_or_default();
    let max_connections = reader.count("max_connections").unwrap_or_default();
    let max_pending = reader.count("max_pending").unwrap_or_default();
    let max_requests = reader.count("max_requests");
    if protocol == Protocol::Http1 && reader.has("resend_bytes") {
        let problem = reader.problem_at(
            reader.key_span("resend_bytes"),
            "\"resend_bytes\" has no effect: the upstream speaks HTTP/1.1",
        );
        reader
            .context
            .problem(problem.hint("write protocol = \"http2\" or \"auto\""));
    }
    let resend_bytes = to_usize(reader.size("resend_bytes"));
    let response_head = HeadLimits {
        bytes: to_usize(reader.size("response_head_bytes")),
        fields: reader.count("response_head_fields").unwrap_or_default(),
    };
    let terms = terms(&mut reader, url.as_ref());
    reader.finish();
    let name = name.text.as_str().into();
    Some(Settings {
        name,
        url: url?,
        endpoints,
        balance,
        retry,
        ejection,
        health,
        host,
        protocol,
        dial_timeouts,
        dns_refresh,
        response_timeout,
        idle_timeout,
        max_idle,
        connection_age,
        max_connections,
        max_pending,
        max_requests,
        resend_bytes,
        response_head,
        terms,
    })
}

fn host(reader: &mut Reader<'_>) -> HostHeader {
    let Some(text) = reader.text("host") else {
        return HostHeader::Upstream;
    };
    match text.text.as_str() {
        "upstream" => HostHeader::Upstream,
        "preserve" => HostHeader::Preserve,
        name => {
            if !is_authority(name) {
                let message = format!(
                    "\"host\" is \"{name}\": write \"upstream\", \"preserve\", or a host such as \
                     \"orders.internal\""
                );
                reader.problem(text.span, message);
            }
            HostHeader::Named(name.into())
        }
    }
}

/// Quotes an invalid URL, unless it may hold a password: messages are logged.
pub(super) fn quoted_url(text: &str) -> String {
    if text.contains('@') {
        "a URL with \"@\"".to_owned()
    } else {
        format!("\"{text}\"")
    }
}

/// The limit on the endpoints of one upstream. Each has its own connections in every worker.
const MOST_ENDPOINTS: usize = 256;

/// Returns the endpoints, or the single one of `url`. Returns none after a problem.
fn endpoints(reader: &mut Reader<'_>) -> Vec<Listed> {
    let (list, one) = (reader.value("endpoints"), reader.text("url"));
    let Some(list) = list else {
        if !reader.has("url") {
            reader.missing("url");
        }
        return one
            .and_then(|text| url(reader, "url", &text))
            .map(Listed::alone)
            .unwrap_or_default();
    };
    if reader.has("url") {
        reader.problem(
            reader.key_span("url"),
            "\"url\" and \"endpoints\" exclude each other",
        );
    }
    let Kind::List(items) = &list.kind else {
        reader.mismatched("endpoints", &list);
        return Vec::new();
    };
    if items.is_empty() || items.len() > MOST_ENDPOINTS {
        reader.problem(
            list.span,
            format!(
                "\"endpoints\" has {} items, not 1 to {MOST_ENDPOINTS}",
                items.len()
            ),
        );
        return Vec::new();
    }
    let found: Vec<_> = items
        .iter()
        .map(|item| Some((item.span, listed(reader, item)?)))
        .collect();
    let Some(found) = found.into_iter().collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    for (index, (span, endpoint)) in found.iter().enumerate() {
        let mut before = found.iter().take(index).map(|(_, other)| other);
        if before.clone().any(|other| other.url == endpoint.url) {
            reader.problem(
                *span,
                format!("\"endpoints\" has \"{}\" twice", endpoint.url),
            );
        } else if before.any(|other| other.url.is_tls() != endpoint.url.is_tls()) {
            reader.problem(
                *span,
                "\"endpoints\" has both http and https: all endpoints of an upstream have one \
                 scheme",
            );
        }
    }
    found.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// Returns an endpoint: a URL, alone or with a weight.
fn listed(reader: &Reader<'_>, item: &Value) -> Option<Listed> {
    let table = match &item.kind {
        Kind::Text(text) => {
            let text = Text {
                text: text.clone(),
                span: item.span,
            };
            return Some(Listed {
                url: url(reader, "endpoints", &text)?,
                weight: 1,
            });
        }
        Kind::Table(table) => table,
        _ => {
            reader.mismatched("endpoints", item);
            return None;
        }
    };
    if let Some(other) = table
        .entries
        .iter()
        .find(|entry| !["url", "weight"].contains(&&*entry.key))
    {
        let message = format!(
            "\"endpoints\" has no key \"{}\": write {{ url = \"..\", weight = 1 }}",
            other.key
        );
        reader.problem(other.key_span, message);
        return None;
    }
    let Some(Value {
        kind: Kind::Text(text),
        span,
    }) = table.get("url").map(|entry| entry.value.clone())
    else {
        reader.mismatched("endpoints", item);
        return None;
    };
    let url = url(reader, "endpoints", &Text { text, span })?;
    let weight = match table.get("weight").map(|entry| &entry.value) {
        None => Some(1),
        Some(Value {
            kind: Kind::Integer(Some(weight)),
            ..
        }) => u32::try_from(*weight)
            .ok()
            .filter(|weight| (1..=1000).contains(weight)),
        Some(_) => None,
    };
    if weight.is_none() {
        reader.problem(
            item.span,
            "\"endpoints\": a \"weight\" is a whole number from 1 to 1000",
        );
    }
    Some(Listed {
        url,
        weight: weight?,
    })
}

fn ejection(reader: &mut Reader<'_>) -> OutlierDetection {
    let table = reader.table("ejection");
    let subject = format!("{}, ejection", reader.subject);
    let mut reader = Reader::new(reader.context, &EJECTION, &table, subject);
    let failures = reader.count("failures").unwrap_or_default();
    let ejection = OutlierDetection {
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        time: reader.duration("time").unwrap_or_default(),
        max_percent: reader.count("max_percent").unwrap_or_default(),
    };
    reader.finish();
    ejection
}

fn health(reader: &mut Reader<'_>) -> Option<Health> {
    let is_asked = reader.has("health");
    let table = reader.table("health");
    if !is_asked {
        return None;
    }
    let subject = format!("{}, health", reader.subject);
    let mut reader = Reader::new(reader.context, &HEALTH, &table, subject);
    let path = reader.text("path").and_then(|text| {
        let path = text
            .text
            .starts_with('/')
            .then(|| PathAndQuery::try_from(text.text.as_str()).ok());
        if path.as_ref().is_none_or(Option::is_none) {
            let message = format!(
                "\"path\" is \"{}\": write a path such as \"/healthz\"",
                text.text
            );
            reader.problem(text.span, message);
        }
        path?
    });
    let interval = reader.duration("interval").unwrap_or_default();
    let timeout = reader.duration("timeout").unwrap_or_default();
    let healthy_after = reader.count("healthy_after").unwrap_or_default();
    let unhealthy_after = reader.count("unhealthy_after").unwrap_or_default();
    let status = reader.count("status").and_then(|status| {
        u16::try_from(status)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok())
    });
    reader.finish();
    Some(Health {
        path: path?,
        interval,
        timeout,
        healthy_after,
        unhealthy_after,
        status,
    })
}

fn url(reader: &Reader<'_>, key: &str, text: &Text) -> Option<Url> {
    let url = match Url::parse_with_sockets(&text.text) {
        Ok(url) => url,
        Err(error) => {
            reader.problem(
                text.span,
                format!("\"{key}\" is {}: {error}", quoted_url(&text.text)),
            );
            return None;
        }
    };
    if url.path_and_query() != "/" {
        let message = format!(
            "\"{key}\" has the path \"{}\", but requests are forwarded with their own path",
            url.path_and_query()
        );
        let problem = reader.problem_at(text.span, message);
        reader
            .context
            .problem(problem.hint(format!("write url = \"{}\"", url.with_path(""))));
    }
    Some(url)
}

/// The keys that concern TLS.
const TLS_KEYS: [&str; 5] = [
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "server_name",
    "verify",
];

fn terms(reader: &mut Reader<'_>, url: Option<&Url>) -> TlsSettings {
    if url.is_some_and(|url| !url.is_tls()) {
        for key in TLS_KEYS.into_iter().filter(|key| reader.has(key)) {
            let message = format!("\"{key}\" has no effect: the \"url\" is not https");
            reader.problem(reader.key_span(key), message);
        }
    }
    let roots = pem_file(reader, "ca_file");
    if let Some((span, path, pem)) = &roots
        && let Err(error) = Tls::with_roots(pem)
    {
        reader.problem(*span, format!("\"ca_file\" is \"{path}\": {error}"));
    }
    let server_name = server_name(reader);
    let trust_anyone = reader.flag("verify") == Some(false);
    if trust_anyone {
        let message = "\"verify\" is false: an attacker between the gateway and this upstream can \
                       read and change all traffic";
        reader
            .context
            .note(reader.problem_at(reader.value_place("verify"), message));
        if reader.has("ca_file") {
            reader.problem(
                reader.key_span("ca_file"),
                "\"ca_file\" has no effect beside verify = false",
            );
        }
    }
    TlsSettings {
        roots: roots.map(|(_, _, pem)| pem),
        identity: identity(reader),
        server_name,
        trust_anyone,
    }
}

/// Returns the client certificate of the gateway and its key. Each needs the other.
fn identity(reader: &mut Reader<'_>) -> Option<(Arc<str>, Arc<str>)> {
    for (key, other) in [
        ("client_cert_file", "client_key_file"),
        ("client_key_file", "client_cert_file"),
    ] {
        if reader.has(key) && !reader.has(other) {
            reader.problem(
                reader.key_span(key),
                format!("\"{key}\" needs \"{other}\" beside it"),
            );
        }
    }
    let (certificate, key) = (
        pem_file(reader, "client_cert_file"),
        pem_file(reader, "client_key_file"),
    );
    let ((span, path, certificate), (_, _, key)) = (certificate?, key?);
    let identity = Some((certificate, key));
    let alone = TlsSettings {
        identity: identity.clone(),
        trust_anyone: true,
        ..TlsSettings::default()
    };
    if let Err(error) = Tls::new(&alone, Alpn::Http1) {
        reader.problem(span, format!("\"client_cert_file\" is \"{path}\": {error}"));
    }
    identity
}

fn server_name(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let text = reader.text("server_name")?;
    let server_name = Some(Arc::from(text.text.as_str()));
    let alone = TlsSettings {
        server_name: server_name.clone(),
        trust_anyone: true,
        ..TlsSettings::default()
    };
    if let Err(error) = Tls::new(&alone, Alpn::Http1) {
        reader.problem(
            text.span,
            format!("\"server_name\" is \"{}\": {error}", text.text),
        );
    }
    server_name
}

/// Returns the content of a file that a key names, with the position of the value and the path. The
/// file is watched.
fn pem_file(reader: &mut Reader<'_>, key: &'static str) -> Option<(Span, String, Arc<str>)> {
    let path = reader.text(key)?;
    if reader.context.has_stand_ins() {
        return None;
    }
    match reader.context.read_named(path.span, &path.text) {
        Ok(pem) => Some((path.span, path.text, pem.into())),
        Err(error) => {
            reader.problem(path.span, format!("\"{key}\": {error}"));
            None
        }
    }
}
