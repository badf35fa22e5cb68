//! The errors of commands, their messages and their exit codes.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use super::explain::TokenFileError;
use super::reload_failure::ReloadFailure;
use super::token_failure::TokenFailure;
use crate::config::{Problems, printable, printable_lines};
use crate::gateway::StartError;
use crate::snapshot::CompileError;

/// The configuration has problems, or a token was refused.
const PROBLEMS: u8 = 1;
/// The command line is wrong.
pub(super) const USAGE: u8 = 2;
/// The gateway or a part of it cannot start.
const START: u8 = 3;
/// The request that `explain` was asked about would be refused, or `lint` found a difference.
pub(super) const REFUSED: u8 = 4;

/// The error that ends a command.
#[derive(Debug)]
pub(super) enum Failure {
    Problems(Problems),
    Token(TokenFailure),
    /// The embedded issuer or the echo cannot start.
    Sandbox(Box<dyn Error>),
    /// The command line names an upstream that the configuration does not have.
    NoUpstream {
        name: Box<str>,
        /// `; did you mean "…"?`, or empty.
        suggestion: String,
    },
    /// The command line names an upstream twice.
    UpstreamTwice(Box<str>),
    Start(StartError),
    Compile(CompileError),
    /// A file that holds no token.
    TokenFile(PathBuf, TokenFileError),
    /// A file with a token or a request cannot be read.
    InputFile(PathBuf, io::Error),
    CertificateFile(PathBuf, io::Error),
    Runtime(io::Error),
    Output(io::Error),
    /// There is no configuration file.
    NoFile(PathBuf),
    /// A document cannot be imported.
    Import(String),
    /// Standard input cannot be read.
    Input(io::Error),
    /// The running gateway did not reload.
    Reload(ReloadFailure),
}

/// A configuration to begin with. A test loads it.
const BEGINNING: &str = r#"
  [issuers.idp]
  issuer   = "https://idp.example.com/"      # keys by discovery
  audience = "https://api.example.com"

  [upstreams.orders]
  url = "http://127.0.0.1:3000"

  [[routes]]
  path     = "/orders"
  upstream = "orders"
  methods  = { GET = "orders.read", POST = "orders.write" }
"#;

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Start(StartError::Config(_) | StartError::Compile(_)) => PROBLEMS,
            Self::NoUpstream { .. } | Self::UpstreamTwice(_) => USAGE,
            Self::Sandbox(_) | Self::Start(_) | Self::Runtime(_) => START,
            Self::Problems(_) | Self::Token(_) | Self::Compile(_) | Self::Output(_) => PROBLEMS,
            Self::TokenFile(..) | Self::InputFile(..) | Self::CertificateFile(..) => PROBLEMS,
            Self::NoFile(_) | Self::Input(_) | Self::Import(_) => PROBLEMS,
            Self::Reload(failure) => match failure {
                ReloadFailure::Refused(_) => PROBLEMS,
                ReloadFailure::NoGateway(..) | ReloadFailure::NoAnswer(_) => START,
            },
        }
    }

    /// Formats the message for standard error. A message is one line, since some of them quote
    /// whatever answered, unless its lines are the program's own or were escaped one by one.
    pub(super) fn render(&self, colour: bool) -> String {
        match self {
            Self::Problems(problems) | Self::Start(StartError::Config(problems)) => {
                problems.render(colour)
            }
            Self::NoFile(file) => no_file(file),
            other @ (Self::Reload(_) | Self::Import(_)) => {
                printable_lines(&other.sentence()).into_owned()
            }
            other => printable(&other.sentence()).into_owned(),
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Problems(problems) => format!("error: {problems}"),
            Self::Token(failure) => format!("error: {failure}"),
            Self::Sandbox(error) => format!("error: {error}"),
            Self::NoUpstream { name, suggestion } => {
                format!("error: --upstream: the configuration has no upstream {name:?}{suggestion}")
            }
            Self::UpstreamTwice(name) => {
                format!("error: --upstream: the upstream {name:?} has two URLs")
            }
            Self::Start(error) => format!("error: {error}"),
            Self::Compile(error) => format!("error: {error}"),
            Self::TokenFile(file, error) => {
                format!("error: there is no token in {file:?}: {error}")
            }
            Self::InputFile(file, error) => format!("error: {file:?} cannot be read: {error}"),
            Self::CertificateFile(file, error) => {
                format!("error: the certificate in {file:?} cannot be read: {error}")
            }
            Self::Runtime(error) => format!("error: the system refused a resource: {error}"),
            Self::Output(error) => format!("error: the result cannot be written: {error}"),
            Self::NoFile(file) => no_file(file),
            Self::Input(error) => format!("error: standard input cannot be read: {error}"),
            Self::Reload(failure) => format!("error: {failure}"),
            Self::Import(message) => format!("error: {message}"),
        }
    }
}

fn no_file(file: &Path) -> String {
    format!(
        "error: there is no file {file:?}\n\
         help: name another one with --config FILE, or begin with \
         these lines, your issuer and your upstream:\n{BEGINNING}\n\
         `scopegate check` then shows what it does, and `scopegate dev` tries it on this machine \
         without the issuer and the upstream"
    )
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

impl From<ReloadFailure> for Failure {
    fn from(failure: ReloadFailure) -> Self {
        Self::Reload(failure)
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
    fn the_lines_to_begin_with_are_a_configuration() {
        let config = Config::parse(BEGINNING, "gateway.toml").unwrap();
        assert_eq!((config.routes.len(), config.notes.len()), (1, 0));
        let failure = Failure::NoFile("gateway.toml".into());
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.render(false).contains(BEGINNING));
    }

    #[test]
    fn the_problems_that_a_gateway_sends_are_lines_without_control_characters() {
        let failure = Failure::from(ReloadFailure::Refused("one\u{1b}[2J\ntwo".to_owned()));
        let text = failure.render(false);
        assert!(
            text.ends_with("\ntwo") && !text.contains('\u{1b}'),
            "{text}"
        );
    }

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
            Failure::InputFile("t".into(), io::Error::other("gone")).exit_code(),
            1
        );
    }
}
