//! Suggestions for unknown words.

use super::document::KeyValue;
use super::key::Table;
use super::nearness::{nearest, suggested};
use super::problem::Problem;

/// Returns the problem of a key that a table does not have. `elsewhere` are the headers of the
/// tables that have it.
pub(crate) fn unknown_key(
    table: &Table,
    subject: &str,
    entry: &KeyValue,
    elsewhere: &[String],
) -> Problem {
    let name = entry.key.as_str();
    if let Some((_, why)) = table.refused.iter().find(|(refused, _)| *refused == name) {
        let message = format!("{subject}: \"{name}\" is not allowed here: {why}");
        return Problem::at(entry.key_span, message);
    }
    for key in table.keys {
        if key.about().other_names.contains(&name) {
            let called = key.name();
            let message = format!("{subject}: unknown key \"{name}\"; it is called \"{called}\"");
            return Problem::at(entry.key_span, message);
        }
    }
    let meant = meant_key(name, table, elsewhere);
    let message = format!("{subject}: unknown key \"{name}\"{}", suggested(meant));
    let problem = Problem::at(entry.key_span, message);
    if meant.is_none() && !elsewhere.is_empty() {
        return problem.hint(format!("\"{name}\" is a key of {}", elsewhere.join(", ")));
    }
    problem
}

/// Returns the key of a table that an unknown key was probably meant to be. A key of another table
/// is more likely misplaced than misspelled, unless one letter is the whole difference: `retries`
/// in a route is not `rewrite`.
pub(crate) fn meant_key(name: &str, table: &Table, elsewhere: &[String]) -> Option<&'static str> {
    let meant = nearest(name, table.names())?;
    let is_near = elsewhere.is_empty() || strsim::damerau_levenshtein(name, meant) <= 1;
    is_near.then_some(meant)
}
