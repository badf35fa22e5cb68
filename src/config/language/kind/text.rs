//! Strings, and lists of them.

use serde_json::Value as Json;

use crate::config::language::document::{self, Value};
use crate::config::language::json::{one_or_list, text};
use crate::config::language::key::{DefaultKey, Field, Key, Kind, Readable};
use crate::config::language::source::Span;

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

pub(super) fn text_of(field: &Field<'_>, value: &Value) -> Option<Text> {
    let document::Kind::Text(text) = &value.kind else {
        field.mismatch(value);
        return None;
    };
    let (text, span) = (text.clone(), value.span);
    Some(Text { text, span })
}
