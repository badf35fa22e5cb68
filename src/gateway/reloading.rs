//! A reload, in steps. Steps whose time grows with the configuration run on a thread of their own,
//! so that health checks, key fetches and signals do not wait for them. The control thread runs the
//! short steps.
//!
//! The steps that can fail come first: the files are read and compiled, and new addresses are
//! bound. Then the snapshot is put in force. Last, the acceptor is told. It serves the clients that
//! have connected to the new addresses meanwhile, and those that wait on the removed addresses.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Control, announce, warn_of_restart};
use crate::reload::{Attempt, Found, Reloaded, Watcher};
use crate::snapshot::Snapshot;

/// The longest wait for the acceptor before the next reload may begin. The acceptor answers at once
/// unless its worker is stuck.
const ACCEPTOR_TIMEOUT: Duration = Duration::from_secs(1);

/// The current reload, if there is one.
#[derive(Default)]
pub(super) struct Reloading {
    step: Option<Pin<Box<dyn Future<Output = Step>>>>,
    /// Set if the files may have changed since they were read.
    again: bool,
}

/// The result of a step.
pub(super) enum Step {
    /// The files were read.
    Read(Attempt),
    /// The reload is over and counted.
    Finished,
}

impl Reloading {
    /// Waits for the end of the current step. Dropping the future does not interrupt the step.
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
    /// Reads the files again, now or after the current reload.
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

    /// Continues the reload after a step.
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

    /// Binds new addresses, puts the snapshot in force, and tells the acceptor.
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
        self.check_certificates();
        self.fetch_keys();
        self.watch_upstreams();
        self.finish_reload(Reloaded::Swapped, Some(changed));
    }

    /// Counts the reload after the acceptor has made its changes.
    fn finish_reload(
        &mut self,
        outcome: Reloaded,
        changed: Option<tokio::sync::oneshot::Receiver<()>>,
    ) {
        let reloader = self.reloader.clone();
        self.reloading.step = Some(Box::pin(async move {
            if let Some(changed) = changed {
                let _ = timeout(ACCEPTOR_TIMEOUT, changed).await;
            }
            // An error is a panic, which has been logged with its own message.
            let _ = spawn_blocking(move || reloader.finish(outcome)).await;
            Step::Finished
        }));
    }
}
