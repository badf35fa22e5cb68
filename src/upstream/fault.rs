//! The upstream's can't.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use h2::Reason;

use super::HeadLimits;
use crate::net::{DialError, Stage};

/// Why an upstream did not answer a request.
#[derive(Debug)]
pub enum Fault {
    /// No connection: refused, unreachable, or no TLS.
    Connect(DialError),
    /// No connection in time.
    ConnectTimeout(DialError),
    /// No response head in time.
    ResponseTimeout(Duration),
    /// The connection ended before the response head.
    Closed(Broken),
    /// The request's own body failed on its way here.
    Request,
    /// The request was not sent, or the upstream said that it did nothing with it.
    Unprocessed(hyper::Error),
    /// Too many requests wait for a connection.
    Overloaded,
    /// As many requests are under way as may be.
    Full,
    /// What came is not an HTTP response, or one that was not asked for.
    Protocol(Box<str>),
}

/// How a connection or a stream failed that an exchange was under way on.
#[derive(Debug)]
pub enum Broken {
    /// It ended before its time.
    Ended,
    /// It failed.
    Io(io::Error),
    /// The body of its request failed, and the upstream waits for the rest of it.
    Request,
    /// What came is not what HTTP has there.
    Malformed(&'static str),
    /// A stream of HTTP/2 was reset, or its connection failed.
    Stream(hyper::Error),
}

impl fmt::Display for Broken {
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

impl std::error::Error for Broken {}

impl Fault {
    pub(super) fn of_dial(error: DialError) -> Self {
        match error {
            // A handshake that stalls is late, too; a name that does not resolve in time is as good
            // as absent.
            DialError::Timeout {
                stage: Stage::Connecting | Stage::Handshaking | Stage::Waiting,
                ..
            } => Self::ConnectTimeout(error),
            _ => Self::Connect(error),
        }
    }

    /// The fault of a connection of HTTP/2 that has not begun.
    pub(super) fn of_handshake(error: hyper::Error) -> Self {
        if error.is_parse() {
            Self::Protocol(error.to_string().into())
        } else {
            Self::Closed(Broken::Stream(error))
        }
    }

    /// The fault of a stream (RFC 9113 §8.7): refused, or beyond what the peer's GOAWAY says that
    /// it looked at. A stream that GOAWAY covers ends with its connection, as one that may have
    /// been processed.
    pub(super) fn of_stream(error: hyper::Error) -> Self {
        let Some(cause) = http2_cause(&error) else {
            return Self::Closed(Broken::Stream(error));
        };
        if cause.is_remote() && (is_refused_stream(cause) || cause.is_go_away()) {
            return Self::Unprocessed(error);
        }
        // What the library objects to is the peer's doing; what we reset, ours.
        if cause.is_library() {
            // It refuses a stream for the length of its head alone.
            let why = if is_refused_stream(cause) {
                HeadLimits::TOO_LONG.into()
            } else {
                cause.to_string()
            };
            Self::Protocol(why.into())
        } else {
            Self::Closed(Broken::Stream(error))
        }
    }

    /// Whether the peer refused one stream, and its connection goes on.
    pub(super) fn is_refused_stream(&self) -> bool {
        matches!(self, Self::Unprocessed(error) if http2_cause(error).is_some_and(is_refused_stream))
    }

    /// The index into `UpstreamMetrics::FAULTS`.
    pub(super) fn index(&self) -> usize {
        match self {
            Self::Connect(_) => 0,
            Self::ConnectTimeout(_) | Self::ResponseTimeout(_) => 1,
            Self::Closed(_) | Self::Request => 2,
            Self::Protocol(_) => 3,
            Self::Unprocessed(_) => 4,
            Self::Overloaded | Self::Full => 5,
        }
    }

    /// Whether the upstream was too slow (504) rather than wrong or absent (502).
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimeout(_) | Self::ResponseTimeout(_))
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
            Self::Closed(error) => write!(f, "the connection ended before the response: {error}"),
            Self::Request => f.write_str("the body of the request failed"),
            Self::Unprocessed(error) => match error.source() {
                Some(source) => write!(
                    f,
                    "the upstream did not process the request, and it could not be sent again: {source}"
                ),
                None => write!(f, "the request could not be sent: {error}"),
            },
            Self::Overloaded => {
                f.write_str("too many requests wait for a connection (max_pending)")
            }
            Self::Full => f.write_str("as many requests as may be are under way (max_requests)"),
            Self::Protocol(what) => write!(f, "the response cannot be forwarded: {what}"),
        }
    }
}

impl std::error::Error for Fault {}
