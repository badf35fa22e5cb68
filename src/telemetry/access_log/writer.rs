//! The thread that writes the access log, since whoever reads it may be slow or may have stopped.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::super::output::{LAST_LINES, Output};
use super::{BATCH, Metrics};

/// A buffer that became longer than this, because the writer was slow, is not kept.
const KEPT: usize = 4 * BATCH;

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
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                write_all(&queue, Output::new(out), &metrics);
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

fn write_all(queue: &Receiver<Batch>, mut output: Output<impl Write>, metrics: &Metrics) {
    for Batch { mut lines, back } in queue {
        // Nobody is left to tell when standard output is gone, but for who reads the metrics.
        metrics.gateway.count_dropped_lines(output.write(&lines));
        lines.clear();
        if lines.capacity() > KEPT {
            lines = Vec::new();
        }
        // A worker that has ended takes nothing back.
        let _ = back.try_send(lines);
    }
}
