//! The tolerant readings of a path: what lenient applications take it for.
//!
//! Applications decode again, ignore case, merge slashes, cut parameters and drop what they trim.
//! Each does some of that and leaves the rest, in an order of its own: to one `/Users/5%3F/roles`
//! is `/users/5`, and to one that ignores nothing but case it is the roles of the user `5?`. So
//! every segment is kept in all of its forms: decoded or not, cut at `?`, `#` and `;` or not, split
//! at `/` and `\` or not, with the dots and blanks at its end or without. They are compared, and
//! never forwarded.

use std::borrow::Cow;
use std::collections::HashSet;

use percent_encoding::percent_decode_str;

/// Pieces of segments that are made for one path. A path that has more is no application's: it is
/// not read any further, and may be taken for any other.
const MOST_PIECES: usize = 128;

/// Segments of a path that is read, for the same reason, unless it is its own only reading.
const MOST_SEGMENTS: usize = 256;

/// Rounds after which a segment is folded wholly. An escape that is nested deeper than the limit of
/// `path` never gets here.
const MOST_ROUNDS: usize = 12;

/// The readings of a path: for each of its segments the forms that readers give it.
#[derive(Debug)]
pub(super) struct Readings {
    pub(super) segments: Vec<Vec<Form>>,
    /// Whether these are all. There is none of a path that has more than [`MOST_PIECES`].
    pub(super) is_complete: bool,
}

/// One form of a segment.
#[derive(Debug)]
pub(super) struct Form {
    /// What the segment is split into.
    pub(super) pieces: Vec<Piece>,
    /// Whether the path ends here.
    pub(super) is_cut: bool,
}

/// One segment of a reading.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    /// The same with its case folded.
    pub(super) folded: String,
    /// The same with everything folded, by which patterns are looked up.
    pub(super) name: String,
    /// Whether it is compared as it came.
    pub(super) is_exact: bool,
}

/// A segment on its way to a [`Form`].
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    parts: Vec<String>,
    is_cut: bool,
    is_decoded: bool,
}

impl Readings {
    /// Reads a path, which begins with `/` and has no query.
    pub(super) fn of(path: &str) -> Self {
        Self::within(path, |_| true)
    }

    /// Reads the segments for which `is_read` holds, and leaves the others as they came.
    pub(super) fn within(path: &str, is_read: impl Fn(usize) -> bool) -> Self {
        let mut budget = MOST_PIECES;
        let most_segments = if is_plain(path) {
            usize::MAX
        } else {
            MOST_SEGMENTS
        };
        let segments = || path.strip_prefix('/').unwrap_or(path).split('/');
        let mut states = Vec::new();
        for (index, segment) in segments().enumerate() {
            states.push(is_read(index).then(|| State::all(segment, false, &mut budget)));
            if budget == 0 || index == most_segments {
                return Self {
                    segments: Vec::new(),
                    is_complete: false,
                };
            }
        }
        let forms = segments()
            .zip(states)
            .map(|(segment, states)| match states {
                Some(states) => states.into_iter().map(State::into_form).collect(),
                None => vec![Form::exact(&super::path::decode(segment))],
            });
        Self {
            segments: forms.collect(),
            is_complete: true,
        }
    }
}

impl Form {
    /// The forms of a pattern's literal, which is decoded already; as it is written comes first.
    pub(super) fn of_literal(text: &str) -> Vec<Self> {
        State::all(text, true, &mut MOST_PIECES.clone())
            .into_iter()
            .map(State::into_form)
            .collect()
    }

    fn exact(text: &str) -> Self {
        Self {
            pieces: vec![Piece {
                is_exact: true,
                ..Piece::new(text.to_owned())
            }],
            is_cut: false,
        }
    }
}

impl Piece {
    fn new(text: String) -> Self {
        let folded = fold_case(&text);
        let name = match is_ordinary(&text) {
            true => folded.clone(),
            false => whole_name(&text).0.unwrap_or_default(),
        };
        Self {
            text,
            folded,
            name,
            is_exact: false,
        }
    }
}

impl State {
    fn new(segment: &str, is_decoded: bool) -> Self {
        Self {
            parts: vec![segment.to_owned()],
            is_cut: false,
            is_decoded,
        }
    }

    /// Every state of a segment that is decoded at least once.
    fn all(segment: &str, is_decoded: bool, budget: &mut usize) -> Vec<Self> {
        let once = if is_decoded {
            Cow::Borrowed(segment)
        } else {
            super::path::decode(segment)
        };
        if is_ordinary(&once) && is_ordinary(segment) {
            return vec![Self::new(&once, true)];
        }
        let mut states = vec![Self::new(&once, true)];
        if !is_decoded && *once != *segment {
            states.push(Self::new(segment, false));
        }
        let mut known: HashSet<_> = states.iter().cloned().collect();
        let mut next = 0;
        while let Some(state) = states.get(next).cloned() {
            next += 1;
            for fold in FOLDS {
                let folded = fold(state.clone());
                if known.contains(&folded) {
                    continue;
                }
                let Some(left) = budget.checked_sub(folded.parts.len()) else {
                    *budget = 0;
                    return Vec::new();
                };
                *budget = left;
                known.insert(folded.clone());
                states.push(folded);
            }
        }
        states.retain(|state| state.is_decoded);
        states
    }

    /// Everything folded.
    fn whole(mut self) -> Self {
        for _ in 0..MOST_ROUNDS {
            let before = self.clone();
            self = FOLDS.iter().fold(self, |state, fold| fold(state));
            if self == before {
                break;
            }
        }
        self
    }

