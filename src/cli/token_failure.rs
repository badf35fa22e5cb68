//! The reasons why `scopegate token` prints no token.

use std::fmt;
use std::io;

use crate::net::DialError;

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
            Self::Refused(description) => write!(f, "the dev issuer refuses: {description}"),
            Self::NoSuchIssuer(names) if names.is_empty() => f.write_str(
                "the dev issuer has no issuer: it is still starting, or the configuration names \
                 none",
            ),
            Self::NoSuchIssuer(names) => {
                write!(
                    f,
                    "name one of the issuers with --issuer: {}",
                    names.join(", ")
                )
            }
            Self::Runtime(error) => write!(f, "the request cannot be sent: {error}"),
        }
    }
}

impl std::error::Error for TokenFailure {}
