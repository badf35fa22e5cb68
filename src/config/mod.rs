//! Parses and validates the configuration, `gateway.toml`.
//!
//! The document is the content of the files, with the position of each key and value. [`Config`] is
//! the valid configuration; its types cannot hold an invalid one. All problems of all files are
//! found in one pass. Single values are parsed by their types in the other modules; this module
//! knows their positions in the file and the conditions between them.

mod access;
mod context;
mod files;
#[cfg(test)]
mod fuzz;
mod language;
mod links;
mod load;
mod notes;
mod overrides;
mod policy_text;
mod tables;
#[cfg(test)]
mod tests;
mod token_places;
mod variables;
#[cfg(test)]
mod vectors;

pub use access::{RouteMethod, rules};
pub use files::ReadFile;
pub(crate) use language::nearness::did_you_mean;
pub use language::printable::{is_printable, printable, printable_lines};
pub use language::problem::{Problem, Problems};
pub use links::Links;
pub use overrides::Overrides;
pub(crate) use policy_text::MAX_WIDTH;
pub use policy_text::effective_policy;
pub(crate) use tables::may_hold_token;
pub use tables::{
    AccessLog, Config, Dev, DevClient, ErrorBody, ErrorDetail, ErrorProfile, ErrorResponse, Errors,
    ForwardedFields, Group, Handler, Heads, Http2, Issuer, Limits, Listener, Log, MAX_ERROR_BODY,
    MAX_ERROR_REFERENCES, Ready, Reload, Route, Secret, Server, Timeouts, TokenCache,
    is_json_template,
};
pub use token_places::{TokenPlaces, unjudged};
pub use variables::{GivenVariables, Origin, Variable};

use std::path::Path;

use context::{Consistency, Context};
use language::{json_schema, reference};
use tables::{FILE, TABLES};
use variables::{Variables, filling};

/// The greatest number of readings for one load, when files change while they are read. A symbolic
/// link that is swapped counts as one change.
const MAX_READINGS: usize = 5;

impl Config {
    /// The name of standard input in messages.
    pub const STANDARD_INPUT: &str = "standard input";

    /// The greatest number of workers.
    pub const MAX_WORKERS: usize = tables::MAX_WORKERS;

    /// Reads a configuration and every file that it names. Reads them again when one of them
    /// changes meanwhile, so that all contents belong to one generation.
    ///
    /// # Errors
    /// Returns every problem of every file.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, Problems> {
        Self::load_settled(overrides, |context| context.read_source(path))
    }

    /// Parses a configuration from standard input, and reads every file that it names, relative to
    /// the current directory.
    ///
    /// # Errors
    /// Returns every problem of the text and of every file.
    pub fn load_text(text: &str, overrides: &Overrides) -> Result<Self, Problems> {
        Self::load_settled(overrides, |context| match text.trim() {
            "" => Err(format!("{} is empty", Self::STANDARD_INPUT)),
            _ => Ok(context.add_source(Self::STANDARD_INPUT, text)),
        })
    }

    /// Lowers a source until all files that it names are of one generation.
    fn load_settled(
        overrides: &Overrides,
        source: impl Fn(&Context) -> Result<usize, String>,
    ) -> Result<Self, Problems> {
        let mut left = MAX_READINGS;
        loop {
            let context = Context::new(tables::headers_with).with_stand_ins(overrides.stand_ins);
            let lowered = read_and_lower(&context, &source, overrides);
            left -= 1;
            match (context.consistency(), left) {
                // All contents are of one generation, at worst the one before the current: the next
                // look at the files notices that the link was swapped.
                (Consistency::Unchanged, _) | (Consistency::LinkMoved, 0) => {
                    return Self::of(context, lowered);
                }
                (Consistency::FileChanged, 0) => return Err(context.into_unsettled(MAX_READINGS)),
                (Consistency::LinkMoved | Consistency::FileChanged, _) => {}
            }
        }
    }

    /// Parses the text of a configuration. Files that it names are read relative to `name`, as if
    /// the text were the content of that file.
    ///
    /// # Errors
    /// Returns every problem.
    pub fn parse(text: &str, name: &str) -> Result<Self, Problems> {
        let context = Context::new(tables::headers_with);
        let file = context.add_source(name, text);
        let lowered = lower_document(&context, file, &Overrides::default());
        Self::of(context, lowered)
    }

    /// Returns the configuration if it was lowered without problems, with the record of its files.
    fn of(context: Context, lowered: Option<Self>) -> Result<Self, Problems> {
        let Some(lowered) = lowered.filter(|_| !context.has_problems()) else {
            return Err(context.into_problems());
        };
        let record = context.into_record();
        Ok(Self {
            files: record.files,
            hash: record.hash,
            notes: record.notes,
            ..lowered
        })
    }
}

/// Reads a source and lowers it. Problems are added to the context.
fn read_and_lower(
    context: &Context,
    source: impl Fn(&Context) -> Result<usize, String>,
    overrides: &Overrides,
) -> Option<Config> {
    match source(context) {
        Ok(file) => lower_document(context, file, overrides),
        Err(error) => {
            context.problem(Problem::without_span(error));
            None
        }
    }
}

/// Lowers a file and everything that it includes. Problems are added to the context.
fn lower_document(context: &Context, file: usize, overrides: &Overrides) -> Option<Config> {
    let mut document = load::document(context, file);
    // Without a valid syntax the meaning could only be guessed, and problems that follow from a
    // guess do not help.
    if context.has_problems() {
        return None;
    }
    let defined = tables::variables(context, &document);
    let variables = Variables::new(defined, &overrides.variables);
    filling::fill(context, &FILE, &mut document, variables);
    Some(tables::lower(context, &document, overrides))
}

/// Returns the JSON Schema of the configuration file.
#[must_use]
pub fn schema() -> serde_json::Value {
    json_schema::schema(&FILE, TABLES)
}

/// Returns the reference of the configuration language in Markdown.
#[must_use]
pub fn reference() -> String {
    reference::reference(TABLES)
}
