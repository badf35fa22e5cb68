//! A reload, step by step. The steps whose time grows with the configuration run on a thread of
//! their own: health, keys and signals do not wait for them. The control thread is left with short
//! ones.
//!
//! First everything that can fail: the files are read and compiled, and new addresses are bound.
//! Then the snapshot is put in force. Last come those who connected to the new addresses meanwhile,
//! and those who wait on the addresses that are gone: each of them is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Control, announce, warn_of_restart};
use crate::reload::{Attempt, Found, Reloaded, Watcher};
use crate::snapshot::Snapshot;

/// The longest wait for the acceptor before the next reload may begin. It answers at once, unless
/// its worker is stuck.
const ACCEPTOR: Duration = Duration::from_secs(1);

/// The reload that is under way, if one is.
#[derive(Default)]
pub(super) struct Reloading {
    step: Option<Pin<Box<dyn Future<Output = Step>>>>,
    /// Whether the files may have changed since they were read.
    again: bool,
}

/// A step that is done.
pub(super) enum Step {
    /// The files were read.
    Read(Attempt),
    /// All is as the new configuration has it, and the reload is counted.
    Finished,
}

impl Reloading {
    /// Waits for the end of the step that is under way. It goes on where it was when this is
    /// dropped.
    pub(super) async fn next(&mut self) -> Step {
        let Some(step) = &mut self.step else {
            return std::future::pending().await;
        };
        let done = step.await;
        self.step = None;
        done
    }
}

impl Control {
    /// Reads the files again: now, or once the reload is over that is under way.
    pub(super) fn reload(&mut self) {
        if self.reloading.step.is_some() {
            self.reloading.again = true;
            return;
        }
        let reloader = self.reloader.clone();
        let read = spawn_blocking(move || reloader.read());
        self.reloading.step = Some(Box::pin(async {
            Step::Read(read.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a defect: the changed configuration is not in force");
                Attempt {
                    found: Found::Broken,
                    files: Vec::new(),
                }
            }))
        }));
    }

    /// Goes on after a step.
    pub(super) fn reload_step(&mut self, step: Step, watcher: &mut Watcher) {
        match step {
            Step::Read(Attempt { found, files }) => {
                let in_force = self.live.load();
                watcher.follow(&in_force.config.files, &files);
                match found {
                    Found::Changed(snapshot) => self.take_effect(*snapshot, &in_force),
                    Found::Unchanged => self.finish_reload(Reloaded::Unchanged, None),
                    Found::Broken => self.finish_reload(Reloaded::Failed, None),
                }
            }
            Step::Finished => {
                if std::mem::take(&mut self.reloading.again) {
                    self.reload();
                }
            }
        }
    }

    /// Binds, swaps, and tells the acceptor.
    fn take_effect(&mut self, snapshot: Snapshot, before: &Arc<Snapshot>) {
        let prepared = match self.listeners.prepare(&snapshot.config.server) {
            Ok(prepared) => prepared,
            Err(error) => {
                tracing::error!(%error, "the changed configuration is not in force");
                return self.finish_reload(Reloaded::Failed, None);
            }
        };
        announce(prepared.addresses());
        self.reloader.swap(snapshot);
        let now = self.live.load();
        let change = self
            .listeners
            .commit(prepared, &now.config.server.listeners);
        let changed = self.server.change(change.opened, change.closed);
        warn_of_restart(&before.config, &now.config);
        self.look_at_certificates();
        self.fetch_keys();
        self.watch_upstreams();
        self.finish_reload(Reloaded::Swapped, Some(changed));
    }

    /// Counts the reload when all else is done.
    fn finish_reload(
        &mut self,
        outcome: Reloaded,
        changed: Option<tokio::sync::oneshot::Receiver<()>>,
    ) {
        let reloader = self.reloader.clone();
        self.reloading.step = Some(Box::pin(async move {
            if let Some(changed) = changed {
                let _ = timeout(ACCEPTOR, changed).await;
            }
            // An error is a defect, which the panic's own message tells.
            let _ = spawn_blocking(move || reloader.finish(outcome)).await;
            Step::Finished
        }));
    }
}
