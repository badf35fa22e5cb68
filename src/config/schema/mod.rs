//! The configuration language as data: every table and every key, with its type, default and
//! documentation.
//!
//! The lowering reads the file through these tables, and the JSON Schema and the reference are
//! generated from them. So the documented, the accepted and the assumed language cannot differ.

mod header_rules;
mod issuers;
mod limits;
mod listeners;
mod routes;
mod server;
mod upstreams;

use std::time::Duration;

pub(super) use header_rules::{CORS, HEADER_RULES};
pub(super) use issuers::ISSUER;
pub(super) use limits::LIMITS;
pub(super) use listeners::{LISTENER, LISTENER_CERTIFICATE, LISTENER_TLS, TLS, TLS_CERTIFICATE};
pub(super) use routes::{DEFAULTS, GROUP, GROUP_ROUTE, ROUTE};
pub(super) use server::{
    DEV, DEV_CLIENT, ERRORS, FILE, HTTP2, LOG, RELOAD, SERVER, TIMEOUTS, TOKEN_CACHE,
};
pub(super) use upstreams::{EJECTION, HEALTH, UPSTREAM};

use super::language::document::{self, Value};
use super::language::source::Span;
use super::language::units::{show_duration, show_size};

/// A table of the language.
#[derive(Debug)]
pub(super) struct Table {
    /// The path, such as `server.timeouts`; `issuers.*` for each of a set of named tables,
    /// `routes[]` for each of a list; empty for the top level of the file.
    pub(super) path: &'static str,
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key],
    /// Keys that an operator may expect here and that are not allowed, each with the reason.
    pub(super) refused: &'static [(&'static str, &'static str)],
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
    pub(super) doc: &'static str,
    /// An example value, in TOML.
    pub(super) example: &'static str,
    /// Former names, and names that other programs use. The problem of an unknown key with such a
    /// name tells the name of this key.
    pub(super) other_names: &'static [&'static str],
}

