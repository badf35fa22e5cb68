//! Lowers `[server]`, `[token_cache]`, `[reload]`, `[errors]`, `[log]` and `[dev]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::context::Context;
use crate::config::language::document::{Kind, Table, Value};
use crate::config::language::reader::{Reader, Text};
use crate::config::schema::{
    DEV, DEV_CLIENT, ERRORS, HTTP2, LIMITS, LOG, RELOAD, SERVER, TIMEOUTS, TOKEN_CACHE,
};

use super::listeners::{LocatedListener, ip_address, listeners};
use super::public_url::public_url;
use crate::config::notes::exposure;
use crate::config::{
    AccessLog, Dev, DevClient, ErrorDetail, ForwardedFields, Http2, Limits, Log, Overrides, Ready,
    Reload, Secret, Server, Timeouts, TokenCache,
};
use crate::net::{Address, TrustedProxies};
use crate::policy::Scope;

/// The longest path of the handover socket, in bytes. Every system can bind it, and also the
/// temporary path beside it that ends in a process number.
const MAX_HANDOVER_PATH: usize = 90;

pub(super) fn server(context: &Context, table: &Table, overrides: &Overrides) -> Server {
    let mut reader = Reader::new(context, &SERVER, table, "server");
    let listeners = listeners(&mut reader, overrides);
    let admin = admin(&mut reader, overrides, &listeners);
    let admin_hosts = admin_hosts(&mut reader);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = reader.count("workers").unwrap_or(cpus);
    let drain = reader.duration("drain").unwrap_or_default();
    let handover = handover(&mut reader);
    let ready = ready(&mut reader);
    let public_url = public_url(&mut reader);
    let trusted_proxies = trusted_proxies(&mut reader);
    let forwarded = forwarded(&mut reader);
    let timeouts = timeouts(context, &reader.table("timeouts"));
    let limits = limits(context, &reader.table("limits"));
    let http2 = http2(context, &reader.table("http2"));
    reader.finish();
    Server {
        listeners: listeners
            .into_iter()
            .map(|located| located.listener)
            .collect(),
        admin,
        admin_hosts,
        workers: overrides.workers.map_or(workers, usize::from),
        drain: overrides.drain.unwrap_or(drain),
        handover,
        ready,
        public_url,
        trusted_proxies,
        forwarded,
        timeouts,
        limits,
        http2,
    }
}

fn ready(reader: &mut Reader<'_>) -> Ready {
    match reader.choice("ready") {
        Some("keys") => Ready::Keys,
        _ => Ready::Tried,
    }
}

fn forwarded(reader: &mut Reader<'_>) -> ForwardedFields {
    match reader.choice("forwarded") {
        Some("forwarded") => ForwardedFields::Standard,
        Some("both") => ForwardedFields::Both,
        _ => ForwardedFields::Common,
    }
}

fn handover(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let text = reader.text("handover")?;
    let path = text.text.as_str();
    if path.starts_with('/') && !path.ends_with('/') && path.len() <= MAX_HANDOVER_PATH {
        return Some(PathBuf::from(path));
    }
    reader.problem_with_hint(
        text.span,
        format!("\"handover\" is \"{path}\""),
        format!(
            "write an absolute path of at most {MAX_HANDOVER_PATH} bytes, for example \
             \"/run/scopegate/handover.sock\""
        ),
    );
    None
}

fn trusted_proxies(reader: &mut Reader<'_>) -> TrustedProxies {
    let mut proxies = TrustedProxies::default();
    for text in reader.texts("trusted_proxies").unwrap_or_default() {
        if !proxies.add(&text.text) {
            let message = format!(
                "\"trusted_proxies\" has \"{}\": write an IP address, a network such as \
                 \"10.0.0.0/8\", or \"unix\"",
                text.text
            );
            reader.problem(text.span, message);
        }
    }
    exposure::note_trusted_proxies(reader, proxies.networks());
    proxies
}

fn admin(
    reader: &mut Reader<'_>,
    overrides: &Overrides,
    listeners: &[LocatedListener],
) -> Option<SocketAddr> {
    let written = reader.text("admin").filter(|text| text.text != "off");
    let written = written.and_then(|text| ip_address(reader, "admin", &text));
    let admin = overrides.admin.unwrap_or(written)?;
    refuse_shared_address(reader, admin, listeners);
    exposure::note_admin(reader, admin);
    Some(admin)
}

