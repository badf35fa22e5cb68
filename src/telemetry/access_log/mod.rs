//! The access log: one line of JSON on standard output for each request.
//!
//! It never delays a request: a worker appends lines to a buffer of its own, and a separate thread
//! writes them, many at a time. If the reader of the log is slow, lines are dropped and counted.

mod chosen;
mod format;
mod json;
mod line;
mod token_fields;
mod writer;

use std::cell::RefCell;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Metrics, output};

pub use format::{AccessFormat, FailedPart, LineContext, LineRoute, UnknownVariable, VARIABLES};
pub use json::push_json;
pub use line::AccessLine;
pub use token_fields::TokenFields;
pub use writer::LogWriter;

use line::Second;
use writer::{BATCH, Batch};

/// The longest time for which a line waits for further lines. It is short, so that the log shows a
/// request almost at once.
const LATENCY: Duration = Duration::from_millis(100);

/// The most bytes of lines that a worker collects while the writer has its other buffer; further
/// lines are dropped.
const BACKLOG: usize = 1 << 20;

/// The access log of the process, from which each worker creates its own.
#[derive(Clone, Debug)]
pub struct AccessLog {
    batches: Sender<Batch>,
    metrics: Arc<Metrics>,
}

/// The access log of one worker.
///
/// It has two buffers. While the writer has one, the worker fills the other: so they do not compete
/// for a lock, and the memory is bounded by the two.
#[derive(Debug)]
pub struct WorkerLog {
    log: AccessLog,
    filling: RefCell<Filling>,
    /// Receives the other buffer when the writer has written it.
    emptied: Receiver<Vec<u8>>,
    back: SyncSender<Vec<u8>>,
    /// Notified of the first line in a buffer.
    first: Notify,
}

#[derive(Debug, Default)]
struct Filling {
    lines: Vec<u8>,
    second: Second,
}

impl AccessLog {
    /// Starts the writer. It ends when the last handle was dropped, including those of workers.
    ///
    /// # Errors
    /// If a thread or a descriptor cannot be created.
    pub fn start(metrics: Arc<Metrics>) -> io::Result<(Self, LogWriter)> {
        Self::to(output::standard_output()?, metrics)
    }

    /// Returns a log without a writer, whose lines a simulation takes.
    #[cfg(test)]
    pub(crate) fn simulated(metrics: Arc<Metrics>) -> (Self, SimulatedWriter) {
        let (batches, queue) = mpsc::channel();
        (Self { batches, metrics }, SimulatedWriter(queue))
    }

    fn to(
        out: impl io::Write + Send + 'static,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, LogWriter)> {
        // The channel has no bound of its own: it never holds more than two batches of each worker.
        let (batches, queue) = mpsc::channel();
        let writer = LogWriter::start(queue, out, metrics.clone())?;
        Ok((Self { batches, metrics }, writer))
    }
}

/// The reader of a simulated log.
#[cfg(test)]
pub(crate) struct SimulatedWriter(Receiver<Batch>);

#[cfg(test)]
impl SimulatedWriter {
    /// Takes the lines that workers have handed over.
    pub(crate) fn take(&self) -> String {
        let mut text = String::new();
        for batch in self.0.try_iter() {
            text.push_str(&String::from_utf8_lossy(&batch.lines));
            let _ = batch.back.try_send(Vec::new());
        }
        text
    }
}

impl WorkerLog {
    /// Creates the log of a worker.
    #[must_use]
    pub fn new(log: AccessLog) -> Self {
        let (back, emptied) = mpsc::sync_channel(1);
        // The channel has room for this one buffer.
        let _ = back.try_send(Vec::new());
        Self {
            log,
            filling: RefCell::default(),
            emptied,
            back,
            first: Notify::new(),
        }
    }

    /// Appends a line. If there is no room, the line is dropped and counted.
    pub fn write(&self, line: &AccessLine<'_>) {
        self.append(|lines, second| line.write_to(lines, second));
    }

    /// Appends a line in a format of the operator's own, as [`Self::write`] does.
    pub fn write_as(
        &self,
        format: &AccessFormat,
        line: &AccessLine<'_>,
        context: &LineContext<'_>,
    ) {
        self.append(|lines, _| format.write(line, context, lines));
    }

    fn append(&self, write: impl FnOnce(&mut Vec<u8>, &mut Second)) {
        if self.waiting() >= BATCH {
            self.hand_over();
        }
        let waiting = self.waiting();
        if waiting >= BACKLOG {
            return self.log.metrics.gateway.count_dropped_lines(1);
        }
        let Filling { lines, second } = &mut *self.filling.borrow_mut();
        write(lines, second);
        if waiting == 0 {
            self.first.notify_one();
        }
    }

    /// Hands over lines that have waited long enough. Never returns; it sleeps while there are no
    /// lines.
    pub async fn deliver(&self) {
        loop {
            self.first.notified().await;
            while self.waiting() > 0 {
                tokio::time::sleep(LATENCY).await;
                self.hand_over();
            }
        }
    }

    /// Returns the number of bytes of lines that the writer does not have yet.
    fn waiting(&self) -> usize {
        self.filling.borrow().lines.len()
    }

    /// Hands the lines to the writer, if it has written the ones before.
    fn hand_over(&self) {
        if let Ok(empty) = self.emptied.try_recv() {
            self.send(empty);
        }
    }

    fn send(&self, empty: Vec<u8>) {
        let lines = mem::replace(&mut self.filling.borrow_mut().lines, empty);
        // The writer runs as long as there is a handle, and this is one.
        let _ = self.log.batches.send(Batch {
            lines,
            back: self.back.clone(),
        });
    }
}

impl Drop for WorkerLog {
    /// Hands over the last lines, even if the writer still has the other buffer.
    fn drop(&mut self) {
        self.send(Vec::new());
    }
}

#[cfg(test)]
mod tests;
