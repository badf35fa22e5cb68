//! Tables, and lists and maps of them.

use serde_json::{Value as Json, json};

use crate::config::language::json::reference;
use crate::config::language::key::{Kind, Table, Tables};

/// A table.
#[derive(Clone, Copy)]
pub(crate) struct Subtable(pub(crate) &'static Table);

/// A list of tables.
#[derive(Clone, Copy)]
pub(crate) struct Subtables(pub(crate) &'static Table);

/// Tables under names that the operator chooses.
#[derive(Clone, Copy)]
pub(crate) struct NamedTables(pub(crate) &'static Table);

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
