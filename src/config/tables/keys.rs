//! The keys of `[issuers.<name>]` that say how the key set of the issuer is obtained.

use std::path::PathBuf;
use std::time::Duration;

use super::upstream::quoted_url;
use crate::config::language::document::Kind;
use crate::config::language::reader::{Reader, Text};
use crate::config::language::source::Span;
use crate::issuer::{FetchPolicy, JwksError, KeySet, KeySource};
use crate::net::Url;

/// The keys about fetching, which have no effect if the key set is not fetched. `max_keys` is not
/// among them, because it limits every set.
const FETCH_KEYS: [&str; 10] = [
    "fetch_timeout",
    "cooldown",
    "wait",
    "refresh",
    "refresh_min",
    "refresh_max",
    "keep_stale",
    "keep_file",
    "max_bytes",
    "allow_http",
];

pub(super) fn fetch_policy(reader: &mut Reader<'_>) -> FetchPolicy {
    let mut duration = |name| reader.duration(name).unwrap_or_default();
    let timeout = duration("fetch_timeout");
    let (cooldown, wait) = (duration("cooldown"), duration("wait"));
    let (refresh, refresh_min, refresh_max) = (
        duration("refresh"),
        duration("refresh_min"),
        duration("refresh_max"),
    );
    let keep_stale = duration("keep_stale");
    let keep_file = keep_file(reader);
    check_refresh(reader, refresh, refresh_min, refresh_max);
    if keep_file.is_some() && keep_stale.is_zero() {
        let message =
            "\"keep_file\" has no effect with keep_stale = 0: no key is kept after a failed fetch";
        reader.problem(reader.key_span("keep_file"), message);
    }
    FetchPolicy {
        timeout,
        cooldown,
        wait,
        refresh,
        refresh_min,
        refresh_max,
        keep_stale,
        keep_file,
        max_bytes: reader.size("max_bytes").unwrap_or_default(),
        max_keys: reader.count("max_keys").unwrap_or_default(),
        allow_http: reader.flag("allow_http").unwrap_or_default(),
    }
}

/// Returns the file to which the gateway writes fetched keys. Files that the configuration itself
/// reads are refused.
fn keep_file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let text = reader.text("keep_file")?;
    let path = reader.context.path_named(text.span, &text.text);
    if text.text.ends_with('/') || path.file_name().is_none() || path.is_dir() {
        reader.problem(
            text.span,
            format!(
                "\"keep_file\" is \"{}\", which is not the path of a file",
                text.text
            ),
        );
    } else if reader.context.has_read(&path) {
        let message = format!(
            "\"keep_file\" is \"{}\", which the configuration reads itself",
            text.text
        );
        reader.problem_with_hint(
            text.span,
            message,
            "it is overwritten at each fetch: name a file of its own",
        );
    }
    Some(path)
}

fn check_refresh(reader: &Reader<'_>, refresh: Duration, min: Duration, max: Duration) {
    let mut names = ["refresh", "refresh_min", "refresh_max"].into_iter();
    let Some(written) = names.find(|name| reader.has(name)) else {
        return;
    };
    let span = reader.value_span(written);
    if min > max {
        reader.problem(span, "\"refresh_min\" is more than \"refresh_max\"");
    } else if !(min..=max).contains(&refresh) {
        reader.problem(
            span,
            "\"refresh\" is not between \"refresh_min\" and \"refresh_max\"",
        );
    }
}

pub(super) fn key_source(
    reader: &mut Reader<'_>,
    iss: Option<&Text>,
    fetch: &FetchPolicy,
) -> Option<KeySource> {
    let mut written = ["jwks_uri", "jwks_file", "jwks"]
        .into_iter()
        .filter(|name| reader.has(name));
    let (first, second) = (written.next(), written.next());
    let (uri, file, inline) = (
        reader.text("jwks_uri"),
        reader.text("jwks_file"),
        inline(reader),
    );
    if let (Some(first), Some(second)) = (first, second) {
        reader.problem_with_related(
            reader.key_span(second),
            format!("\"{second}\" beside \"{first}\": they exclude each other, keep one of them"),
            reader.key_span(first),
            "the other one",
        );
        return None;
    }
    match first {
        Some("jwks_uri") => {
            let url = fetched_url(reader, "jwks_uri", &uri?, fetch.allow_http)?;
            Some(KeySource::Uri(url))
        }
        Some("jwks_file") => {
            refuse_fetch_keys(reader, "jwks_file");
            key_file(reader, &file?, fetch.max_keys)
        }
        Some(_) => {
            refuse_fetch_keys(reader, "jwks");
            let span = reader.value_span("jwks");
            key_set(reader, span, "jwks", inline?, fetch.max_keys)
        }
        None => {
            let url = discovery_url(reader, iss?, fetch.allow_http)?;
            Some(KeySource::Discovery(url))
        }
    }
}

