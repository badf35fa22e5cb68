//! `[log]`: the content of the logs.

use tracing::Level;

use crate::config::language::{Choice, DefaultKey, Key, Reader, Table, Words, WordsOrNone};
use crate::token::{LoggedClaim, LoggedClaims};

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The level of the gateway's own events.
    pub level: Level,
    /// The requests that get a line in the access log, on standard output.
    pub access: AccessLog,
    /// The claims that the access log may show.
    pub claims: LoggedClaims,
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
    keys: &[&LEVEL, &ACCESS, &CLAIMS],
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

const CLAIMS: DefaultKey<WordsOrNone<LoggedClaim>> = Key::new(
    "claims",
    WordsOrNone(Words {
        all: || LoggedClaim::ALL.to_vec(),
        refusal: |_| None,
    }),
)
.doc(
    "What a line of the access log may show of the request's token, in its member `token` and in \
     the sentence of `detail`: `iss`, `aud`, the client, `kid`, `jti`, and the scopes that it \
     grants. `sub`, which names a person, is shown only if it is listed. Of a token whose \
     signature did not verify only `kid` and `iss` are shown, beside `alg` and `typ`, marked as \
     `unverified`. With an empty list a line shows nothing of a token.",
)
.not(&["claim"])
.example(r#"["iss", "client"]"#)
.or(&["iss", "aud", "client", "kid", "jti", "scope"]);

/// Reads the table. The arguments of the command go before the file.
pub(super) fn log(
    mut reader: Reader<'_>,
    level_argument: Option<Level>,
    access_argument: Option<AccessLog>,
) -> Log {
    let level = reader.get(&LEVEL);
    let access = reader.get(&ACCESS);
    let claims = LoggedClaims::of(reader.get(&CLAIMS));
    reader.finish();
    Log {
        level: level_argument.unwrap_or(level),
        access: access_argument.unwrap_or(access),
        claims,
    }
}
