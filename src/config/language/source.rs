//! The text of a file, with the conversion of byte positions to lines.

use std::ops::Range;

/// A range of bytes in one of the files of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    /// The index of the file, in the order of reading.
    pub(crate) file: usize,
    /// The first byte.
    pub(crate) start: usize,
    /// The byte after the last.
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(file: usize, range: Range<usize>) -> Self {
        Self {
            file,
            start: range.start,
            end: range.end,
        }
    }
}

/// A file that spans refer to.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// The name of the file as the operator gave it.
    pub(crate) name: String,
    pub(crate) text: String,
    /// The first byte of each line. Computed once, because a search for each problem would be slow
    /// for a large file with many problems.
    lines: Vec<usize>,
}

/// Some lines of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window<'a> {
    pub(crate) text: &'a str,
    /// The number of the first line, counted from 1.
    pub(crate) line: usize,
    /// The position of the first byte in the file.
    pub(crate) start: usize,
}

impl SourceFile {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut lines = vec![0];
        for (at, _) in text.match_indices('\n') {
            lines.push(at + 1);
        }
        Self {
            name: name.into(),
            text,
            lines,
        }
    }

    /// Returns the line of a byte, counted from 0.
    fn line(&self, at: usize) -> usize {
        self.lines
            .partition_point(|start| *start <= at)
            .saturating_sub(1)
    }

    /// Returns the first byte of a line, or the end of the text for the line after the last.
    fn line_start(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    /// Returns the line and column of a byte, both counted from 1, the column in characters.
    pub(crate) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let at = self.boundary(at);
        let line = self.line(at);
        let before = self.text.get(self.line_start(line)..at).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }

    /// Returns a position for people: `file:line:column`.
    pub(crate) fn place(&self, span: Span) -> String {
        let (line, column) = self.line_and_column(span.start);
        format!("{}:{line}:{column}", self.name)
    }

    /// Returns the bytes to underline: of several lines only the first, and never a part of a
    /// character.
    pub(crate) fn span(&self, span: Span) -> Range<usize> {
        let (start, end) = (self.boundary(span.start), self.boundary(span.end));
        let text = self.text.get(start..end).unwrap_or_default();
        start..start + text.lines().next().unwrap_or_default().len()
    }

    /// Returns the lines from that of one byte to that of another.
    pub(crate) fn window(&self, from: usize, to: usize) -> Window<'_> {
        let (first, last) = (self.line(from.min(to)), self.line(from.max(to)));
        let (start, end) = (self.line_start(first), self.line_start(last + 1));
        Window {
            text: self.text.get(start..end).unwrap_or_default(),
            line: first + 1,
            start,
        }
    }

    /// Returns the nearest byte at or before `at` where a character begins.
    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

impl Window<'_> {
    /// Converts a range of the file to a range of the window.
    pub(crate) fn span(&self, span: Range<usize>) -> Range<usize> {
        span.start.saturating_sub(self.start)..span.end.saturating_sub(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, end: usize) -> Span {
        Span {
            file: 0,
            start,
            end,
        }
    }

    #[test]
    fn lines_and_columns_are_counted_from_one_and_in_characters() {
        let file = SourceFile::new("a", "ä = 1\n\nb\n");
        for (at, expected) in [
            (0, (1, 1)),
            (2, (1, 2)),
            (6, (1, 6)),
            (7, (2, 1)),
            (8, (3, 1)),
            (10, (4, 1)),
        ] {
            assert_eq!(file.line_and_column(at), expected, "{at}");
        }
        assert_eq!(file.line_and_column(99), (4, 1));
    }

    #[test]
    fn a_span_ends_with_its_line_and_splits_no_character() {
        let file = SourceFile::new("a", "é\nsecond");
        assert_eq!(file.span(span(0, 9)), 0..2);
        assert_eq!(file.span(span(1, 2)), 0..2);
        assert_eq!(file.span(span(99, 120)), 9..9);
    }

    #[test]
    fn a_window_holds_whole_lines() {
        let file = SourceFile::new("a", "one\ntwo\nthree\nfour");
        let window = file.window(9, 5);
        assert_eq!((window.text, window.line), ("two\nthree\n", 2));
        assert_eq!(window.span(8..13), 4..9);
        assert_eq!(file.window(15, 99).text, "four");
    }
}
