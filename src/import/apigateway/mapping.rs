//! The parameter mappings of an integration.

use std::collections::BTreeMap;

use http::header::AUTHORIZATION;

use super::source::{Scene, Source};
use crate::import::document::{Entry, Node};
use crate::import::finding::{Code, Untranslated};
use crate::import::openapi::Variables;
use crate::import::plan::Settings;
use crate::transform::{Direction, header_rule_value};

/// The mappings of an integration.
#[derive(Debug, Default)]
pub(super) struct Mappings<'d> {
    /// The sources of placeholders in its URI.
    pub(super) path: BTreeMap<&'d str, Source>,
    /// Parameters of the query, by name.
    pub(super) query: Vec<(&'d str, Source, &'d Entry)>,
    /// The whole path.
    pub(super) whole_path: Option<Source>,
    /// The mappings of the path and of placeholders.
    in_path: Vec<&'d Entry>,
    headers: Vec<(Change, &'d str, Source, &'d Entry)>,
    unknown: Vec<&'d Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Set,
    Add,
    Remove,
}

impl<'d> Mappings<'d> {
    /// Reads `requestParameters`.
    pub(super) fn of(integration: &'d Node) -> Self {
        let mut mappings = Self::default();
        let node = integration.get("requestParameters");
        for entry in node.map_or(&[][..], Node::entries) {
            mappings.take(entry);
        }
        mappings
    }

    fn take(&mut self, entry: &'d Entry) {
        let Some(source) = source(entry) else {
            return self.unknown.push(entry);
        };
        let (action, target) = action(entry);
        let change = match action {
            "append" => Change::Add,
            "remove" => Change::Remove,
            _ => Change::Set,
        };
        let target = target
            .strip_prefix("integration.request.")
            .unwrap_or(target);
        match (target.split_once('.'), change) {
            (Some(("header", name)), _) => self.headers.push((change, name, source, entry)),
            (Some(("querystring", name)), Change::Set) => self.query.push((name, source, entry)),
            (Some(("path", name)), Change::Set) => {
                self.path.insert(name, source);
                self.in_path.push(entry);
            }
            (None, Change::Set) if target == "path" => {
                self.whole_path = Some(source);
                self.in_path.push(entry);
            }
            _ => self.unknown.push(entry),
        }
    }

    /// Returns the name of a stage variable that has no value, if a mapping refers to one.
    pub(super) fn missing_variable(&self, variables: &Variables) -> Option<&str> {
        let headers = self.headers.iter().map(|(_, _, source, _)| source);
        let query = self.query.iter().map(|(_, source, _)| source);
        let mut sources = headers
            .chain(query)
            .chain(self.path.values())
            .chain(&self.whole_path);
        sources.find_map(|source| source.missing_variable(variables))
    }

    /// Refuses a mapping that copies a token into the path.
    pub(super) fn refuse_token_in_path(&self, scene: Scene<'_>) -> Result<(), Untranslated> {
        let mut entries = self.in_path.iter();
        let has_token = |entry: &Entry| source(entry).is_some_and(|one| one.may_have_token(scene));
        match entries.find(|entry| has_token(entry)) {
            Some(entry) => Err(Untranslated {
                code: Code::UnusableUri,
                ..lost(entry, scene)
            }),
            None => Ok(()),
        }
    }

    /// Returns for each field, in lower case, how many mappings change it.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, name, ..) in &self.headers {
            *counts.entry(name.to_ascii_lowercase()).or_default() += 1;
        }
        counts
    }

    /// Adds the changes of fields to the settings of a route, and returns what could not be
    /// translated. The client never sets a field that the API would set in its place.
    pub(super) fn headers(
        &self,
        settings: &mut Settings,
        scene: Scene<'_>,
        has_token: bool,
    ) -> Vec<Untranslated> {
        let unknown = self.unknown.iter();
        let mut left_out: Vec<_> = unknown.map(|entry| lost(entry, scene)).collect();
        let counts = self.counts();
        for (change, name, source, entry) in &self.headers {
            let name = name.to_ascii_lowercase();
            // A field that several mappings change: which of them counts is not known.
            if counts.get(&name).is_some_and(|count| *count > 1) {
                left_out.push(lost(entry, scene));
                if Direction::Request.name(&name).is_ok() {
                    settings.remove.insert(name);
                }
                continue;
            }
            let is_own = source
                .as_header()
                .is_some_and(|own| own.eq_ignore_ascii_case(&name));
            // No rule may change it, and it goes on as the client sends it.
            if is_own && *change == Change::Set && name == AUTHORIZATION.as_str() {
                continue;
            }
            if Direction::Request.name(&name).is_err() {
                left_out.push(lost(entry, scene));
                continue;
            }
            if *change == Change::Remove {
                settings.remove.insert(name);
            } else if is_own && *change == Change::Set {
                // The field goes on as the client sends it.
            } else if let (true, Some(claim), Change::Set) = (has_token, source.as_claim(), change)
            {
                settings.forward.insert(name, claim.to_owned());
            } else {
                match value(source, scene, has_token) {
                    Some(value) if *change == Change::Add => {
                        settings.add.insert(name, value);
                    }
                    Some(value) => {
                        settings.set.insert(name, value);
                    }
                    None => {
                        settings.remove.insert(name);
                        left_out.push(lost(entry, scene));
                    }
                }
            }
        }
        // Nor one whose mapping cannot be read.
        for name in self.unknown.iter().filter_map(|entry| field(entry)) {
            let changes = [&settings.set, &settings.add, &settings.forward];
            let is_changed = changes.iter().any(|fields| fields.contains_key(&name));
            if Direction::Request.name(&name).is_ok() && !is_changed {
                settings.remove.insert(name);
            }
        }
        left_out
    }
}

/// Returns the name of the request field that a mapping is about, in lower case.
fn field(entry: &Entry) -> Option<String> {
    let (_, target) = action(entry);
    let target = target
        .strip_prefix("integration.request.")
        .unwrap_or(target);
    let (kind, name) = target.split_once('.')?;
    let is_field = matches!(kind, "header" | "multivalueheader");
    is_field.then(|| name.to_ascii_lowercase())
}

/// Returns the value of a field, as a template. On a route without a token there are no claims.
fn value(source: &Source, scene: Scene<'_>, has_token: bool) -> Option<String> {
    let is_known = has_token || !source.has_claim();
    let value = source.template(scene).filter(|_| is_known)?;
    header_rule_value(&value).is_ok().then_some(value)
}

/// Splits the key of a mapping into its action, which REST APIs do not have, and its target.
fn action(entry: &Entry) -> (&str, &str) {
    entry.key.split_once(':').unwrap_or(("", &entry.key))
}

fn source(entry: &Entry) -> Option<Source> {
    let text = entry.value.scalar()?;
    Some(match action(entry) {
        ("", _) => Source::rest(text),
        _ => Source::http(text),
    })
}

/// Returns what is said about a mapping that is left out. Of a place of tokens it is said
/// that it is one.
pub(super) fn lost(entry: &Entry, scene: Scene<'_>) -> Untranslated {
    let mut about = match entry.value.scalar() {
        Some(value) => format!("{:?} = {value:?}", entry.key),
        None => format!("{:?}", entry.key),
    };
    if source(entry).is_some_and(|source| source.may_have_token(scene)) {
        about.push_str(", which may be a token");
    }
    Untranslated::new(Code::ParameterMapping, entry.place, about)
}
