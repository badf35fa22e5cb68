//! Resolves symbolic links itself, so that one reading takes all of its files from one generation.
//!
//! A ConfigMap of Kubernetes is a directory whose files all lead through one link, `..data`, to the
//! directory of a generation; an update swaps that link. Deployments with a link `current` to a
//! release work the same way. A reader that resolves each path anew can take the first files from
//! one generation and the others from the next.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The limit on the links that are followed for one file; the kernel has the same limit.
const MAX_LINKS: usize = 40;

/// The target of each path component when it was first resolved; `None` for a component that is no
/// link.
#[derive(Debug, Default)]
pub struct Links {
    met: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl Links {
    /// Returns every directory entry whose change can change `file`: the links on the way to it,
    /// the directory that holds it, and the file itself. Any component of the path may be a link,
    /// depending on the deployment: the file, `..data`, or `current`.
    pub fn way(&mut self, file: &Path) -> Vec<PathBuf> {
        let absolute = std::path::absolute(file);
        let mut rest = reversed(absolute.as_deref().unwrap_or(file));
        let mut entries = Vec::new();
        let mut at = PathBuf::new();
        while let Some(part) = rest.pop() {
            if part == "." {
                continue;
            }
            if part == ".." {
                at.pop();
                continue;
            }
            let entry = at.join(part);
            match self.target(&entry) {
                Some(link) if entries.len() < MAX_LINKS => {
                    rest.extend(reversed(&link));
                    entries.push(entry);
                }
                _ => at = entry,
            }
        }
        entries.extend(at.parent().map(Path::to_owned));
        entries.push(at);
        entries
    }

    /// Returns the path of a file with all links resolved.
    pub(super) fn real(&mut self, file: &Path) -> PathBuf {
        self.way(file).pop().unwrap_or_else(|| file.to_owned())
    }

    /// Returns whether a link that was resolved now leads elsewhere, or an entry has become a link.
    pub(super) fn have_moved(&self) -> bool {
        for (entry, target) in &self.met {
            if entry.read_link().ok() != *target {
                return true;
            }
        }
        false
    }

    fn target(&mut self, entry: &Path) -> Option<PathBuf> {
        // The kernel shows links there (`/proc/self/fd/0`) whose targets are no paths.
        if entry.starts_with("/proc") {
            return None;
        }
        let met = self.met.entry(entry.to_owned());
        met.or_insert_with(|| entry.read_link().ok()).clone()
    }
}

fn reversed(path: &Path) -> Vec<std::ffi::OsString> {
    path.iter().rev().map(OsStr::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_an_entry_that_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        std::fs::write(root.join("releases/1/real.toml"), "").unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        symlink(root.join("current/real.toml"), root.join("gateway.toml")).unwrap();
        let mut links = Links::default();
        let expected = [
            "gateway.toml",
            "current",
            "releases/1",
            "releases/1/real.toml",
        ];
        let way = links.way(&root.join("./releases/../gateway.toml"));
        assert_eq!(way, expected.map(|entry| root.join(entry)));
        symlink("round", root.join("round")).unwrap();
        assert!(links.way(&root.join("round")).len() <= MAX_LINKS + 2);
        let way = links.way(&root.join("routes/*.toml"));
        assert_eq!(way, [root.join("routes"), root.join("routes/*.toml")]);
        assert!(!links.have_moved());
    }

    #[test]
    fn a_link_leads_where_it_led_when_it_was_first_met() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        symlink("1", root.join("..data")).unwrap();
        for file in ["a", "b"] {
            symlink(format!("..data/{file}"), root.join(file)).unwrap();
        }
        let mut links = Links::default();
        assert_eq!(links.real(&root.join("a")), root.join("1/a"));
        assert!(!links.have_moved());
        symlink("2", root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert_eq!(
            links.real(&root.join("b")),
            root.join("1/b"),
            "of the same generation"
        );
        assert!(links.have_moved());
        assert_eq!(Links::default().real(&root.join("b")), root.join("2/b"));
    }

    #[test]
    fn what_the_kernel_shows_as_links_is_left_to_it() {
        let mut links = Links::default();
        assert!(
            links
                .real(Path::new("/proc/self/fd/0"))
                .starts_with("/proc/self")
        );
    }
}
