//! `[variables]`

use serde_json::json;

use crate::config::context::Context;
use crate::config::language::document::{KeyValue, Kind, Table};
use crate::config::language::{AnyKey as _, Custom, Key, Problem, json};
use crate::config::variables::Defined;
use crate::transform::{is_reserved, is_variable_name};

const TEXTS: Custom = Custom {
    words: "a map from name to value",
    json_schema: || json!({ "type": "object", "additionalProperties": json::text() }),
};

pub(super) const VARIABLES: Key<Custom> = Key::new("variables", TEXTS)
    .absent("only variables of the command line and the environment")
    .doc(
        "Values for `${name}` in other keys, unless `--var name=value` or `SCOPEGATE_VAR_NAME` has \
         another. A name has letters, digits and `_`; no two names differ in case alone. A value \
         is \
         not a secret: `check` shows it. [Where variables may stand](variables.md).",
    )
    .not(&["vars", "variable"])
    .example(r#"{ pool = "ap-northeast-2_EXAMPLE01" }"#)
    .verbatim();

/// Returns the variables that a document defines. Invalid ones are reported and left out.
pub(in crate::config) fn variables(context: &Context, root: &Table) -> Vec<Defined> {
    let mut defined: Vec<Defined> = Vec::new();
    let Some(entry) = root.get(VARIABLES.name()) else {
        return defined;
    };
    let Kind::Table(table) = &entry.value.kind else {
        let message = format!("\"variables\" is {}, not a table", entry.value.name());
        let problem = Problem::at(entry.value.span, message);
        context.problem(problem.hint(VARIABLES.advice()));
        return defined;
    };
    for entry in &table.entries {
        if let Some(value) = value(context, entry)
            && is_valid_name(context, entry, &defined)
        {
            defined.push(Defined {
                name: entry.key.clone(),
                span: entry.key_span,
                value,
            });
        }
    }
    defined
}

/// Returns whether a variable may have this name, or reports why it may not.
fn is_valid_name(context: &Context, entry: &KeyValue, defined: &[Defined]) -> bool {
    let name = entry.key.as_str();
    let message = if !is_variable_name(name) {
        format!("\"{name}\" is no name of a variable: it has letters, digits and \"_\"")
    } else if is_reserved(name) {
        format!("\"{name}\" is no name of a variable: \"${{{name}}}\" is about a request")
    } else {
        let mut others = defined.iter();
        let Some(other) = others.find(|other| other.name.eq_ignore_ascii_case(name)) else {
            return true;
        };
        let message = format!("\"{name}\" and \"{}\" differ in case alone", other.name);
        let problem = Problem::at(entry.key_span, message);
        context.problem(problem.related(other.span, "the other one"));
        return false;
    };
    context.problem(Problem::at(entry.key_span, message));
    false
}

/// Returns the value of a variable, or reports why it is invalid.
fn value(context: &Context, entry: &KeyValue) -> Option<String> {
    let name = &entry.key;
    let message = match &entry.value.kind {
        Kind::Text(text) if text.is_empty() => format!("variable \"{name}\" is empty"),
        Kind::Text(text) if text.chars().any(char::is_control) => {
            format!("variable \"{name}\" has a control character")
        }
        Kind::Text(text) => return Some(text.clone()),
        _ => format!(
            "variable \"{name}\" is a string, not {}",
            entry.value.name()
        ),
    };
    context.problem(Problem::at(entry.value.span, message));
    None
}
