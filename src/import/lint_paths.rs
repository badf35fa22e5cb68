//! Paths that patterns match, to compare the rules for them.

use http::Method;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Uri, Version};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::route::{Access, Ambiguities, Miss, Pattern, Segment, Table, Tail, Target};

/// The value of a parameter in a path that is looked up. A literal with this text would be a
/// coincidence.
const VALUE: &str = "0any0value0";

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
pub(super) fn sample(pattern: &Pattern) -> String {
    meeting(pattern, pattern).unwrap_or_default()
}

/// Returns a path that both patterns match; `None` if there is none.
pub(super) fn meeting(one: &Pattern, other: &Pattern) -> Option<String> {
    let count = one.segments().len().max(other.segments().len());
    let mut path = String::new();
    for index in 0..count {
        path.push('/');
        path.push_str(&common_segment(at(one, index)?, at(other, index)?)?);
    }
    let lacks_one = |pattern: &Pattern| {
        pattern.segments().len() == count && matches!(pattern.tail(), Some(Tail::Rest(_)))
    };
    if lacks_one(one) || lacks_one(other) {
        one.tail()?;
        other.tail()?;
        path.push('/');
        path.push_str(VALUE);
    }
    if path.is_empty() {
        path.push('/');
    }
    Some(path)
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
    Some(utf8_percent_encode(text, NON_ALPHANUMERIC).to_string())
}

/// Returns the rule for a request.
pub(super) fn look_up<'t, T: Access>(
    table: &'t Table<T>,
    method: &Method,
    host: &str,
    path: &str,
) -> Option<&'t T> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    let uri: Uri = path.parse().ok()?;
    let target = Target::parse(method, &uri, Version::HTTP_11, &headers).ok()?;
    match table.find(&target) {
        Ok(found) | Err(Miss::Shadowed { found, .. }) => Some(found),
        Err(Miss::NotFound | Miss::Method { .. }) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(one: &str, other: &str) -> Option<String> {
        let [one, other] = [one, other].map(|text| Pattern::parse(text).unwrap());
        let path = meeting(&one, &other);
        assert_eq!(path, meeting(&other, &one), "{one} {other}");
        path.map(|path| path.replace(VALUE, "*"))
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
}
