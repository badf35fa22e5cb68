//! Texts of the configuration with references to facts about a request: `user-${claim:sub}`,
//! `/v2/{id}`, `{"id": "${request_id}"}`.
//!
//! A template is parsed once, when the configuration is read. Values are never parsed: a client
//! that sends `${claim:sub}` gets these characters into the result, escaped for its place.

mod error;
mod escape;
mod parameter;
mod parser;
mod place;
mod reference;
mod url;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use http::header::HOST;

pub use error::{RenderError, TemplateError, TemplateFault};
pub use escape::{Escape, Value};
pub use parameter::{has_parameter, parameter};
pub use place::Place;
pub use reference::{Reference, ReferenceKind, is_reserved};

use parser::Piece;
pub use parser::is_variable_name;

/// A text with references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<[Piece]>);

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'t> {
    /// A text that is written as it is.
    Text(&'t str),
    /// A reference, in whose place a value is written.
    Reference(&'t Reference),
}

/// The values of references for one request.
pub trait Facts {
    /// Returns the value of a reference; `None` if the request has none.
    fn value(&self, reference: &Reference) -> Option<Value<'_>>;
}

impl Template {
    /// Parses a text for a place of the configuration.
    ///
    /// `${name}` is a reference and `$$` is `$`; another `$` is a character as any other. Where the
    /// place takes parameters, `{name}` and `{name+}` are references as well, and other braces are
    /// characters.
    ///
    /// # Errors
    /// [`TemplateError`], with the position in the text.
    pub fn parse(text: &str, place: &Place) -> Result<Self, TemplateError> {
        parser::parse(text, place).map(Self)
    }

    /// Returns the references, each with its position in the text that was parsed.
    pub fn references(&self) -> impl Iterator<Item = (&Reference, &Range<usize>)> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Reference(reference, range) => Some((reference, range)),
        })
    }

    /// Returns the texts and references in order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.0.iter().map(|piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Reference(reference, _) => Part::Reference(reference),
        })
    }

    /// Returns the text of a template without references.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the template with the values of variables in the place of their references. A value
    /// is text, whatever characters it has. References to variables that `value` does not know
    /// stay.
    #[must_use]
    pub fn filled<T: AsRef<str>>(&self, value: impl Fn(&str) -> Option<T>) -> Self {
        let mut pieces = Vec::with_capacity(self.0.len());
        for piece in &self.0 {
            let found = match piece {
                Piece::Reference(Reference::Variable(name), _) => value(name),
                Piece::Reference(..) | Piece::Text(_) => None,
            };
            match (piece, found) {
                (Piece::Text(text), _) => parser::push_text(&mut pieces, text),
                (_, Some(text)) => parser::push_text(&mut pieces, text.as_ref()),
                (_, None) => pieces.push(piece.clone()),
            }
        }
        Self(pieces.into())
    }

    /// Returns the template with each text between references replaced by what `change` makes of it.
    #[must_use]
    pub fn with_texts(&self, change: impl Fn(&str) -> Cow<'_, str>) -> Self {
        let mut pieces = Vec::with_capacity(self.0.len());
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => parser::push_text(&mut pieces, &change(text)),
                Piece::Reference(..) => pieces.push(piece.clone()),
            }
        }
        Self(pieces.into())
    }

    /// Returns the parts before and after the first occurrence of a character between references.
    #[must_use]
    pub fn split_once(&self, delimiter: char) -> Option<(Self, Self)> {
        for (index, piece) in self.0.iter().enumerate() {
            let Piece::Text(text) = piece else {
                continue;
            };
            if let Some((left, right)) = text.split_once(delimiter) {
                let mut before = self.0.get(..index).unwrap_or_default().to_vec();
                parser::push_text(&mut before, left);
                let mut after = Vec::new();
                parser::push_text(&mut after, right);
                after.extend_from_slice(self.0.get(index + 1..).unwrap_or_default());
                return Some((Self(before.into()), Self(after.into())));
            }
        }
        None
    }

    /// Returns the template without a text at its end; `None` if it does not end with that text.
    #[must_use]
    pub fn strip_suffix(&self, suffix: &str) -> Option<Self> {
        let (last, rest) = self.0.split_last()?;
        let Piece::Text(text) = last else {
            return None;
        };
        let mut pieces = rest.to_vec();
        parser::push_text(&mut pieces, text.strip_suffix(suffix)?);
        Some(Self(pieces.into()))
    }

    /// Returns the reference that would be a part of the host of a URL, which no value may be.
    #[must_use]
    pub fn in_host(&self, escape: Escape) -> Option<&Reference> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Reference(reference, _) => {
                    let is_host = *reference == Reference::Header(HOST);
                    let is_whole = is_host && escape.takes_authority(&out);
                    if !is_whole && escape.is_in_authority(&out) {
                        return Some(reference);
                    }
                    out.push('x');
                }
            }
        }
        None
    }

    /// Returns the text with the same words in the place of each reference.
    #[must_use]
    pub fn sample(&self, words: &str) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            out.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Reference(..) => words,
            });
        }
        out
    }

    /// Returns the text between references, for checks of its characters.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(&**text),
            Piece::Reference(..) => None,
        })
    }

    /// Returns the text with the values of its references, each escaped. The text of the template
    /// itself is not escaped.
    ///
    /// # Errors
    /// [`RenderError`]: a value is absent, or cannot stand in this place.
    pub fn render(&self, escape: Escape, facts: &impl Facts) -> Result<String, RenderError<'_>> {
        let mut out = String::new();
        // The reference behind the first slash of a URL whose value is empty.
        let mut gap = None;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => match gap.take() {
                    // Both slashes would begin a host.
                    Some(reference) if text.starts_with('/') => {
                        return Err(RenderError::Unfit(reference));
                    }
                    _ => out.push_str(text),
                },
                Piece::Reference(reference, _) => {
                    let value = facts.value(reference);
                    let value = value.ok_or(RenderError::Absent(reference))?;
                    let before = out.len();
                    let is_fit = match reference {
                        Reference::Header(HOST) if escape.takes_authority(&out) => {
                            value.write_authority(&mut out)
                        }
                        // It could continue the host: `https://a.test` and `.evil.test`.
                        _ if escape.is_in_authority(&out) => false,
                        _ => escape.write(&mut out, &value),
                    };
                    if !is_fit {
                        return Err(RenderError::Unfit(reference));
                    }
                    let is_gap = out.len() == before && escape.is_at_root(&out);
                    gap = is_gap.then_some(reference);
                }
            }
        }
        Ok(out)
    }
}
