//! `[reload]`: the reloading of changed files.

use std::time::Duration;

use crate::config::Overrides;
use crate::config::language::{DefaultKey, Flag, Key, Reader, Table, Time};

/// `[reload]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Set when the files are watched for changes; SIGHUP reloads in either case.
    pub watch: bool,
    /// The time without further changes after which changed files are read.
    pub settle: Duration,
}

pub(super) static TABLE: Table = Table {
    path: "reload",
    doc: "A changed file is read, checked and put into effect as a whole. A file with a problem \
          changes nothing. Requests, probes and signals do not wait while a large file is read.",
    keys: &[&WATCH, &SETTLE],
    refused: &[],
};

const WATCH: DefaultKey<Flag> = Key::new("watch", Flag)
    .doc(
        "If true, the file, its includes, key sets and certificates are watched for changes. \
         SIGHUP reloads in either case. A change takes effect at the next start.",
    )
    .example("false")
    .or(true);

const SETTLE: DefaultKey<Time> = Key::new("settle", Time::ANY)
    .doc("The time without further edits after which a changed file is read.")
    .example(r#""1s""#)
    .or("200ms");

pub(super) fn reload(mut reader: Reader<'_>, overrides: &Overrides) -> Reload {
    let watch = reader.get(&WATCH);
    let settle = reader.get(&SETTLE);
    reader.finish();
    Reload {
        watch: overrides.watch.unwrap_or(watch),
        settle,
    }
}
