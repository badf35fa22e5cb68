//! Reads a table of the file by means of its keys.
//!
//! A key that is not in the list of its table cannot be read, and a key of the list that is never
//! read is reported as a defect of the program. So the documented language and the accepted
//! language are the same.

use std::cell::OnceCell;
use std::fmt;

use super::document::{self, KeyValue, Value};
use super::key::{AnyKey, DefaultKey, Field, Key, Readable, Table};
use super::kind::{NamedTables, Subtable, Subtables, Text};
use super::problem::Problem;
use super::source::Span;
use super::suggestion::{meant_key, unknown_key};
use crate::config::context::Context;

/// A table while it is read.
pub(crate) struct Reader<'a> {
    pub(crate) context: &'a Context,
    /// The beginning of messages, such as `route "/orders"`.
    pub(crate) subject: String,
    table: &'static Table,
    /// The entries of the file.
    entries: &'a [KeyValue],
    span: Span,
    read: Vec<&'static str>,
    /// The entries whose keys are not in the list of the table, once they are looked for.
    unknown: OnceCell<Vec<&'a KeyValue>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        context: &'a Context,
        table: &'static Table,
        found: &'a document::Table,
        subject: impl Into<String>,
    ) -> Self {
        Self {
            context,
            subject: subject.into(),
            table,
            entries: &found.entries,
            span: found.span,
            read: Vec::new(),
            unknown: OnceCell::new(),
        }
    }

    /// Returns a reader of another table of the same kind, for the positions of its values.
    pub(crate) fn of<'b>(&self, found: &'b document::Table) -> Reader<'b>
    where
        'a: 'b,
    {
        Reader::new(self.context, self.table, found, self.subject.as_str())
    }

    /// Returns the position of the table.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    fn entry(&self, key: &dyn AnyKey) -> Option<&'a KeyValue> {
        self.entries.iter().find(|entry| entry.key == key.name())
    }

    /// Returns whether the file has the key, with a valid value or not.
    pub(crate) fn has(&self, key: &dyn AnyKey) -> bool {
        self.entry(key).is_some()
    }

    /// Returns the position of the key, or of the table if the key is absent.
    pub(crate) fn key_span(&self, key: &dyn AnyKey) -> Span {
        self.entry(key).map_or(self.span, |entry| entry.key_span)
    }

    /// Returns the position of the value, or of the table if the key is absent.
    pub(crate) fn value_span(&self, key: &dyn AnyKey) -> Span {
        self.entry(key).map_or(self.span, |entry| entry.value.span)
    }

    /// Returns the texts of a key that is a text or a list. The key does not count as read, and no
    /// problem is reported.
    pub(crate) fn peek_all(&self, key: &dyn AnyKey) -> Vec<Text> {
        let mut texts = Vec::new();
        let value = self.entry(key).map(|entry| &entry.value);
        for item in value.into_iter().flat_map(Value::items) {
            if let document::Kind::Text(text) = &item.kind {
                texts.push(Text {
                    text: text.clone(),
                    span: item.span,
                });
            }
        }
        texts
    }

    /// Returns the value of a key if it is a number. The key does not count as read, and no problem
    /// is reported.
    pub(crate) fn peek_number(&self, key: &dyn AnyKey) -> Option<i64> {
        match self.entry(key)?.value.kind {
            document::Kind::Integer(number) => number,
            _ => None,
        }
    }

    /// Returns the value of a key if it is a text. The key does not count as read, and no problem
    /// is reported.
    pub(crate) fn peek(&self, key: &dyn AnyKey) -> Option<Text> {
        let value = &self.entry(key)?.value;
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

    /// Reports a key that cannot stand beside another key.
    pub(crate) fn refuse_beside(&self, key: &dyn AnyKey, other: &dyn AnyKey) {
        let (name, first) = (key.name(), other.name());
        let message =
            format!("\"{name}\" beside \"{first}\": they exclude each other, keep one of them");
        let (span, related) = (self.key_span(key), self.key_span(other));
        self.problem_with_related(span, message, related, "the other one");
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
    pub(crate) fn content(&self, key: &dyn AnyKey, path: &Text) -> Option<String> {
        let content = self.context.read_named(path.span, &path.text);
        self.accept(path.span, format_args!("\"{}\"", key.name()), content)
    }

    /// Returns a problem of this table, for the caller to complete and report.
    pub(crate) fn problem_at(&self, span: Span, message: impl AsRef<str>) -> Problem {
        Problem::at(span, format!("{}: {}", self.subject, message.as_ref()))
    }

    fn internal(&self, message: String) {
        let path = self.table.path;
        self.context.problem(Problem::without_span(format!(
            "this is a defect of scopegate: [{path}]: {message}"
        )));
    }

    /// Returns the value of a key as it stands in the file. Reports a required key that is absent.
    pub(crate) fn value(&mut self, key: &dyn AnyKey) -> Option<&'a Value> {
        let name = key.name();
        self.read.push(name);
        if self.table.key(name).is_none() {
            self.internal(format!("\"{name}\" is read and not in the schema"));
            return None;
        }
        let found = self.entry(key).map(|entry| &entry.value);
        if found.is_none() && key.is_required() {
            self.missing(key);
        }
        found
    }

    /// Reports that a key is missing, unless it is present under a wrong name.
    pub(crate) fn missing(&self, key: &dyn AnyKey) {
        if !self.is_misspelled(key) {
            let message = format!("\"{}\" is missing", key.name());
            self.problem_with_hint(self.span, message, key.advice());
        }
    }

    /// Reports that a key is missing with a message and advice of its own, unless it is present
    /// under a wrong name. The key counts as read.
    pub(crate) fn missing_with(&mut self, key: &dyn AnyKey, message: &str, hint: &str) {
        self.read.push(key.name());
        if !self.is_misspelled(key) {
            self.problem_with_hint(self.span, message, hint);
        }
    }

    /// Returns whether the key is present under a wrong name. That name is reported by
    /// [`Self::finish`], and one mistake should give one problem.
    pub(crate) fn is_misspelled(&self, key: &dyn AnyKey) -> bool {
        self.unknown().iter().any(|entry| self.means(entry, key))
    }

    fn unknown(&self) -> &[&'a KeyValue] {
        self.unknown.get_or_init(|| {
            let entries = self.entries.iter();
            let unknown = entries.filter(|entry| self.table.key(&entry.key).is_none());
            unknown.collect()
        })
    }

    /// Returns whether the unknown key of an entry is probably this key.
    fn means(&self, entry: &KeyValue, key: &dyn AnyKey) -> bool {
        let name = entry.key.as_str();
        key.about().other_names.contains(&name)
            || meant_key(name, self.table, &self.context.tables_with(name)) == Some(key.name())
    }

    /// Returns the value of a key; the default if the key is absent or its value invalid, which is
    /// reported.
    pub(crate) fn get<K: Readable>(&mut self, key: &DefaultKey<K>) -> K::Value {
        let read = match self.value(key) {
            Some(value) => key.read(&self.field(key), value),
            None => None,
        };
        read.unwrap_or_else(|| key.default_value(self.span))
    }

    /// Returns the value of a key without a default; `None` if the key is absent or its value
    /// invalid, which is reported.
    pub(crate) fn find<K: Readable>(&mut self, key: &Key<K>) -> Option<K::Value> {
        let value = self.value(key)?;
        key.read(&self.field(key), value)
    }

    fn field<'r>(&'r self, key: &'r dyn AnyKey) -> Field<'r> {
        Field {
            context: self.context,
            subject: &self.subject,
            key,
        }
    }

    /// Returns a reader of a subtable; of an empty one if the file has none.
    pub(crate) fn table(&mut self, key: &Key<Subtable>, subject: impl Into<String>) -> Reader<'a> {
        let found = self.table_value(key);
        self.subreader(key.kind.0, found, subject.into())
    }

    /// Returns a reader of a subtable, if the file has it.
    pub(crate) fn table_if_present(
        &mut self,
        key: &Key<Subtable>,
        subject: impl Into<String>,
    ) -> Option<Reader<'a>> {
        let found = self.table_value(key);
        self.has(key)
            .then(|| self.subreader(key.kind.0, found, subject.into()))
    }

    /// Returns a reader of a subtable, if the file has it. Its messages begin with those of this
    /// table and the name of the key. Most routes have no such table, so that they need no text.
    pub(crate) fn table_below(&mut self, key: &Key<Subtable>) -> Option<Reader<'a>> {
        let found = self.table_value(key);
        self.has(key).then(|| {
            let subject = format!("{}: \"{}\"", self.subject, key.name());
            self.subreader(key.kind.0, found, subject)
        })
    }

    /// Returns readers of the tables of a list.
    pub(crate) fn tables(
        &mut self,
        key: &Key<Subtables>,
        subject: impl Into<String>,
    ) -> Vec<Reader<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let document::Kind::List(items) = &value.kind else {
            self.mismatched(key, value);
            return Vec::new();
        };
        let subject = subject.into();
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            match &item.kind {
                document::Kind::Table(table) => {
                    tables.push(self.subreader(key.kind.0, Some(table), subject.clone()));
                }
                _ => self.mismatched(key, item),
            }
        }
        tables
    }

    /// Returns the named subtables of a table, with their names.
    pub(crate) fn named(&mut self, key: &Key<NamedTables>) -> Vec<(Text, &'a document::Table)> {
        let (name, mut tables) = (key.name(), Vec::new());
        let all = self.table_value(key);
        for entry in all.into_iter().flat_map(|all| &all.entries) {
            if let document::Kind::Table(table) = &entry.value.kind {
                let (text, span) = (entry.key.clone(), entry.key_span);
                tables.push((Text { text, span }, table));
                continue;
            }
            let (subkey, kind) = (&entry.key, entry.value.name());
            let message = format!(
                "\"{name}.{subkey}\" is {kind}: write [{name}.{subkey}] and its keys below"
            );
            self.problem(entry.value.span, message);
        }
        tables
    }

    /// Returns the value of a key if it is a table.
    fn table_value(&mut self, key: &dyn AnyKey) -> Option<&'a document::Table> {
        let value = self.value(key)?;
        let document::Kind::Table(table) = &value.kind else {
            self.mismatched(key, value);
            return None;
        };
        Some(table)
    }

    fn subreader(
        &self,
        table: &'static Table,
        found: Option<&'a document::Table>,
        subject: String,
    ) -> Reader<'a> {
        Reader {
            context: self.context,
            subject,
            table,
            entries: found.map_or(&[], |found| &found.entries),
            span: found.map_or(self.span, |found| found.span),
            read: Vec::new(),
            unknown: OnceCell::new(),
        }
    }

    /// Reports each key of the file that is not in the list. Must be the last call on a reader.
    pub(crate) fn finish(self) {
        for entry in self.unknown() {
            let elsewhere = self.context.tables_with(&entry.key);
            let problem = unknown_key(self.table, &self.subject, entry, &elsewhere);
            self.context.problem(problem);
        }
        for name in self.table.names() {
            if !self.read.contains(&name) {
                self.internal(format!("\"{name}\" is in the schema and not read"));
            }
        }
    }

    /// Reports a value of the wrong kind.
    pub(crate) fn mismatched(&self, key: &dyn AnyKey, value: &Value) {
        self.field(key).mismatch(value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::kind::{Flag, Str, Time};
    use super::*;

    const WATCH: DefaultKey<Flag> = Key::new("watch", Flag).or(true);
    const SETTLE: DefaultKey<Time> = Key::new("settle", Time::ANY).or("200ms");
    const FILE: Key<Str> = Key::new("file", Str).absent("none");
    static TABLE: Table = Table {
        path: "reload",
        doc: "",
        keys: &[&WATCH, &SETTLE, &FILE],
        refused: &[],
    };

    fn lines(context: Context) -> Vec<String> {
        context.into_problems().lines().collect()
    }

    fn table(text: &str) -> document::Table {
        document::parse(0, text).0
    }

    // These tests hold the reading to the lists of keys.
    #[test]
    fn a_key_that_is_documented_and_not_read_is_a_mistake() {
        let (context, table) = (Context::new(|_| Vec::new()), table("watch = true"));
        let mut reader = Reader::new(&context, &TABLE, &table, "reload");
        assert!(reader.get(&WATCH));
        assert_eq!(reader.find(&FILE), None);
        reader.finish();
        let found = lines(context);
        assert_eq!(
            found,
            ["this is a defect of scopegate: [reload]: \"settle\" is in the schema and not read"]
        );
    }

    #[test]
    fn a_key_that_is_read_and_not_documented_is_a_mistake() {
        const SECRETLY: Key<Flag> = Key::new("secretly", Flag);
        let (context, table) = (Context::new(|_| Vec::new()), table("secretly = true"));
        let mut reader = Reader::new(&context, &TABLE, &table, "reload");
        assert_eq!(reader.find(&SECRETLY), None);
        assert!(lines(context)[0].contains("\"secretly\" is read and not in the schema"));
    }

    #[test]
    fn what_is_absent_or_broken_reads_as_its_default() {
        let (context, broken) = (
            Context::new(|_| Vec::new()),
            table("watch = 1\nsettle = \"5 fortnights\"\nfile = 3"),
        );
        let mut reader = Reader::new(&context, &TABLE, &broken, "reload");
        let read = |reader: &mut Reader<'_>| {
            let values = (reader.get(&WATCH), reader.get(&SETTLE));
            (values, reader.find(&FILE))
        };
        let expected = ((true, Duration::from_millis(200)), None);
        assert_eq!(read(&mut reader), expected);
        reader.finish();
        assert_eq!(lines(context).len(), 3);
        let (context, empty) = (Context::new(|_| Vec::new()), table(""));
        let mut reader = Reader::new(&context, &TABLE, &empty, "reload");
        assert_eq!(read(&mut reader), expected);
        reader.finish();
        assert!(!context.has_problems());
    }
}
