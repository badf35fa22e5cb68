//! The similarity of a path and a pattern.

use percent_encoding::percent_decode_str;

use crate::route::{Pattern, Segment, Tail};

/// The way in which a path is that of a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spelled {
    /// The pattern matches it.
    AsWritten,
    /// The pattern matches this path, which differs in case only.
    InCase(String),
    /// The pattern matches this path, of which one segment is similar.
    Similar(String),
}

/// Compares a path with a pattern; `None` if they differ in more than one segment's spelling.
pub(super) fn spelled_as(pattern: &Pattern, path: &str) -> Option<Spelled> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let written: Vec<&str> = pattern.as_str().strip_prefix('/')?.split('/').collect();
    let count = pattern.segments().len();
    let has_length = match pattern.tail() {
        None => parts.len() == count,
        Some(Tail::Rest(_)) => parts.get(count).is_some_and(|first| !first.is_empty()),
        Some(Tail::Subtree) => parts.len() >= count,
    };
    if !has_length {
        return None;
    }
    let mut spelled = parts.clone();
    let (mut in_case, mut similar) = (0, 0);
    for ((segment, text), part) in pattern.segments().iter().zip(written).zip(&mut spelled) {
        match segment {
            Segment::Param(_) if part.is_empty() => return None,
            Segment::Param(_) => continue,
            Segment::Literal(literal) => match likeness(literal, part) {
                Likeness::Equal => continue,
                Likeness::Case => in_case += 1,
                Likeness::Similar => similar += 1,
                Likeness::None => return None,
            },
        }
        *part = text;
    }
    let path = format!("/{}", spelled.join("/"));
    match (in_case, similar) {
        (0, 0) => Some(Spelled::AsWritten),
        (_, 0) => Some(Spelled::InCase(path)),
        (0, 1) => Some(Spelled::Similar(path)),
        _ => None,
    }
}

enum Likeness {
    Equal,
    Case,
    Similar,
    None,
}

/// Compares a literal with a segment of a path. Words of at least three characters are similar if
/// they differ by one edit.
fn likeness(literal: &str, part: &str) -> Likeness {
    let part = percent_decode_str(part).decode_utf8_lossy();
    if *part == *literal {
        Likeness::Equal
    } else if part.eq_ignore_ascii_case(literal) {
        Likeness::Case
    } else if literal.len().min(part.len()) >= 3
        && part.len().abs_diff(literal.len()) <= 1
        && strsim::damerau_levenshtein(literal, &part) == 1
    {
        Likeness::Similar
    } else {
        Likeness::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_compared_segment_by_segment() {
        let spelled =
            |pattern: &str, path: &str| spelled_as(&Pattern::parse(pattern).unwrap(), path);
        let case = |path: &str| Some(Spelled::InCase(path.to_owned()));
        let similar = |path: &str| Some(Spelled::Similar(path.to_owned()));
        for (pattern, path, expected) in [
            ("/orders/{id}", "/orders/7", Some(Spelled::AsWritten)),
            ("/orders/{id}", "/Orders/A", case("/orders/A")),
            ("/orders/{id}", "/ordes/7", similar("/orders/7")),
            ("/orders/**", "/oders", similar("/orders")),
            ("/files/{rest+}", "/Files/a/B", case("/files/a/B")),
            ("/a%20b", "/A%20b", case("/a%20b")),
            ("/orders/{id}", "/orders/", None),
            ("/orders/{id}", "/orders", None),
            ("/orders/items", "/order/item", None),
            ("/ab", "/ac", None),
            ("/files/{rest+}", "/files/", None),
        ] {
            assert_eq!(spelled(pattern, path), expected, "{pattern} {path}");
        }
    }
}
