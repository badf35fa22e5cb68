//! The parameters of a route's path.

use crate::route::{Pattern, Segment, Tail};

/// The name by which templates know what `**` matched.
const SUBTREE: &str = "rest";

/// The position of a parameter in the paths of its pattern.
enum Position {
    /// One segment.
    Segment(usize),
    /// This segment and all that follow.
    Open(usize),
}

/// Returns whether paths of a pattern have a parameter of this name. `is_open` asks for one with an
/// open end, such as `{rest+}`. What `**` matches is a parameter `rest`.
#[must_use]
pub fn has_parameter(pattern: &Pattern, name: &str, is_open: bool) -> bool {
    match position(pattern, name) {
        Some(Position::Segment(_)) => !is_open,
        Some(Position::Open(_)) => true,
        None => false,
    }
}

/// Returns the value of a parameter, percent-encoded as it stands in a path that the pattern
/// matched.
#[must_use]
pub fn parameter<'p>(pattern: &Pattern, name: &str, path: &'p str) -> Option<&'p str> {
    match position(pattern, name)? {
        Position::Segment(index) => path.split('/').nth(index + 1),
        Position::Open(index) => Some(match path.match_indices('/').nth(index) {
            Some((slash, _)) => path.get(slash + 1..).unwrap_or_default(),
            // The root of a subtree.
            None => "",
        }),
    }
}

fn position(pattern: &Pattern, name: &str) -> Option<Position> {
    for (index, segment) in pattern.segments().iter().enumerate() {
        if matches!(segment, Segment::Param(own) if **own == *name) {
            return Some(Position::Segment(index));
        }
    }
    let is_tail = match pattern.tail()? {
        Tail::Rest(own) => **own == *name,
        Tail::Subtree => name == SUBTREE,
    };
    is_tail.then(|| Position::Open(pattern.segments().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_the_part_of_the_path_that_it_matched() {
        for (pattern, name, path, expected) in [
            ("/orders/{id}", "id", "/orders/a%20b", Some("a%20b")),
            ("/{a}/{b}", "b", "/1/2", Some("2")),
            ("/{a}/{b}", "c", "/1/2", None),
            ("/files/{rest+}", "rest", "/files/a/b/", Some("a/b/")),
            ("/{t}/{rest+}", "rest", "/x/y", Some("y")),
            ("/old/**", "rest", "/old/a/b", Some("a/b")),
            ("/old/**", "rest", "/old/", Some("")),
            ("/old/**", "rest", "/old", Some("")),
            ("/{rest}/**", "rest", "/a/b", Some("a")),
            ("/old/**", "x", "/old/a", None),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(
                parameter(&pattern, name, path),
                expected,
                "{pattern} {path}"
            );
            assert_eq!(has_parameter(&pattern, name, false), expected.is_some());
        }
        let pattern = Pattern::parse("/{id}/{rest+}").unwrap();
        assert!(has_parameter(&pattern, "rest", true));
        assert!(!has_parameter(&pattern, "id", true));
    }
}
