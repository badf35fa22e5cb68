//! The log of the gateway's own events, on standard error.
//!
//! No thread that serves requests waits for the reader of the log: an event is appended to a buffer
//! in memory, and a separate thread writes the buffer. Events beyond its limit are dropped and
//! counted, and a flood of one event is reduced to one line with the number of repetitions.

mod repeats;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::output::{self, LAST_LINES, Output};
use crate::clock::{self, Now};

use repeats::Repeats;

/// The most bytes of lines that wait while the writer writes others; a line that would exceed it is
/// dropped.
const BACKLOG: usize = 256 << 10;

/// The largest buffer that is kept: one that grew beyond it, because the reader was slow, is freed.
const KEPT: usize = 16 << 10;

/// The log of standard error.
static OF_PROCESS: OnceLock<EventLog> = OnceLock::new();

/// A log of events.
#[derive(Clone, Debug)]
pub struct EventLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Locked to copy a line, but not while a line is written.
    state: Mutex<State>,
    /// Notified when there are lines, and when they are written.
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Complete lines that the writer does not have yet.
    lines: Vec<u8>,
    is_writing: bool,
    /// Lines that were dropped since the last line that had room.
    unreported: u64,
    repeats: Repeats,
}

impl EventLog {
    /// Returns the log of this process, which is started at the first call and never ends.
    ///
    /// # Errors
    /// If a thread or a descriptor cannot be created.
    pub fn of_process() -> io::Result<Self> {
        if let Some(log) = OF_PROCESS.get() {
            return Ok(log.clone());
        }
        let log = Self::to(output::standard_error()?)?;
        Ok(OF_PROCESS.get_or_init(|| log).clone())
    }

    /// Returns the number of lines that this process has dropped.
    pub(super) fn dropped_of_process() -> u64 {
        OF_PROCESS.get().map_or(0, Self::dropped)
    }

    fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let written = shared.clone();
        thread::Builder::new()
            .name("event-log".into())
            .spawn(move || written.write_to(Output::new(out)))?;
        Ok(Self(shared))
    }

    /// Appends an event, which consists of a level, a text and a line feed. If there is no room, it
    /// is dropped and counted.
    pub fn write(&self, event: &str) {
        let now = clock::now();
        let mut state = self.0.lock();
        if !state.repeats.admits(event, now.monotonic) {
            // Wakes the writer, which waits for the end of the first window.
            return self.0.changed.notify_all();
        }
        let dropped = state.push(now, event);
        drop(state);
        self.0.count(dropped);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, for two seconds at most.
    pub fn finish(&self) {
        let now = clock::now();
        let until = now.monotonic + LAST_LINES;
        let mut state = self.0.lock();
        self.0
            .count(state.report_repeats(now, until + repeats::WINDOW));
        self.0.changed.notify_all();
        while state.is_writing || !state.lines.is_empty() {
            let left = until.saturating_duration_since(clock::monotonic());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, dropped: u64) {
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    fn write_to(&self, mut output: Output<impl Write>) {
        let mut lines = Vec::new();
        loop {
            lines = self.next(lines);
            self.count(output.write(&lines) as u64);
            lines.clear();
            if lines.capacity() > KEPT {
                lines = Vec::new();
            }
        }
    }

    /// Waits for lines, and takes them in exchange for an empty buffer.
    fn next(&self, empty: Vec<u8>) -> Vec<u8> {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        loop {
            // Lines are taken before repetitions are reported, so that there is room for these.
            if !state.lines.is_empty() {
                state.is_writing = true;
                return mem::replace(&mut state.lines, empty);
            }
            let now = clock::now();
            self.count(state.report_repeats(now, now.monotonic));
            if !state.lines.is_empty() {
                continue;
            }
            state = self.wait(state, now.monotonic);
        }
    }

    /// Waits until something changes, or the first window with repetitions ends.
    fn wait<'s>(&'s self, state: MutexGuard<'s, State>, now: Instant) -> MutexGuard<'s, State> {
        let Some(end) = state.repeats.next_end() else {
            let waited = self.changed.wait(state);
            return waited.unwrap_or_else(PoisonError::into_inner);
        };
        let waited = self
            .changed
            .wait_timeout(state, end.saturating_duration_since(now));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    /// Appends a line. Returns how many lines were dropped.
    fn push(&mut self, now: Now, event: &str) -> u64 {
        if self.lines.len() + event.len() > BACKLOG {
            self.unreported += 1;
            return 1;
        }
        let mut line = String::with_capacity(event.len() + "2026-01-01T00:00:00.000000Z ".len());
        let unreported = mem::take(&mut self.unreported);
        if unreported > 0 {
            push_time(&mut line, now.since_epoch);
            let _ = writeln!(
                line,
                " WARN lines of this log were dropped: standard error was not read \
                 count={unreported}"
            );
        }
        push_time(&mut line, now.since_epoch);
        line.push_str(event);
        self.lines.extend_from_slice(line.as_bytes());
        0
    }

    /// Appends a line for each event whose window ends by `end` and that was repeated within it.
    /// Returns how many lines were dropped.
    fn report_repeats(&mut self, now: Now, end: Instant) -> u64 {
        let mut dropped = 0;
        while let Some((event, count)) = self.repeats.take_ended(now.monotonic, end) {
            dropped += self.push(now, &format!("{} repeated={count}\n", event.trim_end()));
        }
        dropped
    }
}

/// Appends a time, in RFC 3339, UTC, and a space.
fn push_time(line: &mut String, since_epoch: Duration) {
    // A year after 9999 cannot be written.
    let _ = write!(
        line,
        "{} ",
        humantime::format_rfc3339_micros(UNIX_EPOCH + since_epoch)
    );
}

#[cfg(test)]
mod tests;
