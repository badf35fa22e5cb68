//! The keys of `[issuers.<name>]` that say how the key set of the issuer is obtained.

use std::path::PathBuf;

use serde_json::json;

use super::endpoints::quoted_url;
use super::key_access::{CA_FILE, JWKS_TOKEN_FILE, PROXY};
use crate::config::language::document::Kind;
use crate::config::language::json;
use crate::config::language::{
    AnyKey, Count, Custom, DefaultKey, Flag, GIB, KIB, Key, Reader, Size, Span, Str, Text, Time,
};
use crate::issuer::{FetchPolicy, JwksError, KeySet, KeySource};
use crate::net::Url;
use crate::transform::Place;

pub(super) const ISSUER: Key<Str> = Key::new("issuer", Str)
    .takes(&Place::SETTING)
    .doc(
        "The exact `iss` of its tokens (RFC 7519 section 4.1.1), compared byte by byte, with its \
         final slash if it has one. One whole segment of its path may be a placeholder, such as \
         `{tenant}`, for each of `tenants`.",
    )
    .not(&["iss", "url"])
    .example(r#""https://idp.example.com/""#);

pub(super) const JWKS_URI: Key<Str> = Key::new("jwks_uri", Str)
    .absent("discovery")
    .takes(&Place::SETTING)
    .doc(
        "The URL of its JWK Set (RFC 7517 section 5). With `tenants` it may hold the same \
         placeholder; without the placeholder all tenants have the same key set.",
    )
    .not(&[
        "jwks_url",
        "jwks_endpoint",
        "keys_url",
        "keys_uri",
        "certs_url",
        "certs_uri",
        "jwk_set_uri",
    ])
    .example(r#""https://idp.example.com/keys""#);

pub(super) const JWKS_FILE: Key<Str> = Key::new("jwks_file", Str)
    .absent("discovery")
    .doc(
        "A file with its JWK Set, relative to the file that names it. The file is watched for \
         changes.",
    )
    .example(r#""keys/idp.json""#);

const KEY_SET: Custom = Custom {
    words: "a string of JSON or a table with \"keys\"",
    json_schema: || json!({ "anyOf": [json::text(), { "type": "object", "required": ["keys"] }] }),
};

pub(super) const JWKS: Key<Custom> = Key::new("jwks", KEY_SET)
    .absent("discovery")
    .doc("The JWK Set itself: a string of JSON, or a table with `keys`.")
    .example(r#"'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"3OUoeSiO6l70KNFuDyQbhERT3wq3Bv_M9d5xgfGt2kA"}]}'"#);

pub(super) const FETCH_TIMEOUT: DefaultKey<Time> = Key::new("fetch_timeout", Time::POSITIVE)
    .doc("The time limit of one fetch of metadata or keys, from connecting to the last byte.")
    .example(r#""5s""#)
    .or("2s");

pub(super) const COOLDOWN: DefaultKey<Time> = Key::new("cooldown", Time::POSITIVE)
    .doc(
        "The time in which no token starts another fetch, after one that failed or did not bring \
         the key that a token asked for. An unknown key id asks for a fetch, and so does a \
         signature that fails: forged tokens cannot flood the issuer.",
    )
    .example(r#""30s""#)
    .or("10s");

pub(super) const WAIT: DefaultKey<Time> = Key::new("wait", Time::ANY)
    .doc(
        "The time for which a request waits for the fetch in progress, if its key id is unknown \
         or its signature fails.",
    )
    .example(r#""1s""#)
    .or("2s");

pub(super) const REFRESH: DefaultKey<Time> = Key::new("refresh", Time::POSITIVE)
    .doc("The interval between fetches if the response has no cache headers.")
    .example(r#""15m""#)
    .or("5m");

pub(super) const REFRESH_MIN: DefaultKey<Time> = Key::new("refresh_min", Time::POSITIVE)
    .doc("The shortest interval that cache headers can set.")
    .or("60s");

pub(super) const REFRESH_MAX: DefaultKey<Time> = Key::new("refresh_max", Time::POSITIVE)
    .doc("The longest interval that cache headers can set.")
    .or("24h");

pub(super) const KEEP_STALE: DefaultKey<Time> = Key::new("keep_stale", Time::ANY)
    .doc("The time for which the last valid keys stay in use while fetches fail.")
    .example(r#""1h""#)
    .or("24h");

pub(super) const KEEP_FILE: Key<Str> = Key::new("keep_file", Str)
    .absent("after a restart there are no keys until the first fetch")
    .doc(
        "A file that the gateway writes after a successful fetch, readable only by the gateway's \
         user (mode 0600), and reads when it starts. Until the first successful fetch, and no \
         longer than `keep_stale` after they were fetched, the keys in the file are used, so that \
         a restart survives an outage of the issuer. A process that can write the file can forge \
         tokens. A file that is broken, too old, or of another issuer or `jwks_uri` gives a \
         warning in the log. With `tenants` its name must hold the placeholder.",
    )
    .example(r#""/var/lib/scopegate/idp.keys""#);

pub(super) const MAX_BYTES: DefaultKey<Size<u64>> = Key::new("max_bytes", Size::new(KIB, GIB))
    .doc("The limit on the bytes of one metadata document or key set.")
    .or("512 KiB");

pub(super) const MAX_KEYS: DefaultKey<Count<usize>> = Key::new("max_keys", Count::new(1, 10_000))
    .doc("The limit on the usable keys of one set; further keys are skipped and reported.")
    .or(64);

pub(super) const ALLOW_HTTP: DefaultKey<Flag> = Key::new("allow_http", Flag)
    .doc(
        "If true, keys are fetched over `http` from hosts other than this machine too. An \
         attacker on the network can then replace the keys and forge tokens.",
    )
    .example("true")
    .or(false);

/// The keys about fetching, which have no effect if the key set is not fetched. `max_keys` is not
/// among them, because it limits every set.
const FETCH_KEYS: [&dyn AnyKey; 13] = [
    &FETCH_TIMEOUT,
    &COOLDOWN,
    &WAIT,
    &REFRESH,
    &REFRESH_MIN,
    &REFRESH_MAX,
    &KEEP_STALE,
    &KEEP_FILE,
    &MAX_BYTES,
    &ALLOW_HTTP,
    &CA_FILE,
    &PROXY,
    &JWKS_TOKEN_FILE,
];

pub(super) fn fetch_policy(reader: &mut Reader<'_>) -> FetchPolicy {
    let policy = FetchPolicy {
        timeout: reader.get(&FETCH_TIMEOUT),
        cooldown: reader.get(&COOLDOWN),
        wait: reader.get(&WAIT),
        refresh: reader.get(&REFRESH),
        refresh_min: reader.get(&REFRESH_MIN),
        refresh_max: reader.get(&REFRESH_MAX),
        keep_stale: reader.get(&KEEP_STALE),
        keep_file: keep_file(reader),
        max_bytes: reader.get(&MAX_BYTES),
        max_keys: reader.get(&MAX_KEYS),
        allow_http: reader.get(&ALLOW_HTTP),
    };
    check_refresh(reader, &policy);
    if policy.keep_file.is_some() && policy.keep_stale.is_zero() {
        let message =
            "\"keep_file\" has no effect with keep_stale = 0: no key is kept after a failed fetch";
        reader.problem(reader.key_span(&KEEP_FILE), message);
    }
    policy
}

/// Returns the file to which the gateway writes fetched keys. Files that the configuration itself
/// reads are refused.
fn keep_file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let text = reader.find(&KEEP_FILE)?;
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

fn check_refresh(reader: &Reader<'_>, policy: &FetchPolicy) {
    let keys: [&dyn AnyKey; 3] = [&REFRESH, &REFRESH_MIN, &REFRESH_MAX];
    let Some(written) = keys.into_iter().find(|key| reader.has(*key)) else {
        return;
    };
    let span = reader.value_span(written);
    let (min, max) = (policy.refresh_min, policy.refresh_max);
    if min > max {
        reader.problem(span, "\"refresh_min\" is more than \"refresh_max\"");
    } else if !(min..=max).contains(&policy.refresh) {
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
    let sources: [&dyn AnyKey; 3] = [&JWKS_URI, &JWKS_FILE, &JWKS];
    let mut written = sources.into_iter().filter(|key| reader.has(*key));
    let (first, second) = (written.next(), written.next());
    let uri = reader.find(&JWKS_URI);
    let file = reader.find(&JWKS_FILE);
    let inline = inline(reader);
    if let (Some(first), Some(second)) = (first, second) {
        reader.refuse_beside(second, first);
        return None;
    }
    if reader.has(&JWKS_URI) {
        let url = fetched_url(reader, &JWKS_URI, &uri?, fetch.allow_http)?;
        return Some(KeySource::Uri(url));
    }
    if reader.has(&JWKS_FILE) {
        refuse_fetch_keys(reader, &JWKS_FILE);
        return key_file(reader, &file?, fetch.max_keys);
    }
    if reader.has(&JWKS) {
        refuse_fetch_keys(reader, &JWKS);
        let span = reader.value_span(&JWKS);
        return key_set(reader, span, &JWKS, inline?, fetch.max_keys);
    }
    let url = discovery_url(reader, iss?, fetch.allow_http)?;
    Some(KeySource::Discovery(url))
}

/// Returns the key set of a file. The set may be empty.
fn key_file(reader: &Reader<'_>, path: &Text, max_keys: usize) -> Option<KeySource> {
    if reader.context.has_stand_ins() {
        return Some(KeySource::Static("".into()));
    }
    let text = reader.content(&JWKS_FILE, path)?;
    // An operator withdraws keys by emptying the file. A refused reload would keep them in force.
    if let Err(JwksError::Empty) = KeySet::parse(text.as_bytes(), max_keys) {
        let message = "\"jwks_file\": the key set is empty: requests with tokens of this issuer \
                       are answered with 503";
        reader.note(path.span, message);
        return Some(KeySource::Static(text.into()));
    }
    key_set(reader, path.span, &JWKS_FILE, text, max_keys)
}

fn refuse_fetch_keys(reader: &Reader<'_>, source: &dyn AnyKey) {
    for key in FETCH_KEYS.into_iter().filter(|key| reader.has(*key)) {
        let (name, source) = (key.name(), source.name());
        let message = format!("\"{name}\" has no effect with \"{source}\": nothing is fetched");
        reader.problem(reader.key_span(key), message);
    }
}

/// Returns `jwks` as JSON text: a string of JSON, or a table that is converted.
fn inline(reader: &mut Reader<'_>) -> Option<String> {
    let value = reader.value(&JWKS)?;
    let json = match &value.kind {
        Kind::Text(text) => return Some(text.clone()),
        Kind::Table(_) => value.to_json(),
        _ => None,
    };
    if json.is_none() {
        reader.mismatched(&JWKS, value);
    }
    json.map(|json| json.to_string())
}

/// Returns a key set with at least one usable key. Keys that are skipped are noted.
fn key_set(
    reader: &Reader<'_>,
    span: Span,
    key: &dyn AnyKey,
    text: String,
    max_keys: usize,
) -> Option<KeySource> {
    let name = key.name();
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

/// Returns the URL of discovery, which is derived from `issuer`.
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
    fetched_url(reader, &ISSUER, iss, allow_http)
}

/// The advice for an `issuer` that cannot be the URL of discovery.
const KEYS_ELSEWHERE: &str = "keys are discovered at that URL; if they are elsewhere, write \
                              \"jwks_uri\", \"jwks_file\" or \"jwks\" as well";

/// Returns a URL from which keys are fetched. `http` is refused, except for this machine or with
/// `allow_http`.
fn fetched_url(reader: &Reader<'_>, key: &Key<Str>, text: &Text, allow_http: bool) -> Option<Url> {
    let name = key.name();
    let url = match Url::parse(&text.text) {
        Ok(url) => url,
        Err(error) => {
            let message = format!("\"{name}\" is {}: {error}", quoted_url(&text.text));
            if name == ISSUER.name() {
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
            http_advice(name),
        );
    }
}

/// Returns the advice for keys over `http`. An `issuer` may be a name at which nothing is served,
/// as that of AD FS: `http://adfs.example.com/adfs/services/trust`.
fn http_advice(name: &str) -> &'static str {
    if name == ISSUER.name() {
        "if its tokens have this very \"iss\", keep it and write \"jwks_uri\" with the https \
         address of the keys; otherwise write https, or allow_http = true if the network can be \
         trusted"
    } else {
        "write https, or allow_http = true if the network can be trusted"
    }
}
