//! Watching the files of a configuration for changes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::look::{Looks, look_out};
use crate::config::{Links, ReadFile};
use crate::snapshot::Live;
use crate::telemetry::Metrics;

/// A file that is being written all the time takes effect after so many times the settle time all
/// the same.
const MAX_SETTLES: u32 = 5;

/// Watches the directories of the configuration's files: an editor that replaces a file, and a
/// ConfigMap that swaps a symbolic link, change the directory and not the file that was open
/// (requirements.md#o03). Where the system tells of no change (a file that is mounted by itself, a
/// file system of the network, no room for a watch), a look every few seconds does.
pub struct Watcher {
    watcher: Option<notify::RecommendedWatcher>,
    looks: Arc<Looks>,
    /// Whether a change is told. If not, it shows in the metric alone.
    is_on: bool,
    watched: BTreeSet<PathBuf>,
    names: Arc<Mutex<BTreeSet<OsString>>>,
    changed: mpsc::Sender<()>,
    changes: mpsc::Receiver<()>,
    /// A change was seen but not reported, because the waiting future was dropped.
    seen: bool,
}

impl Watcher {
    /// Begins to watch what was read, if it `is_on`.
    #[must_use]
    pub fn new(files: &[ReadFile], is_on: bool) -> Self {
        // One change that is not yet seen is as good as many.
        let (changed, changes) = mpsc::channel(1);
        let names = Arc::<Mutex<BTreeSet<OsString>>>::default();
        let notice = {
            let (changed, names) = (changed.clone(), names.clone());
            move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|event| concerns(&event, &names)) {
                    let _ = changed.try_send(());
                }
            }
        };
        let unwatched = |error: &notify::Error| {
            tracing::warn!(%error, "files are not watched, but looked at every few seconds");
        };
        let watcher = is_on
            .then(|| {
                notify::recommended_watcher(notice)
                    .inspect_err(unwatched)
                    .ok()
            })
            .flatten();
        let looks = Arc::<Looks>::default();
        looks.set(files);
        let watched = BTreeSet::new();
        let mut this = Self {
            watcher,
            looks,
            is_on,
            watched,
            names,
            changed,
            changes,
            seen: false,
        };
        this.watch(files);
        this
    }

    /// Looks at the files every few seconds, as long as it is polled: a change is told, and shown
    /// in the metric.
    pub fn look_out(
        &self,
        live: Arc<Live>,
        metrics: Arc<Metrics>,
    ) -> impl Future<Output = ()> + use<> {
        look_out(self.looks.clone(), live, metrics)
    }

    /// Watches the directories of the files in force, and those that an attempt has read, and where
    /// their links lead now. A file that is watched only from now on may have changed since it was
    /// read: that counts as a change.
    pub fn follow(&mut self, in_force: &[ReadFile], attempted: &[ReadFile]) {
        self.looks.set(attempted);
        let all: Vec<_> = in_force.iter().chain(attempted).cloned().collect();
        if self.watch(&all) {
            let _ = self.changed.try_send(());
        }
    }

    /// Whether there was anything to watch that was not watched before.
    fn watch(&mut self, files: &[ReadFile]) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        let mut links = Links::default();
        let entries: Vec<PathBuf> = files
            .iter()
            .flat_map(|file| links.way(file.path()))
            .collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = entries
            .iter()
            .filter_map(|entry| entry.file_name())
            .map(OsStr::to_owned)
            .collect();
        let wanted: BTreeSet<PathBuf> = entries
            .iter()
            .filter_map(|entry| entry.parent())
            .map(Path::to_owned)
            .collect();
        for gone in self.watched.difference(&wanted) {
            // A directory that was removed is not watched any more anyway.
            let _ = watcher.unwatch(gone);
        }
        // A directory that was replaced by another of its name has to be watched anew. One that is
        // not there makes its file unreadable, which is said elsewhere.
        let there: BTreeSet<PathBuf> = wanted
            .into_iter()
            .filter(|directory| directory.is_dir())
            .collect();
        for directory in &there {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::warn!(
                    %error, directory = %directory.display(),
                    "a directory is not watched, but looked at every few seconds"
                );
            }
        }
        let more = !there.is_subset(&self.watched);
        self.watched = there;
        more
    }

    /// Waits until something has changed and then nothing more for `settle`. No change is lost when
    /// this is dropped before its end.
    pub async fn changed(&mut self, settle: Duration) {
        if !self.is_on {
            return std::future::pending().await;
        }
        if !self.seen {
            tokio::select! {
                // Never the end: one sender is our own.
                _ = self.changes.recv() => {}
                () = self.looks.differ() => {}
            }
            self.seen = true;
        }
        let settled =
            async { while let Ok(Some(())) = timeout(settle, self.changes.recv()).await {} };
        // An error is a file that does not settle.
        let _ = timeout(settle * MAX_SETTLES, settled).await;
        self.seen = false;
    }
}

/// Whether an event may have changed the configuration. Reading is no change, and our own would
/// never end; nor is what happens to other files of the same directory, such as a log.
fn concerns(event: &notify::Event, names: &Mutex<BTreeSet<OsString>>) -> bool {
    if matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
    {
        return false;
    }
    let names = names.lock().unwrap_or_else(PoisonError::into_inner);
    let is_ours = |path: &PathBuf| {
        path.file_name()
            .is_none_or(|name| names.iter().any(|our| fits(our, name)))
    };
    event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(is_ours)
}

/// Whether a name is one of ours: the same, or one that a pattern of an include may match.
fn fits(our: &OsStr, name: &OsStr) -> bool {
    match our.to_str().and_then(|our| our.split_once('*')) {
        Some((before, _)) => name.to_string_lossy().starts_with(before),
        None => our == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_the_configuration_is_a_change() {
        let names = Mutex::new(
            ["gateway.toml", "..data", "r*.toml"]
                .map(OsString::from)
                .into(),
        );
        let event = |path: &str| notify::Event::new(EventKind::Any).add_path(PathBuf::from(path));
        for (path, is_change) in [
            ("/etc/gateway.toml", true),
            ("/etc/..data", true),
            ("/etc/routes.toml", true),
            ("/etc/gateway.log", false),
            ("/etc/.gateway.toml.swp", false),
        ] {
            assert_eq!(concerns(&event(path), &names), is_change, "{path}");
        }
        let read = event("/etc/gateway.toml").set_kind(EventKind::Access(AccessKind::Read));
        assert!(!concerns(&read, &names));
    }
}
