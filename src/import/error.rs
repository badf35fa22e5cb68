//! The reasons for which an import has no output.

use std::fmt;

use super::document::{DocumentError, Place};
use super::foreign::Foreign;
use super::openapi::ApiError;
use super::options::OptionError;
use crate::config::Problems;

/// The reason for which an import has no output.
#[derive(Debug)]
pub enum ImportError {
    /// The file cannot be read.
    Document(DocumentError),
    /// The document cannot be a configuration.
    Api(ApiError),
    /// The file is in another language.
    Foreign(Foreign),
    /// The export was made without its extensions.
    NoIntegrations,
    /// The document is an export of API Gateway, and was read as another document; the place is that
    /// of an extension.
    Export(Place),
    /// An option does not fit the document.
    Option(OptionError),
    /// What becomes of a place of the document would be no configuration.
    Unwritable(Place, Problems),
}

impl ImportError {
    /// Returns the place in the file, if the error has one.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Document(error) => error.place,
            Self::Api(error) => Some(error.place),
            Self::Export(place) | Self::Unwritable(place, _) => Some(*place),
            Self::Foreign(_) | Self::NoIntegrations | Self::Option(_) => None,
        }
    }
}

impl From<DocumentError> for ImportError {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

impl From<ApiError> for ImportError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<OptionError> for ImportError {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}

/// The commands that export an API.
pub(super) const EXPORTS: &str = "\
export the API that was deployed:
  aws apigateway get-export --rest-api-id ID --stage-name STAGE --export-type oas30 \\
      --parameters extensions='apigateway' api.json      (a REST API)
  aws apigatewayv2 export-api --api-id ID --specification OAS30 \\
      --output-type YAML api.yaml                        (an HTTP API)";

/// Writes the error without its place.
impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => error.fault.fmt(f),
            Self::Api(error) => error.fault.fmt(f),
            Self::Foreign(foreign) => {
                write!(
                    f,
                    "this is {foreign}, and no OpenAPI document\nhelp: {EXPORTS}"
                )
            }
            Self::NoIntegrations => write!(
                f,
                "no operation has an integration: the API was exported without its extensions\n\
                 help: {EXPORTS}\n\
                 `scopegate import openapi` takes documents without them"
            ),
            Self::Export(_) => write!(
                f,
                "this is an export of API Gateway, whose requirements mean something else than those \
                 of other documents\nhelp: `scopegate import apigateway` reads it"
            ),
            Self::Option(error) => error.fmt(f),
            Self::Unwritable(_, problems) => write!(
                f,
                "what stands here cannot be a configuration; nothing was written\n{}",
                problems.render(false)
            ),
        }
    }
}

impl std::error::Error for ImportError {}
