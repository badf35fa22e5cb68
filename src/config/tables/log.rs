//! `[log]`: the content of the logs.

use std::sync::Arc;

use tracing::Level;

use crate::config::language::nearness::did_you_mean;
use crate::config::language::{Choice, DefaultKey, Key, Reader, Str, Table, Words, WordsOrNone};
use crate::telemetry::{AccessFormat, VARIABLES};
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
    /// The format of the lines; `None` for the gateway's own.
    pub format: Option<Arc<AccessFormat>>,
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
    keys: &[&LEVEL, &ACCESS, &CLAIMS, &ACCESS_FORMAT],
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

/// The longest format, in bytes.
const MAX_FORMAT: usize = 8 << 10;

const ACCESS_FORMAT: Key<Str> = Key::new("access_format", Str)
    .absent("JSON with the members of [answers.md](answers.md#finding-the-reason-for-a-refusal)")
    .doc(
        "The line of a request, with the `$context` variables of Amazon API Gateway, such as the \
         formats that its console offers. A variable without a value is `-`. Values are escaped as \
         in a string of JSON, and no line has a token. [The variables](answers.md#access-format).",
    )
    .not(&["format"])
    .example(
        r#"'$context.identity.sourceIp [$context.requestTime] $context.status $context.requestId'"#,
    );

/// The note on a format that hides the reasons of refusals.
const NO_REASON: &str = "\"access_format\" has no variable for the reason of a refusal: append \
                         \"$context.error.responseType $context.error.message\"";

fn format(reader: &mut Reader<'_>) -> Option<Arc<AccessFormat>> {
    let text = reader.find(&ACCESS_FORMAT)?;
    let is_control = |char: char| char.is_control() && !matches!(char, '\r' | '\n');
    if text.text.len() > MAX_FORMAT || text.text.contains(is_control) {
        let message = "\"access_format\" has a control character, or more than 8 KiB";
        reader.problem(text.span, message);
        return None;
    }
    match AccessFormat::parse(&text.text) {
        Ok(format) => {
            if !format.shows_reasons() {
                reader.note(text.span, NO_REASON);
            }
            Some(Arc::new(format))
        }
        Err(unknown) => {
            let name = &unknown.name;
            let meant = did_you_mean(name, VARIABLES.iter().copied());
            let message =
                format!("\"access_format\" has \"$context.{name}\", which is no variable{meant}");
            reader.problem(text.span, message);
            None
        }
    }
}

/// Reads the table. The arguments of the command go before the file.
pub(super) fn log(
    mut reader: Reader<'_>,
    level_argument: Option<Level>,
    access_argument: Option<AccessLog>,
) -> Log {
    let level = reader.get(&LEVEL);
    let access = reader.get(&ACCESS);
    let claims = LoggedClaims::of(reader.get(&CLAIMS));
    let format = format(&mut reader);
    reader.finish();
    Log {
        level: level_argument.unwrap_or(level),
        access: access_argument.unwrap_or(access),
        claims,
        format,
    }
}
