//! `[log]`: the content of the logs.

use tracing::Level;

use crate::config::language::{Choice, DefaultKey, Key, Reader, Table};

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The level of the gateway's own events.
    pub level: Level,
    /// The requests that get a line in the access log, on standard output.
    pub access: AccessLog,
}

/// The requests that get a line in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// No request.
    Off,
    /// Requests that the gateway refused.
    Refusals,
    /// Every request.
    All,
}

pub(super) static TABLE: Table = Table {
    path: "log",
    doc: "Logs never hold a token, a secret, or a claim that was not asked for.",
    keys: &[&LEVEL, &ACCESS],
    refused: &[],
};

const LEVEL: DefaultKey<Choice<Level>> = Key::new(
    "level",
    Choice(&[
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ]),
)
.doc(
    "The lowest level of the gateway's own events that is written to standard error. Events \
     of libraries are never written: some of them quote requests. A change takes effect at \
     the next start.",
)
.example(r#""debug""#)
.or(Level::INFO);

const ACCESS: DefaultKey<Choice<AccessLog>> = Key::new(
    "access",
    Choice(&[
        ("off", AccessLog::Off),
        ("refusals", AccessLog::Refusals),
        ("all", AccessLog::All),
    ]),
)
.doc(
    "The requests that get a line on standard output: none, those that the gateway refused, \
     or all.",
)
.example(r#""all""#)
.or(AccessLog::Refusals);

/// Reads the table. The arguments of the command go before the file.
pub(super) fn log(
    mut reader: Reader<'_>,
    level_argument: Option<Level>,
    access_argument: Option<AccessLog>,
) -> Log {
    let level = reader.get(&LEVEL);
    let access = reader.get(&ACCESS);
    reader.finish();
    Log {
        level: level_argument.unwrap_or(level),
        access: access_argument.unwrap_or(access),
    }
}
