//! The reasons why a function's answer is no answer for a client.

use std::fmt;

use super::MAX_PAYLOAD;
use crate::telemetry::Quoted;

/// The reason why a function's answer is no answer for a client. Texts of the function are cut, and
/// are for the log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// The function failed.
    Failed {
        /// The type of its error, such as `Runtime.ImportModuleError`, if it has one.
        kind: Option<Box<str>>,
        /// The message of its error, if it has one.
        message: Option<Box<str>>,
    },
    /// The Invoke API starts no more invocations for now (429).
    Throttled,
    /// The Invoke API answered with another status than 200.
    Refused(u16),
    /// The answer is longer than the limit.
    TooLong,
    /// The answer is not JSON.
    NotJson,
    /// In format 1.0 an answer is an object. It is this.
    NotAnObject(&'static str),
    /// It has a member that format 1.0 does not have.
    UnknownMember(Box<str>),
    /// It has this member twice.
    Twice(&'static str),
    /// A member has another type than it must have.
    Mistyped {
        /// The name of the member.
        member: &'static str,
        /// The type that it must have.
        expected: &'static str,
    },
    /// The status is none from 200 to 599.
    Status(Box<str>),
    /// The body is said to be base64 and is not.
    Base64,
    /// A header field has a name that HTTP does not allow.
    FieldName(Box<str>),
    /// The header field of this name has a value that HTTP does not allow.
    FieldValue(Box<str>),
    /// `headers` has the field of this name twice, in spellings that differ in case or not, or both
    /// members have a field twice that has one value.
    FieldTwice(Box<str>),
    /// It has more header fields than the limit (`response_head_fields`).
    TooManyFields,
    /// Its header fields have more bytes than the limit (`response_head_bytes`).
    FieldsTooLong,
}

/// The most bytes of a text of the function that are kept.
const MAX_TEXT: usize = 512;

/// Returns the beginning of a text of the function.
pub(super) fn cut(text: &str) -> Box<str> {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().into()
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { kind, message } => write_failure(f, kind.as_deref(), message.as_deref()),
            Self::Throttled => {
                f.write_str("the Invoke API does not invoke the function more often (429)")
            }
            Self::Refused(status) => write!(
                f,
                "the Invoke API did not invoke the function: it answered with status {status}"
            ),
            other => {
                f.write_str("the function's answer cannot be forwarded: ")?;
                other.write_flaw(f)
            }
        }
    }
}

/// Writes the sentence about a function that failed.
fn write_failure(
    f: &mut fmt::Formatter<'_>,
    kind: Option<&str>,
    message: Option<&str>,
) -> fmt::Result {
    f.write_str("the function failed")?;
    if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
        write!(f, " with {}", Quoted(kind))?;
    }
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        write!(f, ": {}", Quoted(message))?;
    }
    Ok(())
}

impl AnswerError {
    /// Writes what is wrong with the answer.
    fn write_flaw(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { .. } | Self::Throttled | Self::Refused(_) => Ok(()),
            Self::TooLong => write!(f, "it has more than {MAX_PAYLOAD} bytes"),
            Self::NotJson => f.write_str("it is not JSON"),
            Self::NotAnObject(found) => {
                write!(f, "it is {found}, and in event 1.0 an answer is an object")
            }
            Self::UnknownMember(name) => write!(
                f,
                "it has the member {}, which answers in event 1.0 do not have",
                Quoted(name)
            ),
            Self::Twice(member) => write!(f, "it has \"{member}\" twice"),
            Self::Mistyped { member, expected } => {
                write!(f, "its \"{member}\" is not {expected}")
            }
            Self::Status(text) => write!(
                f,
                "its \"statusCode\" is {}, not a number from 200 to 599",
                Quoted(text)
            ),
            Self::Base64 => f.write_str("its \"body\" is not base64"),
            Self::FieldName(name) => write!(f, "{} is no name of a header field", Quoted(name)),
            Self::FieldValue(name) => {
                write!(
                    f,
                    "the value of its header field {} is not allowed",
                    Quoted(name)
                )
            }
            Self::FieldTwice(name) => {
                write!(f, "its header field {} stands there twice", Quoted(name))
            }
            Self::TooManyFields => {
                f.write_str("it has too many header fields (response_head_fields)")
            }
            Self::FieldsTooLong => {
                f.write_str("its header fields are too long (response_head_bytes)")
            }
        }
    }
}

impl std::error::Error for AnswerError {}
