//! `true` and `false`.

use serde_json::{Value as Json, json};

use crate::config::language::document::{self, Value};
use crate::config::language::key::{DefaultKey, Field, Key, Kind, Readable};
use crate::config::language::source::Span;

/// `true` or `false`.
#[derive(Clone, Copy)]
pub(crate) struct Flag;

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
