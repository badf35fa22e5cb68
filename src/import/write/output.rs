//! The text that is written.

use std::fmt::Write as _;

use crate::config::printable;
use crate::import::document::Place;

/// A configuration as text.
#[derive(Debug)]
pub(in crate::import) struct Written {
    pub(in crate::import) text: String,
    /// For parts of the text where they begin, in bytes, and the place in the document.
    places: Vec<(usize, Place)>,
}

impl Written {
    /// Returns the place in the document of what stands at a byte, if it has one.
    pub(in crate::import) fn place(&self, at: usize) -> Option<Place> {
        let after = self.places.partition_point(|(begin, _)| *begin <= at);
        let (_, place) = self.places.get(after.checked_sub(1)?)?;
        Some(*place)
    }
}

/// The text so far.
#[derive(Default)]
pub(super) struct Output {
    text: String,
    /// For parts of the text where they begin, in bytes, and the place in the document.
    places: Vec<(usize, Place)>,
}

impl Output {
    /// Begins a table.
    pub(super) fn table(&mut self, header: &str) {
        let _ = writeln!(self.text, "{header}");
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn comment(&mut self, line: &str) {
        let _ = writeln!(self.text, "# {}", printable(line));
    }

    pub(super) fn comments(&mut self, line: &str) {
        if !line.is_empty() {
            self.comment(line);
        }
    }

    /// Notes that what follows is of a place in the document.
    pub(super) fn at(&mut self, place: Place) {
        self.places.push((self.text.len(), place));
    }

    pub(super) fn into_written(self) -> Written {
        Written {
            text: self.text,
            places: self.places,
        }
    }

    /// Writes a key with a value that is TOML already.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.text, "{key} = {value}");
    }
}
