//! Keys and tables: one constant for each key, with its kind, default and documentation.
//!
//! The tables of the language are read by means of these constants, and the JSON Schema and the
//! reference are generated from them. So the documented, the accepted and the assumed language
//! cannot differ.

use serde_json::Value as Json;

use super::document::Value;
use super::problem::Problem;
use super::source::Span;
use crate::config::context::Context;
use crate::transform::Place;

/// A table of the language.
pub(crate) struct Table {
    /// The path, such as `server.timeouts`; `issuers.*` for each of a set of named tables,
    /// `routes[]` for each of a list; empty for the top level of the file.
    pub(crate) path: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [&'static dyn AnyKey],
    /// Keys that an operator may expect here and that are not allowed, each with the reason.
    pub(crate) refused: &'static [(&'static str, &'static str)],
}

/// A key that is required, or whose absence has a meaning.
#[derive(Clone, Copy)]
pub(crate) struct Key<K> {
    about: About,
    pub(crate) kind: K,
}

/// A key with a default. It always has a value.
#[derive(Clone, Copy)]
pub(crate) struct DefaultKey<K: Readable> {
    key: Key<K>,
    default: K::Default,
}

/// The name and the documentation of a key.
#[derive(Clone, Copy)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    /// The meaning of the absence of the key; `None` if the key is required, or has a default.
    pub(crate) absence: Option<&'static str>,
    pub(crate) doc: &'static str,
    /// An example value, in TOML, if the default is none.
    pub(crate) example: Option<&'static str>,
    /// Former names, and names that other programs use. The problem of an unknown key with such a
    /// name tells the name of this key.
    pub(crate) other_names: &'static [&'static str],
    /// The references that the strings of the key may hold; `None` if they are no templates.
    pub(crate) place: Option<&'static Place>,
    /// Set for strings that are no templates and may have any text.
    pub(crate) is_verbatim: bool,
}

/// The kind of a key's values.
pub(crate) trait Kind {
    /// Returns the kind in words, for the reference and for messages such as "…, not an integer".
    fn describe(&self) -> String;

    /// Returns the bounds in words, for the reference; `None` for a kind without bounds.
    fn bounds(&self) -> Option<String> {
        None
    }

    fn json_schema(&self) -> Json;

    /// Returns the tables that values of this kind are.
    fn tables(&self) -> Tables {
        Tables::None
    }

    /// Returns the advice for a value of another kind.
    fn advice(&self, name: &str, example: &str) -> String {
        format!("write, for example, {name} = {example}")
    }
}

/// The tables of a kind.
#[derive(Clone, Copy)]
pub(crate) enum Tables {
    /// Values of this kind are no tables of the language.
    None,
    /// A value is a table, or a list of tables.
    Each(&'static Table),
    /// A value is a table of tables under names.
    Named(&'static Table),
}

/// A kind whose values are read without regard to other keys.
pub(crate) trait Readable: Kind + Copy + Sync + 'static {
    type Value;
    /// A default as it stands in the program.
    type Default: Copy + Sync + 'static;

    /// Returns the value of a key, or reports why it is invalid.
    fn read(&self, field: &Field<'_>, value: &Value) -> Option<Self::Value>;

    /// Returns the value of a default, at the position `span`.
    fn default_value(&self, default: Self::Default, span: Span) -> Self::Value;

    /// Returns a default in TOML.
    fn show(&self, default: Self::Default) -> String;
}

/// A key of any kind: for the reference, the JSON Schema and messages.
pub(crate) trait AnyKey: Sync {
    fn about(&self) -> &About;

    fn kind(&self) -> &dyn Kind;

    /// Returns the default in TOML.
    fn default(&self) -> Option<String>;

    fn name(&self) -> &'static str {
        self.about().name
    }

    fn is_required(&self) -> bool {
        self.about().absence.is_none() && self.default().is_none()
    }

    /// Returns an example value, in TOML: that of the documentation, or the default.
    fn example(&self) -> String {
        let default = || self.default().unwrap_or_default();
        self.about().example.map_or_else(default, str::to_owned)
    }

    fn advice(&self) -> String {
        self.kind().advice(self.name(), &self.example())
    }
}

impl Table {
    pub(crate) fn key(&self, name: &str) -> Option<&'static dyn AnyKey> {
        self.keys.iter().copied().find(|key| key.name() == name)
    }

