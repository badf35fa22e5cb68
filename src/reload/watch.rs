//! The watch of the configuration's files for changes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::look::PolledFiles;
use crate::config::{Links, ReadFile};

/// The longest time for which changes are collected, in settle times. A file that is written all
/// the time takes effect after that.
const MAX_SETTLES: u32 = 5;

/// The names of the configuration's files and links, and the patterns of its includes.
type Names = Mutex<BTreeSet<OsString>>;

/// Watches the directories of the configuration's files. An editor that replaces a file, and a
/// ConfigMap that swaps a symbolic link, change the directory and not the file that was open
/// (requirements.md#o03). Polling every few seconds finds the changes of which the system sends no
/// event: a file that is a mount point of its own, a network file system, no free watch.
pub struct Watcher {
    watcher: Option<notify::RecommendedWatcher>,
    polled: Arc<PolledFiles>,
    /// Set if a change causes a reload. Otherwise a change shows in the metric only.
    is_on: bool,
    watched: BTreeSet<PathBuf>,
    names: Arc<Names>,
    changed: mpsc::Sender<()>,
    changes: mpsc::Receiver<()>,
    /// Set if a change was seen but not reported, because the waiting future was dropped.
    seen: bool,
}

impl Watcher {
    /// Begins to watch the files that were read, if `is_on` is true.
    #[must_use]
    pub fn new(files: &[ReadFile], is_on: bool) -> Self {
        // Several changes that wait to be seen count as one.
        let (changed, changes) = mpsc::channel(1);
        let names = Arc::<Names>::default();
        let watcher = if is_on {
            system_watcher(changed.clone(), names.clone())
        } else {
            None
        };
        let polled = Arc::<PolledFiles>::default();
        polled.set(files);
        let mut this = Self {
            watcher,
            polled,
            is_on,
            watched: BTreeSet::new(),
            names,
            changed,
            changes,
            seen: false,
        };
        this.watch(files);
        this
    }

    /// Returns the files, which a task has to poll ([`poll_files`](super::poll_files)).
    #[must_use]
    pub fn polled_files(&self) -> Arc<PolledFiles> {
        self.polled.clone()
    }

    /// Watches the directories of the files in force, of the files that an attempt has read, and of
    /// the targets of their links. A file that is watched only from now on may have changed since
    /// it was read, so that it counts as changed.
    pub fn follow(&mut self, in_force: &[ReadFile], attempted: &[ReadFile]) {
        self.polled.set(attempted);
        let all: Vec<_> = in_force.iter().chain(attempted).cloned().collect();
        if self.watch(&all) {
            let _ = self.changed.try_send(());
        }
    }

    /// Watches the directories of these files and no others. Returns whether a directory was added.
    fn watch(&mut self, files: &[ReadFile]) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        let mut links = Links::default();
        let (mut names, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        for entry in files.iter().flat_map(|file| links.way(file.path())) {
            names.extend(entry.file_name().map(OsStr::to_owned));
            wanted.extend(entry.parent().map(Path::to_owned));
        }
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        for gone in self.watched.difference(&wanted) {
            // An error means that the directory was removed, which has ended its watch.
            let _ = watcher.unwatch(gone);
        }
        // Known directories are watched again: another directory may have taken the name. The files
        // of a missing directory are unreadable, which the reload reports.
        wanted.retain(|directory| directory.is_dir());
        for directory in &wanted {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::warn!(
                    %error, directory = %directory.display(),
                    "a directory is not watched, but polled every few seconds"
                );
            }
        }
        let has_more = !wanted.is_subset(&self.watched);
        self.watched = wanted;
        has_more
    }

    /// Waits until a file has changed, and then until no further change comes for the time
    /// `settle`. No change is lost if the future is dropped before its end.
    pub async fn changed(&mut self, settle: Duration) {
        if !self.is_on {
            return std::future::pending().await;
        }
        if !self.seen {
            tokio::select! {
                biased;
                // The channel never ends: `self.changed` is a sender.
                _ = self.changes.recv() => {}
                () = self.polled.differ() => {}
            }
            self.seen = true;
        }
        let settled =
            async { while let Ok(Some(())) = timeout(settle, self.changes.recv()).await {} };
        // An error means that the changes do not cease.
        let _ = timeout(settle * MAX_SETTLES, settled).await;
        self.seen = false;
    }
}

/// Returns a watcher that reports changes of files with these names. Without one, a warning is
/// logged, and polling has to do.
fn system_watcher(
    changed: mpsc::Sender<()>,
    names: Arc<Names>,
) -> Option<notify::RecommendedWatcher> {
    let watcher =
        notify::recommended_watcher(move |event: Result<notify::Event, notify::Error>| {
            if event.is_ok_and(|event| concerns(&event, &names)) {
                let _ = changed.try_send(());
            }
        });
    watcher
        .inspect_err(|error| {
            tracing::warn!(%error, "files are not watched, but polled every few seconds");
        })
        .ok()
}

/// Returns whether an event may have changed the configuration. Reads do not count: each reload
/// would cause another one. Nor do events of other files in the same directory, such as a log.
fn concerns(event: &notify::Event, names: &Names) -> bool {
    if let EventKind::Access(access) = event.kind
        && access != AccessKind::Close(AccessMode::Write)
    {
        return false;
    }
    let names = names.lock().unwrap_or_else(PoisonError::into_inner);
    event.need_rescan()
        || event.paths.is_empty()
        || event.paths.iter().any(|path| has_name_of(path, &names))
}

/// Returns whether a path has one of these names. A path without a name may concern any file.
fn has_name_of(path: &Path, names: &BTreeSet<OsString>) -> bool {
    match path.file_name() {
        Some(name) => names.iter().any(|pattern| may_match(pattern, name)),
        None => true,
    }
}

/// Returns whether a name is equal to a pattern, or may match the pattern of an include.
fn may_match(pattern: &OsStr, name: &OsStr) -> bool {
    match pattern.to_str().and_then(|pattern| pattern.split_once('*')) {
        Some((before, _)) => name.to_string_lossy().starts_with(before),
        None => pattern == name,
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
