//! Places in a configuration, and configurations with another value there.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

/// A key of a configuration.
#[derive(Clone, PartialEq)]
pub(super) struct Place {
    /// The table in the schema: `routes`, `groups.routes`; empty for the top level.
    pub(super) table: String,
    pub(super) key: String,
    /// The keys and indices that lead to the value.
    steps: Vec<Step>,
    value: Value,
    schema: Json,
}

#[derive(Clone, PartialEq)]
enum Step {
    Key(String),
    Item(usize),
}

/// A change of a value.
#[derive(Clone)]
pub(super) enum Change {
    Removed,
    To(Value),
    /// Another key is `true` instead.
    Instead(&'static str),
}

impl Change {
    pub(super) fn text(text: &str) -> Self {
        let table: Table = toml::from_str(&format!("value = {text}")).unwrap();
        Self::To(table["value"].clone())
    }
}

/// Returns the properties of each table of the schema.
pub(super) fn properties(schema: &Json) -> BTreeMap<String, Map<String, Json>> {
    let mut tables = BTreeMap::new();
    let mut add = |name: &str, table: &Json| {
        if let Some(properties) = table["properties"].as_object() {
            tables.insert(name.to_owned(), properties.clone());
        }
    };
    add("", schema);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        add(name, table);
    }
    tables
}

/// Returns the places of all keys of a configuration.
pub(super) fn places(schema: &Json, full: &Table) -> Vec<Place> {
    let mut places = Vec::new();
    collect(&properties(schema), "", full, &[], &mut places);
    places
}

fn collect(
    tables: &BTreeMap<String, Map<String, Json>>,
    name: &str,
    table: &Table,
    at: &[Step],
    places: &mut Vec<Place>,
) {
    for (key, value) in table {
        let schema = &tables[name][key];
        let steps = [at, &[Step::Key(key.clone())]].concat();
        let below = |reference: &Json| {
            let name = reference["$ref"].as_str()?.strip_prefix("#/$defs/")?;
            tables.contains_key(name).then(|| name.to_owned())
        };
        let mut inner = Vec::new();
        if let (Some(name), Value::Table(table)) = (below(schema), value) {
            inner.push((name, table, steps.clone()));
        }
        if let (Some(name), Value::Table(named)) = (below(&schema["additionalProperties"]), value) {
            for (key, table) in named {
                let steps = [&steps[..], &[Step::Key(key.clone())]].concat();
                inner.push((name.clone(), table.as_table().unwrap(), steps));
            }
        }
        if let (Some(name), Value::Array(items)) = (below(&schema["items"]), value) {
            for (index, table) in items.iter().enumerate() {
                let steps = [&steps[..], &[Step::Item(index)]].concat();
                inner.push((name.clone(), table.as_table().unwrap(), steps));
            }
        }
        for (name, table, steps) in inner {
            collect(tables, &name, table, &steps, places);
        }
        places.push(Place {
            table: name.to_owned(),
            key: key.clone(),
            steps,
            value: value.clone(),
            schema: schema.clone(),
        });
    }
}

impl Place {
    /// Returns a configuration with a change here.
    pub(super) fn changed(&self, full: &Table, change: Change) -> Table {
        let mut changed = full.clone();
        let (last, before) = self.steps.split_last().unwrap();
        let Step::Key(key) = last else {
            unreachable!("a key comes last")
        };
        let mut steps = before.iter();
        let table = match steps.next() {
            None => &mut changed,
            Some(first) => {
                let Step::Key(first) = first else {
                    unreachable!("a key comes first")
                };
                let mut value = &mut changed[first];
                for step in steps {
                    value = match step {
                        Step::Key(key) => &mut value[key.as_str()],
                        Step::Item(index) => &mut value[*index],
                    };
                }
                value.as_table_mut().unwrap()
            }
        };
        match change {
            Change::Removed => drop(table.remove(key)),
            Change::To(value) => drop(table.insert(key.clone(), value)),
            Change::Instead(other) => {
                table.remove(key);
                table.insert(other.to_owned(), Value::Boolean(true));
            }
        }
        changed
    }

    /// Returns the beginning of the paths that the key is about: the path of its route, or the
    /// prefix of its group.
    pub(super) fn base(&self, full: &Table) -> String {
        let known = [
            ("defaults", "/d"),
            ("issuers", "/r/any-token"),
            ("server", "/included"),
        ];
        let Some(Step::Key(first)) = self.steps.first() else {
            unreachable!("a key comes first")
        };
        let known = known.iter().find(|(table, _)| table == first);
        let mut base = known.map_or("/", |(_, base)| base).to_owned();
        let mut value = &full[first];
        for step in &self.steps[1..] {
            let beginning = value
                .get("path")
                .or(value.get("prefix"))
                .and_then(Value::as_str);
            if let Some(beginning) = beginning {
                base = beginning.to_owned();
            }
            value = match step {
                Step::Key(key) => &value[key.as_str()],
                Step::Item(index) => &value[*index],
            };
        }
        base.split("{").next().unwrap_or_default().to_owned()
    }

    /// Returns values that are near to the present one.
    pub(super) fn nearby(&self) -> Vec<Change> {
        let mut values = Vec::new();
        match &self.value {
            Value::Boolean(flag) => values.push(Value::Boolean(!flag)),
            Value::Integer(number) => values.extend([number + 1, number / 2].map(Value::Integer)),
            Value::String(text) => values.extend(self.near_text(text).map(Value::String)),
            _ => {}
        }
        values.into_iter().map(Change::To).collect()
    }

    /// Returns the same measure doubled, or another word of the set.
    fn near_text(&self, text: &str) -> impl Iterator<Item = String> {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let doubled = number
            .parse::<u64>()
            .ok()
            .map(|number| format!("{}{unit}", number * 2));
        let words = self.schema["enum"].as_array().cloned().unwrap_or_default();
        let words = words
            .into_iter()
            .filter_map(|word| word.as_str().map(str::to_owned));
        let own = text.to_owned();
        doubled
            .into_iter()
            .chain(words.filter(move |word| *word != own))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key(key) if index == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Writes a table as a file: each top-level key with an inline value.
pub(super) fn text_of(table: &Table) -> String {
    let lines = table
        .iter()
        .map(|(key, value)| format!("{key} = {}\n", inline(value)));
    lines.collect()
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => Json::from(text.as_str()).to_string(),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(inline).collect::<Vec<_>>().join(", ")
        ),
        Value::Table(table) => {
            let pair = |(key, value): (&String, &Value)| {
                format!("{} = {}", Json::from(key.as_str()), inline(value))
            };
            format!(
                "{{ {} }}",
                table.iter().map(pair).collect::<Vec<_>>().join(", ")
            )
        }
        other => match other {
            Value::Integer(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            _ => unreachable!("the configuration has no such value"),
        },
    }
}
