//! Keys that differ from known ones by case alone.

use super::error::{ApiError, ApiFault};
use crate::import::document::Node;

/// The beginning of the names of API Gateway's extensions.
pub(in crate::import) const EXTENSION: &str = "x-amazon-apigateway-";

/// The keys of the root that decide about routes and their callers.
pub(super) const ROOT: &[&str] = &[
    "basePath",
    "components",
    "host",
    "openapi",
    "paths",
    "schemes",
    "security",
    "securityDefinitions",
    "servers",
    "swagger",
];

/// The keys of a path, beside its methods, whose case does not count.
pub(super) const PATH: &[&str] = &["$ref", "parameters", "security", "servers"];

/// The keys of an operation.
pub(super) const OPERATION: &[&str] = &["$ref", "parameters", "security", "servers"];

/// Refuses a key that differs from a known one by case alone: readers differ about whether it
/// counts, and one that does not leaves open what it protects.
pub(super) fn refuse_other_case(node: &Node, known: &[&str]) -> Result<(), ApiError> {
    for entry in node.entries() {
        if let Some(meant) = meant(&entry.key, known) {
            let fault = ApiFault::OtherCase(entry.key.clone(), meant.into());
            return Err(ApiError::at(entry.place, fault));
        }
    }
    Ok(())
}

/// Returns the key that one in another case seems to be. Extensions are in lower case.
fn meant(key: &str, known: &[&str]) -> Option<String> {
    let lower = key.to_ascii_lowercase();
    if lower.starts_with(EXTENSION) {
        return (key != lower).then_some(lower);
    }
    let mut known = known.iter();
    let meant = known.find(|own| own.eq_ignore_ascii_case(key))?;
    (key != *meant).then(|| (*meant).to_owned())
}
