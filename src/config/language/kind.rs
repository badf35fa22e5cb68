//! The kinds of values. Each knows its words, its JSON Schema, and how a value is read.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::document::{self, Value};
use super::json::{one_or_list, reference, text};
use super::key::{DefaultKey, Field, Key, Kind, Readable, Table, Tables, quoted};
use super::nearness::did_you_mean;
use super::source::Span;
use super::units::{self, Measure, show_duration, show_size};

/// A text with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A string that is not empty.
#[derive(Clone, Copy)]
pub(crate) struct Str;

/// A string, or a list of strings. Neither the list nor any item is empty.
#[derive(Clone, Copy)]
pub(crate) struct StrList;

/// `true` or `false`.
#[derive(Clone, Copy)]
pub(crate) struct Flag;

/// A whole number within bounds that the type `N` holds.
#[derive(Clone, Copy)]
pub(crate) struct Count<N> {
    min: u64,
    max: u64,
    number: PhantomData<N>,
}

/// A number of bytes within bounds that the type `N` holds.
#[derive(Clone, Copy)]
pub(crate) struct Size<N> {
    min: u64,
    max: u64,
    number: PhantomData<N>,
}

/// A duration within bounds.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    min: Duration,
    max: Duration,
}

/// One word out of a set, with the value that it stands for.
#[derive(Clone, Copy)]
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

/// One word, or a list of words, out of a set.
#[derive(Clone, Copy)]
pub(crate) struct Words<T: 'static> {
    /// The words, with the values that they stand for. A function, because they come from a type of
    /// another module.
    pub(crate) all: fn() -> Vec<(&'static str, T)>,
    /// Returns the reason for a word that an operator might expect but that is not allowed.
    pub(crate) refusal: fn(&str) -> Option<&'static str>,
}

/// Words of a fixed set, as [`Words`], or none of them: an empty list has a meaning of its own.
#[derive(Clone, Copy)]
pub(crate) struct WordsOrNone<T: 'static>(pub(crate) Words<T>);

/// A kind whose values are read beside the key.
#[derive(Clone, Copy)]
pub(crate) struct Custom {
    /// The kind in words.
    pub(crate) words: &'static str,
    pub(crate) json_schema: fn() -> Json,
}

