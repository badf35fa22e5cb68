//! Patterns of resource policies, in which `*` stands for any characters and `?` for one.

/// A character that only `*` stands for: a value without a slash, such as that of a path's
/// parameter.
pub(super) const UNKNOWN: char = '\u{0}';

/// A character that only `*` stands for: any value, such as that of a greedy parameter.
pub(super) const UNKNOWN_REST: char = '\u{1}';

/// Returns whether a pattern matches every request of an operation: a text in which [`UNKNOWN`]
/// stands for any value.
pub(super) fn covers(pattern: &str, text: &str) -> bool {
    meets(pattern, text, |part, char| {
        part == '?' && !is_unknown(char) || part == char
    })
}

/// Returns whether a pattern may match some request of an operation.
pub(super) fn touches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // `reached[j]`: the pattern so far and the first j characters of the text have a request in
    // common.
    let mut reached = vec![false; text.len() + 1];
    start(&mut reached, &text);
    for part in pattern {
        let mut next = Vec::with_capacity(reached.len());
        next.push(part == '*' && reached.first() == Some(&true));
        for (j, char) in text.iter().enumerate() {
            let (before, above) = (
                reached.get(j) == Some(&true),
                reached.get(j + 1) == Some(&true),
            );
            let beside = next.get(j) == Some(&true);
            next.push(match (part, *char) {
                ('*', _) => beside || above,
                // The part is a character of the value; or the value is at its end.
                ('/', UNKNOWN) => beside,
                (_, UNKNOWN | UNKNOWN_REST) => before || above || beside,
                (part, char) => before && (part == '?' || part == char),
            });
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

/// Marks what an empty pattern has in common with a text: its unknown beginning, which may be
/// empty.
fn start(reached: &mut [bool], text: &[char]) {
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for (slot, char) in reached.iter_mut().skip(1).zip(text) {
        if !is_unknown(*char) {
            break;
        }
        *slot = true;
    }
}

fn is_unknown(char: char) -> bool {
    matches!(char, UNKNOWN | UNKNOWN_REST)
}

/// Matches a whole text, with `*` for any characters.
fn meets(pattern: &str, text: &str, fits: impl Fn(char, char) -> bool) -> bool {
    let mut reached = vec![true];
    reached.resize(text.chars().count() + 1, false);
    for part in pattern.chars() {
        let mut next = Vec::with_capacity(reached.len());
        next.push(part == '*' && reached.first() == Some(&true));
        for (j, char) in text.chars().enumerate() {
            let met = match part {
                '*' => next.get(j) == Some(&true) || reached.get(j + 1) == Some(&true),
                part => reached.get(j) == Some(&true) && fits(part, char),
            };
            next.push(met);
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_pattern_covers_what_it_matches_whatever_the_parameters_are() {
        for (pattern, text, covers, touches) in [
            ("*", "a/GET/x", true, true),
            ("*/GET/*", "a/GET/x", true, true),
            ("*/GET/*", "a/POST/x", false, false),
            ("*/GET/x", "\0/GET/x", true, true),
            ("dev/GET/x", "\0/GET/x", false, true),
            ("*/GET/pets/*", "\0/GET/pets/\0", true, true),
            ("*/GET/pets/1", "\0/GET/pets/\0", false, true),
            ("*/GET/pets/1", "\0/GET/\0", false, false),
            ("*/GET/pets/?", "\0/GET/pets/\0", false, true),
            ("*/GET/pets/?", "\0/GET/pets/a", true, true),
            ("*/GET/pets/?", "\0/GET/pets/ab", false, false),
            ("*/POST/*", "\0/\0/pets", false, true),
            ("*/GET/admin/*", "\0/GET/pets/\0", false, false),
            ("*/GET/admin/*", "\0/GET/\0", false, false),
            ("*/GET/admin/*", "\0/GET/\u{1}", false, true),
            ("*/GET/admin", "\0/GET/\0", false, true),
            ("*/GET/*/x", "\0/GET/\u{1}/y", false, false),
            ("*/GET/?", "\0/GET/\u{1}", false, true),
            ("a:*/admin", "a:\0/\0/GET/admin", true, true),
            ("a:??*/GET/admin", "a:\0/\0/GET/admin", false, true),
            ("a:b/*", "a:\0/\0/GET/admin", false, true),
            ("", "", true, true),
            ("a", "", false, false),
        ] {
            assert_eq!(
                super::covers(pattern, text),
                covers,
                "covers {pattern} {text:?}"
            );
            assert_eq!(
                super::touches(pattern, text),
                touches,
                "touches {pattern} {text:?}"
            );
        }
    }
}
