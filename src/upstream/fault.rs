//! The faults of an upstream: the reasons why it did not answer a request.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use h2::Reason;

use super::HeadLimits;
use crate::net::{DialError, Stage};
use crate::telemetry::FaultKind;

/// The reason why an upstream did not answer a request.
#[derive(Debug)]
pub enum Fault {
    /// No connection: refused, unreachable, or a failed TLS handshake.
    Connect(DialError),
    /// No connection in time.
    ConnectTimeout(DialError),
    /// No response head in time.
    ResponseTimeout(Duration),
    /// No whole answer of a function in time.
    AnswerTimeout(Duration),
    /// The connection ended before the response head.
    Closed(StreamError),
    /// Reading the body of the request from the client failed.
    Request,
    /// The request was not sent, or the upstream said that it did not process it.
    Unprocessed(hyper::Error),
    /// Too many requests wait for a connection.
    Overloaded,
    /// The limit of requests under way is reached.
    Full,
    /// The response is not valid HTTP, or was not expected.
    Protocol(Box<str>),
}

/// The reason why a connection or a stream failed during an exchange.
#[derive(Debug)]
pub enum StreamError {
    /// The upstream closed it too early.
    Ended,
    /// Reading or writing failed.
    Io(io::Error),
    /// The body of the request failed, and the upstream waits for the rest of it.
    Request,
    /// The bytes are not valid HTTP at this place.
    Malformed(&'static str),
    /// An HTTP/2 stream was reset, or its connection failed.
    Stream(hyper::Error),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the upstream closed it"),
            Self::Io(error) => error.fmt(f),
            Self::Request => f.write_str("the body of the request failed"),
            Self::Malformed(why) => f.write_str(why),
            Self::Stream(error) => match error.source() {
                Some(source) => fmt::Display::fmt(source, f),
                None => error.fmt(f),
            },
        }
    }
}

impl std::error::Error for StreamError {}

impl Fault {
    pub(super) fn of_dial(error: DialError) -> Self {
        match error {
            // A handshake that stalls is a timeout as well; a name that does not resolve in time is
            // treated like one that does not exist.
            DialError::Timeout {
                stage: Stage::Connecting | Stage::Handshaking | Stage::Waiting,
                ..
            } => Self::ConnectTimeout(error),
            _ => Self::Connect(error),
        }
    }

    /// Returns the fault of an HTTP/2 connection whose handshake failed.
    pub(super) fn of_handshake(error: hyper::Error) -> Self {
        if error.is_parse() {
            Self::Protocol(error.to_string().into())
        } else {
            Self::Closed(StreamError::Stream(error))
        }
    }

    /// Returns the fault of a stream (RFC 9113 §8.7). It was not processed if the peer refused it,
    /// or if its number is above the last one of the peer's GOAWAY. A stream below that number ends
    /// with its connection, as one that may have been processed.
    pub(super) fn of_stream(error: hyper::Error) -> Self {
        let Some(cause) = http2_cause(&error) else {
            return Self::Closed(StreamError::Stream(error));
        };
        if cause.is_remote() && (is_refused_stream(cause) || cause.is_go_away()) {
            return Self::Unprocessed(error);
        }
        // An error that the h2 crate found was caused by the peer; a reset was sent by us.
        if cause.is_library() {
            // The h2 crate refuses a stream only because its head is too long.
            let why = if is_refused_stream(cause) {
                HeadLimits::TOO_LONG.into()
            } else {
                cause.to_string()
            };
            Self::Protocol(why.into())
        } else {
            Self::Closed(StreamError::Stream(error))
        }
    }

    /// Returns whether the peer refused one stream and keeps its connection open.
    pub(super) fn is_refused_stream(&self) -> bool {
        matches!(self, Self::Unprocessed(error) if http2_cause(error).is_some_and(is_refused_stream))
    }

    /// Returns the kind of the fault in metrics.
    pub(super) fn kind(&self) -> FaultKind {
        match self {
            Self::Connect(_) => FaultKind::Connect,
            Self::ConnectTimeout(_) | Self::ResponseTimeout(_) | Self::AnswerTimeout(_) => {
                FaultKind::Timeout
            }
            Self::Closed(_) | Self::Request => FaultKind::Closed,
            Self::Protocol(_) => FaultKind::Protocol,
            Self::Unprocessed(_) => FaultKind::Refused,
            Self::Overloaded | Self::Full => FaultKind::Overloaded,
        }
    }

    /// Returns whether the upstream was too slow (504), rather than wrong or absent (502).
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout(_) | Self::ResponseTimeout(_) | Self::AnswerTimeout(_)
        )
    }
}

fn http2_cause(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

fn is_refused_stream(error: &h2::Error) -> bool {
    error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) | Self::ConnectTimeout(error) => error.fmt(f),
            Self::ResponseTimeout(limit) => write!(f, "no response head within {limit:?}"),
            Self::AnswerTimeout(limit) => write!(f, "no whole answer within {limit:?}"),
            Self::Closed(error) => write!(f, "the connection ended before the response: {error}"),
            Self::Request => f.write_str("the body of the request failed"),
            Self::Unprocessed(error) => match error.source() {
                Some(source) => write!(
                    f,
                    "the upstream did not process the request, and it could not be sent again: \
                     {source}"
                ),
                None => write!(f, "the request could not be sent: {error}"),
            },
            Self::Overloaded => {
                f.write_str("too many requests wait for a connection (max_pending)")
            }
            Self::Full => f.write_str("the limit of requests under way is reached (max_requests)"),
            Self::Protocol(what) => write!(f, "the response cannot be forwarded: {what}"),
        }
    }
}

impl std::error::Error for Fault {}
