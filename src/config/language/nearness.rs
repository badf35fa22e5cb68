//! The known word that an unknown one was probably meant to be.

/// Returns `; did you mean "…"?`, or an empty string if no known word is similar.
pub(crate) fn did_you_mean<'b>(word: &str, known: impl Iterator<Item = &'b str>) -> String {
    suggested(nearest(word, known))
}

/// Returns `; did you mean "…"?` for a word, or an empty string.
pub(super) fn suggested(word: Option<&str>) -> String {
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
