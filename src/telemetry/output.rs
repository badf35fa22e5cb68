//! The destination of a log: a pipe, a file or a terminal, whose reader may be slow, may have
//! stopped, or may be gone. Only a thread that has nothing else to do writes to it.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

/// The time to write the last lines when the process ends; the reader of the log may have stopped.
pub(super) const LAST_LINES: Duration = Duration::from_secs(2);

/// The delay before the next attempt if a terminal or pipe is full and set to non-blocking.
const AGAIN: Duration = Duration::from_millis(10);

/// An output of lines.
#[derive(Debug)]
pub(super) struct Output<W> {
    out: W,
    /// Set when the last line was written only in part.
    is_torn: bool,
}

impl<W: Write> Output<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            is_torn: false,
        }
    }

    /// Writes whole lines, and waits for the reader as long as that takes. Returns how many lines
    /// were lost.
    pub(super) fn write(&mut self, lines: &[u8]) -> usize {
        self.is_torn = self.is_torn && write(&mut self.out, b"\n") == 0;
        let written = if self.is_torn {
            0
        } else {
            write(&mut self.out, lines)
        };
        let (done, lost) = lines.split_at(written);
        self.is_torn |= done.last().is_some_and(|last| *last != b'\n');
        memchr::memchr_iter(b'\n', lost).count()
    }
}

/// Writes as much as possible, and returns the number of bytes written.
fn write(out: &mut impl Write, lines: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => break,
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN),
            Err(_) => break,
        }
    }
    written
}

/// Returns standard output without the buffer of the standard library, which would hold back the
/// beginning of a line that was written in part.
#[cfg(unix)]
pub(super) fn standard_output() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    io::stdout().as_fd().try_clone_to_owned().map(Into::into)
}

#[cfg(not(unix))]
pub(super) fn standard_output() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

/// Returns standard error without the lock of the standard library, which a write that does not
/// return would keep.
#[cfg(unix)]
pub(super) fn standard_error() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    io::stderr().as_fd().try_clone_to_owned().map(Into::into)
}

#[cfg(not(unix))]
pub(super) fn standard_error() -> io::Result<io::Stderr> {
    Ok(io::stderr())
}
