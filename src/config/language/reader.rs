//! Reads a table of the file by means of its schema table.
//!
//! A key that is not in the schema cannot be read, and a key of the schema that is never read is
//! reported as a defect of the program. So the documented language and the accepted language are
//! the same.

use std::fmt;
use std::time::Duration;

use super::document::{self, KeyValue, Table, Value};
use super::problem::Problem;
use super::source::Span;
use super::suggestion::{did_you_mean, nearest, unknown_key};
use super::units::{self, Measure};
use crate::config::context::Context;
use crate::config::schema::{self, Absent, Key, Kind};

/// A text with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A table while it is read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) context: &'a Context,
    schema: &'static schema::Table,
    table: &'a Table,
    /// The beginning of messages, such as `route "/orders"`.
    pub(crate) subject: String,
    read: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        context: &'a Context,
        schema: &'static schema::Table,
        table: &'a Table,
        subject: impl Into<String>,
    ) -> Self {
        Self {
            context,
            schema,
            table,
            subject: subject.into(),
            read: Vec::new(),
        }
    }

    /// Returns the position of the table.
    pub(crate) fn span(&self) -> Span {
        self.table.span
    }

    /// Returns whether the file has the key, with a valid value or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.get(name).is_some()
    }

    /// Returns the position of the key, or of the table if the key is absent.
    pub(crate) fn key_span(&self, name: &str) -> Span {
        self.table
            .get(name)
            .map_or(self.table.span, |entry| entry.key_span)
    }

    /// Returns the position of the value, or of the table if the key is absent.
    pub(crate) fn value_span(&self, name: &str) -> Span {
        self.table
            .get(name)
            .map_or(self.table.span, |entry| entry.value.span)
    }

    /// Returns the value of a key if it is a text. The key does not count as read, and no problem
    /// is reported.
    pub(crate) fn peek(&self, name: &str) -> Option<Text> {
        let value = &self.table.get(name)?.value;
        match &value.kind {
            document::Kind::Text(text) => Some(Text {
                text: text.clone(),
                span: value.span,
            }),
            _ => None,
        }
    }

    /// Reports a problem of this table.
    pub(crate) fn problem(&self, span: Span, message: impl AsRef<str>) {
        self.context.problem(self.problem_at(span, message));
    }

    /// Reports a problem of this table, with advice.
    pub(crate) fn problem_with_hint(
        &self,
        span: Span,
        message: impl AsRef<str>,
        hint: impl Into<String>,
    ) {
        self.context
            .problem(self.problem_at(span, message).hint(hint));
    }

    /// Reports a problem of this table that refers to a second position.
    pub(crate) fn problem_with_related(
        &self,
        span: Span,
        message: impl AsRef<str>,
        related: Span,
        label: &str,
    ) {
        self.context
            .problem(self.problem_at(span, message).related(related, label));
    }

    /// Notes something about this table that is valid but deserves attention.
    pub(crate) fn note(&self, span: Span, message: impl AsRef<str>) {
        self.context.note(self.problem_at(span, message));
    }

    /// Returns the value of a result. Reports an error, as `subject: error`.
    pub(crate) fn accept<T>(
        &self,
        span: Span,
        subject: impl fmt::Display,
        result: Result<T, impl fmt::Display>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(span, format!("{subject}: {error}"));
                None
            }
        }
    }

    /// Returns the content of the file that a value names, or reports why it cannot be read. The
    /// file is watched.
    pub(crate) fn content(&self, name: &str, path: &Text) -> Option<String> {
        let content = self.context.read_named(path.span, &path.text);
        self.accept(path.span, format_args!("\"{name}\""), content)
    }

    /// Returns a problem of this table, for the caller to complete and report.
    pub(crate) fn problem_at(&self, span: Span, message: impl AsRef<str>) -> Problem {
        Problem::at(span, format!("{}: {}", self.subject, message.as_ref()))
    }

    /// Returns the schema of a key, and records the key as read.
    fn key(&mut self, name: &'static str) -> Option<&'static Key> {
        self.read.push(name);
        let key = self.schema.key(name);
        if key.is_none() {
            self.internal(format!("\"{name}\" is read and not in the schema"));
        }
        key
    }

    fn internal(&self, message: String) {
        let path = self.schema.path;
        self.context.problem(Problem::without_span(format!(
            "this is a defect of scopegate: [{path}]: {message}"
        )));
    }

    /// Returns the value of a key as it stands in the file. Reports a required key that is absent.
    pub(crate) fn value(&mut self, name: &'static str) -> Option<Value> {
        let key = self.key(name)?;
        let found = self.table.get(name).map(|entry| entry.value.clone());
        if found.is_none() && matches!(key.absent, Absent::Required) {
            self.missing(key.name);
        }
        found
    }

    /// Reports that a key is missing, unless it is present under a wrong name.
    pub(crate) fn missing(&self, name: &str) {
        if let Some(key) = self.schema.key(name).filter(|key| !self.is_misspelled(key)) {
            self.problem_with_hint(
                self.table.span,
                format!("\"{name}\" is missing"),
                for_example(key),
            );
        }
    }

    /// Returns whether the key is present under a wrong name. That name is reported already, and
    /// one mistake should give one problem.
    fn is_misspelled(&self, key: &Key) -> bool {
        self.table
            .entries
            .iter()
            .any(|entry| self.schema.key(&entry.key).is_none() && self.means(entry, key))
    }

    /// Returns whether the unknown key of an entry is probably this key.
    fn means(&self, entry: &KeyValue, key: &Key) -> bool {
        key.other_names.contains(&entry.key.as_str())
            || nearest(&entry.key, self.schema.names()) == Some(key.name)
    }

    /// Returns the value of a key, parsed by `parse`, which reports invalid values. An absent or
    /// invalid value is replaced by the default.
    fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&Self, &'static Key, &Value) -> Option<T>,
    ) -> Option<T> {
        let found = self.value(name);
        let key = self.schema.key(name)?;
        if let Some(good) = found.and_then(|value| parse(self, key, &value)) {
            return Some(good);
        }
        parse(self, key, &key.default_value(self.table.span)?)
    }

    /// Returns a string that is not empty.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<Text> {
        self.parsed(name, Self::text_in)
    }

    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.parsed(name, Self::flag_in)
    }

    pub(crate) fn count(&mut self, name: &'static str) -> Option<usize> {
        self.parsed(name, Self::count_in)
    }

    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        self.parsed(name, Self::duration_in)
    }

    /// Returns a size in bytes.
    pub(crate) fn size(&mut self, name: &'static str) -> Option<u64> {
        self.parsed(name, Self::size_in)
    }

    /// Returns one word of a choice.
    pub(crate) fn choice(&mut self, name: &'static str) -> Option<&'static str> {
        self.parsed(name, Self::choice_in)
    }

    /// Returns the strings of a list, or one string as a list. Neither the list nor any item is
    /// empty.
    pub(crate) fn texts(&mut self, name: &'static str) -> Option<Vec<Text>> {
        self.parsed(name, Self::texts_in)
    }

    fn text_in(&self, key: &Key, value: &Value) -> Option<Text> {
        let text = self.text_of(key, value)?;
        if text.text.is_empty() {
            self.problem(value.span, format!("\"{}\" is empty", key.name));
            return None;
        }
        Some(text)
    }

    fn flag_in(&self, key: &Key, value: &Value) -> Option<bool> {
        match value.kind {
            document::Kind::Flag(flag) => Some(flag),
            _ => self.mismatch(key, value),
        }
    }

    fn count_in(&self, key: &Key, value: &Value) -> Option<usize> {
        let (document::Kind::Integer(number), Kind::Count { min, max }) = (&value.kind, key.kind)
        else {
            return self.mismatch(key, value);
        };
        let number = number.and_then(|number| u64::try_from(number).ok());
        match number {
            Some(number) if (min..=max).contains(&number) => usize::try_from(number).ok(),
            _ => self.out_of_bounds(key, value),
        }
    }

    fn duration_in(&self, key: &Key, value: &Value) -> Option<Duration> {
        let text = self.measure_text(key, value, Measure::Duration)?;
        let subject = format_args!("\"{}\"", key.name);
        let duration = self.accept(value.span, subject, units::duration(&text))?;
        match key.kind {
            Kind::Duration { min, max } if (min..=max).contains(&duration) => Some(duration),
            _ => self.out_of_bounds(key, value),
        }
    }

    fn size_in(&self, key: &Key, value: &Value) -> Option<u64> {
        let text = self.measure_text(key, value, Measure::Size)?;
        let subject = format_args!("\"{}\"", key.name);
        let size = self.accept(value.span, subject, units::size(&text))?;
        match key.kind {
            Kind::Size { min, max } if (min..=max).contains(&size) => Some(size),
            _ => self.out_of_bounds(key, value),
        }
    }

    fn choice_in(&self, key: &Key, value: &Value) -> Option<&'static str> {
        let text = self.text_of(key, value)?;
        let Kind::Choice(words) = key.kind else {
            return self.mismatch(key, value);
        };
        self.word(key, &text, words)
    }

    fn texts_in(&self, key: &Key, value: &Value) -> Option<Vec<Text>> {
        let texts = self.list(key, value)?;
        let name = key.name;
        if let Some(empty) = texts.iter().find(|text| text.text.is_empty()) {
            self.problem(empty.span, format!("\"{name}\" holds an empty string"));
            return None;
        }
        if texts.is_empty() {
            let message =
                format!("\"{name}\" is an empty list: name at least one, or leave the key out");
            self.problem(value.span, message);
            return None;
        }
        Some(texts)
    }

    /// Returns words out of a fixed set. `never` returns the reason for a word that an operator
    /// might expect but that is not allowed.
    pub(crate) fn words(
        &mut self,
        name: &'static str,
        never: fn(&str) -> Option<&'static str>,
    ) -> Option<Vec<&'static str>> {
        let texts = self.texts(name)?;
        let key = self.schema.key(name)?;
        let Kind::Choices(words) = key.kind else {
            return None;
        };
        let words = words();
        let mut found = Some(Vec::new());
        // Checks every word before returning, so that each wrong one is reported.
        for text in &texts {
            let word = match never(&text.text) {
                None => self.word(key, text, &words),
                Some(why) => {
                    let message = format!("\"{}\" cannot be in \"{name}\": {why}", text.text);
                    self.problem(text.span, message);
                    None
                }
            };
            collect(&mut found, word);
        }
        found
    }

    /// Returns a subtable; an empty one if the file has none.
    pub(crate) fn table(&mut self, name: &'static str) -> Table {
        match self.value(name) {
            Some(Value {
                kind: document::Kind::Table(table),
                ..
            }) => table,
            Some(other) => {
                self.mismatched(name, &other);
                Table::empty(self.span())
            }
            None => Table::empty(self.span()),
        }
    }

    /// Returns the tables of a list.
    pub(crate) fn tables(&mut self, name: &'static str) -> Vec<Table> {
        let Some(value) = self.value(name) else {
            return Vec::new();
        };
        let document::Kind::List(items) = value.kind else {
            self.mismatched(name, &value);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.kind {
                document::Kind::Table(table) => tables.push(table),
                _ => self.mismatched(name, &item),
            }
        }
        tables
    }

    /// Returns the named subtables of a table, with their names.
    pub(crate) fn named(&mut self, name: &'static str) -> Vec<(Text, Table)> {
        let all = self.table(name);
        let mut tables = Vec::new();
        for entry in all.entries {
            match entry.value.kind {
                document::Kind::Table(table) => {
                    tables.push((
                        Text {
                            text: entry.key,
                            span: entry.key_span,
                        },
                        table,
                    ));
                }
                _ => self.problem(
                    entry.value.span,
                    format!(
                        "\"{name}.{}\" is {}: write [{name}.{0}] and its keys below",
                        entry.key,
                        entry.value.name()
                    ),
                ),
            }
        }
        tables
    }

    /// Reports each key that is not in the schema. Must be the last call on a reader.
    pub(crate) fn finish(self) {
        for entry in &self.table.entries {
            if self.schema.key(&entry.key).is_none() {
                self.context
                    .problem(unknown_key(self.schema, &self.subject, entry));
            }
        }
        for key in self.schema.keys {
            if !self.read.contains(&key.name) {
                self.internal(format!("\"{}\" is in the schema and not read", key.name));
            }
        }
    }

    /// Reports a value of the wrong type.
    pub(crate) fn mismatched(&self, name: &str, value: &Value) {
        if let Some(key) = self.schema.key(name) {
            self.mismatch::<()>(key, value);
        }
    }

    fn mismatch<T>(&self, key: &Key, value: &Value) -> Option<T> {
        let message = format!(
            "\"{}\" is {}, not {}",
            key.name,
            key.kind.describe(),
            value.name()
        );
        self.problem_with_hint(value.span, message, for_example(key));
        None
    }

    fn out_of_bounds<T>(&self, key: &Key, value: &Value) -> Option<T> {
        let bounds = key.kind.bounds().unwrap_or_default();
        self.problem(
            value.span,
            format!(
                "\"{}\" is out of bounds: write a value from {bounds}",
                key.name
            ),
        );
        None
    }

    fn text_of(&self, key: &Key, value: &Value) -> Option<Text> {
        match &value.kind {
            document::Kind::Text(text) => Some(Text {
                text: text.clone(),
                span: value.span,
            }),
            _ => self.mismatch(key, value),
        }
    }

    fn list(&self, key: &Key, value: &Value) -> Option<Vec<Text>> {
        match &value.kind {
            document::Kind::List(items) => {
                let mut texts = Some(Vec::new());
                for item in items {
                    collect(&mut texts, self.text_of(key, item));
                }
                texts
            }
            _ => Some(vec![self.text_of(key, value)?]),
        }
    }

    /// Returns the word of the set that equals the text, or reports the text.
    fn word(&self, key: &Key, text: &Text, words: &[&'static str]) -> Option<&'static str> {
        let found = words.iter().copied().find(|word| *word == text.text);
        if found.is_none() {
            let meant = did_you_mean(&text.text, words.iter().copied());
            let message = format!("\"{}\" has no value \"{}\"{meant}", key.name, text.text);
            self.problem_with_hint(
                text.span,
                message,
                format!("write {}", schema::quoted(words, "or")),
            );
        }
        found
    }

    /// Returns the text of a duration or size. Zero needs no unit; for any other bare number the
    /// problem suggests a unit.
    fn measure_text(&self, key: &Key, value: &Value, measure: Measure) -> Option<String> {
        match &value.kind {
            document::Kind::Text(text) => Some(text.clone()),
            document::Kind::Integer(Some(0)) => Some("0".into()),
            document::Kind::Integer(Some(number)) if *number > 0 => {
                let written = format!("{} = \"{number}{}\"", key.name, measure.plain_unit());
                self.problem(
                    value.span,
                    format!(
                        "\"{}\" has no unit: write, for example, {written}",
                        key.name
                    ),
                );
                None
            }
            _ => self.mismatch(key, value),
        }
    }
}

/// Adds an item to a list. A missing item makes the whole list `None`.
///
/// A loop with this checks every item, so that each invalid one is reported; collecting into an
/// `Option` would stop at the first.
pub(crate) fn collect<T>(list: &mut Option<Vec<T>>, item: Option<T>) {
    match (list.as_mut(), item) {
        (Some(list), Some(item)) => list.push(item),
        _ => *list = None,
    }
}

fn for_example(key: &Key) -> String {
    match key.kind {
        Kind::Table(_) | Kind::Tables(_) | Kind::Named(_) => {
            format!("write {} and its keys below", key.example)
        }
        _ => format!("write, for example, {} = {}", key.name, key.example),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::{RELOAD, UPSTREAM};

    fn lines(context: Context) -> Vec<String> {
        context.into_problems().lines().collect()
    }

    fn table(text: &str) -> Table {
        document::parse(0, text).0
    }

    // These tests hold the lowering to the schema tables.
    #[test]
    fn a_key_that_is_documented_and_not_read_is_a_mistake() {
        let (context, table) = (Context::new(), table("watch = true"));
        let mut reader = Reader::new(&context, &RELOAD, &table, "reload");
        assert_eq!(reader.flag("watch"), Some(true));
        reader.finish();
        let found = lines(context);
        assert_eq!(
            found,
            ["this is a defect of scopegate: [reload]: \"settle\" is in the schema and not read"]
        );
    }

    #[test]
    fn a_key_that_is_read_and_not_documented_is_a_mistake() {
        let (context, table) = (Context::new(), table("secretly = true"));
        let mut reader = Reader::new(&context, &RELOAD, &table, "reload");
        assert_eq!(reader.flag("secretly"), None);
        assert!(lines(context)[0].contains("\"secretly\" is read and not in the schema"));
    }

    #[test]
    fn what_is_absent_or_broken_reads_as_its_default() {
        let (context, table) = (
            Context::new(),
            table("watch = 1\nsettle = \"5 fortnights\""),
        );
        let mut reader = Reader::new(&context, &RELOAD, &table, "reload");
        assert_eq!(
            (reader.flag("watch"), reader.duration("settle")),
            (Some(true), Some(Duration::from_millis(200)))
        );
        reader.finish();
        assert_eq!(lines(context).len(), 2);
        let (context, table) = (
            Context::new(),
            Table::empty(Span {
                file: 0,
                start: 0,
                end: 0,
            }),
        );
        let mut reader = Reader::new(&context, &UPSTREAM, &table, "upstream");
        assert_eq!(
            (reader.count("max_idle"), reader.text("ca_file")),
            (Some(256), None)
        );
        assert!(!context.has_problems());
    }
}
