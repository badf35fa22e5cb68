//! Why a command fails, in words and as an exit code.

use std::io;

use super::dev::SandboxError;
use super::token::TokenFailure;
use crate::config::Problems;
use crate::gateway::StartError;

/// The configuration has problems, or there is no token to be had.
const PROBLEMS: u8 = 1;
/// The command line is wrong.
pub(super) const USAGE: u8 = 2;
/// Something that was to start does not.
const START: u8 = 3;

/// Why a command fails.
#[derive(Debug)]
pub(super) enum Failure {
    Problems(Problems),
    Token(TokenFailure),
    Sandbox(SandboxError),
    Start(StartError),
    Output(io::Error),
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Problems(_) | Self::Start(StartError::Config(_)) | Self::Token(_) | Self::Output(_) => {
                PROBLEMS
            }
            Self::Sandbox(_) | Self::Start(_) => START,
        }
    }

    /// What standard error gets.
    pub(super) fn render(&self, colour: bool) -> String {
        match self {
            Self::Problems(problems) | Self::Start(StartError::Config(problems)) => problems.render(colour),
            Self::Token(failure) => format!("error: {failure}"),
            Self::Sandbox(error) => format!("error: {error}"),
            Self::Start(error) => format!("error: {error}"),
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
