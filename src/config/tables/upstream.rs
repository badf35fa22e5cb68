//! Lowers `[upstreams.<name>]`.

use std::sync::Arc;

use http::StatusCode;
use http::uri::PathAndQuery;

use crate::config::context::Context;
use crate::config::language::document::{Kind, Table, Value};
use crate::config::schema::{EJECTION, HEALTH, UPSTREAM};

use super::check_name;
use super::server::to_usize;
use crate::config::language::reader::{Reader, Text, collect};
use crate::config::language::source::Span;
use crate::net::{DialTimeouts, Url};
use crate::route::is_authority;
use crate::tls::{Alpn, Tls, TlsSettings};
use crate::upstream::{
    HeadLimits, Health, HostHeader, Listed, OutlierDetection, Protocol, Retry, Settings, Strategy,
};

pub(super) fn upstreams(context: &Context, tables: &[(Text, Table)]) -> Vec<Settings> {
    let mut all = Vec::new();
    for (name, table) in tables {
        all.extend(upstream(context, name, table));
    }
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
    let balance = balance(&mut reader);
    let retry = retry(&mut reader);
    let ejection = ejection(&mut reader);
    let health = health(&mut reader);
    let protocol = protocol(&mut reader);
    let dial_timeouts = dial_timeouts(&mut reader);
    let dns_refresh = reader.duration("dns_refresh").unwrap_or_default();
    let response_timeout = reader.duration("response_timeout").unwrap_or_default();
    let idle_timeout = reader.duration("idle_timeout").unwrap_or_default();
    let max_idle = reader.count("max_idle").unwrap_or_default();
    let connection_age = reader.duration("connection_age").unwrap_or_default();
    let max_connections = reader.count("max_connections").unwrap_or_default();
    let max_pending = reader.count("max_pending").unwrap_or_default();
    let max_requests = reader.count("max_requests");
    let resend_bytes = resend_bytes(&mut reader, protocol);
    let response_head = response_head(&mut reader);
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

fn balance(reader: &mut Reader<'_>) -> Strategy {
    match reader.choice("balance") {
        Some("least_requests") => Strategy::LeastRequests,
        _ => Strategy::RoundRobin,
    }
}

fn retry(reader: &mut Reader<'_>) -> Retry {
    Retry {
        attempts: reader.count("retries").unwrap_or_default(),
        percent: reader.count("retry_percent").unwrap_or_default(),
        floor: reader.count("retry_min").unwrap_or_default(),
    }
}

fn protocol(reader: &mut Reader<'_>) -> Protocol {
    match reader.choice("protocol") {
        Some("http2") => Protocol::Http2,
        Some("auto") => Protocol::Auto,
        _ => Protocol::Http1,
    }
}

fn dial_timeouts(reader: &mut Reader<'_>) -> DialTimeouts {
    DialTimeouts {
        connect: reader.duration("connect_timeout").unwrap_or_default(),
        handshake: reader.duration("tls_timeout").unwrap_or_default(),
    }
}

fn response_head(reader: &mut Reader<'_>) -> HeadLimits {
    HeadLimits {
        bytes: to_usize(reader.size("response_head_bytes")),
        fields: reader.count("response_head_fields").unwrap_or_default(),
    }
}

/// Returns the bytes of a request body that are kept for sending it again.
fn resend_bytes(reader: &mut Reader<'_>, protocol: Protocol) -> usize {
    if protocol == Protocol::Http1 && reader.has("resend_bytes") {
        reader.problem_with_hint(
            reader.key_span("resend_bytes"),
            "\"resend_bytes\" has no effect: the upstream speaks HTTP/1.1",
            "write protocol = \"http2\" or \"auto\"",
        );
    }
    to_usize(reader.size("resend_bytes"))
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
const MAX_ENDPOINTS: usize = 256;

/// Returns the endpoints, or the single one of `url`. Returns none after a problem.
fn endpoints(reader: &mut Reader<'_>) -> Vec<Listed> {
    let (list, one) = (reader.value("endpoints"), reader.text("url"));
    match list {
        None => only_endpoint(reader, one),
        Some(list) => {
            if reader.has("url") {
                reader.problem(
                    reader.key_span("url"),
                    "\"url\" and \"endpoints\" exclude each other",
                );
            }
            listed_endpoints(reader, &list).unwrap_or_default()
        }
    }
}

/// Returns the endpoint of `url`.
fn only_endpoint(reader: &Reader<'_>, text: Option<Text>) -> Vec<Listed> {
    if !reader.has("url") {
        reader.missing("url");
    }
    match text.and_then(|text| url(reader, "url", &text)) {
        Some(url) => Listed::alone(url),
        None => Vec::new(),
    }
}

/// Returns the endpoints of a list; `None` if one of them is invalid.
fn listed_endpoints(reader: &Reader<'_>, list: &Value) -> Option<Vec<Listed>> {
    let Kind::List(items) = &list.kind else {
        reader.mismatched("endpoints", list);
        return None;
    };
    if items.is_empty() || items.len() > MAX_ENDPOINTS {
        let count = items.len();
        reader.problem(
            list.span,
            format!("\"endpoints\" has {count} items, not 1 to {MAX_ENDPOINTS}"),
        );
        return None;
    }
    let mut endpoints = Some(Vec::new());
    for item in items {
        collect(&mut endpoints, listed(reader, item));
    }
    let endpoints = endpoints?;
    for (index, item) in items.iter().enumerate() {
        compare_with_earlier(reader, &endpoints, index, item.span);
    }
    Some(endpoints)
}

/// Reports an endpoint that is in the list twice, or that has another scheme than an earlier one.
fn compare_with_earlier(reader: &Reader<'_>, endpoints: &[Listed], index: usize, span: Span) {
    let Some((endpoint, earlier)) = endpoints.get(..=index).and_then(<[_]>::split_last) else {
        return;
    };
    let url = &endpoint.url;
    if earlier.iter().any(|other| other.url == *url) {
        reader.problem(span, format!("\"endpoints\" has \"{url}\" twice"));
    } else if earlier
        .iter()
        .any(|other| other.url.is_tls() != url.is_tls())
    {
        reader.problem(
            span,
            "\"endpoints\" has both http and https: all endpoints of an upstream have one scheme",
        );
    }
}

/// Returns an endpoint: a URL, alone or with a weight.
fn listed(reader: &Reader<'_>, item: &Value) -> Option<Listed> {
    match &item.kind {
        Kind::Text(_) => Some(Listed {
            url: endpoint_url(reader, item)?,
            weight: 1,
        }),
        Kind::Table(table) => weighted(reader, item, table),
        _ => {
            reader.mismatched("endpoints", item);
            None
        }
    }
}

/// Returns an endpoint from a table with `url` and `weight`.
fn weighted(reader: &Reader<'_>, item: &Value, table: &Table) -> Option<Listed> {
    let mut entries = table.entries.iter();
    if let Some(other) = entries.find(|entry| !matches!(entry.key.as_str(), "url" | "weight")) {
        let message = format!(
            "\"endpoints\" has no key \"{}\": write {{ url = \"..\", weight = 1 }}",
            other.key
        );
        reader.problem(other.key_span, message);
        return None;
    }
    let Some(url) = table.get("url").filter(|entry| entry.value.is_text()) else {
        reader.mismatched("endpoints", item);
        return None;
    };
    let url = endpoint_url(reader, &url.value)?;
    let weight = match table.get("weight") {
        None => Some(1),
        Some(entry) => weight(&entry.value),
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

/// Returns the URL in a string of `endpoints`.
fn endpoint_url(reader: &Reader<'_>, value: &Value) -> Option<Url> {
    let Kind::Text(text) = &value.kind else {
        return None;
    };
    let text = Text {
        text: text.clone(),
        span: value.span,
    };
    url(reader, "endpoints", &text)
}

/// Returns the share of an endpoint, from 1 to 1000.
fn weight(value: &Value) -> Option<u32> {
    let Kind::Integer(Some(weight)) = value.kind else {
        return None;
    };
    let weight = u32::try_from(weight).ok()?;
    (1..=1000).contains(&weight).then_some(weight)
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
    let path = probe_path(&mut reader);
    let interval = reader.duration("interval").unwrap_or_default();
    let timeout = reader.duration("timeout").unwrap_or_default();
    let healthy_after = reader.count("healthy_after").unwrap_or_default();
    let unhealthy_after = reader.count("unhealthy_after").unwrap_or_default();
    let status = status(reader.count("status"));
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

fn probe_path(reader: &mut Reader<'_>) -> Option<PathAndQuery> {
    let text = reader.text("path")?;
    match PathAndQuery::try_from(text.text.as_str()) {
        Ok(path) if text.text.starts_with('/') => Some(path),
        _ => {
            let message = format!(
                "\"path\" is \"{}\": write a path such as \"/healthz\"",
                text.text
            );
            reader.problem(text.span, message);
            None
        }
    }
}

fn status(number: Option<usize>) -> Option<StatusCode> {
    let number = u16::try_from(number?).ok()?;
    StatusCode::from_u16(number).ok()
}

fn url(reader: &Reader<'_>, key: &str, text: &Text) -> Option<Url> {
    let subject = format_args!("\"{key}\" is {}", quoted_url(&text.text));
    let url = reader.accept(text.span, subject, Url::parse_with_sockets(&text.text))?;
    if url.path_and_query() != "/" {
        let path = url.path_and_query();
        reader.problem_with_hint(
            text.span,
            format!(
                "\"{key}\" has the path \"{path}\", but requests are forwarded with their own path"
            ),
            format!("write url = \"{}\"", url.with_path("")),
        );
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
        refuse_tls_keys(reader);
    }
    let roots = roots(reader);
    let server_name = server_name(reader);
    let trust_anyone = reader.flag("verify") == Some(false);
    if trust_anyone {
        note_unverified(reader);
    }
    TlsSettings {
        roots,
        identity: identity(reader),
        server_name,
        trust_anyone,
    }
}

fn refuse_tls_keys(reader: &Reader<'_>) {
    for key in TLS_KEYS.into_iter().filter(|key| reader.has(key)) {
        let message = format!("\"{key}\" has no effect: the \"url\" is not https");
        reader.problem(reader.key_span(key), message);
    }
}

/// Returns the trusted roots in PEM, if they are not those of the system.
fn roots(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let file = pem_file(reader, "ca_file")?;
    if let Err(error) = Tls::with_roots(&file.pem) {
        reader.problem(
            file.span,
            format!("\"ca_file\" is \"{}\": {error}", file.path),
        );
    }
    Some(file.pem)
}

/// Notes that any certificate of the upstream is accepted.
fn note_unverified(reader: &Reader<'_>) {
    let message = "\"verify\" is false: an attacker between the gateway and this upstream can read \
                   and change all traffic";
    reader.note(reader.value_span("verify"), message);
    if reader.has("ca_file") {
        reader.problem(
            reader.key_span("ca_file"),
            "\"ca_file\" has no effect beside verify = false",
        );
    }
}

/// Returns the client certificate of the gateway and its key. Each needs the other.
fn identity(reader: &mut Reader<'_>) -> Option<(Arc<str>, Arc<str>)> {
    refuse_alone(reader, "client_cert_file", "client_key_file");
    refuse_alone(reader, "client_key_file", "client_cert_file");
    let certificate = pem_file(reader, "client_cert_file");
    let key = pem_file(reader, "client_key_file");
    let (certificate, key) = (certificate?, key?);
    let identity = Some((certificate.pem, key.pem));
    let alone = TlsSettings {
        identity: identity.clone(),
        trust_anyone: true,
        ..TlsSettings::default()
    };
    let subject = format_args!("\"client_cert_file\" is \"{}\"", certificate.path);
    reader.accept(certificate.span, subject, Tls::new(&alone, Alpn::Http1));
    identity
}

/// Reports a key that needs another key beside it.
fn refuse_alone(reader: &Reader<'_>, key: &str, other: &str) {
    if reader.has(key) && !reader.has(other) {
        reader.problem(
            reader.key_span(key),
            format!("\"{key}\" needs \"{other}\" beside it"),
        );
    }
}

fn server_name(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let text = reader.text("server_name")?;
    let server_name = Some(Arc::from(text.text.as_str()));
    let alone = TlsSettings {
        server_name: server_name.clone(),
        trust_anyone: true,
        ..TlsSettings::default()
    };
    let subject = format_args!("\"server_name\" is \"{}\"", text.text);
    reader.accept(text.span, subject, Tls::new(&alone, Alpn::Http1));
    server_name
}

/// The content of a file that a key names.
struct PemFile {
    /// The position of the value.
    span: Span,
    path: String,
    pem: Arc<str>,
}

/// Reads the file that a key names. The file is watched.
fn pem_file(reader: &mut Reader<'_>, key: &'static str) -> Option<PemFile> {
    let path = reader.text(key)?;
    if reader.context.has_stand_ins() {
        return None;
    }
    let pem = reader.content(key, &path)?;
    Some(PemFile {
        span: path.span,
        path: path.text,
        pem: pem.into(),
    })
}
