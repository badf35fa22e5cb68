//! The paths of a configuration: their content when they were read, and whether it has changed.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

/// The limit on the bytes of one file. No configuration, key set or certificate bundle is as large.
pub(super) const MAX_FILE_BYTES: u64 = 16 << 20;

/// A path that a configuration was read from, with the content that it had then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFile {
    path: PathBuf,
    found: Found,
}

/// The state of a path: a file, an unreadable entry, or names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file with this content, by its SHA-256.
    Content { stamp: Stamp, digest: [u8; 32] },
    /// An entry that cannot be read.
    Unreadable {
        stamp: Option<Stamp>,
        error: io::ErrorKind,
    },
    /// For a path with a `*`: the names that fit it.
    Names(Result<Vec<OsString>, io::ErrorKind>),
}

/// The metadata of a file (`stat`). Equal metadata means equal content, except for a write in the
/// same clock tick that keeps the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    is_file: bool,
}

/// The reason why a file cannot be read.
pub(super) enum ReadError {
    Io(io::Error),
    TooLong,
}

impl ReadFile {
    pub(super) fn new(path: &Path, found: Found) -> Self {
        Self {
            path: path.into(),
            found,
        }
    }

    /// Returns the path, as the configuration names it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the path again, and returns whether its content differs from that of the last look, or
    /// of the first reading. A file that was only touched, or replaced by one with the same
    /// content, does not differ.
    pub fn look(&mut self) -> bool {
        let now = self.now();
        let is_other = match (&self.found, &now) {
            (Found::Content { digest: then, .. }, Found::Content { digest: now, .. }) => {
                then != now
            }
            (Found::Unreadable { error: then, .. }, Found::Unreadable { error: now, .. }) => {
                then != now
            }
            (then, now) => then != now,
        };
        self.found = now;
        is_other
    }

    fn now(&self) -> Found {
        if let Found::Names(_) = self.found {
            return Found::names(&names(&self.path));
        }
        let stamp = Stamp::of(&self.path);
        match &self.found {
            Found::Content { stamp: then, .. } if stamp == Some(*then) => self.found.clone(),
            Found::Unreadable { stamp: then, .. } if stamp.is_some() && stamp == *then => {
                self.found.clone()
            }
            _ => read(&self.path).0,
        }
    }
}

impl Found {
    pub(super) fn names(names: &io::Result<Vec<OsString>>) -> Self {
        Self::Names(match names {
            Ok(names) => Ok(names.clone()),
            Err(error) => Err(error.kind()),
        })
    }

    /// Returns whether the file at its real path is not the one that was read. A path that held no
    /// plain file, such as a pipe, never counts as changed.
    pub(super) fn has_changed(&self, real: &Path) -> bool {
        match self {
            Self::Content { stamp, .. } => stamp.is_file && Stamp::of(real) != Some(*stamp),
            Self::Unreadable { stamp, .. } => Stamp::of(real) != *stamp,
            Self::Names(_) => Self::names(&names(real)) != *self,
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            is_file: metadata.is_file(),
        }
    }
}

/// Reads a file from one descriptor, so that a concurrent rename cannot mix two contents.
pub(super) fn read(path: &Path) -> (Found, Result<Vec<u8>, ReadError>) {
    // Taken before the file is opened, because a file may have metadata and still be unreadable.
    let mut stamp = Stamp::of(path);
    match read_into(path, &mut stamp) {
        Ok((stamp, bytes)) => {
            let mut digest = [0; 32];
            digest.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
            (Found::Content { stamp, digest }, Ok(bytes))
        }
        Err(ReadError::Io(error)) => (
            Found::Unreadable {
                stamp,
                error: error.kind(),
            },
            Err(ReadError::Io(error)),
        ),
        Err(error) => (
            Found::Unreadable {
                stamp,
                error: io::ErrorKind::FileTooLarge,
            },
            Err(error),
        ),
    }
}

fn read_into(path: &Path, stamp: &mut Option<Stamp>) -> Result<(Stamp, Vec<u8>), ReadError> {
    let file = File::open(path).map_err(ReadError::Io)?;
    let opened = Stamp::new(&file.metadata().map_err(ReadError::Io)?);
    *stamp = Some(opened);
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ReadError::TooLong);
    }
    Ok((opened, bytes))
}

/// Returns the names of the directory's files that match the last component of a path, sorted. A
/// directory that does not exist has none: a pattern may match no file.
///
/// # Errors
/// Returns an error if the directory cannot be read.
pub(super) fn names(pattern: &Path) -> io::Result<Vec<OsString>> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    let directory = match pattern.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let candidate = entry.file_name();
        let text = candidate.to_string_lossy();
        // A star does not match hidden files, as in a shell: editors keep their swap files there.
        if !text.starts_with('.') && star_match(&name, &text) {
            found.push(candidate);
        }
    }
    found.sort();
    Ok(found)
}

/// Returns whether a name matches a pattern in which `*` stands for any characters.
fn star_match(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut rest) = name.strip_prefix(head) else {
        return false;
    };
    // The star stands for nothing at first, then for one character more each time.
    while !star_match(tail, rest) {
        let mut chars = rest.chars();
        if chars.next().is_none() {
            return false;
        }
        rest = chars.as_str();
    }
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, fits) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml.bak", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("*", "ä", true),
            ("a", "a", true),
        ] {
            assert_eq!(star_match(pattern, name), fits, "{pattern} {name}");
        }
    }

    fn read_file(path: &Path) -> ReadFile {
        ReadFile::new(path, read(path).0)
    }

    #[test]
    fn a_look_sees_another_content_however_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let mut file = read_file(&path);
        assert!(!file.look(), "it is missing still");
        fs::write(&path, "one").unwrap();
        assert!(file.look() && !file.look());
        fs::write(&path, "two").unwrap();
        assert!(file.look(), "in place, of the same size");
        let alias = folder.path().join("alias");
        fs::hard_link(&path, &alias).unwrap();
        assert!(!file.look(), "a link more is no other content");
        fs::write(&alias, "six").unwrap();
        assert!(file.look(), "by another name of the same file");
        fs::write(folder.path().join("new"), "six").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(!file.look(), "another file of the same content");
        fs::remove_file(&path).unwrap();
        assert!(file.look() && !file.look());
        fs::create_dir(&path).unwrap();
        assert!(file.look(), "it is a directory now");
    }

    #[test]
    fn what_cannot_be_read_any_more_is_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        fs::write(&path, "one").unwrap();
        let mut file = read_file(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        // The superuser reads everything.
        let is_readable = fs::read(&path).is_ok();
        assert_eq!(file.look(), !is_readable);
        assert!(!file.look());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(file.look(), !is_readable);
    }

    #[test]
    fn a_pattern_is_the_names_that_fit_it() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = folder.path().join("routes/*.toml");
        let mut file = ReadFile::new(&pattern, Found::names(&names(&pattern)));
        fs::create_dir(folder.path().join("routes")).unwrap();
        assert!(!file.look());
        for (name, fits) in [
            ("a.toml", true),
            (".b.toml", false),
            ("c.txt", false),
            ("d.toml", true),
        ] {
            fs::write(folder.path().join("routes").join(name), "").unwrap();
            assert_eq!(file.look(), fits, "{name}");
        }
        fs::remove_file(folder.path().join("routes/a.toml")).unwrap();
        assert!(file.look());
    }
}
