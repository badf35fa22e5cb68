//! The names of extensions that several files read.

/// The extension with the integration of an operation.
pub(super) const INTEGRATION: &str = "x-amazon-apigateway-integration";

/// The extension of a scheme that has an authorizer.
pub(super) const AUTHORIZER: &str = "x-amazon-apigateway-authorizer";
