//! Reads a JSON or YAML file into a tree whose nodes know their places.
//!
//! A file comes from outside and is only read: nothing is fetched, and everything that it can make
//! grow has a bound.

mod breaks;
mod build;
mod error;
mod limits;
mod marks;
mod node;
mod reference;
mod scalar;
mod surrogates;

pub(super) use error::shortened;
pub use error::{DocumentError, Fault};
pub use limits::{MAX_ALIASED, MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_REFERENCED};
pub use node::{Entry, Kind, Node, Place};
pub use reference::Allowance;

use breaks::Quotes;
use build::Builder;
use marks::Marks;
use saphyr_parser::Parser;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Document {
    root: Node,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// Returns the first fault of the file, with its place.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_BYTES {
            return Err(DocumentError::whole(Fault::TooLong));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(not_text(bytes, error.valid_up_to())),
        };
        let (text, marks) = match text.trim_start_matches('\u{feff}').trim_start() {
            "" => return Err(DocumentError::whole(Fault::Empty)),
            json if json.starts_with('{') => surrogates::joined(text),
            _ => (text.into(), Marks::default()),
        };
        let mut builder = Builder::new(&marks);
        let mut quotes = Quotes::of(&text);
        for event in Parser::new_from_str(&text) {
            match event {
                Ok((event, span)) => {
                    quotes.take(&event, span.start);
                    builder.take(event, span.start)?;
                }
                Err(error) => return Err(marks.syntax(&error)),
            }
        }
        if let Some((line, column)) = quotes.doubtful_break(&text) {
            let place = marks.place_of(line, column);
            return Err(DocumentError::at(place, Fault::DoubtfulBreak));
        }
        let root = builder.finish();
        root.map(|root| Self { root })
            .ok_or(DocumentError::whole(Fault::Empty))
    }

    /// Returns the outermost node.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Returns the node that a node stands for: itself, or the one that its `$ref` leads to.
    ///
    /// # Errors
    /// Returns an error for a `$ref` that leads to another document, nowhere, or to itself.
    pub fn resolve<'d>(&'d self, node: &'d Node) -> Result<&'d Node, DocumentError> {
        reference::resolve(&self.root, node)
    }

    /// Returns the node that a node stands for, whose `$ref` has no other key beside it.
    ///
    /// # Errors
    /// Returns an error for a `$ref` that cannot be followed, or has other keys beside it.
    pub fn alone<'d>(&'d self, node: &'d Node) -> Result<&'d Node, DocumentError> {
        reference::alone(&self.root, node)
    }

    /// Returns a node and those that its `$ref` leads over, for nodes that may have other keys
    /// beside it.
    ///
    /// # Errors
    /// Returns an error for a `$ref` that cannot be followed.
    pub fn steps<'d>(&'d self, node: &'d Node) -> Result<Vec<&'d Node>, DocumentError> {
        reference::steps(&self.root, node)
    }
}

fn not_text(bytes: &[u8], valid: usize) -> DocumentError {
    let before = bytes.get(..valid).unwrap_or_default();
    let before = std::str::from_utf8(before).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    DocumentError::at(Place::new(line, column), Fault::NotText)
}

#[cfg(test)]
mod tests;
