//! The reasons for which a document cannot be used.

use std::fmt;

use super::limits::MAX_INHERITED;
use crate::import::document::{DocumentError, Place, shortened};

/// A fault of a document, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The place.
    pub place: Place,
    /// The fault.
    pub fault: ApiFault,
}

/// A fault of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// The document has neither `openapi` nor `swagger`.
    NoOpenApi,
    /// The version of the language is not known.
    Version(Box<str>),
    /// A part that has to be a map is something else.
    NoMap(&'static str),
    /// The document has no operation.
    NoOperations,
    /// A path does not begin with a slash.
    Path(Box<str>),
    /// A path is not one that the gateway can match.
    Pattern(Box<str>, Box<str>),
    /// Two operations answer the same requests; the place is that of the first.
    SameOperation(Box<str>, Place),
    /// A part that has to stand where it is is a `$ref`, or has one beside its keys.
    ReferenceHere(&'static str),
    /// More members and scopes are inherited from the root than the limit.
    TooManyInherited,
    /// A key differs from a known one by case alone.
    OtherCase(Box<str>, Box<str>),
    /// The path of a server is not one that the gateway can match.
    Server(Box<str>, Box<str>),
    /// A list is longer than this.
    TooMany(&'static str, usize),
    /// A `$ref` cannot be followed.
    Reference(DocumentError),
}

impl ApiError {
    pub(in crate::import) fn at(place: Place, fault: ApiFault) -> Self {
        Self { place, fault }
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        Self {
            place: error.place.unwrap_or_default(),
            fault: ApiFault::Reference(error),
        }
    }
}

impl fmt::Display for ApiFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOpenApi => {
                write!(
                    f,
                    "no OpenAPI document: it has neither \"openapi\" nor \"swagger\""
                )
            }
            Self::Version(version) => write!(
                f,
                "version {version:?} of OpenAPI is not known: Swagger 2.0, OpenAPI 3.0 and 3.1 are"
            ),
            Self::NoMap(part) => write!(f, "\"{part}\" is no map"),
            Self::NoOperations => write!(f, "the document has no operation"),
            Self::Path(path) => {
                let path = shortened(path);
                write!(f, "the path {path:?} does not begin with \"/\"")
            }
            Self::Pattern(path, reason) => {
                let (path, reason) = (shortened(path), shortened(reason));
                write!(f, "the path {path:?} cannot be a route: {reason}")
            }
            Self::SameOperation(name, first) => write!(
                f,
                "{} answers the same requests as the operation at {first}",
                shortened(name)
            ),
            Self::ReferenceHere(part) => {
                write!(f, "\"{part}\" has a \"$ref\", and has to stand here itself")
            }
            Self::TooManyInherited => write!(
                f,
                "the operations inherit more than {MAX_INHERITED} schemes and scopes from this \
                 \"security\": write it at the operations that need it"
            ),
            Self::OtherCase(key, meant) => write!(
                f,
                "the key {:?} counts for some readers alone: write {meant:?}",
                shortened(key)
            ),
            Self::Server(path, reason) => {
                let (path, reason) = (shortened(path), shortened(reason));
                write!(
                    f,
                    "the path {path:?} of the server cannot be a prefix: {reason}"
                )
            }
            Self::TooMany(part, most) => write!(f, "more than {most} {part}"),
            Self::Reference(error) => error.fault.fmt(f),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

impl std::error::Error for ApiError {}