/// Returns the key set of a file. The set may be empty.
fn key_file(reader: &Reader<'_>, path: &Text, max_keys: usize) -> Option<KeySource> {
    if reader.context.has_stand_ins() {
        return Some(KeySource::Static("".into()));
    }
    let text = reader.content("jwks_file", path)?;
    // An operator withdraws keys by emptying the file. A refused reload would keep them in force.
    if let Err(JwksError::Empty) = KeySet::parse(text.as_bytes(), max_keys) {
        let message = "\"jwks_file\": the key set is empty: requests with tokens of this issuer \
                       are answered with 503";
        reader.note(path.span, message);
        return Some(KeySource::Static(text.into()));
    }
    key_set(reader, path.span, "jwks_file", text, max_keys)
}

fn refuse_fetch_keys(reader: &Reader<'_>, source: &str) {
    for name in FETCH_KEYS.into_iter().filter(|name| reader.has(name)) {
        let message = format!("\"{name}\" has no effect with \"{source}\": nothing is fetched");
        reader.problem(reader.key_span(name), message);
    }
}

/// Returns `jwks` as JSON text: a string of JSON, or a table that is converted.
fn inline(reader: &mut Reader<'_>) -> Option<String> {
    let value = reader.value("jwks")?;
    let json = match &value.kind {
        Kind::Text(text) => return Some(text.clone()),
        Kind::Table(_) => value.to_json(),
        _ => None,
    };
    if json.is_none() {
        reader.mismatched("jwks", &value);
    }
    json.map(|json| json.to_string())
}

/// Returns a key set with at least one usable key. Keys that are skipped are noted.
fn key_set(
    reader: &Reader<'_>,
    span: Span,
    name: &str,
    text: String,
    max_keys: usize,
) -> Option<KeySource> {
    let parsed = KeySet::parse(text.as_bytes(), max_keys);
    let skips = reader
        .accept(span, format_args!("\"{name}\""), parsed)?
        .skips;
    if skips.total > 0 {
        reader.note(
            span,
            format!("\"{name}\": skipped {}: {skips}", skips.total),
        );
    }
    Some(KeySource::Static(text.into()))
}

fn discovery_url(reader: &Reader<'_>, iss: &Text, allow_http: bool) -> Option<Url> {
    if iss.text.contains('?') {
        let message = format!(
            "\"issuer\" is \"{}\": an issuer with a query has no metadata (RFC 8414 section 2)",
            iss.text
        );
        reader.problem_with_hint(
            iss.span,
            message,
            "write \"jwks_uri\", \"jwks_file\" or \"jwks\" as well",
        );
        return None;
    }
    fetched_url(reader, "issuer", iss, allow_http)
}

/// The advice for an `issuer` that cannot be the URL of discovery.
const KEYS_ELSEWHERE: &str = "keys are discovered at that URL; if they are elsewhere, write \
                              \"jwks_uri\", \"jwks_file\" or \"jwks\" as well";

/// Returns a URL from which keys are fetched. `http` is refused, except for this machine or with
/// `allow_http`.
fn fetched_url(reader: &Reader<'_>, name: &str, text: &Text, allow_http: bool) -> Option<Url> {
    let url = match Url::parse(&text.text) {
        Ok(url) => url,
        Err(error) => {
            let message = format!("\"{name}\" is {}: {error}", quoted_url(&text.text));
            if name == "issuer" {
                reader.problem_with_hint(text.span, message, KEYS_ELSEWHERE);
            } else {
                reader.problem(text.span, message);
            }
            return None;
        }
    };
    if !url.is_tls() && !url.is_loopback() {
        check_http(reader, name, text, allow_http);
    }
    Some(url)
}

/// Notes keys over `http`, or reports them where they are not allowed.
fn check_http(reader: &Reader<'_>, name: &str, text: &Text, allow_http: bool) {
    let why = "an attacker on the network can replace the keys and forge tokens";
    if allow_http {
        reader.note(text.span, format!("keys come over http: {why}"));
    } else {
        reader.problem_with_hint(
            text.span,
            format!("\"{name}\" is \"{}\", which is http: {why}", text.text),
            "write https, or allow_http = true if the network can be trusted",
        );
    }
}
