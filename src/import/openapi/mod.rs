//! An OpenAPI document: Swagger 2.0 and OpenAPI 3, by one view.

mod error;
mod extension;
mod limits;
mod operation;
mod scheme;
mod security;
mod server;
mod spelling;
mod version;

pub use error::{ApiError, ApiFault};
pub(super) use extension::{AUTH, AUTHORIZER, CORS, ENDPOINT, EXTENSION, INTEGRATION, RESPONSES};
pub use operation::{Method, Operation};
pub use scheme::Scheme;
pub use security::{Alternative, Member, Origin, Security, Unreadable};
pub use server::Server;
pub use version::{Variables, Version};

use std::collections::BTreeMap;

use super::document::{Document, Node, Place};

/// An OpenAPI document.
#[derive(Debug)]
pub struct Api<'d> {
    /// The file.
    pub document: &'d Document,
    /// The version of its language.
    pub version: Version,
    /// The operations, in the order of the document.
    pub operations: Vec<Operation<'d>>,
    /// The security schemes, in the order of the document.
    pub schemes: Vec<Scheme<'d>>,
    /// Whether these are all schemes: no function may define another.
    pub are_schemes_known: bool,
    /// The addresses at which it is served.
    pub servers: Vec<Server<'d>>,
}

impl<'d> Api<'d> {
    /// Reads a document. `variables` replace the defaults of the variables in its servers.
    ///
    /// # Errors
    /// Returns an error for a document of another kind, one without operations, and one whose
    /// operations cannot be told apart.
    pub fn read(document: &'d Document, variables: &Variables) -> Result<Self, ApiError> {
        let root = document.root();
        let version = version::of(root)?;
        spelling::ROOT.refuse_other_case(root)?;
        let schemes = scheme::schemes(document, version)?;
        let operations = operation::operations(document)?;
        Ok(Self {
            document,
            version,
            operations,
            schemes: schemes.all,
            are_schemes_known: schemes.are_known,
            servers: server::servers(root, version, variables),
        })
    }

    /// Returns the root of the document.
    #[must_use]
    pub fn root(&self) -> &'d Node {
        self.document.root()
    }

    /// Returns the security scheme of a name.
    #[must_use]
    pub fn scheme(&self, name: &str) -> Option<&Scheme<'d>> {
        self.schemes.iter().find(|scheme| scheme.name == name)
    }

    /// Returns the scopes that the schemes define, by scheme. A scheme that cannot define scopes is
    /// not listed.
    #[must_use]
    pub fn declared_scopes(&self) -> BTreeMap<&'d str, BTreeMap<&'d str, Place>> {
        let schemes = self.schemes.iter();
        let with_scopes = schemes.filter_map(|scheme| Some((scheme.name, scheme.scopes()?)));
        with_scopes.collect()
    }

    /// Returns its title, if it has one.
    #[must_use]
    pub fn title(&self) -> Option<&'d str> {
        self.root().find(&["info", "title"])?.text()
    }
}

#[cfg(test)]
mod tests;
