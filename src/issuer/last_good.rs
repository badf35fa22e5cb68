//! The last good key set of an issuer on disk, so that a restart during the issuer's outage has
//! keys.
//!
//! The file has a head, which is one line of JSON with the issuer, the source of the keys and the
//! time of the fetch, followed by the document as it was received. The file is only used until a
//! fetch succeeds. Every problem with it is a warning: a gateway without the file is in the same
//! state as one that never had it. A process that can write the file can make valid tokens, as with
//! `jwks_file`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::jwks::{JwksError, KeySet};
use super::{IssuerSettings, KeySource};
use crate::clock::{Now, UnixTime};
use crate::net::random;

/// The largest size of the head in bytes: an issuer, a URL and a number.
const MAX_HEAD_BYTES: u64 = 16 * 1024;

/// The age at which unchanged keys are written again, so that the file has the time of a recent
/// fetch. A flood of unknown key ids causes a fetch per cool-down, and must not cause a write for
/// each.
const REWRITE: Duration = Duration::from_secs(60);

/// The file of one issuer.
pub(super) struct LastGood {
    path: PathBuf,
    issuer: Box<str>,
    source: String,
    /// The document that this process wrote last, and the time at which it did.
    written: Option<(Bytes, Instant)>,
}

/// The keys of a file and the time since they were fetched.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) keys: KeySet,
    pub(super) age: Duration,
}

#[derive(Deserialize, Serialize)]
struct Head {
    /// The issuer's `iss`; the file of another issuer is not used.
    issuer: String,
    /// The source of the keys. If the configuration names another one, the old one is not trusted any
    /// more.
    source: String,
    /// The time of the fetch, in seconds since 1970.
    fetched_at: u64,
}

/// A reason why a file is not used.
#[derive(Debug)]
pub(super) enum LastGoodError {
    /// It cannot be read.
    Read(io::Error),
    /// Not a regular file, or larger than a key set may be.
    Size,
    /// It does not begin with a head.
    Head,
    /// It holds the keys of another issuer, or from another source.
    Foreign,
    /// It is older than `keep_stale`.
    TooOld(Duration),
    /// It was written later than now: one of two clocks is wrong, and its age is unknown.
    Future,
    /// The part after the head is not a key set.
    Keys(JwksError),
}

impl LastGood {
    /// Returns the file of an issuer, if one is configured.
    pub(super) fn of(entry: &IssuerSettings) -> Option<Self> {
        let path = entry.fetch.keep_file.clone()?;
        let source = match &entry.keys {
            KeySource::Discovery(base) => format!("discovery at {base}"),
            KeySource::Uri(url) => url.to_string(),
            KeySource::Static(_) => return None,
        };
        Some(Self {
            path,
            issuer: (*entry.issuer).into(),
            source,
            written: None,
        })
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the keys that an earlier process wrote; `None` if there is no file yet.
    ///
    /// # Errors
    /// [`LastGoodError`]
    pub(super) fn read(
        &self,
        entry: &IssuerSettings,
        now: UnixTime,
    ) -> Result<Option<Kept>, LastGoodError> {
        let max_bytes = entry.fetch.max_bytes.saturating_add(MAX_HEAD_BYTES);
        let bytes = match read_bounded(&self.path, max_bytes) {
            Err(LastGoodError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            read => read?,
        };
        let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
        let (head, document) = parts.next().zip(parts.next()).ok_or(LastGoodError::Head)?;
        let head: Head = serde_json::from_slice(head).map_err(|_| LastGoodError::Head)?;
        let age = self.check_head(&head, now)?;
        if age >= entry.fetch.keep_stale {
            return Err(LastGoodError::TooOld(age));
        }
        let keys = KeySet::parse(document, entry.fetch.max_keys).map_err(LastGoodError::Keys)?;
        Ok(Some(Kept { keys, age }))
    }

    /// Checks whose keys a file holds, and returns their age.
    fn check_head(&self, head: &Head, now: UnixTime) -> Result<Duration, LastGoodError> {
        if *head.issuer != *self.issuer || head.source != self.source {
            return Err(LastGoodError::Foreign);
        }
        match now.0.checked_sub(head.fetched_at) {
            Some(age) => Ok(Duration::from_secs(age)),
            None => Err(LastGoodError::Future),
        }
    }

    /// Writes a document that was fetched just now, unless the file already has it with a recent
    /// time.
    ///
    /// # Errors
    /// The error of the system. The old file is then unchanged.
    pub(super) fn write(&mut self, document: &Bytes, now: Now) -> io::Result<()> {
        if self.is_current(document, now) {
            return Ok(());
        }
        let head = Head {
            issuer: (*self.issuer).into(),
            source: self.source.clone(),
            fetched_at: now.unix.0,
        };
        let mut head = serde_json::to_vec(&head)?;
        head.push(b'\n');
        replace(&self.path, &[&head, document])?;
        self.written = Some((document.clone(), now.monotonic));
        Ok(())
    }

    /// Returns whether this process wrote the same document a short while ago.
    fn is_current(&self, document: &Bytes, now: Now) -> bool {
        let Some((known, since)) = &self.written else {
            return false;
        };
        known == document && now.monotonic.saturating_duration_since(*since) < REWRITE
    }

    /// Removes the file.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn discard(&mut self) -> io::Result<()> {
        self.written = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Reads a regular file up to its size limit. Anything else that a path may name, such as a pipe,
/// could block the control thread.
fn read_bounded(path: &Path, max_bytes: u64) -> Result<Vec<u8>, LastGoodError> {
    let metadata = fs::metadata(path).map_err(LastGoodError::Read)?;
    if !metadata.is_file() || metadata.len() > max_bytes {
        return Err(LastGoodError::Size);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(LastGoodError::Read)?;
    file.take(max_bytes)
        .read_to_end(&mut bytes)
        .map_err(LastGoodError::Read)?;
    Ok(bytes)
}

/// Replaces a file atomically: a reader, or a crash, sees either the whole old file or the whole
/// new one.
fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    // The temporary file is in the same directory because a rename cannot cross file systems. Its
    // name is random because two gateways may share the directory, and in containers even the
    // process id.
    let random = random();
    let temporary = path.with_file_name(format!(".{name}.{random:016x}.tmp"));
    let written = write_new(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // Never overwrites an existing file and never follows a symbolic link that was placed there.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    // Without a sync before the rename, a crash may leave an empty file with the new name.
    file.sync_all()
}

impl fmt::Display for LastGoodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
            Self::Size => f.write_str("it is not a regular file, or larger than a key set may be"),
            Self::Head => f.write_str("its first line does not state the issuer of its keys"),
            Self::Foreign => f.write_str("it holds keys of another issuer or from another URL"),
            Self::TooOld(age) => {
                write!(
                    f,
                    "its keys were fetched {} s ago, which exceeds \"keep_stale\"",
                    age.as_secs()
                )
            }
            Self::Future => {
                f.write_str("its keys were fetched in the future, so one clock is wrong")
            }
            Self::Keys(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
#[path = "last_good_tests.rs"]
mod tests;
