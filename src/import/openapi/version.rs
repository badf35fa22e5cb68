//! The version of the language of a document.

use std::collections::BTreeMap;

use super::error::{ApiError, ApiFault};
use crate::import::document::Node;

/// The version of the language of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Swagger 2.0.
    Swagger2,
    /// OpenAPI 3.0 or 3.1.
    OpenApi3,
}

/// Values for the variables of a document, by name.
pub type Variables = BTreeMap<String, String>;

/// Returns the version of a document.
pub(super) fn of(root: &Node) -> Result<Version, ApiError> {
    if let Some(swagger) = root.get("swagger") {
        return match swagger.scalar() {
            Some("2.0" | "2") => Ok(Version::Swagger2),
            other => Err(ApiError::at(swagger.place, version_fault(other))),
        };
    }
    let Some(openapi) = root.get("openapi") else {
        return Err(ApiError::at(root.place, ApiFault::NoOpenApi));
    };
    match openapi.scalar() {
        Some(text) if text.starts_with("3.0") || text.starts_with("3.1") => Ok(Version::OpenApi3),
        other => Err(ApiError::at(openapi.place, version_fault(other))),
    }
}

fn version_fault(version: Option<&str>) -> ApiFault {
    ApiFault::Version(version.unwrap_or("no text").into())
}
