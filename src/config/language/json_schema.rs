//! The JSON Schema (draft 2020-12) of `gateway.toml`, for editors. It is generated from the schema
//! tables.
//!
//! It checks keys, types and words, but not the conditions between them: it refuses no valid file,
//! and accepts some files that [`crate::config::Config::load`] refuses.

use serde_json::{Map, Value, json};

use super::document;
use super::source::Span;
use crate::config::schema::{Absent, FILE, Key, Kind, TABLES, Table};

/// Returns the JSON Schema of the configuration file.
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for table in TABLES.iter().filter(|table| !table.path.is_empty()) {
        definitions.insert(definition(table.path), table_schema(table));
    }
    definitions.extend(shared_definitions());
    let mut schema = table_schema(&FILE);
    if let Some(object) = schema.as_object_mut() {
        object.insert(
            "$schema".into(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        object.insert("title".into(), "gateway.toml".into());
        object.insert("$defs".into(), definitions.into());
    }
    schema
}

/// Returns the name of a table's definition: its path, without the characters that a reference
/// would have to escape.
fn definition(path: &str) -> String {
    path.replace("[]", "").replace(".*", "")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{}", definition(name)) })
}

fn table_schema(table: &Table) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in table.keys {
        properties.insert(key.name.to_owned(), key_schema(key));
        if matches!(key.absent, Absent::Required) {
            required.push(key.name);
        }
    }
    let mut schema = json!({
        "type": "object",
        "description": table.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if let Some(object) = schema.as_object_mut().filter(|_| !required.is_empty()) {
        object.insert("required".into(), required.into());
    }
    schema
}

fn key_schema(key: &Key) -> Value {
    let mut schema = kind_schema(key.kind);
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".into(), key.doc.into());
        // The example of a structural key is a table header, which is no value.
        if let Some(example) = json_of(key.example) {
            object.insert("examples".into(), json!([example]));
        }
        if let Absent::Default(text) = key.absent
            && let Some(default) = json_of(text)
        {
            object.insert("default".into(), default);
        }
    }
    schema
}

fn json_of(toml: &str) -> Option<Value> {
    document::literal(toml, Span::new(0, 0..0))?.to_json()
}

fn kind_schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => text(),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::True => json!({ "const": true }),
        Kind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration { .. } => reference("duration"),
        Kind::Size { .. } => reference("size"),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Choices(words) => one_or_list(json!({ "enum": words() })),
        Kind::Texts => one_or_list(text()),
        Kind::ScopeRule => reference("scope_rule"),
        Kind::Methods => json!({ "anyOf": [text(), list(text()), reference("method_map")] }),
        Kind::Claims | Kind::Headers => json!({ "type": "object", "additionalProperties": text() }),
        Kind::RequiredClaims => required_claims(),
        Kind::Secret => json!({ "anyOf": [text(), only("file", text()), only("env", text())] }),
        Kind::Endpoints => endpoints(),
        Kind::KeySet => json!({ "anyOf": [text(), { "type": "object", "required": ["keys"] }] }),
        Kind::Table(path) => reference(path),
        Kind::Tables(path) => json!({ "type": "array", "items": reference(path) }),
        Kind::Named(path) => json!({ "type": "object", "additionalProperties": reference(path) }),
    }
}

fn required_claims() -> Value {
    let scalar = json!({ "anyOf": [text(), { "type": "integer" }, { "type": "boolean" }] });
    let present = only("present", json!({ "const": true }));
    let demand = json!({ "anyOf": [scalar.clone(), list(scalar), present] });
    json!({ "type": "object", "additionalProperties": demand })
}

fn endpoints() -> Value {
    let weight = json!({ "type": "integer", "minimum": 1, "maximum": 1000 });
    let table = json!({
        "type": "object",
        "required": ["url"],
        "additionalProperties": false,
        "properties": { "url": text(), "weight": weight },
    });
    list(json!({ "anyOf": [text(), table] }))
}

/// The definitions that several keys use and that are no tables.
fn shared_definitions() -> [(String, Value); 6] {
    let rule = json!({ "anyOf": [
        reference("scope"),
        list(reference("scope_term")),
        any_or_all(list(reference("scope_term"))),
    ] });
    let method = json!({ "anyOf": [
        reference("scope_rule"),
        only("public", json!({ "const": true })),
        only("authenticated", json!({ "const": true })),
    ] });
    [
        ("duration".into(), measure("ms|s|m|h|d")),
        ("size".into(), measure("B|KB|KiB|MB|MiB|GB|GiB")),
        (
            "scope".into(),
            json!({ "type": "string", "pattern": r"^[\x21\x23-\x5B\x5D-\x7E]+$" }),
        ),
        (
            "scope_term".into(),
            json!({ "anyOf": [reference("scope"), any_or_all(list(reference("scope")))] }),
        ),
        ("scope_rule".into(), rule),
        (
            "method_map".into(),
            json!({ "type": "object", "minProperties": 1, "additionalProperties": method }),
        ),
    ]
}

/// Returns the schema of a number with one of some units, separated by `|`.
fn measure(units: &str) -> Value {
    let pattern = format!("^(0|[0-9]+ ?({units}))$");
    json!({ "anyOf": [{ "type": "string", "pattern": pattern }, { "const": 0 }] })
}

