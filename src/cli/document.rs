//! The document of `import` and `lint`: a file, or standard input.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use super::failure::Failure;
use crate::import::ImportError;
use crate::import::document::MAX_BYTES;

/// The name of standard input as a file.
const STANDARD_INPUT: &str = "-";

/// The file of a document, as the command line names it.
#[derive(Clone, Debug)]
pub(super) struct DocumentFile(PathBuf);

impl From<OsString> for DocumentFile {
    fn from(text: OsString) -> Self {
        Self(text.into())
    }
}

impl DocumentFile {
    /// Returns its name in messages.
    pub(super) fn name(&self) -> String {
        match self.is_standard_input() {
            true => "standard input".to_owned(),
            false => self.0.display().to_string(),
        }
    }

    /// Returns its name without its folders.
    pub(super) fn short_name(&self) -> String {
        match self.0.file_name() {
            Some(name) if !self.is_standard_input() => name.to_string_lossy().into_owned(),
            _ => self.name(),
        }
    }

    /// Reads it, and one byte more than a document may have.
    pub(super) fn read(&self) -> Result<Vec<u8>, Failure> {
        let limit = MAX_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        if self.is_standard_input() {
            let read = io::stdin().lock().take(limit).read_to_end(&mut bytes);
            read.map_err(Failure::Input)?;
            return Ok(bytes);
        }
        let opened = File::open(&self.0);
        match opened.and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Failure::InputFile(self.0.clone(), error)),
        }
    }

    /// Returns the failure of a document that cannot be used.
    pub(super) fn failure(&self, error: &ImportError) -> Failure {
        let place = error.place().map(|place| format!(":{place}"));
        let place = place.unwrap_or_default();
        Failure::Import(format!("{}{place}: {error}", self.name()))
    }

    fn is_standard_input(&self) -> bool {
        self.0.as_os_str() == STANDARD_INPUT
    }
}
