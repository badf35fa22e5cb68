//! The characters that end a line in YAML 1.1, and are others in YAML 1.2: behind a comment, what
//! one reader skips is a key for the other.

use saphyr_parser::{Event, Marker, ScalarStyle};

/// Returns whether a character ends a line for some readers alone: NEL, LS and PS (YAML 1.1 §4.2).
fn is_doubtful(char: char) -> bool {
    matches!(char, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The texts between quotation marks, in a file with such a character.
pub(super) struct Quotes {
    /// Whether the file has one.
    counts: bool,
    /// The first quotation mark of each, by its number among the characters of the file. Where the
    /// parser sees an end may lie behind a comment. Behind a tag or an anchor the mark is not seen:
    /// such a text counts as one without marks, and is refused.
    starts: Vec<usize>,
}

/// Where a character of a quoted text stands.
#[derive(Clone, Copy)]
enum State {
    Outside,
    /// Between two of these quotation marks.
    Within(char),
    /// Behind a backslash, between two of these.
    Escaped(char),
    /// Behind a single quotation mark, which another one would make a character of the text.
    Closed,
}

impl Quotes {
    pub(super) fn of(text: &str) -> Self {
        Self {
            counts: text.contains(is_doubtful),
            starts: Vec::new(),
        }
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, event: &Event<'_>, start: Marker) {
        let Event::Scalar(_, style, ..) = event else {
            return;
        };
        let is_quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        if self.counts && is_quoted {
            self.starts.push(start.index());
        }
    }

    /// Returns the line, counted from 1, and the column, counted from 0, of the first such
    /// character outside of quotation marks.
    pub(super) fn doubtful_break(&self, text: &str) -> Option<(usize, usize)> {
        if !self.counts {
            return None;
        }
        let mut starts = self.starts.iter().peekable();
        let mut state = State::Outside;
        let (mut line, mut column, mut last) = (1, 0, ' ');
        for (number, char) in text.chars().enumerate() {
            let begins = starts.next_if(|start| **start == number).is_some();
            if is_doubtful(char) && matches!(state, State::Outside | State::Closed) {
                return Some((line, column));
            }
            state = state.after(char, begins);
            // A carriage return and a line feed are one break.
            let is_second = char == '\n' && last == '\r';
            if matches!(char, '\n' | '\r') {
                line += usize::from(!is_second);
                column = 0;
            } else {
                column += 1;
            }
            last = char;
        }
        None
    }
}

impl State {
    /// Returns the state after a character, at which a quoted text begins or not.
    fn after(self, char: char, begins: bool) -> Self {
        match self {
            Self::Closed if char == '\'' => Self::Within(char),
            Self::Outside | Self::Closed if begins && matches!(char, '\'' | '"') => {
                Self::Within(char)
            }
            Self::Outside | Self::Closed => Self::Outside,
            Self::Within('\'') if char == '\'' => Self::Closed,
            Self::Within('"') if char == '\\' => Self::Escaped('"'),
            Self::Within(mark) if char == mark => Self::Outside,
            Self::Escaped(mark) => Self::Within(mark),
            Self::Within(mark) => Self::Within(mark),
        }
    }
}
