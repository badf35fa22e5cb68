//! Paths that patterns match, for requests that are tried.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::route::{Pattern, Segment, Tail};

/// A segment that occurs in no route.
pub(super) const ANY_SEGMENT: &str = "~";

const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Returns a path that matches a pattern.
pub(super) fn sample(pattern: &Pattern) -> String {
    let mut path = String::new();
    for segment in pattern.segments() {
        match segment {
            Segment::Literal(text) => push(&mut path, &encoded(text)),
            Segment::Param(_) => push(&mut path, ANY_SEGMENT),
        }
    }
    if let Some(Tail::Rest(_)) = pattern.tail() {
        push(&mut path, ANY_SEGMENT);
    }
    or_root(path)
}

/// Returns a literal segment in its percent-encoded form.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_SEGMENT).to_string()
}

pub(super) fn push(path: &mut String, segment: &str) {
    path.push('/');
    path.push_str(segment);
}

pub(super) fn or_root(path: String) -> String {
    match path.as_str() {
        "" => "/".to_owned(),
        _ => path,
    }
}
