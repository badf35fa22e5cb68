//! The kinds of values. Each knows its words, its JSON Schema, and how a value is read.

mod count;
mod flag;
mod measure;
mod table;
mod text;
mod word;

use serde_json::Value as Json;

pub(crate) use count::Count;
pub(crate) use flag::Flag;
pub(crate) use measure::{GIB, KIB, MIB, Size, Time};
pub(crate) use table::{NamedTables, Subtable, Subtables};
pub(crate) use text::{Str, StrList, Text, collect};
pub(crate) use word::{Choice, Words, WordsOrNone};

use super::key::Kind;

/// A kind whose values are read beside the key.
#[derive(Clone, Copy)]
pub(crate) struct Custom {
    /// The kind in words.
    pub(crate) words: &'static str,
    pub(crate) json_schema: fn() -> Json,
}

impl Kind for Custom {
    fn describe(&self) -> String {
        self.words.into()
    }

    fn json_schema(&self) -> Json {
        (self.json_schema)()
    }
}
