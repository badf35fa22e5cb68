//! A look at the files every few seconds, for changes of which the system tells nothing: a file
//! that is mounted by itself and written in place, a file system of the network that changes on its
//! other side, watches that are used up.
//!
//! It also keeps the metric true. `scopegate_config_last_reload_successful` is 1 only while the
//! files are what serves, whether they are watched or not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::ReadFile;
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::Metrics;

/// Between two looks. A look is a `stat` for each file, and reads those alone that have changed.
const LOOK: Duration = Duration::from_secs(2);

/// The files that were read last, and whether they have changed.
#[derive(Default)]
pub(super) struct Looks {
    state: Mutex<State>,
    noticed: Notify,
}

#[derive(Default)]
struct State {
    /// The number of readings: a look that began before a reading says nothing of it.
    readings: u64,
    files: Vec<ReadFile>,
    differ: bool,
}

/// A look, and what it saw.
struct Look {
    /// The reading that it is about.
    reading: u64,
    /// Those that were read last. Each change of one is seen once.
    files: Vec<ReadFile>,
    differ: bool,
    /// Those of the snapshot in force.
    in_force: Vec<ReadFile>,
    is_in_force: bool,
}

impl Looks {
    /// Takes the files as they were read just now. An attempt that got nowhere leaves those of
    /// before.
    pub(super) fn set(&self, files: &[ReadFile]) {
        let mut state = self.lock();
        state.readings += 1;
        state.differ = false;
        if !files.is_empty() {
            state.files = files.to_vec();
        }
    }

    /// Waits until the files differ from what was read, and forgets it.
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

    /// Takes what a look saw. Returns whether it is about the last reading.
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

    /// Nothing in there panics.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    /// Looks at each file. A file system that does not answer may hold this up for as long as it
    /// likes.
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

/// Looks again and again.
pub(super) async fn look_out(looks: Arc<Looks>, live: Arc<Live>, metrics: Arc<Metrics>) {
    // Not held: what a reload took away ends with its snapshot.
    let mut known: Option<(Weak<Snapshot>, Vec<ReadFile>)> = None;
    loop {
        sleep(LOOK).await;
        let (snapshot, files) = {
            let snapshot = live.load();
            let files = match known.take() {
                Some((of, files)) if of.as_ptr() == Arc::as_ptr(&snapshot) => files,
                _ => snapshot.config.files.clone(),
            };
            (Arc::downgrade(&snapshot), files)
        };
        let look = looks.begin(files);
        // Beside the control thread, which health and signals wait for.
        let Ok(mut look) = spawn_blocking(move || look.take()).await else {
            continue;
        };
        if looks.end(&mut look) && snapshot.as_ptr() == Arc::as_ptr(&live.load()) {
            metrics.gateway.reload_ok.set(look.is_in_force.into());
        }
        known = Some((snapshot, look.in_force));
    }
}
