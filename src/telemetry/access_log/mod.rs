//! One line of JSON on standard output for a request. It never holds a request up: a worker appends
//! lines to a buffer of its own, and a thread of its own writes them, many at a time. A slow reader
//! of the log costs lines, which are counted.

mod line;
mod writer;

use std::cell::RefCell;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Metrics, output};

pub use line::{AccessLine, push_json};
pub use writer::LogWriter;

use line::Second;
use writer::Batch;

/// Bytes of lines that are handed to the writer at once. Each time costs a system call for it, and
/// another to wake it; at this size that is a hundredth of one for each line.
const BATCH: usize = 64 << 10;

/// How long a line waits for others: whoever watches the log is to see the last request at once.
const LATENCY: Duration = Duration::from_millis(100);

/// Bytes of a worker's lines that wait while the writer has others of it; beyond it lines are
/// dropped.
const BACKLOG: usize = 1 << 20;

/// The log of the process, from which each worker takes its own.
#[derive(Clone, Debug)]
pub struct AccessLog {
    batches: Sender<Batch>,
    metrics: Arc<Metrics>,
}

/// The log of one worker.
///
/// It has two buffers. While the writer has one, the worker fills the other: nothing is shared that
/// both could want, and no more than these two can grow.
#[derive(Debug)]
pub struct WorkerLog {
    log: AccessLog,
    filling: RefCell<Filling>,
    /// The other buffer, unless the writer has it.
    emptied: Receiver<Vec<u8>>,
    back: SyncSender<Vec<u8>>,
    /// Woken by the first line of a buffer.
    first: Notify,
}

#[derive(Debug, Default)]
struct Filling {
    lines: Vec<u8>,
    second: Second,
}

impl AccessLog {
    /// Starts the writer. It ends when the last handle is gone, those of workers included.
    ///
    /// # Errors
    /// When no thread or no descriptor can be had.
    pub fn start(metrics: Arc<Metrics>) -> io::Result<(Self, LogWriter)> {
        Self::to(output::standard_output()?, metrics)
    }

    fn to(
        out: impl io::Write + Send + 'static,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, LogWriter)> {
        // At most two batches of each worker are ever in it.
        let (batches, queue) = mpsc::channel();
        let writer = LogWriter::start(queue, out, metrics.clone())?;
        Ok((Self { batches, metrics }, writer))
    }
}

impl WorkerLog {
    /// A worker's own, empty.
    #[must_use]
    pub fn new(log: AccessLog) -> Self {
        let (back, emptied) = mpsc::sync_channel(1);
        // There is room for the one.
        let _ = back.try_send(Vec::new());
        Self {
            log,
            filling: RefCell::default(),
            emptied,
            back,
            first: Notify::new(),
        }
    }

    /// Appends a line, or counts that there was no room.
    pub fn write(&self, line: &AccessLine<'_>) {
        if self.waiting() >= BATCH {
            self.hand_over();
        }
        let waiting = self.waiting();
        if waiting >= BACKLOG {
            return self.log.metrics.gateway.count_dropped_lines(1);
        }
        let Filling { lines, second } = &mut *self.filling.borrow_mut();
        line.write_to(lines, second);
        if waiting == 0 {
            self.first.notify_one();
        }
    }

    /// Hands lines over that have waited long enough. It never ends, and has nothing to do while
    /// there are none.
    pub async fn deliver(&self) {
        loop {
            self.first.notified().await;
            while self.waiting() > 0 {
                tokio::time::sleep(LATENCY).await;
                self.hand_over();
            }
        }
    }

    /// Bytes of lines that the writer does not have yet.
    fn waiting(&self) -> usize {
        self.filling.borrow().lines.len()
    }

    /// Gives the writer what there is, if it is done with what it was given before.
    fn hand_over(&self) {
        if let Ok(empty) = self.emptied.try_recv() {
            self.send(empty);
        }
    }

    fn send(&self, empty: Vec<u8>) {
        let lines = mem::replace(&mut self.filling.borrow_mut().lines, empty);
        // The writer stays as long as there is a handle, and this is one.
        let _ = self.log.batches.send(Batch {
            lines,
            back: self.back.clone(),
        });
    }
}

impl Drop for WorkerLog {
    /// The last lines, whatever the writer has already.
    fn drop(&mut self) {
        self.send(Vec::new());
    }
}

#[cfg(test)]
mod tests;
