//! Suggestions for unknown words.

use super::document::KeyValue;
use super::problem::Problem;
use super::schema;

/// Returns the problem of a key that is not in the schema.
pub(super) fn unknown_key(table: &schema::Table, subject: &str, entry: &KeyValue) -> Problem {
    let name = entry.key.as_str();
    if let Some((_, why)) = table.refused.iter().find(|(refused, _)| *refused == name) {
        return Problem::at(
            entry.key_span,
            format!("{subject}: \"{name}\" is not allowed here: {why}"),
        );
    }
    if let Some(key) = table
        .keys
        .iter()
        .find(|key| key.other_names.contains(&name))
    {
        return Problem::at(
            entry.key_span,
            format!(
                "{subject}: unknown key \"{name}\"; it is called \"{}\"",
                key.name
            ),
        );
    }
    let meant = did_you_mean(name, table.keys.iter().map(|key| key.name));
    let problem = Problem::at(
        entry.key_span,
        format!("{subject}: unknown key \"{name}\"{meant}"),
    );
    let elsewhere = schema::TABLES
        .iter()
        .copied()
        .filter(|other| other.key(name).is_some());
    let elsewhere: Vec<_> = elsewhere.map(schema::Table::header).collect();
    if meant.is_empty() && !elsewhere.is_empty() {
        return problem.hint(format!("\"{name}\" is a key of {}", elsewhere.join(", ")));
    }
    problem
}

/// Returns `; did you mean "…"?`, or an empty string if no known word is similar.
pub(super) fn did_you_mean<'b>(word: &str, known: impl Iterator<Item = &'b str>) -> String {
    nearest(word, known).map_or(String::new(), |name| format!("; did you mean \"{name}\"?"))
}

/// Returns the most similar of the known words, if one is similar enough.
pub(super) fn nearest<'b>(word: &str, known: impl Iterator<Item = &'b str>) -> Option<&'b str> {
    let near = known.map(|name| (strsim::damerau_levenshtein(word, name), name));
    let near = near.filter(|(distance, name)| is_near(*distance, word, name));
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
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
