//! Every key of the configuration matters. The test takes a full configuration, removes or changes
//! each key in turn, and compares what clients and upstreams see. The keys come from the schema,
//! which is made from the tables that read the file: a key without an effect, and a new key that
//! the full configuration does not have, fail the test.

mod edit;
mod settings;
mod stage;

use std::collections::BTreeSet;
use std::fs;

use scopegate::config::schema;
use toml::Table;

use crate::architecture::{Source, sources};
use edit::{Change, Place, places, properties};
use stage::Stage;

/// Why a key is proven by its setting: in the compiled configuration, and by a test that sets it.
const BY_SETTING: &[(&str, &[&str], &str)] = &[
    (
        "server",
        &[
            "listen",
            "listeners",
            "proxy_protocol_from",
            "unix_mode",
            "admin",
            "workers",
            "handover",
        ],
        "sockets and threads",
    ),
    (
        "server",
        &["drain", "ready", "tls", "timeouts", "http2"],
        "the life of connections and of the process",
    ),
    ("server.timeouts", &["*"], "time"),
    ("server.http2", &["*"], "floods"),
    (
        "server.limits",
        &[
            "connections",
            "connection_requests",
            "requests",
            "write_buffer",
        ],
        "load",
    ),
    ("server.tls", &["*"], "handshakes"),
    ("server.tls.certificates", &["*"], "handshakes"),
    ("server.listeners", &["*"], "sockets"),
    ("server.listeners.tls", &["*"], "handshakes"),
    ("server.listeners.tls.certificates", &["*"], "handshakes"),
    (
        "issuers",
        &[
            "jwks_uri",
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
            "ca_file",
            "proxy",
            "jwks_token_file",
        ],
        "fetches of keys",
    ),
    (
        "upstreams",
        &[
            "endpoints",
            "balance",
            "retries",
            "retry_percent",
            "retry_min",
            "ejection",
            "health",
            "protocol",
            "connect_timeout",
            "dns_refresh",
            "tls_timeout",
            "response_timeout",
            "idle_timeout",
            "max_idle",
            "connection_age",
            "max_connections",
            "max_pending",
            "max_requests",
            "resend_bytes",
            "response_head_bytes",
            "response_head_fields",
            "ca_file",
            "client_cert_file",
            "client_key_file",
            "server_name",
            "verify",
        ],
        "connections to upstreams",
    ),
    ("upstreams.ejection", &["*"], "failures"),
    ("upstreams.health", &["*"], "probes"),
    ("upstreams.lambda", &["timeout"], "time"),
    (
        "defaults",
        &["response_timeout", "request_timeout", "idle_body"],
        "time",
    ),
    (
        "groups",
        &["response_timeout", "request_timeout", "idle_body"],
        "time",
    ),
    (
        "groups.routes",
        &["response_timeout", "request_timeout", "idle_body"],
        "time",
    ),
    (
        "routes",
        &["response_timeout", "request_timeout", "idle_body"],
        "time",
    ),
    ("token_cache", &["*"], "time, not verdicts"),
    ("reload", &["*"], "files"),
    ("log", &["*"], "output of the process"),
    (
        "",
        &["token_cache", "reload", "log", "dev"],
        "tables of such keys",
    ),
    ("dev", &["*"], "`scopegate dev` alone"),
    ("dev.clients", &["*"], "`scopegate dev` alone"),
];

