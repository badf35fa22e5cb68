//! The errors of commands, their messages and their exit codes.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::token_failure::TokenFailure;
use crate::config::{Problems, printable};
use crate::gateway::StartError;
use crate::snapshot::CompileError;

/// The configuration has problems, or a token was refused.
const PROBLEMS: u8 = 1;
/// The command line is wrong.
pub(super) const USAGE: u8 = 2;
/// The gateway or a part of it cannot start.
const START: u8 = 3;

/// The error that ends a command.
#[derive(Debug)]
pub(super) enum Failure {
    Problems(Problems),
    Token(TokenFailure),
    /// The embedded issuer or the echo cannot start.
    Sandbox(Box<dyn Error>),
    /// The command line names an upstream that the configuration does not have.
    NoUpstream(Box<str>),
    Start(StartError),
    Compile(CompileError),
    TokenFile(PathBuf, io::Error),
    CertificateFile(PathBuf, io::Error),
    Runtime(io::Error),
    Output(io::Error),
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Start(StartError::Config(_) | StartError::Compile(_)) => PROBLEMS,
            Self::NoUpstream(_) => USAGE,
            Self::Sandbox(_) | Self::Start(_) | Self::Runtime(_) => START,
            Self::Problems(_) | Self::Token(_) | Self::Compile(_) | Self::Output(_) => PROBLEMS,
            Self::TokenFile(..) | Self::CertificateFile(..) => PROBLEMS,
        }
    }

    /// Formats the message for standard error. A message other than that of a configuration is one
    /// line: some of them quote whatever answered.
    pub(super) fn render(&self, colour: bool) -> String {
        match self {
            Self::Problems(problems) | Self::Start(StartError::Config(problems)) => {
                problems.render(colour)
            }
            other => printable(&other.sentence()).into_owned(),
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Problems(problems) => format!("error: {problems}"),
            Self::Token(failure) => format!("error: {failure}"),
            Self::Sandbox(error) => format!("error: {error}"),
            Self::NoUpstream(name) => {
                format!("error: --upstream: the configuration has no upstream {name:?}")
            }
            Self::Start(error) => format!("error: {error}"),
            Self::Compile(error) => format!("error: {error}"),
            Self::TokenFile(file, error) => {
                format!("error: the token in {file:?} cannot be read: {error}")
            }
            Self::CertificateFile(file, error) => {
                format!("error: the certificate in {file:?} cannot be read: {error}")
            }
            Self::Runtime(error) => format!("error: the system refused a resource: {error}"),
            Self::Output(error) => format!("error: the result cannot be written: {error}"),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

impl From<TokenFailure> for Failure {
    fn from(failure: TokenFailure) -> Self {
        Self::Token(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::dev::SandboxError;

    #[test]
    fn what_cannot_start_is_told_from_what_is_wrong() {
        let problems = Config::parse("nothing = 1", "gateway.toml").unwrap_err();
        let failure = Failure::from(problems.clone());
        assert_eq!(failure.exit_code(), 1);
        assert!(
            failure.render(false).contains("gateway.toml:1:1"),
            "{}",
            failure.render(false)
        );
        assert_eq!(Failure::Start(StartError::Config(problems)).exit_code(), 1);
        let taken = io::Error::from(io::ErrorKind::AddrInUse);
        let address = "127.0.0.1:9400".parse().unwrap();
        let failure = Failure::Sandbox(SandboxError::Issuer(address, taken).into());
        assert_eq!(failure.exit_code(), 3);
        let text = failure.render(false);
        assert!(
            text.contains("127.0.0.1:9400") && text.contains("--issuer-listen"),
            "{text}"
        );
        assert_eq!(
            Failure::TokenFile("t".into(), io::Error::other("gone")).exit_code(),
            1
        );
    }
}
