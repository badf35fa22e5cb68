//! The thread that writes the access log, since whoever reads it may be slow or may have stopped.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use super::{BATCH, Metrics};

/// For the last lines at the end of the process; whoever reads the log may have stopped.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A buffer that became longer than this, because the writer was slow, is not kept.
const KEPT: usize = 4 * BATCH;

/// How soon a reader is tried again whose terminal or pipe was full and does not let us wait for it.
const AGAIN: Duration = Duration::from_millis(10);

/// Lines of a worker, each whole.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    /// Where the buffer goes when they are written.
    pub(super) back: SyncSender<Vec<u8>>,
}

/// The writer, seen from whoever ends the process.
#[derive(Debug)]
pub struct LogWriter(Receiver<()>);

impl LogWriter {
    pub(super) fn start(
        queue: Receiver<Batch>,
        out: impl Write + Send + 'static,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let (running, ended): (mpsc::Sender<()>, _) = mpsc::channel();
        thread::Builder::new().name("access-log".into()).spawn(move || {
            write_all(&queue, out, &metrics);
            drop(running);
        })?;
        Ok(Self(ended))
    }

    /// Waits until the last line is written: when every handle is gone, or after two seconds.
    pub fn finish(self) {
        // Nothing is ever sent: the end of the thread ends the wait.
        let _ = self.0.recv_timeout(LAST_LINES);
    }
}

/// Standard output as the system has it: the standard library's would hold back the beginning of a line that was written in
/// part.
#[cfg(unix)]
pub(super) fn standard_output() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    io::stdout().as_fd().try_clone_to_owned().map(Into::into)
}

#[cfg(not(unix))]
pub(super) fn standard_output() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

fn write_all(queue: &Receiver<Batch>, mut out: impl Write, metrics: &Metrics) {
    // Whether the last that was written is the beginning of a line.
    let mut is_torn = false;
    for Batch { mut lines, back } in queue {
        is_torn = is_torn && write(&mut out, b"\n") == 0;
        let written = if is_torn { 0 } else { write(&mut out, &lines) };
        let (done, lost) = lines.split_at(written);
        is_torn |= done.last().is_some_and(|last| *last != b'\n');
        // Nobody is left to tell when standard output is gone, but for who reads the metrics.
        metrics.gateway.count_dropped_lines(memchr::memchr_iter(b'\n', lost).count());
        lines.clear();
        if lines.capacity() > KEPT {
            lines = Vec::new();
        }
        // A worker that has ended takes nothing back.
        let _ = back.try_send(lines);
    }
}

/// Writes what can be written of it; tells how many bytes that is.
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