/// Reports a listener with the address of the admin listener.
fn refuse_shared_address(reader: &Reader<'_>, admin: SocketAddr, listeners: &[LocatedListener]) {
    let address = Address::Ip(admin);
    let mut all = listeners.iter();
    let Some(public) = all.find(|public| public.listener.address.overlaps(&address)) else {
        return;
    };
    // Point at the side that the file states.
    let span = match reader.has("admin") {
        true => reader.value_span("admin"),
        false => public.span,
    };
    let message = format!(
        "\"admin\" is \"{admin}\", where \"listen\" takes requests (\"{}\")",
        public.listener.address
    );
    reader.problem_with_hint(
        span,
        message,
        "give the admin listener a port of its own, or write admin = \"off\"",
    );
}

/// Returns host names without ports, since the port differs behind a tunnel or a published port.
fn admin_hosts(reader: &mut Reader<'_>) -> Vec<Box<str>> {
    let mut hosts = Vec::new();
    for text in reader.texts("admin_hosts").unwrap_or_default() {
        if !is_host_name(&text.text) {
            let message = format!(
                "\"admin_hosts\" has \"{}\", which is not a host name",
                text.text
            );
            let hint = "write names alone, without a port, for example \"metrics.internal\"";
            reader.problem_with_hint(text.span, message, hint);
        }
        let name = text.text.trim_end_matches('.').to_ascii_lowercase();
        hosts.push(name.into());
    }
    hosts
}

fn is_host_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn timeouts(context: &Context, table: &Table) -> Timeouts {
    let mut reader = Reader::new(context, &TIMEOUTS, table, "server.timeouts");
    let timeouts = Timeouts {
        request_head: reader.duration("request_head").unwrap_or_default(),
        idle: reader.duration("idle").unwrap_or_default(),
        idle_body: reader.duration("idle_body").unwrap_or_default(),
        request: reader.duration("request"),
        tunnel: reader.duration("tunnel").unwrap_or_default(),
        connection_age: reader.duration("connection_age"),
    };
    reader.finish();
    timeouts
}

fn http2(context: &Context, table: &Table) -> Http2 {
    let mut reader = Reader::new(context, &HTTP2, table, "server.http2");
    let http2 = Http2 {
        streams: to_u32(reader.count("streams")),
        stream_window: to_u32(reader.size("stream_window")),
        connection_window: to_u32(reader.size("connection_window")),
        pending_resets: reader.count("pending_resets").unwrap_or_default(),
        error_resets: reader.count("error_resets").unwrap_or_default(),
    };
    reader.finish();
    http2
}

fn limits(context: &Context, table: &Table) -> Limits {
    let mut reader = Reader::new(context, &LIMITS, table, "server.limits");
    let limits = Limits {
        head_bytes: to_usize(reader.size("head_bytes")),
        head_fields: reader.count("head_fields").unwrap_or_default(),
        target_bytes: to_usize(reader.size("target_bytes")),
        body_bytes: reader.size("body_bytes"),
        token_bytes: to_usize(reader.size("token_bytes")),
        connections: reader.count("connections").unwrap_or_default(),
        connection_requests: reader.count("connection_requests").unwrap_or_default(),
        requests: reader.count("requests").unwrap_or_default(),
        write_buffer: to_usize(reader.size("write_buffer")),
    };
    reader.finish();
    limits
}

/// Converts a number. The bounds in the schema are below the range of `u32`.
pub(super) fn to_u32(number: Option<impl TryInto<u32>>) -> u32 {
    number
        .and_then(|number| number.try_into().ok())
        .unwrap_or_default()
}

/// Converts a size. The bounds in the schema are far below the range of `usize`.
pub(super) fn to_usize(size: Option<u64>) -> usize {
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or_default()
}

pub(super) fn token_cache(context: &Context, table: &Table) -> TokenCache {
    let mut reader = Reader::new(context, &TOKEN_CACHE, table, "token_cache");
    let cache = TokenCache {
        bytes: reader.size("bytes").unwrap_or_default(),
        per_worker: reader.count("per_worker").unwrap_or_default(),
    };
    reader.finish();
    cache
}

pub(super) fn reload(context: &Context, table: &Table, overrides: &Overrides) -> Reload {
    let mut reader = Reader::new(context, &RELOAD, table, "reload");
    let watch = reader.flag("watch").unwrap_or_default();
    let settle = reader.duration("settle").unwrap_or_default();
    reader.finish();
    Reload {
        watch: overrides.watch.unwrap_or(watch),
        settle,
    }
}

