//! Words out of a set.

use serde_json::{Value as Json, json};

use super::text::{Str, StrList, Text, collect, text_of};
use crate::config::language::document::Value;
use crate::config::language::json::one_or_list;
use crate::config::language::key::{DefaultKey, Field, Key, Kind, Readable, quoted};
use crate::config::language::nearness::did_you_mean;
use crate::config::language::source::Span;

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

fn words<T>(choices: &[(&'static str, T)]) -> Vec<&'static str> {
    choices.iter().map(|(word, _)| *word).collect()
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
