//! Fills variables into the values of a document.

use std::ops::Range;

use super::values::{Unresolved, Variables, environment_name};
use crate::config::context::{Context, TemplateState};
use crate::config::language::document::{self, Kind, Value};
use crate::config::language::{AnyKey, Problem, Span, Table, Tables};
use crate::transform::{Part, Place, Reference, Template};

/// The advice for a reference in a place that takes none.
const PLACES: &str = "variables may stand in \"url\" and \"endpoints\" of upstreams, \
                      in \"issuer\", \
                      \"jwks_uri\", \"audience\" and \"public_url\", in \"rewrite\", \
                      in \"respond\", \
                      in texts of \"lambda\", and in values of header fields";

/// Fills variables into the values of a document, and reports references without a value or in a
/// place that takes none. Header rules and other templates keep their references, and are filled in
/// where they are parsed.
pub(in crate::config) fn fill(
    context: &Context,
    language: &'static Table,
    root: &mut document::Table,
    mut variables: Variables,
) {
    let mut filler = Filler {
        context,
        variables: &mut variables,
    };
    filler.table(language, root);
    for (name, meant) in variables.unknown_flags() {
        let message = format!("--var {name}: the configuration has no variable \"{name}\"{meant}");
        context.problem(Problem::without_span(message));
    }
    for name in variables.repeated_flags() {
        let message = format!("--var {name} is given twice: keep one of them");
        context.problem(Problem::without_span(message));
    }
    for (name, span) in variables.unused() {
        let message = format!("variable \"{name}\" is used nowhere");
        context.note(Problem::at(span, message));
    }
    context.set_variables(variables);
}

/// The settings whose strings are URLs. All others are texts, such as an audience.
const URLS: [&str; 5] = ["url", "endpoints", "issuer", "jwks_uri", "public_url"];

/// Returns whether the strings of a setting are URLs.
fn is_url(key: &dyn AnyKey) -> bool {
    URLS.contains(&key.name())
}

/// Returns what a value has that ends the part of a URL in which it stands, and the name of that
/// part.
fn misplaced<'v>(before: &str, value: &'v str) -> Option<(&'v str, &'static str)> {
    let (place, is_kept): (_, fn(char) -> bool) = match before.split_once("://") {
        None if before.starts_with("unix:") => ("the path", is_before_query),
        None => ("the beginning", is_before_query),
        Some((_, host)) if !host.contains('/') => ("the host", is_of_host),
        Some(_) => ("the path", is_before_query),
    };
    if place == "the path"
        && let Some(step) = step(before, value)
    {
        return Some((step, place));
    }
    let at = value.find(|c| !is_kept(c))?;
    let length = value.get(at..)?.chars().next()?.len_utf8();
    Some((value.get(at..at + length)?, place))
}

/// Returns the segment of a value that is a step (`.` or `..`) in the path that begins with
/// `before`, or makes one of its end.
fn step<'v>(before: &str, value: &'v str) -> Option<&'v str> {
    let mut begun = before.rsplit('/').next().unwrap_or_default();
    for segment in value.split('/') {
        if is_step(&format!("{begun}{segment}")) {
            return Some(segment);
        }
        begun = "";
    }
    None
}

/// Returns whether a segment is a step for a reader that decodes the path.
fn is_step(segment: &str) -> bool {
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    matches!(decoded.as_str(), "." | "..")
}

fn is_before_query(c: char) -> bool {
    !matches!(c, '?' | '#' | '\\')
}

fn is_of_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']')
}

struct Filler<'f> {
    context: &'f Context,
    variables: &'f mut Variables,
}

/// A string of the document, with its position.
struct Found<'s> {
    span: Span,
    text: &'s str,
    /// Set if a segment in braces stands for the tenants of an issuer.
    has_placeholders: bool,
}

/// The keys whose braces stand for tenants.
const WITH_PLACEHOLDERS: [&str; 2] = ["issuer", "jwks_uri"];

