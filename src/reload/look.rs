//! Polling of the configuration's files every few seconds, for changes of which the system sends no
//! event: a file that is a mount point of its own and is written in place, a network file system
//! that changes on its other side, or a system without free watches.
//!
//! Polling also keeps the metric `scopegate_config_last_reload_successful` correct, even if the
//! files are not watched: it is 1 only while the files have the configuration in force.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::blocking;
use crate::config::ReadFile;
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::Metrics;

/// The interval between two polls. A poll costs a `stat` for each file, and a read for each file
/// that has changed.
const INTERVAL: Duration = Duration::from_secs(2);

/// The files that were read last, and whether they have changed since.
#[derive(Default)]
pub struct PolledFiles {
    state: Mutex<State>,
    noticed: Notify,
}

#[derive(Default)]
struct State {
    /// The number of times that the configuration was read. The result of a poll that began before
    /// the last time is dropped.
    readings: u64,
    files: Vec<ReadFile>,
    differ: bool,
}

/// One poll of all files.
struct Look {
    /// The value of [`State::readings`] when the poll began.
    reading: u64,
    /// The files that were read last. Each change of a file is seen once.
    files: Vec<ReadFile>,
    /// Set if one of `files` has changed.
    differ: bool,
    /// The files of the snapshot in force.
    in_force: Vec<ReadFile>,
    /// Set if none of `in_force` has changed.
    is_in_force: bool,
}

impl PolledFiles {
    /// Sets the files that were read just now. An empty list, from an attempt that read no file,
    /// leaves the files as they are.
    pub(super) fn set(&self, files: &[ReadFile]) {
        let mut state = self.lock();
        state.readings += 1;
        state.differ = false;
        if !files.is_empty() {
            state.files = files.to_vec();
        }
    }

    /// Waits until the files differ from those that were read, and resets that state.
    pub(super) async fn differ(&self) {
        while !std::mem::take(&mut self.lock().differ) {
            self.noticed.notified().await;
        }
    }

    fn begin(&self, in_force: Vec<ReadFile>) -> Look {
        let state = self.lock();
        let (reading, files) = (state.readings, state.files.clone());
        Look {
            reading,
            files,
            differ: false,
            in_force,
            is_in_force: true,
        }
    }

    /// Takes over the result of a poll. Returns false if the configuration was read again
    /// meanwhile.
    fn end(&self, look: &mut Look) -> bool {
        let mut state = self.lock();
        if state.readings != look.reading {
            return false;
        }
        state.files = std::mem::take(&mut look.files);
        if look.differ {
            state.differ = true;
            self.noticed.notify_one();
        }
        true
    }

    /// Locks the state. Code that holds the lock does not panic, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    /// Checks each file. This can block for any time if a file system does not answer.
    fn take(mut self) -> Self {
        for file in &mut self.files {
            self.differ |= file.look();
        }
        for file in &mut self.in_force {
            let mut now = file.clone();
            if now.look() {
                self.is_in_force = false;
            } else {
                *file = now;
            }
        }
        self
    }
}

/// Polls the files every few seconds until they are dropped. A change is reported by
/// [`Watcher::changed`](super::Watcher::changed) and shown in the metric.
pub async fn poll_files(weak: Weak<PolledFiles>, live: Arc<Live>, metrics: Arc<Metrics>) {
    // A weak reference, so that an old snapshot can be freed.
    let mut known: Option<(Weak<Snapshot>, Vec<ReadFile>)> = None;
    loop {
        sleep(INTERVAL).await;
        let Some(polled) = weak.upgrade() else {
            return;
        };
        let (snapshot, files) = {
            let snapshot = live.load();
            let files = match known.take() {
                Some((of, files)) if of.as_ptr() == Arc::as_ptr(&snapshot) => files,
                _ => snapshot.config.files.clone(),
            };
            (Arc::downgrade(&snapshot), files)
        };
        let look = polled.begin(files);
        // On a thread of its own: health checks and signals must not wait for a file system.
        let Ok(mut look) = blocking::run(move || look.take()).await else {
            continue;
        };
        if polled.end(&mut look) && snapshot.as_ptr() == Arc::as_ptr(&live.load()) {
            metrics.gateway.reload_ok.set(look.is_in_force.into());
        }
        known = Some((snapshot, look.in_force));
    }
}
