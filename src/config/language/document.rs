//! The content of a file: TOML as a tree in which every key and value has its position.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::source::Span;

/// A value with its position.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// The content of a value, by its type.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Text(String),
    /// `None` for a number that does not fit in 64 bits.
    Integer(Option<i64>),
    Float,
    Flag(bool),
    Time,
    List(Vec<Value>),
    Table(Table),
}

/// A table, with its entries in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The position of the header, or of the whole inline table.
    pub(crate) span: Span,
    pub(crate) entries: Vec<KeyValue>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Value,
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&KeyValue> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn to_json(&self) -> Option<serde_json::Value> {
        let mut object = serde_json::Map::new();
        for entry in &self.entries {
            object.insert(entry.key.clone(), entry.value.to_json()?);
        }
        Some(object.into())
    }
}

impl Value {
    /// The type of the value in words, for messages such as "…, not an integer".
    pub(crate) fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Text(_) => "a string",
            Kind::Integer(_) => "an integer",
            Kind::Float => "a float",
            Kind::Flag(_) => "a boolean",
            Kind::Time => "a date or time",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text(_))
    }

    /// Returns the items of a list, or any other value as a list of one.
    pub(crate) fn items(&self) -> &[Value] {
        match &self.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Converts the value to JSON, for a key set that is written as TOML. Returns `None` for types
    /// that JSON or a key set cannot hold.
    pub(crate) fn to_json(&self) -> Option<serde_json::Value> {
        match &self.kind {
            Kind::Text(text) => Some(text.as_str().into()),
            Kind::Integer(number) => Some((*number)?.into()),
            Kind::Flag(flag) => Some((*flag).into()),
            Kind::List(items) => Some(items.iter().map(Self::to_json).collect::<Option<_>>()?),
            Kind::Table(table) => table.to_json(),
            Kind::Float | Kind::Time => None,
        }
    }
}

/// Parses the text of one file. The parser recovers from errors of syntax, so that several of them
/// are reported at once.
pub(crate) fn parse(file: usize, text: &str) -> (Table, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let problems = errors
        .iter()
        .map(|error| syntax_problem(file, text, error))
        .collect();
    (
        table_of(file, Span::new(file, 0..0), table.get_ref()),
        problems,
    )
}

/// Parses one value that is part of the program, such as a default. Every part of it gets the
/// position `span`.
pub(crate) fn literal(text: &str, span: Span) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let mut value = value_of(span.file, value.span(), value.get_ref());
    move_to(&mut value, span);
    Some(value)
}

fn move_to(value: &mut Value, span: Span) {
    value.span = span;
    match &mut value.kind {
        Kind::List(items) => {
            for item in items {
                move_to(item, span);
            }
        }
        Kind::Table(table) => {
            for entry in &mut table.entries {
                move_to(&mut entry.value, span);
            }
        }
        _ => {}
    }
}

fn syntax_problem(file: usize, text: &str, error: &toml::de::Error) -> Problem {
    let range = error.span().unwrap_or(text.len()..text.len());
    let span = Span::new(file, range.clone());
    let message = error.message().replace('`', "\"");
    match text.get(range) {
        Some(key) if message == "duplicate key" && !key.is_empty() => {
            let message = format!("\"{}\" is defined twice", key.trim_matches('"'));
            Problem::at(span, message).hint("merge the two, or rename one of them")
        }
        _ => Problem::at(span, format!("not TOML: {message}")),
    }
}

fn table_of(file: usize, span: Span, table: &DeTable<'_>) -> Table {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        entries.push(KeyValue {
            key: key.get_ref().to_string(),
            key_span: Span::new(file, key.span()),
            value: value_of(file, value.span(), value.get_ref()),
        });
    }
    entries.sort_by_key(|entry| entry.key_span);
    Table { span, entries }
}

fn value_of(file: usize, range: Range<usize>, value: &DeValue<'_>) -> Value {
    let span = Span::new(file, range);
    let kind = match value {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(number) => {
            Kind::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Float(_) => Kind::Float,
        DeValue::Boolean(flag) => Kind::Flag(*flag),
        DeValue::Datetime(_) => Kind::Time,
        DeValue::Array(items) => Kind::List(
            items
                .iter()
                .map(|item| value_of(file, item.span(), item.get_ref()))
                .collect(),
        ),
        DeValue::Table(table) => Kind::Table(table_of(file, span, table)),
    };
    Value { span, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Span) -> &str {
        &text[span.start..span.end]
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text = "b = [\"x\", 1]\na = { c = true }\n[t.u]\nv = 0x10\n[[l]]\n";
        let (root, problems) = parse(0, text);
        assert!(problems.is_empty(), "{problems:?}");
        let keys: Vec<_> = root
            .entries
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        assert_eq!(keys, ["b", "a", "t", "l"]);
        let b = root.get("b").unwrap();
        assert_eq!(
            (shown(text, b.key_span), shown(text, b.value.span)),
            ("b", "[\"x\", 1]")
        );
        let Kind::Table(t) = &root.get("t").unwrap().value.kind else {
            panic!("a table")
        };
        let Kind::Table(u) = &t.get("u").unwrap().value.kind else {
            panic!("a table")
        };
        assert_eq!(shown(text, u.span), "[t.u]");
        assert!(matches!(
            u.get("v").unwrap().value.kind,
            Kind::Integer(Some(16))
        ));
        let Kind::List(l) = &root.get("l").unwrap().value.kind else {
            panic!("a list")
        };
        assert_eq!(shown(text, l[0].span), "[[l]]");
    }

    #[test]
    fn several_errors_of_syntax_are_found_at_once() {
        let (_, problems) = parse(0, "a = \nb = 1\nb = 2\nc = 1 2\n");
        assert!(problems.len() >= 3, "{problems:?}");
        assert!(
            problems
                .iter()
                .any(|problem| problem.message() == "\"b\" is defined twice"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_literal_stands_where_it_is_put() {
        let span = Span {
            file: 3,
            start: 4,
            end: 5,
        };
        let value = literal("[\"scope\", \"scp\"]", span).unwrap();
        let Kind::List(items) = &value.kind else {
            panic!("a list")
        };
        assert_eq!((value.span, items[1].span), (span, span));
        assert!(literal("[", span).is_none());
    }

    #[test]
    fn a_key_set_in_toml_is_one_in_json() {
        let (root, _) = parse(0, "jwks = { keys = [{ kty = \"RSA\", n = 1, ok = true }] }");
        let json = root.get("jwks").unwrap().value.to_json().unwrap();
        assert_eq!(
            json.to_string(),
            r#"{"keys":[{"kty":"RSA","n":1,"ok":true}]}"#
        );
        let (root, _) = parse(0, "jwks = 1.5");
        assert!(root.get("jwks").unwrap().value.to_json().is_none());
    }
}