fn any_or_all(items: Value) -> Value {
    json!({ "anyOf": [only("any", items.clone()), only("all", items)] })
}

fn one_or_list(item: Value) -> Value {
    json!({ "anyOf": [item.clone(), list(item)] })
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "minItems": 1, "items": items })
}

/// Returns the schema of an object with one member and no other.
fn only(name: &str, value: Value) -> Value {
    json!({
        "type": "object",
        "properties": { name: value },
        "required": [name],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table_of<'s>(schema: &'s Value, path: &str) -> &'s Value {
        if path.is_empty() {
            schema
        } else {
            &schema["$defs"][definition(path)]
        }
    }

    #[test]
    fn every_key_of_the_schema_is_a_property_and_no_other() {
        let schema = schema();
        for table in TABLES {
            let found = table_of(&schema, table.path);
            assert_eq!(found["additionalProperties"], false, "[{}]", table.path);
            let properties = found["properties"].as_object().unwrap();
            assert_eq!(properties.len(), table.keys.len(), "[{}]", table.path);
            for key in table.keys {
                assert_eq!(properties[key.name]["description"], key.doc, "{}", key.name);
                assert_eq!(
                    properties[key.name].get("default").is_some(),
                    matches!(key.absent, Absent::Default(_)),
                    "{}",
                    key.name
                );
            }
        }
    }

    #[test]
    fn every_reference_has_its_definition() {
        let schema = schema();
        let text = schema.to_string();
        for part in text.split("\"#/$defs/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{name}");
        }
    }

    /// A partial validator: it supports what the schema uses, except for patterns.
    fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
        let holds = |(word, rule): (&String, &Value)| match word.as_str() {
            "$ref" => accepts(
                root,
                &root["$defs"][rule.as_str().unwrap().trim_start_matches("#/$defs/")],
                value,
            ),
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64(),
                other => panic!("{other}"),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "anyOf" => rule
                .as_array()
                .unwrap()
                .iter()
                .any(|schema| accepts(root, schema, value)),
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|name| value.get(name.as_str().unwrap()).is_some()),
            "items" => value
                .as_array()
                .is_none_or(|all| all.iter().all(|item| accepts(root, rule, item))),
            "properties" => value.as_object().is_none_or(|members| {
                members.iter().all(|(name, value)| {
                    rule.get(name)
                        .is_none_or(|schema| accepts(root, schema, value))
                })
            }),
            "additionalProperties" => value.as_object().is_none_or(|members| {
                let known = |name: &str| {
                    schema
                        .get("properties")
                        .and_then(|all| all.get(name))
                        .is_some()
                };
                members.iter().all(|(name, value)| {
                    known(name) || *rule != false && accepts(root, rule, value)
                })
            }),
            "minimum" => value
                .as_i64()
                .is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value
                .as_i64()
                .is_none_or(|number| number <= rule.as_i64().unwrap()),
            "minItems" => value.as_array().is_none_or(|all| !all.is_empty()),
            "minProperties" => value.as_object().is_none_or(|all| !all.is_empty()),
            "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
            "pattern" | "description" | "default" | "examples" | "title" | "$schema" | "$defs" => {
                true
            }
            other => panic!("{other}"),
        };
        schema.as_object().unwrap().iter().all(holds)
    }

    fn vector(name: &str) -> Value {
        let text = std::fs::read_to_string(format!("tests/vectors/config/{name}.toml")).unwrap();
        let span = Span {
            file: 0,
            start: 0,
            end: 0,
        };
        document::Value {
            span,
            kind: document::Kind::Table(document::parse(0, &text).0),
        }
        .to_json()
        .unwrap()
    }

    #[test]
    fn the_schema_takes_good_files_and_refuses_wrong_types_and_keys() {
        let schema = schema();
        for good in [
            "good-every-key",
            "good-fuller",
            "good-ten-lines",
            "good-groups",
            "good-only-public",
        ] {
            assert!(accepts(&schema, &schema, &vector(good)), "{good}");
        }
        for bad in [
            "unknown-keys",
            "other-names",
            "missing-keys",
            "methods",
            "choices",
            "scope-rules",
        ] {
            assert!(!accepts(&schema, &schema, &vector(bad)), "{bad}");
        }
    }

    #[test]
    fn every_example_and_default_is_of_its_own_type() {
        let schema = schema();
        for (key, property) in TABLES.iter().copied().flat_map(|table| {
            table
                .keys
                .iter()
                .map(|key| (key, &table_of(&schema, table.path)["properties"][key.name]))
        }) {
            let examples = property.get("examples").map(|all| &all[0]);
            for value in examples.into_iter().chain(property.get("default")) {
                assert!(accepts(&schema, property, value), "{}: {value}", key.name);
            }
        }
    }

    #[test]
    fn what_has_no_default_is_required_or_explained() {
        let schema = schema();
        assert!(
            table_of(&schema, "upstreams.*").get("required").is_none(),
            "url or endpoints"
        );
        assert_eq!(
            table_of(&schema, "issuers.*")["required"],
            json!(["issuer", "audience"])
        );
        assert!(table_of(&schema, "server").get("required").is_none());
        assert_eq!(
            table_of(&schema, "server")["properties"]["drain"]["default"],
            "20s"
        );
    }
}
