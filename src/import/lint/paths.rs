//! Paths that patterns match, to compare the rules for them.

use http::Method;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Uri, Version};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::route::{Access, Ambiguities, Miss, Pattern, Segment, Table, Tail, Target};

/// The value of a parameter in a path that is looked up. A literal with this text would be a
/// coincidence.
const VALUE: &str = "0any0value0";

/// The characters that are escaped in a literal: all but the unreserved ones (RFC 3986 section
/// 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The index of an operation, as the value of a route table.
#[derive(Debug)]
pub(super) struct Documented(pub(super) usize);

impl Access for Documented {
    fn allows(&self) -> Ambiguities {
        Ambiguities::default()
    }

    // Nothing is forwarded, so that no reading of a path protects an operation.
    fn same_upstream(&self, _: &Self) -> bool {
        false
    }

    fn is_denied(&self) -> bool {
        false
    }

    fn admits_all_of(&self, _: &Self) -> bool {
        true
    }

    fn class(&self) -> usize {
        0
    }
}

/// Returns a path that the pattern matches and that fewest others do.
pub(in crate::import) fn sample(pattern: &Pattern) -> String {
    let mut paths = samples(pattern, 0).into_iter();
    paths.next().unwrap_or_default()
}

/// Returns paths that the pattern matches and that fewest others do: one, or for a pattern with a
/// tail one of each number of segments up to `depth`.
pub(super) fn samples(pattern: &Pattern, depth: usize) -> Vec<String> {
    meetings(pattern, pattern, depth)
}

/// Returns paths that both patterns match: at most one, or for two patterns with a tail one of each
/// number of segments up to `depth`. Another pattern may be more specific for a part of them.
pub(super) fn meetings(one: &Pattern, other: &Pattern, depth: usize) -> Vec<String> {
    if are_apart(one, other) {
        return Vec::new();
    }
    let shortest = shortest(one).max(shortest(other));
    let longest = match (one.tail(), other.tail()) {
        (Some(_), Some(_)) => depth.max(shortest),
        _ => shortest,
    };
    let mut paths = Vec::new();
    for count in shortest..=longest {
        match path(one, other, count) {
            Some(path) => paths.push(path),
            // Two patterns that have different literals have them in every path.
            None => break,
        }
    }
    paths
}

/// Returns whether two patterns have different literals in the same place.
fn are_apart(one: &Pattern, other: &Pattern) -> bool {
    let mut pairs = one.segments().iter().zip(other.segments());
    pairs.any(|pair| match pair {
        (Segment::Literal(one), Segment::Literal(other)) => one != other,
        _ => false,
    })
}

/// Returns the number of segments of the shortest path that a pattern matches.
fn shortest(pattern: &Pattern) -> usize {
    let tail = matches!(pattern.tail(), Some(Tail::Rest(_)));
    pattern.segments().len() + usize::from(tail)
}

fn path(one: &Pattern, other: &Pattern, count: usize) -> Option<String> {
    let mut path = String::new();
    for index in 0..count {
        path.push('/');
        path.push_str(&common_segment(at(one, index)?, at(other, index)?)?);
    }
    if path.is_empty() {
        path.push('/');
    }
    Some(path)
}

/// Returns a path that is looked up as people read it.
pub(super) fn readable(path: &str) -> String {
    path.replace(VALUE, "x")
}

/// Returns a literal segment as paths have it.
pub(super) fn literal(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A segment of a pattern, or one of those that its tail stands for.
enum Part<'p> {
    Literal(&'p str),
    /// Any segment that is not empty.
    Any,
    /// Any segment, also the empty one after a slash at the end.
    Below,
}

fn at(pattern: &Pattern, index: usize) -> Option<Part<'_>> {
    match pattern.segments().get(index) {
        Some(Segment::Literal(text)) => Some(Part::Literal(text)),
        Some(Segment::Param(_)) => Some(Part::Any),
        None => match pattern.tail()? {
            Tail::Rest(_) if index == pattern.segments().len() => Some(Part::Any),
            Tail::Rest(_) | Tail::Subtree => Some(Part::Below),
        },
    }
}

