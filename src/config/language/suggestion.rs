//! Suggestions for unknown words.

use super::document::KeyValue;
use super::key::Table;
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

/// Returns `; did you mean "…"?`, or an empty string if no known word is similar.
pub(crate) fn did_you_mean<'b>(word: &str, known: impl Iterator<Item = &'b str>) -> String {
    suggested(nearest(word, known))
}

fn suggested(word: Option<&str>) -> String {
    match word {
        Some(word) => format!("; did you mean \"{word}\"?"),
        None => String::new(),
    }
}

/// Returns the most similar of the known words, if one is similar enough.
pub(crate) fn nearest<'b>(word: &str, known: impl Iterator<Item = &'b str>) -> Option<&'b str> {
    let mut nearest: Option<(usize, &str)> = None;
    for name in known {
        let distance = strsim::damerau_levenshtein(word, name);
        let is_nearer = nearest.is_none_or(|(least, _)| distance < least);
        if is_nearer && is_near(distance, word, name) {
            nearest = Some((distance, name));
        }
    }
    nearest.map(|(_, name)| name)
}

/// Returns whether two words are similar: at most one edit for every three letters, or one is the
/// beginning of the other (`billing`, `billing-v2`).
fn is_near(distance: usize, word: &str, name: &str) -> bool {
    let shorter = word.len().min(name.len());
    distance < shorter && distance <= shorter.div_ceil(3)
        || shorter >= 4 && (word.starts_with(name) || name.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = || ["orders", "billing-v2", "a"].into_iter();
        assert_eq!(did_you_mean("oders", known()), "; did you mean \"orders\"?");
        assert_eq!(
            did_you_mean("billing", known()),
            "; did you mean \"billing-v2\"?"
        );
        assert_eq!(did_you_mean("warehouse", known()), "");
        assert_eq!(did_you_mean("b", known()), "");
    }
}
