//! Pieces of JSON Schema.

use serde_json::{Value, json};

/// Returns the name of a table's definition: its path, without the characters that a reference
/// would have to escape.
pub(crate) fn definition(path: &str) -> String {
    path.replace("[]", "").replace(".*", "")
}

pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{}", definition(name)) })
}

pub(crate) fn one_or_list(item: Value) -> Value {
    json!({ "anyOf": [item.clone(), list(item)] })
}

pub(crate) fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

pub(crate) fn list(items: Value) -> Value {
    json!({ "type": "array", "minItems": 1, "items": items })
}

/// Returns the schema of an object with one member and no other.
pub(crate) fn only(name: &str, value: Value) -> Value {
    json!({
        "type": "object",
        "properties": { name: value },
        "required": [name],
        "additionalProperties": false,
    })
}
