//! The tolerant readings of a path: the ways in which lenient applications may understand it.
//!
//! Applications decode again, ignore case, merge slashes, cut parameters, and trim dots and blanks.
//! Each takes some of these steps, in an order of its own: to one application `/Users/5%3F/roles`
//! is `/users/5`; to one that ignores only case it is the roles of the user `5?`. So every segment
//! is kept in all of its *forms*: decoded or not, cut at `?`, `#` and `;` or not, split at `/` and
//! `\` or not, with the dots and blanks at its end or without. A *reading* is the path with one
//! form for each segment. Readings are compared with patterns, and never forwarded.

use std::borrow::Cow;
use std::collections::HashSet;

use percent_encoding::percent_decode_str;

use super::path::{decode, is_blank};

/// The number of pieces that are made for one path. No client of an application sends a path that
/// has more; such a path is not read any further, and counts as a path of every pattern.
const MOST_PIECES: usize = 128;

/// The number of bytes of all these pieces together, for the same reason: a long segment may have
/// many forms, and each of them is a copy.
const MOST_BYTES: usize = 64 * 1024;

/// The number of segments of a path that is read, for the same reason. A plain path, which is its
/// own only reading, may have more.
const MOST_SEGMENTS: usize = 256;

/// The number of rounds in which a segment is folded. A path whose escapes are nested deeper than
/// `path` allows is refused before.
const MOST_ROUNDS: usize = 12;

/// The readings of a path: for each of its segments the forms that readers give it.
#[derive(Debug)]
pub(super) struct Readings {
    pub(super) segments: Vec<Vec<Form>>,
    /// Set when these are all readings. A path with more than [`MOST_PIECES`] has no segments here.
    pub(super) is_complete: bool,
}

/// One form of a segment.
#[derive(Debug)]
pub(super) struct Form {
    /// The parts into which the segment is split.
    pub(super) pieces: Vec<Piece>,
    /// Set when the path ends here.
    pub(super) is_cut: bool,
}

/// One segment of a reading.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    /// The text with its case folded.
    pub(super) folded: String,
    /// The text with everything folded, by which patterns are looked up.
    pub(super) name: String,
    /// Set when the piece is compared as the client sent it.
    pub(super) is_exact: bool,
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

impl Form {
    /// Returns the forms of a literal of a pattern, which is decoded already. The first form is the
    /// text as the configuration has it.
    pub(super) fn of_literal(text: &str) -> Vec<Self> {
        into_forms(SegmentState::all(text, true, &mut Budget::default()))
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

    /// Returns whether the form is an empty segment, which some readers merge with the next one.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| piece.text.is_empty())
    }
}

impl Piece {
    fn new(text: String) -> Self {
        let folded = fold_case(&text);
        let name = if has_one_form(&text) {
            folded.clone()
        } else {
            FoldedName::of(&text).text.unwrap_or_default()
        };
        Self {
            text,
            folded,
            name,
            is_exact: false,
        }
    }
}

/// The pieces that may still be made for a path, and their bytes. A budget that did not suffice once
/// stays spent.
struct Budget {
    pieces: Option<usize>,
    bytes: Option<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            pieces: Some(MOST_PIECES),
            bytes: Some(MOST_BYTES),
        }
    }
}

impl Budget {
    fn take(&mut self, state: &SegmentState) {
        let bytes = state.parts.iter().map(String::len).sum();
        self.pieces = self
            .pieces
            .and_then(|left| left.checked_sub(state.parts.len()));
        self.bytes = self.bytes.and_then(|left| left.checked_sub(bytes));
    }

    fn is_spent(&self) -> bool {
        self.pieces.is_none() || self.bytes.is_none()
    }
}

/// A segment between two steps of a reader. The last state of a reader is a [`Form`].
#[derive(Clone, PartialEq, Eq, Hash)]
struct SegmentState {
    parts: Vec<String>,
    is_cut: bool,
    is_decoded: bool,
}

impl SegmentState {
    fn new(segment: &str, is_decoded: bool) -> Self {
        Self {
            parts: vec![segment.to_owned()],
            is_cut: false,
            is_decoded,
        }
    }

    /// Returns every state of a segment in which it is decoded at least once, and takes their
    /// pieces from the budget. Returns nothing when the budget does not suffice.
    fn all(segment: &str, is_decoded: bool, budget: &mut Budget) -> Vec<Self> {
        let mut states = Self::initial(segment, is_decoded);
        if states.iter().all(Self::is_final) {
            return states;
        }
        let mut known: HashSet<_> = states.iter().cloned().collect();
        let mut next = 0;
        while let Some(state) = states.get(next).cloned() {
            next += 1;
            for fold in FOLDS {
                if !state.is_changed_by(fold) {
                    continue;
                }
                let folded = state.clone().fold(fold);
                if known.contains(&folded) {
                    continue;
                }
                budget.take(&folded);
                if budget.is_spent() {
                    return Vec::new();
                }
                known.insert(folded.clone());
                states.push(folded);
            }
        }
        states.retain(|state| state.is_decoded);
        states
    }

    /// Returns the states from which readers start: the segment decoded once, and the segment as it
    /// is if decoding changes it.
    fn initial(segment: &str, is_decoded: bool) -> Vec<Self> {
        if is_decoded {
            return vec![Self::new(segment, true)];
        }
        let once = decode(segment);
        let mut states = vec![Self::new(&once, true)];
        if *once != *segment {
            states.push(Self::new(segment, false));
        }
        states
    }

    /// Returns whether no step changes the segment.
    fn is_final(&self) -> bool {
        self.is_decoded && self.parts.iter().all(|part| has_one_form(part))
    }