fn common_segment(one: Part<'_>, other: Part<'_>) -> Option<String> {
    let text = match (one, other) {
        (Part::Literal(one), Part::Literal(other)) if one != other => return None,
        (Part::Literal(""), Part::Any) | (Part::Any, Part::Literal("")) => return None,
        (Part::Literal(text), _) | (_, Part::Literal(text)) => text,
        (Part::Any | Part::Below, Part::Any | Part::Below) => VALUE,
    };
    Some(literal(text))
}

/// Returns the answer of a table to a request; `None` for a request that is refused before.
pub(in crate::import) fn find<'t, T: Access>(
    table: &'t Table<T>,
    method: &Method,
    host: &str,
    path: &str,
) -> Option<Result<&'t T, Miss<'t, T>>> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    let uri: Uri = path.parse().ok()?;
    let target = Target::parse(method, &uri, Version::HTTP_11, &headers).ok()?;
    Some(table.find(&target))
}

/// Returns the rule for a request.
pub(super) fn look_up<'t, T: Access>(
    table: &'t Table<T>,
    method: &Method,
    host: &str,
    path: &str,
) -> Option<&'t T> {
    match find(table, method, host, path)? {
        Ok(found) | Err(Miss::Shadowed { found, .. }) => Some(found),
        Err(Miss::NotFound | Miss::Method { .. }) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(one: &str, other: &str) -> Option<String> {
        let [one, other] = [one, other].map(|text| Pattern::parse(text).unwrap());
        let paths = meetings(&one, &other, 0);
        assert_eq!(paths, meetings(&other, &one, 0), "{one} {other}");
        let path = paths.first()?;
        Some(path.replace(VALUE, "*"))
    }

    #[test]
    fn two_patterns_meet_on_a_path_that_both_match() {
        for (one, other, path) in [
            ("/", "/", Some("/")),
            ("/a", "/a", Some("/a")),
            ("/a", "/b", None),
            ("/a", "/a/", None),
            ("/a", "/a/b", None),
            ("/{x}", "/a", Some("/a")),
            ("/{x}", "/{y}", Some("/*")),
            ("/{x}/b", "/a/{y}", Some("/a/b")),
            ("/a/{rest+}", "/a", None),
            ("/a/{rest+}", "/a/b/{x}", Some("/a/b/*")),
            ("/a/{rest+}", "/a/{other+}", Some("/a/*")),
            ("/a/**", "/a", Some("/a")),
            ("/a/**", "/a/{rest+}", Some("/a/*")),
            ("/**", "/", Some("/")),
            ("/**", "/a/b", Some("/a/b")),
            ("/a/**", "/a/", Some("/a/")),
            ("/{rest+}", "/a/", Some("/a/")),
            ("/{rest+}", "/{x}", Some("/*")),
            ("/{rest+}", "/", None),
            ("/a%20b", "/{x}", Some("/a%20b")),
        ] {
            assert_eq!(met(one, other).as_deref(), path, "{one} {other}");
        }
    }

    // A path of one number of segments may belong to a pattern that is more specific.
    #[test]
    fn two_tails_meet_in_each_depth() {
        let [rest, subtree, exact] =
            ["/a/{rest+}", "/a/**", "/a/{x}"].map(|text| Pattern::parse(text).unwrap());
        let shown = |paths: Vec<String>| paths.join(" ").replace(VALUE, "*");
        assert_eq!(shown(meetings(&rest, &subtree, 4)), "/a/* /a/*/* /a/*/*/*");
        assert_eq!(shown(samples(&subtree, 3)), "/a /a/* /a/*/*");
        assert_eq!(shown(meetings(&rest, &exact, 4)), "/a/*");
        assert_eq!(shown(samples(&exact, 4)), "/a/*");
    }
}