impl Filler<'_> {
    fn table(&mut self, language: &'static Table, table: &mut document::Table) {
        for entry in &mut table.entries {
            // An unknown key is reported by the reader of the table.
            let Some(key) = language.key(&entry.key) else {
                continue;
            };
            if key.about().is_verbatim {
                continue;
            }
            match key.kind().tables() {
                Tables::None => self.values(key, &mut entry.value),
                Tables::Each(below) => self.tables(below, &mut entry.value),
                Tables::Named(below) => self.named(below, &mut entry.value),
            }
        }
    }

    fn tables(&mut self, language: &'static Table, value: &mut Value) {
        match &mut value.kind {
            Kind::Table(table) => self.table(language, table),
            Kind::List(items) => {
                for item in items {
                    self.tables(language, item);
                }
            }
            // A value of another kind is reported by the reader.
            _ => {}
        }
    }

    fn named(&mut self, language: &'static Table, value: &mut Value) {
        let Kind::Table(names) = &mut value.kind else {
            return;
        };
        for entry in &mut names.entries {
            self.check_key(&entry.key, entry.key_span);
            self.tables(language, &mut entry.value);
        }
    }

    /// Fills all strings of a value.
    fn values(&mut self, key: &dyn AnyKey, value: &mut Value) {
        match &mut value.kind {
            Kind::Text(text) => self.string(key, value.span, text),
            Kind::List(items) => {
                for item in items {
                    self.values(key, item);
                }
            }
            Kind::Table(table) => {
                for entry in &mut table.entries {
                    self.check_key(&entry.key, entry.key_span);
                    self.values(key, &mut entry.value);
                }
            }
            _ => {}
        }
    }

    fn string(&mut self, key: &dyn AnyKey, span: Span, text: &mut String) {
        if !text.contains('$') {
            return;
        }
        let has_placeholders = WITH_PLACEHOLDERS.contains(&key.name());
        let found = Found {
            span,
            text,
            has_placeholders,
        };
        let Some(place) = key.about().place else {
            self.refuse(&found, &format!("\"{}\" takes no variables", key.name()));
            return;
        };
        if let Some(filled) = self.filled(key, place, &found) {
            *text = filled;
        }
    }

    /// Returns the text of a setting with its variables. Templates of other places keep theirs.
    fn filled(&mut self, key: &dyn AnyKey, place: &Place, found: &Found<'_>) -> Option<String> {
        let template = match Template::parse(found.text, place) {
            Ok(template) => template,
            Err(error) => {
                self.report(found, &error.at, &error.to_string(), None);
                return None;
            }
        };
        let mut names = Vec::new();
        let mut is_filled = true;
        for (reference, at) in template.references() {
            if let Reference::Variable(name) = reference {
                match self.resolve(found, name, at) {
                    Some(origin) => names.push(format!("{reference} is from {origin}")),
                    None => is_filled = false,
                }
            }
        }
        if !is_filled {
            return None;
        }
        if !names.is_empty() {
            let state = TemplateState::Filled(names.join(", "));
            self.context.set_template(found.span, state);
        }
        let is_url = *place == Place::SETTING && is_url(key);
        if is_url && !self.check_url(&template, found) {
            return None;
        }
        let filled = template.filled(|name| self.variables.value(name));
        (*place == Place::SETTING).then(|| filled.literal().unwrap_or_default().to_owned())
    }

    /// Reports a value that would begin another part of a URL than the one in which it stands.
    fn check_url(&self, template: &Template, found: &Found<'_>) -> bool {
        // A value that is the whole URL has all of its parts.
        if template.parts().count() == 1 {
            return true;
        }
        let mut before = String::new();
        let mut references = template.references();
        for part in template.parts() {
            if let Part::Text(text) = part {
                before.push_str(text);
                continue;
            }
            let Some((Reference::Variable(name), at)) = references.next() else {
                continue;
            };
            let mut known = self.variables.list().iter();
            let Some(variable) = known.find(|known| known.name == *name) else {
                continue;
            };
            if let Some((bad, place)) = misplaced(&before, &variable.value) {
                let origin = variable.origin_text();
                let message = format!(
                    "\"${{{name}}}\": the value from {origin} has \"{bad}\", which is no part of \
                     {place} of a URL"
                );
                self.report(found, at, &message, None);
                return false;
            }
            before.push_str(&variable.value);
        }
        true
    }

    /// Returns the origin of the value of a variable, or reports why it has none.
    fn resolve(&mut self, found: &Found<'_>, name: &str, at: &Range<usize>) -> Option<String> {
        let unresolved = match self.variables.resolve(name) {
            // The value would be read again, as the placeholder of tenants.
            Ok(variable) if found.has_placeholders && variable.value.contains(['{', '}']) => {
                let origin = variable.origin_text();
                let message = format!("\"${{{name}}}\": the value from {origin} has a brace");
                self.report(found, at, &message, None);
                return None;
            }
            Ok(variable) => return Some(variable.origin_text()),
            Err(unresolved) => unresolved,
        };
        let environment = environment_name(name);
        let hint = match unresolved {
            Unresolved::Unknown(_) => Some(format!(
                "define it in [variables], or set --var {name}=.. or {environment}"
            )),
            _ => None,
        };
        let what = match unresolved {
            Unresolved::Unknown(meant) => format!("there is no such variable{meant}"),
            Unresolved::Empty(origin) => format!("the value from {origin} is empty"),
            Unresolved::Control(origin) => {
                format!("the value from {origin} has a control character")
            }
            Unresolved::Encoding(origin) => format!("the value from {origin} is not UTF-8"),
        };
        let message = format!("\"${{{name}}}\": {what}");
        self.report(found, at, &message, hint);
        None
    }

    /// Reports a reference, and nothing more about its value.
    fn report(&self, found: &Found<'_>, at: &Range<usize>, message: &str, hint: Option<String>) {
        let span = self.context.span_within(found.span, found.text, at);
        let mut problem = Problem::at(span, message);
        if let Some(hint) = hint {
            problem = problem.hint(hint);
        }
        self.context.problem(problem);
        self.context.set_template(found.span, TemplateState::Broken);
    }

    /// Reports the reference of a text that is no template.
    fn refuse(&self, found: &Found<'_>, message: &str) {
        let Some(at) = found.text.find("${") else {
            return;
        };
        let rest = found.text.get(at..).unwrap_or_default();
        let length = rest.find('}').map_or(rest.len(), |end| end + 1);
        let hint = Some(PLACES.to_owned());
        self.report(found, &(at..at + length), message, hint);
    }

    fn check_key(&self, key: &str, span: Span) {
        let found = Found {
            span,
            text: key,
            has_placeholders: false,
        };
        self.refuse(&found, "a key takes no variables");
    }
}