/// The other values of keys whose removal alone shows nothing: the file is then refused, or the key
/// is the default.
fn other_values(table: &str, key: &str) -> Option<&'static str> {
    Some(match (table, key) {
        ("", "variables") => "{ colour = \"violet\" }",
        ("issuers", "issuer") => "\"https://elsewhere.test\"",
        ("issuers", "audience") => "\"elsewhere\"",
        ("issuers", "tenants") => "[\"one\"]",
        ("issuers", "jwks_file") => "\"other.json\"",
        ("issuers", "jwks") => "'{\"keys\":[]}'",
        ("issuers", "jwks_uri") => "\"https://elsewhere.test/keys\"",
        ("upstreams", "url") => "\"http://127.0.0.1:9\"",
        ("defaults" | "groups" | "routes" | "groups.routes", "upstream") => "\"other\"",
        ("defaults" | "groups" | "routes" | "groups.routes", "issuer") => "\"filed\"",
        ("groups" | "routes" | "groups.routes", "distinct") => "\"slash\"",
        ("routes" | "groups.routes", "path") => "\"/moved\"",
        ("routes" | "groups.routes" | "groups", "scopes") => "\"unknown\"",
        ("routes" | "groups.routes", "methods") => "{ GET = \"unknown\" }",
        ("routes" | "groups.routes", "method") => "\"POST\"",
        ("groups", "routes") => "[{ path = \"/moved\", deny = true }]",
        ("groups", "prefix") => "\"/moved\"",
        ("routes.cors", "origins") => "[\"https://elsewhere.example.com\"]",
        ("errors.responses", "for") => "\"method_not_allowed\"",
        ("server.listeners", "address") => "\"127.0.0.1:9999\"",
        ("server.listeners", "proxy_protocol_from") => "\"192.0.2.2\"",
        ("upstreams", "endpoints") => "[\"http://c.example.com:8080\"]",
        ("upstreams", "server_name") => "\"elsewhere.internal\"",
        ("upstreams.health", "path") => "\"/elsewhere\"",
        ("upstreams.lambda", "function") => "\"elsewhere\"",
        ("dev.clients", "secret") => "\"another\"",
        _ => return None,
    })
}

/// Keys that are proven otherwise: by the keys of their tables, or by a test.
const EXCEPT: &[(&str, &str, &str)] = &[
    ("", "server", "the keys of the table"),
    ("", "defaults", "the keys of the table"),
    ("", "issuers", "the keys of the tables"),
    ("", "upstreams", "the keys of the tables"),
    ("", "routes", "the keys of the tables"),
    ("", "groups", "the keys of the tables"),
    ("server.limits", "body_bytes", BODY_BYTES),
    ("server.tls", "min_version", MIN_VERSION),
    ("server.listeners.tls", "min_version", MIN_VERSION),
];

/// `[defaults]` of the full configuration has a limit of its own, which goes before this one.
const BODY_BYTES: &str = "tests/it/connections.rs::a_client_that_never_stops_sending_is_let_go";

const MIN_VERSION: &str = "tests/it/secure.rs::a_listener_of_tls_1_3_refuses_1_2";

fn is_by_setting(table: &str, key: &str) -> bool {
    let is_listed = |(of, keys, _): &(&str, &[&str], &str)| {
        *of == table && (keys.contains(&key) || keys.contains(&"*"))
    };
    BY_SETTING.iter().any(is_listed)
}

fn is_excepted(table: &str, key: &str) -> bool {
    EXCEPT
        .iter()
        .any(|(of, name, _)| (*of, *name) == (table, key))
}

/// Every key of the schema, with its table.
fn all_keys() -> BTreeSet<(String, String)> {
    let schema = schema();
    let mut keys = BTreeSet::new();
    for (table, properties) in properties(&schema) {
        keys.extend(properties.keys().map(|key| (table.clone(), key.clone())));
    }
    keys
}

/// Returns the changes of a key: other values, and its removal.
fn changes(place: &Place) -> Vec<Change> {
    let mut changes = vec![Change::Removed];
    changes.extend(other_values(&place.table, &place.key).map(Change::text));
    // A route states its authorization: without one it is refused, and with another it differs.
    match place.key.as_str() {
        "authenticated" | "deny" => changes.push(Change::Instead("public")),
        "public" => changes.push(Change::Instead("deny")),
        _ => {}
    }
    changes.extend(place.nearby());
    changes
}

/// Returns the keys without a place in which a change is seen.
fn without_proof(
    is_concerned: impl Fn(&str, &str) -> bool,
    mut is_proven: impl FnMut(&Place) -> bool,
    full: &[&Table],
) -> Vec<(String, String)> {
    let mut proven = BTreeSet::new();
    for place in full.iter().flat_map(|full| places(&schema(), full)) {
        let key = (place.table.clone(), place.key.clone());
        let is_open = is_concerned(&key.0, &key.1) && !proven.contains(&key);
        if is_open && is_proven(&place) {
            proven.insert(key);
        }
    }
    let keys = all_keys().into_iter();
    keys.filter(|(table, key)| is_concerned(table, key))
        .filter(|key| !proven.contains(key))
        .collect()
}

