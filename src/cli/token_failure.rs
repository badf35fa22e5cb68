//! The reasons why `scopegate token` prints no token.

use std::fmt;
use std::io;

use crate::net::DialError;
use crate::telemetry::Quoted;

/// The reason why no token was issued.
#[derive(Debug)]
pub(super) enum TokenFailure {
    /// The connection failed.
    Unreachable(Box<str>, DialError),
    Broken(Box<str>, hyper::Error),
    TimedOut(Box<str>),
    /// The server that answered is not a dev issuer.
    NotDevIssuer(Box<str>),
    /// The issuer refused, with this description.
    Refused(Box<str>),
    NoSuchIssuer(Vec<Box<str>>),
    Runtime(io::Error),
}

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(address, error) => {
                write!(
                    f,
                    "no dev issuer runs at {address}: {error}; start one with \"scopegate dev\""
                )
            }
            Self::Broken(address, error) => {
                write!(f, "the server at {address} is not a dev issuer: {error}")
            }
            Self::TimedOut(address) => write!(f, "the dev issuer at {address} does not answer"),
            Self::NotDevIssuer(address) => {
                write!(
                    f,
                    "the server at {address} is not a dev issuer; name the right one with --url"
                )
            }
            Self::Refused(description) => {
                write!(f, "the dev issuer refuses: {}", Quoted(description))
            }
            Self::NoSuchIssuer(names) if names.is_empty() => f.write_str(
                "the dev issuer has no issuer: it is still starting, or the configuration names \
                 none",
            ),
            Self::NoSuchIssuer(names) => {
                f.write_str("name one of the issuers with --issuer: ")?;
                write_names(f, names)
            }
            Self::Runtime(error) => write!(f, "the request cannot be sent: {error}"),
        }
    }
}

/// The most names that a message lists: whatever answered may list any number.
const MAX_NAMES: usize = 20;

fn write_names(f: &mut fmt::Formatter<'_>, names: &[Box<str>]) -> fmt::Result {
    for (index, name) in names.iter().take(MAX_NAMES).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{}", Quoted(name))?;
    }
    match names.len().saturating_sub(MAX_NAMES) {
        0 => Ok(()),
        more => write!(f, ", and {more} more"),
    }
}

impl std::error::Error for TokenFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_stay_on_one_short_line() {
        let hostile = format!("x\n\u{1b}[2J\u{9b}\u{202e}{}", "y".repeat(1000));
        for failure in [
            TokenFailure::Refused(hostile.as_str().into()),
            TokenFailure::NoSuchIssuer(vec![hostile.as_str().into(); 1000]),
        ] {
            let shown = failure.to_string();
            assert!(
                shown.contains(r#""x\n\u{1b}[2J\u{9b}\u{202e}yy"#),
                "{shown}"
            );
            assert!(!shown.chars().any(char::is_control), "{shown}");
            assert!(shown.len() < 4000, "{}", shown.len());
        }
    }
}
