//! The last good key set of an issuer on disk, so that a restart survives the issuer's outage.
//!
//! The file is a head, one line of JSON that says whose keys these are, where they came from and
//! when, and then the document as it came. It only ever stands in for a fetch that has not
//! succeeded yet, and whatever is wrong with it is a warning: a gateway that lost it is a gateway
//! that never had it. Whoever can write it makes tokens, as with `jwks_file`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::jwks::{JwksError, KeySet};
use super::{IssuerSettings, KeySource};
use crate::clock::{Now, UnixTime};

/// Bytes of the head: an issuer, a URL and a number.
const MAX_HEAD_BYTES: u64 = 16 * 1024;

/// Unchanged keys are written again after so long, since the file must say when they were last
/// heard. A flood of unknown key ids causes a fetch per cool-down, and not a write for each.
const REWRITE: Duration = Duration::from_secs(60);

/// The file of one issuer.
pub(super) struct LastGood {
    path: PathBuf,
    issuer: Box<str>,
    source: String,
    /// What the file holds, as far as this process wrote it, and since when.
    written: Option<(Bytes, Instant)>,
}

/// The keys of a file, and how long ago they were fetched.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) keys: KeySet,
    pub(super) age: Duration,
}

#[derive(Deserialize, Serialize)]
struct Head {
    /// The issuer's `iss`: the file of another issuer says nothing of this one's keys.
    issuer: String,
    /// An operator who has moved the keys elsewhere does not trust the old place any more.
    source: String,
    /// Seconds since 1970.
    fetched_at: u64,
}

/// Why a file is of no use.
#[derive(Debug)]
pub(super) enum LastGoodError {
    /// It cannot be read.
    Read(io::Error),
    /// Not a plain file, or more bytes than a key set may have.
    Size,
    /// It does not begin with the line that tells whose keys it holds.
    Head,
    /// It holds the keys of another issuer, or of another place.
    Foreign,
    /// It is older than stale keys are kept.
    TooOld(Duration),
    /// It was written later than now: one of two clocks is wrong, and nobody knows how old it is.
    Future,
    /// What follows the head is no key set.
    Keys(JwksError),
}

impl LastGood {
    /// The file of an issuer that has one.
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

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The keys that an earlier process left; `None` when there is no file yet.
    ///
    /// # Errors
    /// [`LastGoodError`]
    pub(super) fn read(
        &self,
        entry: &IssuerSettings,
        now: UnixTime,
    ) -> Result<Option<Kept>, LastGoodError> {
        let bytes = match read_bounded(
            &self.path,
            entry.fetch.max_bytes.saturating_add(MAX_HEAD_BYTES),
        ) {
            Err(LastGoodError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            read => read?,
        };
        let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
        let (head, document) = parts.next().zip(parts.next()).ok_or(LastGoodError::Head)?;
        let head: Head = serde_json::from_slice(head).map_err(|_| LastGoodError::Head)?;
        if *head.issuer != *self.issuer || head.source != self.source {
            return Err(LastGoodError::Foreign);
        }
        let age = now
            .0
            .checked_sub(head.fetched_at)
            .ok_or(LastGoodError::Future)?;
        let age = Duration::from_secs(age);
        if age >= entry.fetch.keep_stale {
            return Err(LastGoodError::TooOld(age));
        }
        let keys = KeySet::parse(document, entry.fetch.max_keys).map_err(LastGoodError::Keys)?;
        Ok(Some(Kept { keys, age }))
    }

    /// Writes a document that was fetched just now, unless the file says as much already.
    ///
    /// # Errors
    /// The system's own. The file is then what it was.
    pub(super) fn write(&mut self, document: &Bytes, now: Now) -> io::Result<()> {
        let is_current = |(known, since): &(Bytes, Instant)| {
            known == document && now.monotonic.saturating_duration_since(*since) < REWRITE
        };
        if self.written.as_ref().is_some_and(is_current) {
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

    /// Removes the file.
    ///
    /// # Errors
    /// The system's own.
    pub(super) fn discard(&mut self) -> io::Result<()> {
        self.written = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// A plain file within its bound. Anything else that a path may name, such as a pipe, could hold up
/// the control thread.
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

/// Puts a file in the place of another as one step: whoever reads, and whatever breaks off, finds
/// the old one whole or the new one whole.
fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    // In the same directory, since a rename does not leave its file system. Two gateways may share
    // the file, and in containers a process id: the name is random.
    let random = RandomState::new().hash_one(path);
    let temporary = path.with_file_name(format!(".{name}.{random:016x}.tmp"));
    let written = write_new(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // Never what is there already, nor where a link leads that somebody put there.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    // Before the rename: else a crash may leave the new name with nothing in it.
    file.sync_all()
}

impl fmt::Display for LastGoodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
            Self::Size => f.write_str("it is no plain file, or larger than a key set may be"),
            Self::Head => {
                f.write_str("it does not begin with the line that says whose keys it holds")
            }
            Self::Foreign => f.write_str("it holds the keys of another issuer or of another place"),
            Self::TooOld(age) => {
                write!(
                    f,
                    "its keys were fetched {} s ago, which is too long",
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