    /// Returns the names of the keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name())
    }

    /// Returns the header of the table in a file: `[server]`, `[issuers.<name>]`, `[[routes]]`.
    pub(crate) fn header(&self) -> String {
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

impl<K: Copy> Key<K> {
    /// Creates a key. It is required, unless it gets a default or its absence a meaning.
    pub(crate) const fn new(name: &'static str, kind: K) -> Self {
        let about = About {
            name,
            absence: None,
            doc: "",
            example: None,
            other_names: &[],
            place: None,
            is_verbatim: false,
        };
        Self { about, kind }
    }

    /// Sets the meaning of the absence of the key.
    pub(crate) const fn absent(mut self, meaning: &'static str) -> Self {
        self.about.absence = Some(meaning);
        self
    }

    /// Sets the documentation.
    pub(crate) const fn doc(mut self, doc: &'static str) -> Self {
        self.about.doc = doc;
        self
    }

    /// Sets the example value, in TOML.
    pub(crate) const fn example(mut self, example: &'static str) -> Self {
        self.about.example = Some(example);
        self
    }

    /// Sets the references that strings of the key may hold.
    pub(crate) const fn takes(mut self, place: &'static Place) -> Self {
        self.about.place = Some(place);
        self
    }

    /// Lets strings of the key have any text.
    pub(crate) const fn verbatim(mut self) -> Self {
        self.about.is_verbatim = true;
        self
    }

    /// Sets names under which the key may be looked for.
    pub(crate) const fn not(mut self, other_names: &'static [&'static str]) -> Self {
        self.about.other_names = other_names;
        self
    }
}

impl<K: Readable> Key<K> {
    /// Sets the default. Each kind has a constructor of its own, which checks the default.
    pub(super) const fn with_default(mut self, default: K::Default) -> DefaultKey<K> {
        self.about.absence = None;
        DefaultKey { key: self, default }
    }

    /// Returns a value of the file, or reports why it is invalid.
    pub(super) fn read(&self, field: &Field<'_>, value: &Value) -> Option<K::Value> {
        self.kind.read(field, value)
    }
}

impl<K: Readable> DefaultKey<K> {
    /// Returns a value of the file, or reports why it is invalid.
    pub(super) fn read(&self, field: &Field<'_>, value: &Value) -> Option<K::Value> {
        self.key.kind.read(field, value)
    }

    /// Returns the default as it stands in the program.
    pub(crate) const fn default(&self) -> K::Default {
        self.default
    }

    /// Returns the default, at the position `span`.
    pub(crate) fn default_value(&self, span: Span) -> K::Value {
        self.key.kind.default_value(self.default, span)
    }
}

impl<K: Kind + Sync> AnyKey for Key<K> {
    fn about(&self) -> &About {
        &self.about
    }

    fn kind(&self) -> &dyn Kind {
        &self.kind
    }

    fn default(&self) -> Option<String> {
        None
    }
}

impl<K: Readable> AnyKey for DefaultKey<K> {
    fn about(&self) -> &About {
        &self.key.about
    }

    fn kind(&self) -> &dyn Kind {
        &self.key.kind
    }

    fn default(&self) -> Option<String> {
        Some(self.key.kind.show(self.default))
    }
}

/// A key of the file while its value is read, for problems.
pub(crate) struct Field<'r> {
    pub(super) context: &'r Context,
    /// The beginning of messages.
    pub(super) subject: &'r str,
    pub(super) key: &'r dyn AnyKey,
}

impl Field<'_> {
    pub(super) fn name(&self) -> &'static str {
        self.key.name()
    }

    fn problem_at(&self, span: Span, message: &str) -> Problem {
        Problem::at(span, format!("{}: {message}", self.subject))
    }

    pub(super) fn problem(&self, span: Span, message: impl AsRef<str>) {
        self.context
            .problem(self.problem_at(span, message.as_ref()));
    }

    pub(super) fn problem_with_hint(&self, span: Span, message: &str, hint: String) {
        self.context
            .problem(self.problem_at(span, message).hint(hint));
    }

    /// Reports a value of another kind.
    pub(super) fn mismatch(&self, value: &Value) {
        let (name, kind) = (self.name(), self.key.kind().describe());
        let message = format!("\"{name}\" is {kind}, not {}", value.name());
        self.problem_with_hint(value.span, &message, self.key.advice());
    }

    /// Reports a value beyond the bounds.
    pub(super) fn out_of_bounds(&self, value: &Value) {
        let bounds = self.key.kind().bounds().unwrap_or_default();
        let name = self.name();
        let message = format!("\"{name}\" is out of bounds: write a value from {bounds}");
        self.problem(value.span, message);
    }
}

/// Joins words in quotes: `"a", "b" or "c"`.
pub(crate) fn quoted<T: AsRef<str>>(words: &[T], last: &str) -> String {
    let words: Vec<_> = words
        .iter()
        .map(|word| format!("\"{}\"", word.as_ref()))
        .collect();
    match words.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => words.concat(),
    }
}
