//! The values of scalars, by the core schema of YAML 1.2, which is that of JSON.

use saphyr_parser::{ScalarStyle, Tag};

use super::node::{Entry, Kind, Node, Place};

/// Returns the value of a scalar.
pub(super) fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Kind {
    let is_text = style != ScalarStyle::Plain || tag.is_some_and(is_text_tag);
    match text {
        _ if is_text => Kind::Text(text.into()),
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Flag(true),
        "false" | "False" | "FALSE" => Kind::Flag(false),
        _ if is_number(text) => Kind::Number(text.into()),
        _ => Kind::Text(text.into()),
    }
}

/// Returns whether a tag says that a scalar is a text: `!!str`, or `!` alone.
fn is_text_tag(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "str" || is_nonspecific(tag)
}

fn is_nonspecific(tag: &Tag) -> bool {
    tag.handle.is_empty() && tag.suffix == "!"
}

/// Returns whether a value has the tag of YAML itself that is written at it. Another one would change
/// its meaning: `!!binary` is no text, and with a `%TAG` of its own a document could write the name of
/// a function as such a tag.
pub(super) fn has_tag(kind: &Kind, tag: &Tag) -> bool {
    if !tag.is_yaml_core_schema() {
        return true;
    }
    match kind {
        Kind::Text(_) => tag.suffix == "str",
        Kind::Null => tag.suffix == "null",
        Kind::Flag(_) => tag.suffix == "bool",
        Kind::Number(text) if text.parse::<i64>().is_err() => tag.suffix == "float",
        Kind::Number(_) => matches!(&*tag.suffix, "int" | "float"),
        Kind::List(_) => tag.suffix == "seq",
        Kind::Map(_) => tag.suffix == "map",
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok()
}

/// Returns a node under the long form of its tag: `!Sub "x"` is read as `{"Fn::Sub": "x"}`. Tags of
/// YAML itself say what the value is anyway.
pub(super) fn tagged(node: Node, tag: Option<&Tag>) -> Node {
    let is_own = |tag: &&Tag| tag.is_yaml_core_schema() || is_nonspecific(tag);
    let Some(tag) = tag.filter(|tag| !is_own(tag) && !tag.suffix.is_empty()) else {
        return node;
    };
    let place = node.place;
    let entry = Entry {
        key: function(&tag.suffix),
        place,
        value: node,
    };
    Node::new(place, Kind::Map(vec![entry]))
}

/// The functions of CloudFormation, by their short names.
const FUNCTIONS: [&str; 16] = [
    "And",
    "Base64",
    "Cidr",
    "Equals",
    "FindInMap",
    "ForEach",
    "GetAZs",
    "GetAtt",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "Select",
    "Split",
];

fn function(name: &str) -> Box<str> {
    match name {
        "Ref" | "Condition" => name.into(),
        "Sub" | "Transform" | "ToJsonString" => format!("Fn::{name}").into(),
        _ if FUNCTIONS.contains(&name) => format!("Fn::{name}").into(),
        _ => format!("!{name}").into(),
    }
}

/// What a key says about merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merging {
    /// It is a name.
    Name,
    /// It merges maps.
    Merges,
    /// Readers differ.
    Doubtful,
}

/// Returns what a key says about merging.
pub(super) fn merging(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Merging {
    let is_plain = style == ScalarStyle::Plain;
    let is_merge = |tag: &Tag| tag.is_yaml_core_schema() && tag.suffix == "merge";
    match tag {
        None if text == "<<" && is_plain => Merging::Merges,
        Some(tag) if is_merge(tag) && text == "<<" && is_plain => Merging::Merges,
        Some(tag) if is_merge(tag) => Merging::Doubtful,
        _ if text == "<<" => Merging::Doubtful,
        _ => Merging::Name,
    }
}

impl From<(Place, Kind)> for Node {
    fn from((place, kind): (Place, Kind)) -> Self {
        Self::new(place, kind)
    }
}
