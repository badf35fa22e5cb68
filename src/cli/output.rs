//! The results of commands, on standard output.

use std::io::{self, Write};

use super::failure::Failure;
use crate::config::printable_lines;

/// Writes a result of one or several lines, in which a terminal acts on no other character. A
/// closed pipe, as with `head` or a pager, is not an error.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let text = printable_lines(text);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}
