//! Errors in rewrites.

use std::fmt;

use super::template::TemplateError;
use crate::route::PatternError;

/// An error in a rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteError {
    /// The text is not a path.
    Pattern(PatternError),
    /// A reference has an error.
    Template(TemplateError),
    /// The route's pattern has no such parameter or open end.
    Unknown(Box<str>),
    /// A part of the query is not `name=value`, or has a character that a query cannot have.
    Query(Box<str>),
    /// The query has a parameter twice.
    Twice(Box<str>),
    /// The value of the variable with this name is more than segments of a path.
    Variable(Box<str>),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(error) => error.fmt(f),
            Self::Template(error) => error.fmt(f),
            Self::Query(part) => write!(f, "\"{part}\" in the query is not \"name=value\""),
            Self::Twice(name) => write!(f, "the query has \"{name}\" twice"),
            Self::Unknown(part) => write!(f, "\"{part}\" is not in the route's path"),
            Self::Variable(name) => write!(
                f,
                "the value of \"${{{name}}}\" is not made of segments: letters, digits and any of \
                 \"-._~:@!+,=\", with a \"/\" between them"
            ),
        }
    }
}

impl std::error::Error for RewriteError {}
