//! The thread that writes the access log, since the reader of the log may be slow or may have
//! stopped.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::super::Metrics;
use super::super::output::{LAST_LINES, Output};

/// The bytes of lines that a worker collects before it hands them to the writer. Each hand-over
/// costs one system call to write the lines, and another to wake the writer; at this size that is
/// about a hundredth of a call for each line.
pub(super) const BATCH: usize = 64 << 10;

/// The largest buffer that is kept: one that grew beyond it, because the writer was slow, is freed.
const KEPT: usize = 4 * BATCH;

/// Complete lines of a worker.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    /// The channel on which the buffer is returned.
    pub(super) back: SyncSender<Vec<u8>>,
}

/// A handle with which the end of the process waits for the writer.
#[derive(Debug)]
pub struct LogWriter(Receiver<()>);

impl LogWriter {
    pub(super) fn start(
        queue: Receiver<Batch>,
        out: impl Write + Send + 'static,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let (running, ended): (mpsc::Sender<()>, _) = mpsc::channel();
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                write_all(&queue, Output::new(out), &metrics);
                drop(running);
            })?;
        Ok(Self(ended))
    }

    /// Waits until the last line is written, which requires that every handle was dropped; at most
    /// for two seconds.
    pub fn finish(self) {
        // No value is ever sent: the wait ends when the thread does.
        let _ = self.0.recv_timeout(LAST_LINES);
    }
}

fn write_all(queue: &Receiver<Batch>, mut output: Output<impl Write>, metrics: &Metrics) {
    for Batch { mut lines, back } in queue {
        // Without standard output the loss shows only in the metrics.
        metrics.gateway.count_dropped_lines(output.write(&lines));
        lines.clear();
        if lines.capacity() > KEPT {
            lines = Vec::new();
        }
        // A worker that has ended does not receive it.
        let _ = back.try_send(lines);
    }
}
