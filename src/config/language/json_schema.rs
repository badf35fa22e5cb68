//! The JSON Schema (draft 2020-12) of `gateway.toml`, for editors. It is generated from the schema
//! tables.
//!
//! It checks keys, types and words, but not the conditions between them: it refuses no valid file,
//! and accepts some files that [`crate::config::Config::load`] refuses.

use serde_json::{Map, Value, json};

use super::document;
use super::json::{definition, list, only, reference};
use super::key::{AnyKey, Table};
use super::source::Span;

/// Returns the JSON Schema of a file, from the table of its top level and those below it.
pub(crate) fn schema(file: &Table, tables: &[&Table]) -> Value {
    let mut definitions = Map::new();
    for table in tables.iter().filter(|table| !table.path.is_empty()) {
        definitions.insert(definition(table.path), table_schema(table));
    }
    definitions.extend(shared_definitions());
    let mut schema = table_schema(file);
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

fn table_schema(table: &Table) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in table.keys {
        properties.insert(key.name().to_owned(), key_schema(*key));
        if key.is_required() {
            required.push(key.name());
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

fn key_schema(key: &dyn AnyKey) -> Value {
    let mut schema = key.kind().json_schema();
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".into(), key.about().doc.into());
        // The example of a structural key is a table header, which is no value.
        if let Some(example) = json_of(&key.example()) {
            object.insert("examples".into(), json!([example]));
        }
        if let Some(default) = key.default().as_deref().and_then(json_of) {
            object.insert("default".into(), default);
        }
    }
    schema
}

fn json_of(toml: &str) -> Option<Value> {
    document::literal(toml, Span::new(0, 0..0))?.to_json()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tables::{FILE, TABLES};

    fn table_of<'s>(schema: &'s Value, path: &str) -> &'s Value {
        if path.is_empty() {
            schema
        } else {
            &schema["$defs"][definition(path)]
        }
    }

    #[test]
    fn every_key_of_the_schema_is_a_property_and_no_other() {
        let schema = schema(&FILE, TABLES);
        for table in TABLES {
            let found = table_of(&schema, table.path);
            assert_eq!(found["additionalProperties"], false, "[{}]", table.path);
            let properties = found["properties"].as_object().unwrap();
            assert_eq!(properties.len(), table.keys.len(), "[{}]", table.path);
            for key in table.keys {
                assert_eq!(
                    properties[key.name()]["description"],
                    key.about().doc,
                    "{}",
                    key.name()
                );
                assert_eq!(
                    properties[key.name()].get("default").is_some(),
                    key.default().is_some(),
                    "{}",
                    key.name()
                );
            }
        }
    }

    #[test]
    fn every_reference_has_its_definition() {
        let schema = schema(&FILE, TABLES);
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
        let schema = schema(&FILE, TABLES);
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
        let schema = schema(&FILE, TABLES);
        for (key, property) in TABLES.iter().copied().flat_map(|table| {
            table.keys.iter().map(|key| {
                (
                    key,
                    &table_of(&schema, table.path)["properties"][key.name()],
                )
            })
        }) {
            let examples = property.get("examples").map(|all| &all[0]);
            for value in examples.into_iter().chain(property.get("default")) {
                assert!(accepts(&schema, property, value), "{}: {value}", key.name());
            }
        }
    }

    #[test]
    fn what_has_no_default_is_required_or_explained() {
        let schema = schema(&FILE, TABLES);
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
