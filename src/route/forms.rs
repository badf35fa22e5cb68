//! The forms of a segment, and its name with everything folded.
//!
//! A segment begins decoded or not, and each step of a reader that changes it makes another form,
//! in any order of the steps.

use std::collections::HashSet;

use percent_encoding::percent_decode_str;

use super::path::{decode, is_blank};

/// The number of pieces that are made for one path. No client of an application sends a path that
/// has more; such a path is not read any further, and counts as a path of every pattern.
const MOST_PIECES: usize = 128;

/// The number of bytes of all these pieces together, for the same reason: a long segment may have
/// many forms, and each of them is a copy.
const MOST_BYTES: usize = 64 * 1024;

/// The number of rounds in which a segment is folded. A path whose escapes are nested deeper than
/// `path` allows is refused before.
const MOST_ROUNDS: usize = 12;

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

impl Form {
    /// Returns the forms of a literal of a pattern, which is decoded already. The first form is the
    /// text as the configuration has it.
    pub(super) fn of_literal(text: &str) -> Vec<Self> {
        into_forms(SegmentState::all(text, true, &mut Budget::default()))
    }

    pub(super) fn exact(text: &str) -> Self {
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
pub(super) struct Budget {
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

    pub(super) fn is_spent(&self) -> bool {
        self.pieces.is_none() || self.bytes.is_none()
    }
}

/// A segment between two steps of a reader. The last state of a reader is a [`Form`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SegmentState {
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
    pub(super) fn all(segment: &str, is_decoded: bool, budget: &mut Budget) -> Vec<Self> {
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

pub(super) fn into_forms(states: Vec<SegmentState>) -> Vec<Form> {
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
pub(super) fn has_case(text: &str) -> bool {
    text.bytes()
        .any(|byte| byte.is_ascii_uppercase() || byte >= 0x80)
}

/// Returns whether readers trim this character from the end of a segment.
pub(super) fn is_trimmed(c: char) -> bool {
    c == '.' || is_blank(c)
}

/// Folds case as widely as any comparison does: `ẞ` is `ß` in lower case, which is `SS` in upper
/// case.
pub(super) fn fold_case(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