    fn each(mut self, change: impl Fn(&str) -> &str) -> Self {
        for part in &mut self.parts {
            part.truncate(change(part).len());
        }
        self
    }

    fn split(mut self, at: char) -> Self {
        if self.parts.iter().any(|part| part.contains(at)) {
            let parts = self
                .parts
                .iter()
                .flat_map(|part| part.split(at))
                .map(str::to_owned);
            self.parts = parts.collect();
            // To merge several empty ones is to merge one.
            self.parts
                .dedup_by(|second, first| second.is_empty() && first.is_empty());
        }
        self
    }

    fn cut_path(mut self, at: char) -> Self {
        if let Some(index) = self.parts.iter().position(|part| part.contains(at)) {
            self.parts.truncate(index + 1);
            if let Some(part) = self.parts.last_mut() {
                part.truncate(part.find(at).unwrap_or(part.len()));
            }
            self.is_cut = true;
        }
        self
    }

    fn into_form(self) -> Form {
        Form {
            pieces: self.parts.into_iter().map(Piece::new).collect(),
            is_cut: self.is_cut,
        }
    }
}

/// What readers do to a segment, each one by itself and in any order.
const FOLDS: [fn(State) -> State; 9] = [
    |mut state| {
        for part in &mut state.parts {
            if part.contains('%') {
                *part = percent_decode_str(part).decode_utf8_lossy().into_owned();
            }
        }
        State {
            is_decoded: true,
            ..state
        }
    },
    |state| state.cut_path('?'),
    |state| state.cut_path('#'),
    // A string of C ends there.
    |state| state.cut_path('\0'),
    |state| state.split('/'),
    |state| state.split('\\'),
    |state| state.each(|part| part.split(';').next().unwrap_or_default()),
    |state| state.each(|part| part.trim_end_matches('.')),
    |state| state.each(|part| part.trim_end_matches(is_blank)),
];

/// Whether a text has no other form.
fn is_ordinary(text: &str) -> bool {
    !text.contains(['%', '?', '#', '\0', ';', '/', '\\']) && !text.ends_with(is_trimmed)
}

/// Returns whether a decoded text is its own name.
pub(super) fn is_own_name(text: &str) -> bool {
    is_ordinary(text)
        && !text
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || byte >= 0x80)
}

/// A decoded text with everything folded, as the first segment of a path; whether what follows is
/// cut. `None` where nothing is left.
pub(super) fn whole_name(text: &str) -> (Option<String>, bool) {
    // A reload asks for the name of every literal.
    if is_ordinary(text) && !text.is_empty() {
        return (Some(fold_case(text)), false);
    }
    let state = State::new(text, true).whole();
    (
        state
            .parts
            .into_iter()
            .find(|part| !part.is_empty())
            .map(|part| fold_case(&part)),
        state.is_cut,
    )
}

/// What is trimmed from the end of a segment.
fn is_trimmed(c: char) -> bool {
    c == '.' || is_blank(c)
}

/// White space, also what only some languages trim (U+FEFF in JavaScript), and control characters.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{180e}' | '\u{200b}' | '\u{feff}')
}

/// Folds case as widely as any comparison does: `ẞ` is `ß` in lower case, and that is `SS` in upper
/// case.
fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = text.chars().flat_map(char::to_lowercase);
    let folded: String = lower
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    // Readers that fold one character to one drop the dot that Unicode keeps of `İ`.
    folded.replace("i\u{307}", "i")
}

/// A segment that is decoded and has no ambiguity, with its case folded; `None` where more than
/// case would be folded.
pub(super) fn tolerant_name(name: &str) -> Option<Cow<'_, str>> {
    if name.contains(['?', '#']) || name.ends_with(is_trimmed) {
        return None;
    }
    let folds = name
        .bytes()
        .any(|byte| byte.is_ascii_uppercase() || byte >= 0x80);
    Some(if folds {
        Cow::Owned(fold_case(name))
    } else {
        Cow::Borrowed(name)
    })
}

/// Whether a path without ambiguities is its own tolerant reading. It has no `;`, `\`, `//` or
/// control character then.
pub(super) fn is_plain(path: &str) -> bool {
    // Without an early exit the loop takes many bytes at a time.
    let (mut changed, mut dot) = (false, false);
    for byte in path.bytes() {
        changed |= byte.is_ascii_uppercase() | (byte == b'%') | (byte >= 0x80);
        dot |= byte == b'.';
    }
    changed |= path.len() > 1 && path.ends_with('/');
    changed |= dot && (path.ends_with('.') || path.contains("./"));
    !changed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms of a segment, as text, with `$` where the path is cut.
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
    fn a_name_is_folded_wholly() {
        for (text, name) in [
            ("Admin", "admin"),
            ("admin .. ", "admin"),
            ("admin;a.b", "admin"),
            ("%41dmin%3ba", "admin"),
            (
                "\u{c4}\u{1e9e}\u{212a}\u{130}\u{17f}\u{131}",
                "\u{e4}sskisi",
            ),
            ("i\u{307}stanbul\u{feff}", "istanbul"),
            (".well-known", ".well-known"),
        ] {
            assert_eq!(whole_name(text), (Some(name.to_owned()), false), "{text}");
        }
        assert_eq!(whole_name("a?b"), (Some("a".to_owned()), true));
        assert_eq!(whole_name("a\0b"), (Some("a".to_owned()), true));
        assert_eq!(whole_name("..."), (None, false));
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
