//! The names of API Gateway's extensions that several files read.

/// The beginning of all their names.
pub(in crate::import) const EXTENSION: &str = "x-amazon-apigateway-";

/// The extension with the integration of an operation.
pub(in crate::import) const INTEGRATION: &str = "x-amazon-apigateway-integration";

/// The extension of a scheme that has an authorizer.
pub(in crate::import) const AUTHORIZER: &str = "x-amazon-apigateway-authorizer";

/// The extension for the authorization of one operation.
pub(in crate::import) const AUTH: &str = "x-amazon-apigateway-auth";

/// The extension for the kind of an API's endpoint.
pub(in crate::import) const ENDPOINT: &str = "x-amazon-apigateway-endpoint-configuration";

/// The extension with the CORS settings of an HTTP API.
pub(in crate::import) const CORS: &str = "x-amazon-apigateway-cors";

/// The extension with the gateway responses of a REST API.
pub(in crate::import) const RESPONSES: &str = "x-amazon-apigateway-gateway-responses";
