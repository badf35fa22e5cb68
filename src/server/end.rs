//! The errors that end a client connection.

use std::error::Error as _;
use std::io;

use crate::telemetry::ConnectionError;

/// The error that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Parse,
    TooLarge,
    Timeout,
    Aborted,
    Other,
    Flood,
    /// The TLS handshake failed or took too long.
    Tls,
    /// A required PROXY header is missing or malformed.
    ProxyProtocol,
    /// The request target alone is longer than the parser accepts. Counted as [`End::TooLarge`].
    TargetTooLong,
}

impl End {
    pub(super) fn of(error: &hyper::Error) -> Self {
        if let Some(error) = error
            .source()
            .and_then(|source| source.downcast_ref::<h2::Error>())
        {
            return Self::of_http2(error);
        }
        if error.is_parse_too_large() {
            // Hyper distinguishes a long target from a long head only in the text of the error.
            if error.to_string().starts_with("URI") {
                Self::TargetTooLong
            } else {
                Self::TooLarge
            }
        } else if error.is_parse() {
            Self::Parse
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_incomplete_message()
            || error.is_closed()
            || error.is_body_write_aborted()
            || has_left(error)
        {
            Self::Aborted
        } else {
            Self::Other
        }
    }

    fn of_http2(error: &h2::Error) -> Self {
        if error.is_io() || error.is_remote() {
            Self::Aborted
        } else if error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) {
            Self::Flood
        } else if error.is_library() {
            Self::Parse
        } else {
            Self::Other
        }
    }

    /// Returns the kind of the error in metrics and logs.
    pub(super) fn kind(self) -> ConnectionError {
        match self {
            Self::Parse => ConnectionError::Parse,
            Self::TooLarge | Self::TargetTooLong => ConnectionError::TooLarge,
            Self::Timeout => ConnectionError::Timeout,
            Self::Aborted => ConnectionError::Aborted,
            Self::Other => ConnectionError::Other,
            Self::Flood => ConnectionError::Flood,
            Self::Tls => ConnectionError::Tls,
            Self::ProxyProtocol => ConnectionError::ProxyProtocol,
        }
    }

    /// Returns the status with which the HTTP/1.1 parser answers by itself.
    pub(super) fn status(self) -> Option<u16> {
        match self {
            Self::Parse => Some(400),
            Self::TargetTooLong => Some(414),
            Self::TooLarge => Some(431),
            _ => None,
        }
    }

    /// Returns whether the client's bytes were refused. After a timeout or a disconnect they were
    /// not.
    pub(super) fn is_refusal(self) -> bool {
        match self {
            Self::Parse | Self::TooLarge | Self::TargetTooLong => true,
            Self::Flood | Self::Tls | Self::ProxyProtocol => true,
            Self::Timeout | Self::Aborted | Self::Other => false,
        }
    }
}

/// Returns whether the connection failed because the client has left.
fn has_left(error: &hyper::Error) -> bool {
    use io::ErrorKind as Kind;
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    let gone = [
        Kind::ConnectionReset,
        Kind::BrokenPipe,
        Kind::ConnectionAborted,
        Kind::TimedOut,
    ];
    source.is_some_and(|error| gone.contains(&error.kind()))
}
