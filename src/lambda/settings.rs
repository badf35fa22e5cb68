//! The settings of a function.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FunctionName, MediaRange};

/// The most bytes of an event and of an answer: the limit of Lambda for a synchronous invocation.
pub const MAX_PAYLOAD: usize = 6_291_556;

/// A function behind an Invoke API, and the parts of its events that no request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The name of the function.
    pub name: FunctionName,
    /// The format of its events and answers.
    pub event: EventFormat,
    /// The media types whose bodies travel in base64, whatever their bytes.
    pub binary: Vec<MediaRange>,
    /// The limit of an event's bytes, and of those of a request's body before it is encoded.
    pub event_bytes: usize,
    /// The time for which an invocation keeps its connection when no client waits for its answer.
    pub timeout: Duration,
    /// `requestContext.accountId`
    pub account_id: Box<str>,
    /// `requestContext.apiId`
    pub api_id: Box<str>,
    /// `requestContext.stage`; without it the prefix of the route's group, or else `$default`.
    pub stage: Option<Box<str>>,
    /// `stageVariables`, in the order of their names.
    pub stage_variables: Vec<(Box<str>, Box<str>)>,
}

/// A format of events and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// `"1.0"`, the format of REST APIs.
    Rest,
    /// `"2.0"`, the format of HTTP APIs.
    Http,
}

impl Function {
    /// Returns the stage variables; `None` if there are none.
    pub(super) fn variables(&self) -> Option<BTreeMap<&str, &str>> {
        if self.stage_variables.is_empty() {
            return None;
        }
        let variables = self.stage_variables.iter();
        Some(variables.map(|(name, value)| (&**name, &**value)).collect())
    }
}

impl EventFormat {
    /// Returns the format as the configuration has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "1.0",
            Self::Http => "2.0",
        }
    }
}
