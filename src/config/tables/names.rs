//! The names of issuers and upstreams.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::tenants::entry_of;
use crate::config::context::Context;
use crate::config::language::document::Table;
use crate::config::language::nearness::did_you_mean;
use crate::config::language::{Problem, Reader, Span, Text};

/// The names that routes can refer to. They include entries with problems, so that a broken issuer
/// does not make every route invalid as well.
pub(super) struct Names {
    pub(super) issuers: Defined,
    pub(super) upstreams: Defined,
    /// The `iss` of each entry of `[issuers]`; several for an entry with tenants.
    iss: HashMap<String, HashSet<Arc<str>>>,
    /// The upstreams that are functions.
    functions: HashSet<String>,
}

impl Names {
    pub(super) fn new(issuers: &[(Text, &Table)], upstreams: &[(Text, &Table)]) -> Self {
        Self {
            issuers: Defined::new(issuers),
            upstreams: Defined::new(upstreams),
            iss: HashMap::new(),
            functions: functions(upstreams),
        }
    }

    /// Returns whether an upstream is a function.
    pub(super) fn is_function(&self, upstream: &str) -> bool {
        self.functions.contains(upstream)
    }

    /// Learns the `iss` of an issuer, which has the name of its entry, or that of its tenant.
    pub(super) fn learn(&mut self, issuer: &str, iss: &Arc<str>) {
        let entry = entry_of(issuer).to_owned();
        self.iss.entry(entry).or_default().insert(Arc::clone(iss));
    }

    /// Returns an `iss` that two entries have.
    pub(super) fn common_iss(&self, one: &str, other: &str) -> Option<&str> {
        let (one, other) = (self.iss.get(one)?, self.iss.get(other)?);
        let common = one.intersection(other).min()?;
        Some(common)
    }
}

/// Returns the upstreams that have the table of a function.
fn functions(upstreams: &[(Text, &Table)]) -> HashSet<String> {
    let mut functions = HashSet::new();
    for (name, table) in upstreams {
        if table.get("lambda").is_some() {
            functions.insert(name.text.clone());
        }
    }
    functions
}

/// The limit on the misspelled names that get a suggestion: each is compared with every defined
/// name.
const MAX_SUGGESTIONS: usize = 100;

/// The defined names of one kind, in the order of the file. Lookups are by hash, because every
/// route refers to some of them.
pub(super) struct Defined {
    pub(super) list: Vec<Text>,
    spans: HashMap<String, Span>,
    suggestions: RefCell<HashMap<String, String>>,
}

impl Defined {
    fn new(tables: &[(Text, &Table)]) -> Self {
        let mut list = Vec::with_capacity(tables.len());
        let mut spans = HashMap::with_capacity(tables.len());
        for (name, _) in tables {
            list.push(name.clone());
            spans.insert(name.text.clone(), name.span);
        }
        Self {
            list,
            spans,
            suggestions: RefCell::default(),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|name| name.text.as_str())
    }

    pub(super) fn span(&self, name: &str) -> Option<Span> {
        self.spans.get(name).copied()
    }

    /// Notes each name that no route uses.
    pub(super) fn note_unused(&self, context: &Context, kind: &str, used: &HashSet<&str>) {
        for name in &self.list {
            if !used.contains(&*name.text) {
                let message = format!("{kind} \"{}\" is used by no route", name.text);
                context.note(Problem::at(name.span, message));
            }
        }
    }

    /// Returns `; did you mean "…"?` for a name that is not defined, or an empty string.
    pub(super) fn suggestion(&self, name: &str) -> String {
        let mut known = self.suggestions.borrow_mut();
        if let Some(suggestion) = known.get(name) {
            return suggestion.clone();
        }
        if known.len() >= MAX_SUGGESTIONS {
            return String::new();
        }
        let suggestion = did_you_mean(name, self.names());
        known.insert(name.to_owned(), suggestion.clone());
        suggestion
    }
}

/// Checks the characters of a name, which becomes a label of metrics and a part of addresses of
/// `scopegate dev`.
pub(super) fn check_name(reader: &Reader<'_>, name: &Text) {
    if name.text.is_empty() || !name.text.chars().all(is_name_character) {
        reader.problem(
            name.span,
            "a name is made of letters, digits, \"-\", \"_\" and \".\"",
        );
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}