    /// Takes all steps until none of them changes the segment.
    fn fold_fully(mut self) -> Self {
        for _ in 0..MOST_ROUNDS {
            let before = self.clone();
            for fold in FOLDS {
                self = self.fold(fold);
            }
            if self == before {
                break;
            }
        }
        self
    }

    fn is_changed_by(&self, fold: Fold) -> bool {
        let is_changed = |part: &String| match fold {
            Fold::Decode => part.contains('%'),
            Fold::CutPathAt(mark) | Fold::SplitAt(mark) => part.contains(mark),
            Fold::CutParameters => part.contains(';'),
            Fold::TrimDots => part.ends_with('.'),
            Fold::TrimBlanks => part.ends_with(is_blank),
        };
        matches!(fold, Fold::Decode) && !self.is_decoded || self.parts.iter().any(is_changed)
    }

    fn fold(self, fold: Fold) -> Self {
        match fold {
            Fold::Decode => self.decode(),
            Fold::CutPathAt(mark) => self.cut_path(mark),
            Fold::SplitAt(slash) => self.split(slash),
            Fold::CutParameters => self.trim(|part| part.split(';').next().unwrap_or_default()),
            Fold::TrimDots => self.trim(|part| part.trim_end_matches('.')),
            Fold::TrimBlanks => self.trim(|part| part.trim_end_matches(is_blank)),
        }
    }

    fn decode(mut self) -> Self {
        for part in &mut self.parts {
            if part.contains('%') {
                *part = percent_decode_str(part).decode_utf8_lossy().into_owned();
            }
        }
        self.is_decoded = true;
        self
    }

    /// Shortens each part to the prefix that `keep` returns.
    fn trim(mut self, keep: fn(&str) -> &str) -> Self {
        for part in &mut self.parts {
            part.truncate(keep(part).len());
        }
        self
    }

    fn split(mut self, slash: char) -> Self {
        if self.parts.iter().any(|part| part.contains(slash)) {
            let mut parts = Vec::new();
            for part in &self.parts {
                parts.extend(part.split(slash).map(str::to_owned));
            }
            // A reader that merges one empty part merges several in a row as well.
            parts.dedup_by(|second, first| second.is_empty() && first.is_empty());
            self.parts = parts;
        }
        self
    }

    fn cut_path(mut self, mark: char) -> Self {
        if let Some(index) = self.parts.iter().position(|part| part.contains(mark)) {
            self.parts.truncate(index + 1);
            if let Some(part) = self.parts.last_mut() {
                part.truncate(part.find(mark).unwrap_or(part.len()));
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

fn into_forms(states: Vec<SegmentState>) -> Vec<Form> {
    states.into_iter().map(SegmentState::into_form).collect()
}

/// A step of a reader on a segment.
#[derive(Clone, Copy)]
enum Fold {
    Decode,
    /// Ends the path at this character.
    CutPathAt(char),
    SplitAt(char),
    /// Cuts each part at `;`.
    CutParameters,
    TrimDots,
    TrimBlanks,
}

/// The steps that readers may take, each one independently of the others and in any order.
const FOLDS: [Fold; 9] = [
    Fold::Decode,
    Fold::CutPathAt('?'),
    Fold::CutPathAt('#'),
    // A string of C ends here.
    Fold::CutPathAt('\0'),
    Fold::SplitAt('/'),
    Fold::SplitAt('\\'),
    Fold::CutParameters,
    Fold::TrimDots,
    Fold::TrimBlanks,
];

/// The name of a segment: its first part that is not empty, with everything folded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FoldedName {
    /// The name; `None` if folding leaves nothing of the segment.
    pub(super) text: Option<String>,
    /// Set when folding cuts the path behind the segment.
    pub(super) is_cut: bool,
}

impl FoldedName {
    /// Folds a decoded text.
    pub(super) fn of(text: &str) -> Self {
        // A reload asks for the name of every literal, and most have one form.
        if has_one_form(text) && !text.is_empty() {
            return Self {
                text: Some(fold_case(text)),
                is_cut: false,
            };
        }
        let state = SegmentState::new(text, true).fold_fully();
        let mut parts = state.parts.iter();
        Self {
            text: parts
                .find(|part| !part.is_empty())
                .map(|part| fold_case(part)),
            is_cut: state.is_cut,
        }
    }
}

/// Returns whether no step of a reader changes a decoded text.
fn has_one_form(text: &str) -> bool {
    !text.contains(['%', '?', '#', '\0', ';', '/', '\\']) && !text.ends_with(is_trimmed)
}

/// Returns whether a decoded text is its own [`FoldedName`].
pub(super) fn is_folded_name(text: &str) -> bool {
    has_one_form(text) && !has_case(text)
}

/// Returns whether folding the case of a text may change it.
fn has_case(text: &str) -> bool {
    text.bytes()
        .any(|byte| byte.is_ascii_uppercase() || byte >= 0x80)
}

/// Returns whether readers trim this character from the end of a segment.
fn is_trimmed(c: char) -> bool {
    c == '.' || is_blank(c)
}

/// Folds case as widely as any comparison does: `ẞ` is `ß` in lower case, which is `SS` in upper
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
    // Unicode keeps the dot of `İ`. Readers that fold one character to one character drop it.
    folded.replace("i\u{307}", "i")
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

    fn folded(text: Option<&str>, is_cut: bool) -> FoldedName {
        FoldedName {
            text: text.map(str::to_owned),
            is_cut,
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
            assert_eq!(FoldedName::of(text), folded(Some(name), false), "{text}");
        }
        assert_eq!(FoldedName::of("a?b"), folded(Some("a"), true));
        assert_eq!(FoldedName::of("a\0b"), folded(Some("a"), true));
        assert_eq!(FoldedName::of("..."), folded(None, false));
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