/// The meaning of an absent key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Absent {
    /// The absence is an error.
    Required,
    /// This value, in TOML, is used.
    Default(&'static str),
    /// The absence has this meaning.
    Means(&'static str),
}

/// The type of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Flag,
    /// `true` and no other value: the opposite is the absence of the key, not `false`.
    True,
    Count {
        min: u64,
        max: u64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    Size {
        min: u64,
        max: u64,
    },
    /// One word out of a set.
    Choice(&'static [&'static str]),
    /// One word, or a list of words, out of a set. A function, because the words come from a type
    /// of another module.
    Choices(fn() -> Vec<&'static str>),
    /// A string, or a list of strings. Never empty.
    Texts,
    /// Scopes: one, a list that is required as a whole, or a table with `any` or `all`.
    ScopeRule,
    /// Methods: one, a list, or a map from method to requirement.
    Methods,
    /// A map from field name to claim.
    Claims,
    /// A map from field name to value.
    Headers,
    /// A map from claim to required value.
    RequiredClaims,
    /// A string, `{ file = ".." }` or `{ env = ".." }`.
    Secret,
    /// URLs, each alone or in a table with a weight.
    Endpoints,
    /// A JWK Set: a string of JSON, or a table.
    KeySet,
    /// The table with this path.
    Table(&'static str),
    /// A list of tables with this path.
    Tables(&'static str),
    /// Tables with this path, under names that the operator chooses.
    Named(&'static str),
}

/// Every table, in the order of the reference.
pub(super) static TABLES: &[&Table] = &[
    &FILE,
    &SERVER,
    &TLS,
    &TLS_CERTIFICATE,
    &LISTENER,
    &LISTENER_TLS,
    &LISTENER_CERTIFICATE,
    &TIMEOUTS,
    &LIMITS,
    &HTTP2,
    &ISSUER,
    &UPSTREAM,
    &EJECTION,
    &HEALTH,
    &DEFAULTS,
    &ROUTE,
    &GROUP,
    &GROUP_ROUTE,
    &HEADER_RULES,
    &CORS,
    &TOKEN_CACHE,
    &RELOAD,
    &ERRORS,
    &LOG,
    &DEV,
    &DEV_CLIENT,
];

impl Table {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Returns the names of the keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }

    /// Returns the header of the table in a file: `[server]`, `[issuers.<name>]`, `[[routes]]`.
    pub(super) fn header(&self) -> String {
        if self.path.is_empty() {
            return "the top level of the file".to_owned();
        }
        let path = self
            .path
            .replace("dev.clients.*", "dev.clients.<id>")
            .replace(".*", ".<name>");
        match path.strip_suffix("[]") {
            Some(path) => format!("[[{}]]", path.replace("[]", "")),
            None => format!("[{}]", path.replace("[]", "")),
        }
    }
}

impl Key {
    const fn new(
        name: &'static str,
        kind: Kind,
        absent: Absent,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            absent,
            doc,
            example,
            other_names: &[],
        }
    }

    const fn not(self, other_names: &'static [&'static str]) -> Self {
        Self {
            other_names,
            ..self
        }
    }

    /// Returns the same key for another table, where its absence has another meaning.
    const fn absent(self, means: &'static str) -> Self {
        Self {
            absent: Absent::Means(means),
            ..self
        }
    }

    /// Returns the same key for the outermost table that has it, where it gets a default.
    const fn default(self, value: &'static str) -> Self {
        Self {
            absent: Absent::Default(value),
            ..self
        }
    }

    /// Returns the default of the key, at the position `span`.
    pub(super) fn default_value(&self, span: Span) -> Option<Value> {
        match self.absent {
            Absent::Default(text) => document::literal(text, span),
            Absent::Required | Absent::Means(_) => None,
        }
    }
}

impl Kind {
    /// Returns the type in words, for the reference and for messages such as "…, not an integer".
    pub(super) fn describe(self) -> String {
        match self {
            Self::Text => "a string".into(),
            Self::Flag => "true or false".into(),
            Self::True => "true".into(),
            Self::Count { .. } => "a whole number".into(),
            Self::Duration { .. } => "a duration".into(),
            Self::Size { .. } => "a size".into(),
            Self::Choice(words) => quoted(words, "or"),
            Self::Choices(words) => format!("one or a list of {}", quoted(&words(), "or")),
            Self::Texts => "a string or a list of strings".into(),
            Self::ScopeRule => "a scope, a list of scopes, { any = [..] } or { all = [..] }".into(),
            Self::Methods => "a method, a list of methods, or a map from method to scopes".into(),
            Self::Claims => "a map from field name to claim".into(),
            Self::Headers => "a map from field name to value".into(),
            Self::RequiredClaims => "a map from claim to required value".into(),
            Self::Secret => "a string, { file = \"..\" } or { env = \"..\" }".into(),
            Self::Endpoints => "a list of URLs or of { url = \"..\", weight = 1 }".into(),
            Self::KeySet => "a string of JSON or a table with \"keys\"".into(),
            Self::Table(_) => "a table".into(),
            Self::Tables(_) => "a list of tables".into(),
            Self::Named(_) => "a table of named tables".into(),
        }
    }

    /// Returns the bounds in words, for the reference; `None` for a type without bounds.
    pub(super) fn bounds(self) -> Option<String> {
        match self {
            Self::Count { min, max } => Some(format!("{min} to {max}")),
            Self::Size { min, max } => Some(format!("{} to {}", show_size(min), show_size(max))),
            Self::Duration { min, max } => {
                Some(format!("{} to {}", show_duration(min), show_duration(max)))
            }
            _ => None,
        }
    }
}

/// Joins words in quotes: `"a", "b" or "c"`.
pub(super) fn quoted<T: AsRef<str>>(words: &[T], last: &str) -> String {
    let words: Vec<_> = words
        .iter()
        .map(|word| format!("\"{}\"", word.as_ref()))
        .collect();
    match words.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// A duration of at least one millisecond, for keys where zero would refuse everything.
const POSITIVE: Kind = Kind::Duration {
    min: Duration::from_millis(1),
    max: YEAR,
};
/// A duration of zero or more.
const ANY_DURATION: Kind = Kind::Duration {
    min: Duration::ZERO,
    max: YEAR,
};
/// The longest duration. A longer one is an error of the unit, and unbounded durations overflow
/// clocks.
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::super::language::units;
    use super::*;

    #[test]
    fn every_table_that_a_key_names_is_there() {
        for key in TABLES.iter().flat_map(|table| table.keys) {
            if let Kind::Table(path) | Kind::Tables(path) | Kind::Named(path) = key.kind {
                assert!(TABLES.iter().any(|table| table.path == path), "{path}");
            }
        }
    }

    #[test]
    fn no_key_has_two_meanings() {
        for table in TABLES {
            let mut names: Vec<_> = table
                .keys
                .iter()
                .flat_map(|key| key.other_names)
                .copied()
                .collect();
            names.extend(table.keys.iter().map(|key| key.name));
            names.extend(table.refused.iter().map(|(name, _)| *name));
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "[{}]", table.path);
        }
    }

    #[test]
    fn every_default_and_example_is_toml() {
        let span = Span {
            file: 0,
            start: 0,
            end: 0,
        };
        for key in TABLES.iter().flat_map(|table| table.keys) {
            if let Absent::Default(text) = key.absent {
                assert!(key.default_value(span).is_some(), "{}: {text}", key.name);
            }
            let structural = matches!(key.kind, Kind::Table(_) | Kind::Tables(_) | Kind::Named(_));
            assert!(
                structural || document::literal(key.example, span).is_some(),
                "{}: {}",
                key.name,
                key.example
            );
            assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
        }
    }

    #[test]
    fn every_measure_in_the_schema_is_within_its_bounds() {
        for key in TABLES.iter().flat_map(|table| table.keys) {
            let default = match key.absent {
                Absent::Default(text) => Some(text),
                _ => None,
            };
            for text in default
                .into_iter()
                .chain([key.example])
                .map(|text| text.trim_matches('"'))
            {
                match key.kind {
                    Kind::Duration { min, max } => {
                        assert!(
                            (min..=max).contains(&units::duration(text).unwrap()),
                            "{}: {text}",
                            key.name
                        );
                    }
                    Kind::Size { min, max } => {
                        assert!(
                            (min..=max).contains(&units::size(text).unwrap()),
                            "{}: {text}",
                            key.name
                        );
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn a_header_reads_as_in_a_file() {
        let headers: Vec<_> = TABLES.iter().map(|table| table.header()).collect();
        assert!(headers.contains(&"[issuers.<name>]".to_owned()));
        assert!(headers.contains(&"[dev.clients.<id>]".to_owned()));
        assert!(headers.contains(&"[[groups.routes]]".to_owned()));
    }
}
