//! REST APIs and HTTP APIs.

use crate::import::document::Node;
use crate::import::openapi::{AUTHORIZER, Api, CORS, INTEGRATION};

/// The product that an export is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A REST API (version 1).
    Rest,
    /// An HTTP API (version 2).
    Http,
}

impl Kind {
    /// Returns the product of a document. An HTTP API has parts that a REST API cannot have.
    pub(super) fn of(api: &Api<'_>) -> Self {
        let root = api.root();
        let roots = ["x-amazon-apigateway-importexport-version", CORS];
        let has_root = roots.iter().any(|key| root.get(key).is_some());
        let mut schemes = api.schemes.iter();
        let has_jwt = schemes.any(|scheme| {
            let kind = scheme.node.find(&[AUTHORIZER, "type"]);
            let kind = kind.and_then(Node::text);
            kind.is_some_and(|kind| kind.eq_ignore_ascii_case("jwt"))
        });
        let mut operations = api.operations.iter();
        let has_part = operations.any(|operation| {
            let version = operation.node.find(&[INTEGRATION, "payloadFormatVersion"]);
            operation.is_default_route() || version.and_then(Node::scalar) == Some("2.0")
        });
        match has_root || has_jwt || has_part {
            true => Self::Http,
            false => Self::Rest,
        }
    }

    /// Returns its name in a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rest => "a REST API",
            Self::Http => "an HTTP API",
        }
    }

    /// Returns the name of the form of its answers.
    pub(super) fn profile(self) -> &'static str {
        match self {
            Self::Rest => "aws-rest",
            Self::Http => "aws-http",
        }
    }
}