/// A table.
#[derive(Clone, Copy)]
pub(crate) struct Subtable(pub(crate) &'static Table);

/// A list of tables.
#[derive(Clone, Copy)]
pub(crate) struct Subtables(pub(crate) &'static Table);

/// Tables under names that the operator chooses.
#[derive(Clone, Copy)]
pub(crate) struct NamedTables(pub(crate) &'static Table);

/// A type of numbers. The bounds of each key are within its range.
pub(crate) trait Number: Copy + Sync + 'static {
    fn saturating(number: u64) -> Self;
}

impl Number for u16 {
    fn saturating(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Number for u32 {
    fn saturating(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Number for u64 {
    fn saturating(number: u64) -> Self {
        number
    }
}

impl Number for usize {
    fn saturating(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

/// A duration or size as it stands in the program.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    text: &'static str,
    /// In milliseconds or bytes.
    amount: u64,
}

impl Written {
    const fn new(text: &'static str, measure: Measure) -> Self {
        let amount = units::constant(text, measure);
        Self { text, amount }
    }
}

impl Kind for Str {
    fn describe(&self) -> String {
        "a string".into()
    }

    fn json_schema(&self) -> Json {
        text()
    }
}

impl Readable for Str {
    type Value = Text;
    type Default = &'static str;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<Text> {
        let text = text_of(field, value)?;
        if text.text.is_empty() {
            field.problem(value.span, format!("\"{}\" is empty", field.name()));
            return None;
        }
        Some(text)
    }

    fn default_value(&self, default: &'static str, span: Span) -> Text {
        let text = default.to_owned();
        Text { text, span }
    }

    fn show(&self, default: &'static str) -> String {
        format!("\"{default}\"")
    }
}

impl Key<Str> {
    pub(crate) const fn or(self, default: &'static str) -> DefaultKey<Str> {
        self.with_default(default)
    }
}

impl Kind for StrList {
    fn describe(&self) -> String {
        "a string or a list of strings".into()
    }

    fn json_schema(&self) -> Json {
        one_or_list(text())
    }
}

impl Readable for StrList {
    type Value = Vec<Text>;
    type Default = &'static [&'static str];

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<Vec<Text>> {
        let mut texts = Some(Vec::new());
        for item in value.items() {
            collect(&mut texts, text_of(field, item));
        }
        let (texts, name) = (texts?, field.name());
        if let Some(empty) = texts.iter().find(|text| text.text.is_empty()) {
            field.problem(empty.span, format!("\"{name}\" holds an empty string"));
            return None;
        }
        if texts.is_empty() {
            let message =
                format!("\"{name}\" is an empty list: name at least one, or leave the key out");
            field.problem(value.span, message);
            return None;
        }
        Some(texts)
    }

    fn default_value(&self, default: &'static [&'static str], span: Span) -> Vec<Text> {
        let mut texts = Vec::with_capacity(default.len());
        for text in default {
            texts.push(Str.default_value(text, span));
        }
        texts
    }

    fn show(&self, default: &'static [&'static str]) -> String {
        match default {
            [one] => Str.show(one),
            several => format!("[\"{}\"]", several.join("\", \"")),
        }
    }
}

impl Key<StrList> {
    pub(crate) const fn or(self, default: &'static [&'static str]) -> DefaultKey<StrList> {
        self.with_default(default)
    }
}

impl Kind for Flag {
    fn describe(&self) -> String {
        "true or false".into()
    }

    fn json_schema(&self) -> Json {
        json!({ "type": "boolean" })
    }
}

impl Readable for Flag {
    type Value = bool;
    type Default = bool;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<bool> {
        let document::Kind::Flag(flag) = value.kind else {
            field.mismatch(value);
            return None;
        };
        Some(flag)
    }

    fn default_value(&self, default: bool, _: Span) -> bool {
        default
    }

    fn show(&self, default: bool) -> String {
        default.to_string()
    }
}

impl Key<Flag> {
    pub(crate) const fn or(self, default: bool) -> DefaultKey<Flag> {
        self.with_default(default)
    }
}

impl<N> Count<N> {
    pub(crate) const fn new(min: u64, max: u64) -> Self {
        let number = PhantomData;
        Self { min, max, number }
    }
}

impl<N> Kind for Count<N> {
    fn describe(&self) -> String {
        "a whole number".into()
    }

    fn bounds(&self) -> Option<String> {
        Some(range(self.min, self.max))
    }

    fn json_schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.min, "maximum": self.max })
    }
}

impl<N: Number> Readable for Count<N> {
    type Value = N;
    type Default = u64;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<N> {
        let document::Kind::Integer(number) = value.kind else {
            field.mismatch(value);
            return None;
        };
        let number = number.and_then(|number| u64::try_from(number).ok());
        let found = number.filter(|number| (self.min..=self.max).contains(number));
        if found.is_none() {
            field.out_of_bounds(value);
        }
        found.map(N::saturating)
    }

    fn default_value(&self, default: u64, _: Span) -> N {
        N::saturating(default)
    }

    fn show(&self, default: u64) -> String {
        default.to_string()
    }
}

impl<N: Number> Key<Count<N>> {
    pub(crate) const fn or(self, default: u64) -> DefaultKey<Count<N>> {
        self.with_default(default)
    }
}

impl<N> Size<N> {
    pub(crate) const fn new(min: u64, max: u64) -> Self {
        let number = PhantomData;
        Self { min, max, number }
    }
}

impl<N> Kind for Size<N> {
    fn describe(&self) -> String {
        "a size".into()
    }

    fn bounds(&self) -> Option<String> {
        Some(range(show_size(self.min), show_size(self.max)))
    }

    fn json_schema(&self) -> Json {
        reference("size")
    }
}

impl<N: Number> Readable for Size<N> {
    type Value = N;
    type Default = Written;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<N> {
        let text = measure_text(field, value, Measure::Size)?;
        let size = measured(field, value.span, units::size(&text))?;
        if !(self.min..=self.max).contains(&size) {
            field.out_of_bounds(value);
            return None;
        }
        Some(N::saturating(size))
    }

    fn default_value(&self, default: Written, _: Span) -> N {
        N::saturating(default.amount)
    }

    fn show(&self, default: Written) -> String {
        Str.show(default.text)
    }
}

