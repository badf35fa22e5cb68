//! The reasons for which `scopegate reload` fails.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The reason for which a gateway did not reload.
#[derive(Debug)]
pub(super) enum ReloadFailure {
    /// No gateway listens on the control socket.
    NoGateway(PathBuf, io::Error),
    /// The gateway did not tell the outcome.
    NoAnswer(io::Error),
    /// The gateway keeps the configuration in force, for these reasons.
    Refused(String),
}

impl fmt::Display for ReloadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGateway(path, error) => write!(
                f,
                "no gateway can be asked at {}: {error}\nhelp: start it with --control PATH, and \
                 name the same path here (it has one of its own only under systemd, by \
                 RuntimeDirectory=); or send it SIGHUP: kill -HUP and its process id",
                path.display()
            ),
            Self::NoAnswer(error) => write!(
                f,
                "the gateway did not say how the reload ended: {error}\nhelp: its log says it"
            ),
            Self::Refused(problems) => write!(
                f,
                "the configuration in force stays, for the changed one was refused:\n{problems}"
            ),
        }
    }
}
