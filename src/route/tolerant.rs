//! The tolerant readings of a path: the ways in which lenient applications may understand it.
//!
//! Applications decode again, ignore case, merge slashes, cut parameters, and trim dots and blanks.
//! Each takes some of these steps, in an order of its own: to one application `/Users/5%3F/roles`
//! is `/users/5`; to one that ignores only case it is the roles of the user `5?`. So every segment
//! is kept in all of its *forms*: decoded or not, cut at `?`, `#` and `;` or not, split at `/` and
//! `\` or not, with the dots and blanks at its end or without. A *reading* is the path with one
//! form for each segment. Readings are compared with patterns, and never forwarded.

use std::borrow::Cow;

use super::forms::{Budget, Form, SegmentState, fold_case, has_case, into_forms, is_trimmed};
use super::path::decode;

/// The number of segments of a path that is read, for the same reason as that of its pieces. A plain
/// path, which is its own only reading, may have more.
const MOST_SEGMENTS: usize = 256;

/// The readings of a path: for each of its segments the forms that readers give it.
#[derive(Debug)]
pub(super) struct Readings {
    pub(super) segments: Vec<Vec<Form>>,
    /// Set when these are all readings. A path with more pieces than a budget has no segments here.
    pub(super) is_complete: bool,
}

impl Readings {
    /// Reads a path, which begins with `/` and has no query.
    pub(super) fn of(path: &str) -> Self {
        Self::within(path, |_| true)
    }

    /// Reads the segments whose index fulfils `is_read`, and leaves the others as the client sent
    /// them.
    pub(super) fn within(path: &str, is_read: impl Fn(usize) -> bool) -> Self {
        let mut budget = Budget::default();
        let most_segments = if is_plain(path) {
            usize::MAX
        } else {
            MOST_SEGMENTS
        };
        let segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let mut states = Vec::new();
        for (index, segment) in segments.clone().enumerate() {
            states.push(if is_read(index) {
                Some(SegmentState::all(segment, false, &mut budget))
            } else {
                None
            });
            if budget.is_spent() || index == most_segments {
                return Self {
                    segments: Vec::new(),
                    is_complete: false,
                };
            }
        }
        let mut forms = Vec::with_capacity(states.len());
        for (segment, states) in segments.zip(states) {
            forms.push(match states {
                Some(states) => into_forms(states),
                None => vec![Form::exact(&decode(segment))],
            });
        }
        Self {
            segments: forms,
            is_complete: true,
        }
    }
}

/// Returns a segment with its case folded, if it is decoded and has no ambiguity. `None` if a
/// reader may fold more than its case.
pub(super) fn fold_only_case(segment: &str) -> Option<Cow<'_, str>> {
    if segment.contains(['?', '#']) || segment.ends_with(is_trimmed) {
        return None;
    }
    Some(if has_case(segment) {
        Cow::Owned(fold_case(segment))
    } else {
        Cow::Borrowed(segment)
    })
}

/// Returns whether a path without ambiguities is plain: its own only tolerant reading. Without
/// ambiguities it has no `;`, `\`, `//` or control character.
pub(super) fn is_plain(path: &str) -> bool {
    // A loop without an early exit takes many bytes at a time.
    let mut may_change = false;
    let mut has_dot = false;
    for byte in path.bytes() {
        may_change |= byte.is_ascii_uppercase() | (byte == b'%') | (byte >= 0x80);
        has_dot |= byte == b'.';
    }
    may_change |= path.len() > 1 && path.ends_with('/');
    may_change |= has_dot && (path.ends_with('.') || path.contains("./"));
    !may_change
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the forms of a segment as text, with `$` where the path is cut.
    fn forms(segment: &str) -> Vec<String> {
        let readings = Readings::of(&format!("/{segment}"));
        let text = |form: &Form| {
            let texts: Vec<_> = form.pieces.iter().map(|piece| &*piece.text).collect();
            format!("{}{}", texts.join("/"), if form.is_cut { "$" } else { "" })
        };
        let mut forms: Vec<_> = readings.segments[0].iter().map(text).collect();
        forms.sort();
        forms.dedup();
        forms
    }

    #[test]
    fn a_segment_is_kept_in_every_form() {
        for (segment, expected) in [
            ("", &[""][..]),
            ("admin", &["admin"]),
            ("%61dmin", &["admin"]),
            ("%2561dmin", &["%61dmin", "admin"]),
            ("5%3Fx", &["5$", "5?x"]),
            ("5%3Fx%23y", &["5$", "5?x#y", "5?x$"]),
            ("a;b", &["a", "a;b"]),
            ("...", &["", "..."]),
            ("a.%20", &["a", "a.", "a. "]),
            ("a%20.", &["a", "a ", "a ."]),
            ("%20a", &[" a"]),
            ("a\\b", &["a/b", "a\\b"]),
            ("100%25", &["100%"]),
        ] {
            assert_eq!(forms(segment), expected, "{segment}");
        }
        for (segment, form) in [
            ("admin;b%252fx", "admin/x"),
            ("admin;b%252fx", "admin"),
            ("a;b%2Fc", "a/c"),
            ("a;b%2Fc", "a"),
            ("%253Bb%252Fc", "/c"),
            ("a%2Fb%5Cc", "a/b/c"),
            ("a%2F%2F%2Fb", "a//b"),
            ("a/%253Fx", "a"),
        ] {
            assert!(
                forms(segment).contains(&form.to_owned()),
                "{segment} {:?}",
                forms(segment)
            );
        }
    }

    #[test]
    fn what_is_not_read_is_left_as_it_came() {
        let readings = Readings::within("/A%64min./X/", |index| index == 1);
        let texts: Vec<_> = readings
            .segments
            .iter()
            .map(|forms| &*forms[0].pieces[0].text)
            .collect();
        assert_eq!(texts, ["Admin.", "X", ""]);
        let exact: Vec<_> = readings
            .segments
            .iter()
            .map(|forms| forms[0].pieces[0].is_exact)
            .collect();
        assert_eq!(exact, [true, false, true]);
        assert!(readings.segments.iter().all(|forms| forms.len() == 1));
    }

    #[test]
    fn the_forms_of_a_path_are_bounded() {
        for path in [
            format!("/{}/Admin.", "a%253f;.%2f%5cb%23./".repeat(400)),
            format!("/A{}", "%2fa".repeat(200)),
            format!("/A{}", "/a".repeat(MOST_SEGMENTS)),
        ] {
            let readings = Readings::of(&path);
            assert!(
                readings.segments.is_empty() && !readings.is_complete,
                "{path}"
            );
        }
        for path in [
            "/users/5%3F/My%20File;a/Roles.".to_owned(),
            format!("/a{}", "%2fa".repeat(63)),
            "/a.".repeat(100),
            "/a%2Fb".repeat(40),
            format!("/A{}", "/a".repeat(200)),
        ] {
            assert!(Readings::of(&path).is_complete, "{path}");
        }
    }

    #[test]
    fn a_plain_path_has_one_reading() {
        for path in [
            "/",
            "/admin",
            "/a.b/c",
            "/.well-known/x",
            "/a-b_c~d/1",
            "/a+b@c",
        ] {
            assert!(is_plain(path), "{path}");
            let readings = Readings::of(path);
            let one = |forms: &Vec<Form>| {
                forms.len() == 1 && forms[0].pieces[0].text == forms[0].pieces[0].folded
            };
            assert!(readings.segments.iter().all(one), "{path}");
        }
        for path in [
            "/A", "/a/", "/a.", "/a./b", "/a%20", "/\u{e4}", "/%61", "/a/...",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