pub(super) fn errors(context: &Context, table: &Table) -> ErrorDetail {
    let mut reader = Reader::new(context, &ERRORS, table, "errors");
    let detail = match reader.choice("detail") {
        Some("minimal") => ErrorDetail::Minimal,
        _ => ErrorDetail::Full,
    };
    reader.finish();
    detail
}

pub(super) fn log(context: &Context, table: &Table, overrides: &Overrides) -> Log {
    let mut reader = Reader::new(context, &LOG, table, "log");
    let level = reader
        .choice("level")
        .and_then(|level| level.parse().ok())
        .unwrap_or(tracing::Level::INFO);
    let access = match reader.choice("access") {
        Some("off") => AccessLog::Off,
        Some("all") => AccessLog::All,
        _ => AccessLog::Refusals,
    };
    reader.finish();
    Log {
        level: overrides.log_level.unwrap_or(level),
        access: overrides.access_log.unwrap_or(access),
    }
}

pub(super) fn dev(context: &Context, table: &Table) -> Dev {
    let mut reader = Reader::new(context, &DEV, table, "dev");
    let mut clients = Vec::new();
    for (id, table) in reader.named("clients") {
        clients.extend(dev_client(context, &id, &table));
    }
    reader.finish();
    Dev { clients }
}

fn dev_client(context: &Context, id: &Text, table: &Table) -> Option<DevClient> {
    let subject = format!("dev client \"{}\"", id.text);
    let mut reader = Reader::new(context, &DEV_CLIENT, table, subject);
    let secret = match reader.value("secret") {
        Some(value) => secret(&reader, "secret", &value),
        None => None,
    };
    let scopes = scopes(&mut reader);
    reader.finish();
    Some(DevClient {
        id: id.text.as_str().into(),
        secret: secret?,
        scopes,
    })
}

fn scopes(reader: &mut Reader<'_>) -> Option<Vec<Scope>> {
    let texts = reader.texts("scopes")?;
    let mut scopes = Vec::new();
    for text in &texts {
        let subject = format_args!("scope \"{}\"", text.text);
        scopes.extend(reader.accept(text.span, subject, Scope::parse(&text.text)));
    }
    Some(scopes)
}

/// Returns a secret: a text, the content of a file, or an environment variable. No message quotes
/// it. Only `scopegate dev` uses secrets, so that only `dev` follows references: a variable that is
/// not set in production must not prevent the start.
fn secret(reader: &Reader<'_>, name: &str, value: &Value) -> Option<Secret> {
    let found = match (&value.kind, reference(value)) {
        (_, Some(("file" | "env", _))) if !reader.context.has_stand_ins() => return None,
        (Kind::Text(text), _) => Ok(text.clone()),
        (_, Some(("file", path))) => reader
            .context
            .read_named(value.span, path)
            .map(without_newline),
        (_, Some(("env", variable))) => std::env::var(variable).map_err(|_| {
            format!("the environment variable \"{variable}\" is not set, or not to UTF-8")
        }),
        _ => {
            reader.mismatched(name, value);
            return None;
        }
    };
    match found {
        Ok(text) if !text.is_empty() => return Some(Secret::new(&text)),
        Ok(_) => reader.problem(value.span, format!("\"{name}\" is empty")),
        Err(error) => reader.problem(value.span, format!("\"{name}\": {error}")),
    }
    None
}

/// Returns the only member of a table such as `{ file = ".." }`.
fn reference(value: &Value) -> Option<(&str, &str)> {
    let Kind::Table(table) = &value.kind else {
        return None;
    };
    let [entry] = table.entries.as_slice() else {
        return None;
    };
    let Kind::Text(text) = &entry.value.kind else {
        return None;
    };
    Some((&entry.key, text))
}

/// Removes the newline that editors and `echo` add to a file.
fn without_newline(text: String) -> String {
    let text = text.strip_suffix('\n').unwrap_or(&text);
    text.strip_suffix('\r').unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_is_not_part_of_a_secret() {
        assert_eq!(without_newline("a\r\n".into()), "a");
        assert_eq!(without_newline("a\n\n".into()), "a\n");
        assert_eq!(without_newline(" a ".into()), " a ");
    }
}
