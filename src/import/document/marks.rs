//! Places in the file, from the parser's marks in the text that it was given.

use saphyr_parser::{Marker, ScanError};

use super::error::{DocumentError, Fault};
use super::node::Place;

/// The places at which the text that is parsed is shorter than the file, in its order: each is a
/// line, and a column in that text.
#[derive(Debug, Default)]
pub(super) struct Marks {
    shortened: Vec<(usize, usize)>,
}

/// The characters by which each of them is shorter.
const SHORTER: usize = 2;

impl Marks {
    pub(super) fn shortened_at(&mut self, line: usize, column: usize) {
        self.shortened.push((line, column));
    }

    pub(super) fn place(&self, mark: Marker) -> Place {
        self.place_of(mark.line(), mark.col())
    }

    /// Returns the place of a line, counted from 1, and a column, counted from 0.
    pub(super) fn place_of(&self, line: usize, column: usize) -> Place {
        let before = |end| self.shortened.partition_point(|at| *at < end);
        let earlier = before((line, column)) - before((line, 0));
        Place::new(line, column + earlier * SHORTER + 1)
    }

    pub(super) fn syntax(&self, error: &ScanError) -> DocumentError {
        let fault = match error.info() {
            "recursion limit exceeded" => Fault::TooDeep,
            info => Fault::Syntax(info.into()),
        };
        DocumentError::at(self.place(*error.marker()), fault)
    }
}
