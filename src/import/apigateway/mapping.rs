//! The parameter mappings of an integration.

use std::collections::BTreeMap;

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
    pub(super) query: Vec<(&'d str, Source)>,
    /// The whole path.
    pub(super) whole_path: Option<Source>,
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
        let Some(text) = entry.value.scalar() else {
            return self.unknown.push(entry);
        };
        let (action, target) = entry.key.split_once(':').unwrap_or(("", &entry.key));
        let change = match action {
            "append" => Change::Add,
            "remove" => Change::Remove,
            _ => Change::Set,
        };
        let source = match action {
            "" => Source::rest(text),
            _ => Source::http(text),
        };
        let target = target
            .strip_prefix("integration.request.")
            .unwrap_or(target);
        match (target.split_once('.'), change) {
            (Some(("header", name)), _) => self.headers.push((change, name, source, entry)),
            (Some(("querystring", name)), Change::Set) => self.query.push((name, source)),
            (Some(("path", name)), Change::Set) => {
                self.path.insert(name, source);
            }
            (None, Change::Set) if target == "path" => self.whole_path = Some(source),
            _ => self.unknown.push(entry),
        }
    }

    /// Returns the name of a stage variable that has no value, if a mapping refers to one.
    pub(super) fn missing_variable(&self, variables: &Variables) -> Option<&str> {
        let headers = self.headers.iter().map(|(_, _, source, _)| source);
        let query = self.query.iter().map(|(_, source)| source);
        let mut sources = headers
            .chain(query)
            .chain(self.path.values())
            .chain(&self.whole_path);
        sources.find_map(|source| source.missing_variable(variables))
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
        let mut lost: Vec<_> = self.unknown.iter().map(|entry| unknown(entry)).collect();
        let counts = self.counts();
        for (change, name, source, entry) in &self.headers {
            let name = name.to_ascii_lowercase();
            // A field that several mappings change: which of them counts is not known.
            if counts.get(&name).is_some_and(|count| *count > 1) {
                lost.push(unknown(entry));
                if Direction::Request.name(&name).is_ok() {
                    settings.remove.insert(name);
                }
                continue;
            }
            if Direction::Request.name(&name).is_err() {
                lost.push(unknown(entry));
                continue;
            }
            let is_own = source
                .as_header()
                .is_some_and(|own| own.eq_ignore_ascii_case(&name));
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
                        lost.push(unknown(entry));
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
        lost
    }
}

/// Returns the name of the request field that a mapping is about, in lower case.
fn field(entry: &Entry) -> Option<String> {
    let target = entry
        .key
        .split_once(':')
        .map_or(&*entry.key, |(_, target)| target);
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

fn unknown(entry: &Entry) -> Untranslated {
    let about = match entry.value.scalar() {
        Some(value) => format!("{:?} = {value:?}", entry.key),
        None => format!("{:?}", entry.key),
    };
    Untranslated::new(Code::ParameterMapping, entry.place, about)
}
