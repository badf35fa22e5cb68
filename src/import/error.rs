//! The reasons for which an import has no output.

use std::fmt;

use super::document::{DocumentError, Place};
use super::foreign::Foreign;
use super::openapi::ApiError;
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
    /// The output is no configuration: a defect of the import.
    Defect(Problems),
}

impl ImportError {
    /// Returns the place in the file, if the error has one.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Document(error) => error.place,
            Self::Api(error) => Some(error.place),
            Self::Foreign(_) | Self::NoIntegrations | Self::Defect(_) => None,
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
            Self::Defect(problems) => write!(
                f,
                "the output would be no configuration, which is a defect of scopegate; nothing was \
                 written\n{}",
                problems.render(false)
            ),
        }
    }
}

impl std::error::Error for ImportError {}
