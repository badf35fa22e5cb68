//! Turns an export of API Gateway, or another OpenAPI document, into a configuration.
//!
//! Nothing becomes more open than the document says: what cannot be translated about an operation's
//! authorization is denied, with the reason beside it.

mod apigateway;
pub mod document;
mod error;
mod finding;
mod foreign;
#[cfg(test)]
mod fuzz;
mod gather;
mod heading;
pub mod lint;
mod names;
mod open;
pub mod openapi;
mod options;
mod path;
mod plain;
mod plan;
mod scopes;
mod stated;
mod translation;
mod twins;
mod url;
mod variable_names;
mod write;

pub use error::ImportError;
pub use finding::{Code, Finding, Level};
pub use foreign::Foreign;
pub use options::{BasePath, OptionError, Options};

use document::{Document, Fault, Place};
use openapi::{Api, EXTENSION};
use translation::Translation;
use variable_names::VariableNames;

use crate::config::Config;

/// The output of an import.
#[derive(Debug)]
pub struct Imported {
    /// The configuration, as TOML. [`Config`] accepts it.
    pub toml: String,
    /// What is not, or not wholly, in it, in the order of the document.
    pub findings: Vec<Finding>,
}

impl Imported {
    /// Returns whether there is a finding of a level.
    #[must_use]
    pub fn has(&self, level: Level) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.code.level() == level)
    }
}

/// Reads a document, whatever its language: one that is not OpenAPI is recognized.
///
/// # Errors
/// Returns an error for a file that is no OpenAPI document.
pub fn read(bytes: &[u8]) -> Result<Document, ImportError> {
    let text = std::str::from_utf8(bytes).ok();
    let foreign = text.and_then(foreign::of_text);
    match (Document::read(bytes), foreign) {
        (Err(error), Some(foreign)) if error.fault != Fault::TooLong => {
            Err(ImportError::Foreign(foreign))
        }
        (Ok(document), Some(foreign))
            if foreign == Foreign::Template || !document.root().is_map() =>
        {
            Err(ImportError::Foreign(foreign))
        }
        (Err(error), _) => Err(error.into()),
        // YAML reads the blocks of Terraform as one long text.
        (Ok(document), Some(foreign)) if !document.root().is_map() => {
            Err(ImportError::Foreign(foreign))
        }
        (Ok(document), _) => match foreign::of_document(document.root()) {
            Some(foreign) => Err(ImportError::Foreign(foreign)),
            None => Ok(document),
        },
    }
}

/// Imports an export of API Gateway.
///
/// # Errors
/// Returns an error for a file that cannot be a configuration.
pub fn apigateway(bytes: &[u8], options: &Options) -> Result<Imported, ImportError> {
    let document = read(bytes)?;
    let api = Api::read(&document, &options.variables)?;
    options.check(&api, &VariableNames::of_export(&api))?;
    proven(apigateway::translate(&api, options)?, api.root().place)
}

/// Imports an OpenAPI document, whose servers are the upstream.
///
/// # Errors
/// Returns an error for a file that cannot be a configuration.
pub fn openapi(bytes: &[u8], options: &Options) -> Result<Imported, ImportError> {
    let document = read(bytes)?;
    let api = Api::read(&document, &options.variables)?;
    if let Some(place) = extension(&api) {
        return Err(ImportError::Export(place));
    }
    options.check(&api, &VariableNames::of_servers(&api))?;
    proven(plain::translate(&api, options)?, api.root().place)
}

/// Returns the place of an extension of API Gateway, if the document has one.
fn extension(api: &Api<'_>) -> Option<Place> {
    let root = api.root().entries().iter();
    let operations = api.operations.iter().flat_map(|one| one.node.entries());
    let schemes = api.schemes.iter().flat_map(|one| one.node.entries());
    let mut all = root.chain(operations).chain(schemes);
    let found = all.find(|entry| entry.key.starts_with(EXTENSION))?;
    Some(found.place)
}

/// Returns the output, if it is a configuration. `root` is the place of what has no other.
fn proven(translation: Translation, root: Place) -> Result<Imported, ImportError> {
    let written = write::write(&translation.plan);
    match Config::parse(&written.text, "the output") {
        Ok(config) => {
            let mut findings = translation.findings;
            findings.extend(twins::findings(&config, &translation.plan));
            findings.sort_by_key(|finding| (finding.place, finding.code));
            Ok(Imported {
                toml: written.text,
                findings,
            })
        }
        Err(problems) => {
            let place = problems
                .iter()
                .find_map(|problem| written.place(problem.span()?.start));
            Err(ImportError::Unwritable(place.unwrap_or(root), problems))
        }
    }
}

#[cfg(test)]
mod tests;