#[test]
fn every_key_about_a_request_is_seen_by_clients_or_upstreams() {
    let stage = Stage::new();
    let full = stage.full();
    let usual = stage
        .observe(&full)
        .expect("the full configuration is valid");
    assert!(
        stage.differs(&full, &usual, "").is_none(),
        "the same is seen each time"
    );
    let idle = without_proof(
        |table, key| !is_by_setting(table, key) && !is_excepted(table, key),
        |place| {
            let is_seen = |change: Change| {
                let changed = place.changed(&full, change);
                stage
                    .differs(&changed, &usual, &place.base(&full))
                    .is_some()
            };
            changes(place).into_iter().any(is_seen)
        },
        &[&full],
    );
    assert!(
        idle.is_empty(),
        "keys without an effect, or that the file lacks: {idle:#?}"
    );
}

#[test]
fn every_other_key_changes_a_compiled_setting_or_is_needed() {
    let stage = Stage::new();
    let (full, more) = (stage.full(), settings::full());
    let (usual, usual_of_more) = (stage.settings(&full), settings::read(&more));
    assert!(
        usual.is_some() && usual_of_more.is_some(),
        "both files are valid"
    );
    let is_own = |place: &Place| places(&schema(), &full).iter().any(|own| own == place);
    let idle = without_proof(
        |table, key| is_by_setting(table, key) && !is_excepted(table, key),
        |place| {
            let is_set = |change: Change| {
                let is_removal = matches!(change, Change::Removed);
                let (read, usual) = match is_own(place) {
                    true => (stage.settings(&place.changed(&full, change)), &usual),
                    false => (
                        settings::read(&place.changed(&more, change)),
                        &usual_of_more,
                    ),
                };
                // Without a key that it needs, `check` refuses the file.
                read != *usual && (read.is_some() || is_removal)
            };
            changes(place).into_iter().any(is_set)
        },
        &[&more, &full],
    );
    assert!(
        idle.is_empty(),
        "keys without an effect, or that the files lack: {idle:#?}"
    );
}

#[test]
fn the_tests_of_the_exceptions_exist() {
    for (_, key, proof) in EXCEPT {
        if let Some((file, name)) = proof.split_once("::") {
            let text = fs::read_to_string(file).unwrap();
            assert!(
                text.contains(&format!("fn {name}()")) && text.contains(key),
                "{proof}"
            );
        }
    }
}

/// The rooms' own types of settings, of which each field has to be read by the rooms that obey it.
const SETTINGS: &[&str] = &[
    "src/config/tables/server.rs",
    "src/config/tables/timeouts.rs",
    "src/config/tables/limits.rs",
    "src/config/tables/http2.rs",
    "src/config/tables/listeners.rs",
    "src/config/tables/log.rs",
    "src/config/tables/reload.rs",
    "src/config/tables/token_cache.rs",
    "src/config/tables/dev.rs",
    "src/config/tables/errors.rs",
    "src/config/tables/error_responses.rs",
    "src/config/tables/route.rs",
    "src/upstream/settings.rs",
    "src/issuer/entry.rs",
    "src/token/rules.rs",
    "src/lambda/settings.rs",
];

/// The fields that the configuration itself reads: it makes those of other types of them.
const READ_BY_CONFIG: &[&str] = &["public_url"];

#[test]
fn every_field_of_the_settings_is_read_where_it_is_obeyed() {
    let sources = sources();
    let mut unread = Vec::new();
    for settings in SETTINGS {
        let own = sources
            .iter()
            .find(|source| source.path() == *settings)
            .unwrap();
        for field in fields(own.code()) {
            let is_reader = |source: &&Source| {
                source.path() != *settings
                    && !source.path().starts_with("src/config/")
                    && reads(source.code(), field)
            };
            if sources.iter().find(is_reader).is_none() && !READ_BY_CONFIG.contains(&field) {
                unread.push(format!("{settings}: {field}"));
            }
        }
    }
    assert!(
        unread.is_empty(),
        "settings that no room reads: {unread:#?}"
    );
}

/// Returns the names of the public fields of a file.
fn fields(code: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    for line in code.lines() {
        if let Some((name, _)) = line
            .trim()
            .strip_prefix("pub ")
            .and_then(|line| line.split_once(':'))
            && !name.contains([' ', '(', '<'])
        {
            fields.push(name);
        }
    }
    fields
}

/// Returns whether a code has an access to a field.
fn reads(code: &str, field: &str) -> bool {
    let access = format!(".{field}");
    let mut after = code.split(&access).skip(1);
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    after.any(is_end)
}
