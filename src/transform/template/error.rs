//! Errors in templates, and values that are absent or do not fit.

use std::fmt;
use std::ops::Range;

use super::place::Place;
use super::reference::Reference;

/// An error in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The position in the text of the template, in bytes.
    pub at: Range<usize>,
    /// The error.
    pub fault: TemplateFault,
}

/// The kinds of errors in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateFault {
    /// `${` without `}`.
    Open,
    /// `${…}` with a text that is no name.
    Name(Box<str>),
    /// `${source:name}` with an unknown source.
    Source(Box<str>),
    /// A reference that this place does not take.
    Misplaced(Reference, Place),
}

/// The reason why a template has no text for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderError<'t> {
    /// The request has no value for the reference.
    Absent(&'t Reference),
    /// The value cannot stand in this place: a segment of a path that is empty, `.`, `..`, or has
    /// control characters.
    Unfit(&'t Reference),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("\"${\" without \"}\"; \"$$\" is a \"$\""),
            Self::Name(text) => write!(
                f,
                "\"${{{text}}}\" is no reference; \"$$\" is a \"$\", so \"$${{\" is text"
            ),
            Self::Source(source) => write!(
                f,
                "\"{source}:\" is no source: write \"claim:\", \"header:\" or \"query:\""
            ),
            Self::Misplaced(reference, place) => {
                write!(f, "\"{reference}\" cannot stand here; this place takes ")?;
                for (index, kind) in place.kinds().iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{}", kind.form())?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for RenderError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(reference) => write!(f, "the request has no {reference}"),
            Self::Unfit(reference) => write!(f, "the value of {reference} is no segment of a path"),
        }
    }
}

impl std::error::Error for TemplateError {}