impl<N: Number> Key<Size<N>> {
    pub(crate) const fn or(self, default: &'static str) -> DefaultKey<Size<N>> {
        self.with_default(Written::new(default, Measure::Size))
    }
}

impl Time {
    /// A duration of at least one millisecond, for keys where zero would refuse everything.
    pub(crate) const POSITIVE: Self = Self::new(Duration::from_millis(1), YEAR);
    /// A duration of zero or more.
    pub(crate) const ANY: Self = Self::new(Duration::ZERO, YEAR);

    pub(crate) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }
}

/// The longest duration. A longer one is an error of the unit, and unbounded durations overflow
/// clocks.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

impl Kind for Time {
    fn describe(&self) -> String {
        "a duration".into()
    }

    fn bounds(&self) -> Option<String> {
        Some(range(show_duration(self.min), show_duration(self.max)))
    }

    fn json_schema(&self) -> Json {
        reference("duration")
    }
}

impl Readable for Time {
    type Value = Duration;
    type Default = Written;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<Duration> {
        let text = measure_text(field, value, Measure::Duration)?;
        let duration = measured(field, value.span, units::duration(&text))?;
        if !(self.min..=self.max).contains(&duration) {
            field.out_of_bounds(value);
            return None;
        }
        Some(duration)
    }

    fn default_value(&self, default: Written, _: Span) -> Duration {
        Duration::from_millis(default.amount)
    }

    fn show(&self, default: Written) -> String {
        Str.show(default.text)
    }
}

impl Key<Time> {
    pub(crate) const fn or(self, default: &'static str) -> DefaultKey<Time> {
        self.with_default(Written::new(default, Measure::Duration))
    }
}

impl<T> Kind for Choice<T> {
    fn describe(&self) -> String {
        quoted(&words(self.0), "or")
    }

    fn json_schema(&self) -> Json {
        json!({ "enum": words(self.0) })
    }
}

impl<T: Copy + PartialEq + Sync> Readable for Choice<T> {
    type Value = T;
    type Default = T;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<T> {
        chosen(field, &text_of(field, value)?, self.0)
    }

    fn default_value(&self, default: T, _: Span) -> T {
        default
    }

    fn show(&self, default: T) -> String {
        let mut all = self.0.iter();
        let found = all.find(|(_, value)| *value == default);
        found.map(|(word, _)| Str.show(word)).unwrap_or_default()
    }
}

impl<T: Copy + PartialEq + Sync> Key<Choice<T>> {
    pub(crate) const fn or(self, default: T) -> DefaultKey<Choice<T>> {
        self.with_default(default)
    }
}

impl<T> Kind for Words<T> {
    fn describe(&self) -> String {
        let all = (self.all)();
        format!("one or a list of {}", quoted(&words(&all), "or"))
    }

    fn json_schema(&self) -> Json {
        one_or_list(json!({ "enum": words(&(self.all)()) }))
    }
}

impl<T: Copy + Sync> Readable for Words<T> {
    type Value = Vec<T>;
    type Default = &'static [&'static str];

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<Vec<T>> {
        let all = (self.all)();
        let mut found = Some(Vec::new());
        // Checks every word before returning, so that each wrong one is reported.
        for text in &StrList.read(field, value)? {
            let value = match (self.refusal)(&text.text) {
                None => chosen(field, text, &all),
                Some(why) => {
                    let (word, name) = (&text.text, field.name());
                    let message = format!("\"{word}\" cannot be in \"{name}\": {why}");
                    field.problem(text.span, message);
                    None
                }
            };
            collect(&mut found, value);
        }
        found
    }

    fn default_value(&self, default: &'static [&'static str], _: Span) -> Vec<T> {
        let mut all = (self.all)();
        all.retain(|(word, _)| default.contains(word));
        all.into_iter().map(|(_, value)| value).collect()
    }

    fn show(&self, default: &'static [&'static str]) -> String {
        StrList.show(default)
    }
}

impl<T> Kind for WordsOrNone<T> {
    fn describe(&self) -> String {
        let all = (self.0.all)();
        format!(
            "a list of {}, which may be empty",
            quoted(&words(&all), "or")
        )
    }

    fn json_schema(&self) -> Json {
        let word = json!({ "enum": words(&(self.0.all)()) });
        json!({ "anyOf": [word, { "type": "array", "items": word }] })
    }
}

