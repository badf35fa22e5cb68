//! The values of scalars, by the core schema of YAML 1.2, which is that of JSON.

use saphyr_parser::{ScalarStyle, Tag};

use super::node::{Entry, Kind, Node, Place};

/// Returns the value of a scalar.
pub(super) fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Kind {
    let is_text = style != ScalarStyle::Plain
        || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    match text {
        _ if is_text => Kind::Text(text.into()),
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Flag(true),
        "false" | "False" | "FALSE" => Kind::Flag(false),
        _ if is_number(text) => Kind::Number(text.into()),
        _ => Kind::Text(text.into()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok()
}

/// Returns a node under the long form of its tag: `!Sub "x"` is read as `{"Fn::Sub": "x"}`. Tags of
/// YAML itself say what the value is anyway.
pub(super) fn tagged(node: Node, tag: Option<&Tag>) -> Node {
    let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema() && !tag.suffix.is_empty()) else {
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

/// Returns whether a place begins a merge key.
pub(super) fn is_merge_key(text: &str, style: ScalarStyle) -> bool {
    text == "<<" && style == ScalarStyle::Plain
}

impl From<(Place, Kind)> for Node {
    fn from((place, kind): (Place, Kind)) -> Self {
        Self::new(place, kind)
    }
}
