//! The rules for entries of `[issuers]` with one issuer. They have the same keys, which are fetched
//! once: everything that says how keys are obtained is the same in all of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

use super::algorithms::ALGORITHMS;
use super::jwks::{
    ALLOW_HTTP, COOLDOWN, FETCH_TIMEOUT, ISSUER, JWKS, JWKS_FILE, JWKS_URI, KEEP_FILE, KEEP_STALE,
    MAX_BYTES, MAX_KEYS, REFRESH, REFRESH_MAX, REFRESH_MIN, WAIT,
};
use super::key_access::{CA_FILE, JWKS_TOKEN_FILE, PROXY};
use crate::config::language::document::Table;
use crate::config::language::{AnyKey, Reader, Span, Text};
use crate::issuer::{Algorithm, IssuerSettings};

/// The issuers of the entries so far.
#[derive(Default)]
pub(super) struct Identities {
    /// By `iss`, the first entry that has it.
    first: HashMap<String, FirstEntry>,
    files: HashMap<PathBuf, Owner>,
}

/// The first entry with an `iss`.
struct FirstEntry {
    name: String,
    /// The table of the entry, with the placeholder filled in.
    table: Table,
    settings: IssuerSettings,
}

/// The issuer that has a file, with the position of its name.
struct Owner {
    name: String,
    iss: String,
    span: Span,
}

impl Identities {
    /// Returns the settings of an entry, which are those of the first entry with the same `iss`.
    /// Reports what differs.
    pub(super) fn agreed(
        &mut self,
        reader: &Reader<'_>,
        name: &Text,
        table: &Table,
        settings: IssuerSettings,
    ) -> IssuerSettings {
        let first = match self.first.entry((*settings.issuer).to_owned()) {
            Entry::Occupied(first) => first.into_mut(),
            Entry::Vacant(vacant) => {
                let entry = vacant.insert(FirstEntry {
                    name: name.text.clone(),
                    table: table.clone(),
                    settings,
                });
                return entry.settings.clone();
            }
        };
        let other = reader.of(&first.table);
        for setting in &KEY_SETTINGS {
            if (setting.is_same)(&first.settings, &settings) {
                continue;
            }
            let key = setting.differing(reader, &other);
            let message = format!(
                "\"{}\" differs from that of issuer \"{}\", which has the same \"issuer\": their \
                 keys are fetched once, so write the same in both",
                key.name(),
                first.name
            );
            let (span, related) = (reader.value_span(key), other.value_span(key));
            reader.problem_with_related(span, message, related, "the first entry with it");
        }
        first.settings.clone()
    }

    /// Checks that no other issuer has this `keep_file`. Of two issuers with one file, each would
    /// overwrite the keys of the other.
    pub(super) fn check_file(&mut self, reader: &Reader<'_>, name: &Text, iss: Option<&Text>) {
        let Some(file) = reader.peek(&KEEP_FILE) else {
            return;
        };
        let owner = Owner {
            name: name.text.clone(),
            iss: iss.map(|iss| iss.text.clone()).unwrap_or_default(),
            span: file.span,
        };
        match self
            .files
            .entry(reader.context.path_named(file.span, &file.text))
        {
            Entry::Vacant(entry) => {
                entry.insert(owner);
            }
            // For tenants of one entry the position is the same, and the problem was reported
            // where the placeholder was filled in.
            Entry::Occupied(entry) if entry.get().span == file.span => {}
            Entry::Occupied(entry) if entry.get().iss == owner.iss => {}
            Entry::Occupied(entry) => {
                let first = entry.get();
                let message = format!(
                    "\"keep_file\" is already the file of \"{}\": each issuer needs its own",
                    first.name
                );
                reader.problem_with_related(file.span, message, first.span, "first named here");
            }
        }
    }
}

/// A setting about keys, in which all entries of one issuer agree.
struct KeySetting {
    /// The keys of the configuration that make it.
    keys: &'static [&'static dyn AnyKey],
    is_same: fn(&IssuerSettings, &IssuerSettings) -> bool,
}

impl KeySetting {
    /// Returns the key by which two entries differ: the first that one of them has.
    fn differing(&self, one: &Reader<'_>, other: &Reader<'_>) -> &'static dyn AnyKey {
        let mut keys = self.keys.iter().copied();
        let written = keys.find(|key| one.has(*key) || other.has(*key));
        written.unwrap_or(&ISSUER)
    }
}

/// Every setting about keys.
static KEY_SETTINGS: [KeySetting; 16] = [
    KeySetting {
        keys: &[&JWKS_URI, &JWKS_FILE, &JWKS],
        is_same: |one, other| one.keys == other.keys,
    },
    KeySetting {
        keys: &[&ALGORITHMS],
        is_same: |one, other| names(&one.algorithms) == names(&other.algorithms),
    },
    KeySetting {
        keys: &[&CA_FILE],
        is_same: |one, other| one.access.roots == other.access.roots,
    },
    KeySetting {
        keys: &[&PROXY],
        is_same: |one, other| one.access.proxy == other.access.proxy,
    },
    KeySetting {
        keys: &[&JWKS_TOKEN_FILE],
        is_same: |one, other| one.access.token_file == other.access.token_file,
    },
    KeySetting {
        keys: &[&FETCH_TIMEOUT],
        is_same: |one, other| one.fetch.timeout == other.fetch.timeout,
    },
    KeySetting {
        keys: &[&COOLDOWN],
        is_same: |one, other| one.fetch.cooldown == other.fetch.cooldown,
    },
    KeySetting {
        keys: &[&WAIT],
        is_same: |one, other| one.fetch.wait == other.fetch.wait,
    },
    KeySetting {
        keys: &[&REFRESH],
        is_same: |one, other| one.fetch.refresh == other.fetch.refresh,
    },
    KeySetting {
        keys: &[&REFRESH_MIN],
        is_same: |one, other| one.fetch.refresh_min == other.fetch.refresh_min,
    },
    KeySetting {
        keys: &[&REFRESH_MAX],
        is_same: |one, other| one.fetch.refresh_max == other.fetch.refresh_max,
    },
    KeySetting {
        keys: &[&KEEP_STALE],
        is_same: |one, other| one.fetch.keep_stale == other.fetch.keep_stale,
    },
    KeySetting {
        keys: &[&KEEP_FILE],
        is_same: |one, other| one.fetch.keep_file == other.fetch.keep_file,
    },
    KeySetting {
        keys: &[&MAX_BYTES],
        is_same: |one, other| one.fetch.max_bytes == other.fetch.max_bytes,
    },
    KeySetting {
        keys: &[&MAX_KEYS],
        is_same: |one, other| one.fetch.max_keys == other.fetch.max_keys,
    },
    KeySetting {
        keys: &[&ALLOW_HTTP],
        is_same: |one, other| one.fetch.allow_http == other.fetch.allow_http,
    },
];

/// Returns the names of algorithms in one order: that of the file has no meaning.
fn names(algorithms: &[Algorithm]) -> Vec<&'static str> {
    let mut names: Vec<_> = algorithms.iter().map(|one| one.name()).collect();
    names.sort_unstable();
    names
}
