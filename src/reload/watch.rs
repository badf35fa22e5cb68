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

/// A file that is being written all the time takes effect after so many times the settle time all the same.
const MAX_SETTLES: u32 = 5;

/// Links on the way to one file that are followed; the kernel follows no more.
const MAX_LINKS: usize = 40;

/// Watches the directories of the configuration's files: an editor that replaces a file, and a ConfigMap that swaps a
/// symbolic link, change the directory and not the file that was open (checklist O03).
pub struct Watcher {
    watcher: Option<notify::RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    names: Arc<Mutex<BTreeSet<OsString>>>,
    changed: mpsc::Sender<()>,
    changes: mpsc::Receiver<()>,
    /// A change was seen and has not been told yet: who waited for it may have turned to something else meanwhile.
    seen: bool,
}

impl Watcher {
    /// Begins to watch. Without it, where the system has no room for a watch, SIGHUP still works.
    #[must_use]
    pub fn new(files: &[PathBuf]) -> Self {
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
        let watcher = notify::recommended_watcher(notice)
            .inspect_err(|error| tracing::warn!(%error, "files are not watched; send SIGHUP after a change"))
            .ok();
        let mut this = Self { watcher, watched: BTreeSet::new(), names, changed, changes, seen: false };
        this.watch(files);
        this
    }

    /// Watches what these files are in, and where their links lead now. What is watched only from now on may have
    /// changed since it was read: that is as good as a change.
    pub fn follow(&mut self, files: &[PathBuf]) {
        if self.watch(files) {
            let _ = self.changed.try_send(());
        }
    }

    /// Whether there was anything to watch that was not watched before.
    fn watch(&mut self, files: &[PathBuf]) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let entries: Vec<PathBuf> = files.iter().flat_map(|file| way(file)).collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) =
            entries.iter().filter_map(|entry| entry.file_name()).map(OsStr::to_owned).collect();
        let wanted: BTreeSet<PathBuf> =
            entries.iter().filter_map(|entry| entry.parent()).map(Path::to_owned).collect();
        for gone in self.watched.difference(&wanted) {
            // A directory that was removed is not watched any more anyway.
            let _ = watcher.unwatch(gone);
        }
        // A directory that was replaced by another of its name has to be watched anew. One that is not there makes its
        // file unreadable, which is said elsewhere.
        let there: BTreeSet<PathBuf> = wanted.into_iter().filter(|directory| directory.is_dir()).collect();
        for directory in &there {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, directory = %directory.display(), "a directory is not watched");
            }
        }
        let more = !there.is_subset(&self.watched);
        self.watched = there;
        more
    }

    /// Waits until something has changed and then nothing more for `settle`. No change is lost when this is dropped
    /// before its end.
    pub async fn changed(&mut self, settle: Duration) {
        if !self.seen {
            // Never the end: one sender is our own.
            self.changes.recv().await;
            self.seen = true;
        }
        let settled = async { while let Ok(Some(())) = timeout(settle, self.changes.recv()).await {} };
        // An error is a file that does not settle.
        let _ = timeout(settle * MAX_SETTLES, settled).await;
        self.seen = false;
    }
}

/// Whether an event may have changed the configuration. Reading is no change, and our own would never end; nor is what
/// happens to other files of the same directory, such as a log.
fn concerns(event: &notify::Event, names: &Mutex<BTreeSet<OsString>>) -> bool {
    if matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write)) {
        return false;
    }
    let names = names.lock().unwrap_or_else(PoisonError::into_inner);
    let is_ours =
        |path: &PathBuf| path.file_name().is_none_or(|name| names.iter().any(|our| fits(our, name)));
    event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(is_ours)
}

/// Every entry of a directory whose change is a change of `file`: the links on the way to it, the directory it is in, and
/// itself. Which of the path's parts are links is for whoever deploys it to choose: the file, `..data`, or `current`.
fn way(file: &Path) -> Vec<PathBuf> {
    let parts = |path: &Path| path.iter().rev().map(OsStr::to_owned).collect::<Vec<_>>();
    let mut rest = parts(&std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
    let mut entries = Vec::new();
    let mut at = PathBuf::new();
    while let Some(part) = rest.pop() {
        match part.to_str() {
            Some(".") => continue,
            Some("..") => drop(at.pop()),
            _ => {
                let entry = at.join(part);
                match entry.read_link() {
                    Ok(link) if entries.len() < MAX_LINKS => {
                        rest.extend(parts(&link));
                        entries.push(entry);
                    }
                    _ => at = entry,
                }
            }
        }
    }
    entries.extend(at.parent().map(Path::to_owned));
    entries.push(at);
    entries
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

    #[cfg(unix)]
    #[test]
    fn every_link_on_the_way_is_an_entry_that_counts() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        std::fs::write(root.join("releases/1/real.toml"), "").unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        symlink(root.join("current/real.toml"), root.join("gateway.toml")).unwrap();
        let expected = ["gateway.toml", "current", "releases/1", "releases/1/real.toml"];
        assert_eq!(way(&root.join("./releases/../gateway.toml")), expected.map(|entry| root.join(entry)));
        symlink("round", root.join("round")).unwrap();
        assert!(way(&root.join("round")).len() <= MAX_LINKS + 2);
        assert_eq!(way(&root.join("routes/*.toml")), [root.join("routes"), root.join("routes/*.toml")]);
    }

    #[test]
    fn only_what_concerns_the_configuration_is_a_change() {
        let names = Mutex::new(["gateway.toml", "..data", "r*.toml"].map(OsString::from).into());
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