impl<T: Copy + Sync> Readable for WordsOrNone<T> {
    type Value = Vec<T>;
    type Default = &'static [&'static str];

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<Vec<T>> {
        match value.items() {
            [] => Some(Vec::new()),
            _ => self.0.read(field, value),
        }
    }

    fn default_value(&self, default: &'static [&'static str], span: Span) -> Vec<T> {
        self.0.default_value(default, span)
    }

    fn show(&self, default: &'static [&'static str]) -> String {
        self.0.show(default)
    }
}

impl<T: Copy + Sync> Key<WordsOrNone<T>> {
    pub(crate) const fn or(self, default: &'static [&'static str]) -> DefaultKey<WordsOrNone<T>> {
        self.with_default(default)
    }
}

impl Kind for Custom {
    fn describe(&self) -> String {
        self.words.into()
    }

    fn json_schema(&self) -> Json {
        (self.json_schema)()
    }
}

impl Kind for Subtable {
    fn describe(&self) -> String {
        "a table".into()
    }

    fn json_schema(&self) -> Json {
        reference(self.0.path)
    }

    fn tables(&self) -> Tables {
        Tables::Each(self.0)
    }

    fn advice(&self, _: &str, example: &str) -> String {
        keys_below(example)
    }
}

impl Kind for Subtables {
    fn describe(&self) -> String {
        "a list of tables".into()
    }

    fn json_schema(&self) -> Json {
        json!({ "type": "array", "items": reference(self.0.path) })
    }

    fn tables(&self) -> Tables {
        Tables::Each(self.0)
    }

    fn advice(&self, _: &str, example: &str) -> String {
        keys_below(example)
    }
}

impl Kind for NamedTables {
    fn describe(&self) -> String {
        "a table of named tables".into()
    }

    fn json_schema(&self) -> Json {
        json!({ "type": "object", "additionalProperties": reference(self.0.path) })
    }

    fn tables(&self) -> Tables {
        Tables::Named(self.0)
    }

    fn advice(&self, _: &str, example: &str) -> String {
        keys_below(example)
    }
}

fn keys_below(example: &str) -> String {
    format!("write {example} and its keys below")
}

fn range(min: impl fmt::Display, max: impl fmt::Display) -> String {
    format!("{min} to {max}")
}

fn words<T>(choices: &[(&'static str, T)]) -> Vec<&'static str> {
    choices.iter().map(|(word, _)| *word).collect()
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

fn text_of(field: &Field<'_>, value: &Value) -> Option<Text> {
    let document::Kind::Text(text) = &value.kind else {
        field.mismatch(value);
        return None;
    };
    let (text, span) = (text.clone(), value.span);
    Some(Text { text, span })
}

/// Returns the value of the word that equals the text, or reports the text.
fn chosen<T: Copy>(field: &Field<'_>, text: &Text, choices: &[(&'static str, T)]) -> Option<T> {
    let mut all = choices.iter();
    if let Some((_, value)) = all.find(|(word, _)| *word == text.text) {
        return Some(*value);
    }
    let (name, written, words) = (field.name(), &text.text, words(choices));
    let meant = did_you_mean(written, words.iter().copied());
    let message = format!("\"{name}\" has no value \"{written}\"{meant}");
    field.problem_with_hint(
        text.span,
        &message,
        format!("write {}", quoted(&words, "or")),
    );
    None
}

/// Returns the text of a duration or size. Zero needs no unit; for any other bare number the
/// problem suggests a unit.
fn measure_text(field: &Field<'_>, value: &Value, measure: Measure) -> Option<String> {
    match &value.kind {
        document::Kind::Text(text) => Some(text.clone()),
        document::Kind::Integer(Some(0)) => Some("0".into()),
        document::Kind::Integer(Some(number)) if *number > 0 => {
            let (name, unit) = (field.name(), measure.plain_unit());
            let message =
                format!("\"{name}\" has no unit: write, for example, {name} = \"{number}{unit}\"");
            field.problem(value.span, message);
            None
        }
        _ => {
            field.mismatch(value);
            None
        }
    }
}

/// Returns an amount, or reports why the text is none.
fn measured<T>(field: &Field<'_>, span: Span, amount: Result<T, units::UnitError>) -> Option<T> {
    amount
        .inspect_err(|error| field.problem(span, format!("\"{}\": {error}", field.name())))
        .ok()
}

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
