//! The text that is written.

use std::fmt::Write as _;

use crate::config::printable;

/// The text so far.
#[derive(Default)]
pub(super) struct Output {
    text: String,
}

impl Output {
    /// Begins a table.
    pub(super) fn table(&mut self, header: &str) {
        let _ = writeln!(self.text, "{header}");
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn comment(&mut self, line: &str) {
        let _ = writeln!(self.text, "# {}", printable(line));
    }

    pub(super) fn comments(&mut self, line: &str) {
        if !line.is_empty() {
            self.comment(line);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Writes a key with a value that is TOML already.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.text, "{key} = {value}");
    }
}
