//! The errors that end a client connection: what hyper's errors are, and what the log says.

use std::error::Error as _;
use std::io;

use crate::telemetry::ConnectionError;

/// The side that ended a connection, by which it is closed and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The gateway refused the client's bytes.
    Refused,
    /// The client left.
    Left,
    /// The gateway waited for the client for too long.
    Late,
    /// An answer failed, or the connection did for another reason.
    Failed,
}

/// What is known of a reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) blame: Blame,
    /// Set if the log has a line. Ends of healthy connections have none, nor those of requests,
    /// which the access log has.
    pub(super) is_logged: bool,
    /// The status with which the parser answers by itself.
    pub(super) status: Option<u16>,
    /// The cause, for the log.
    pub(super) detail: &'static str,
}

impl Account {
    const fn of(blame: Blame, detail: &'static str) -> Self {
        Self {
            blame,
            is_logged: true,
            status: None,
            detail,
        }
    }

    const fn counted(blame: Blame, detail: &'static str) -> Self {
        Self {
            is_logged: false,
            ..Self::of(blame, detail)
        }
    }

    const fn answered(status: u16, detail: &'static str) -> Self {
        Self {
            status: Some(status),
            ..Self::of(Blame::Refused, detail)
        }
    }
}

impl ConnectionError {
    /// Returns what is known of the reason. `docs/answers.md` has a row for each.
    pub(super) fn account(self) -> Account {
        use Blame::{Failed, Late, Left, Refused};
        match self {
            Self::ProxyHeaderMissing => Account::of(
                Refused,
                "the connection begins with no PROXY header, which proxy_protocol_from requires",
            ),
            Self::ProxyHeaderMalformed => Account::of(Refused, "the PROXY header is malformed"),
            Self::ProxyHeaderTimeout => Account::of(
                Late,
                "the PROXY header was not complete within timeouts.request_head",
            ),
            Self::ProxyHeaderUnexpected => Account::answered(
                400,
                "the connection begins with a PROXY header, and proxy_protocol_from does not have the peer",
            ),
            Self::TlsPlainHttp => {
                Account::of(Refused, "the client speaks plain HTTP to a port with TLS")
            }
            Self::TlsNoHandshake => {
                Account::of(Refused, "the client's first bytes are no TLS handshake")
            }
            Self::TlsVersion => Account::of(
                Refused,
                "the client offers no version of TLS that the listener speaks",
            ),
            Self::TlsCipher => Account::of(
                Refused,
                "the client offers no cipher suite, key exchange or signature algorithm of the gateway's",
            ),
            Self::TlsProtocol => Account::of(
                Refused,
                "the client offers neither h2 nor http/1.1 as application protocol",
            ),
            Self::TlsUnknownName => Account::of(
                Refused,
                "the client refused the certificate: the listener has none for the name that it asked for",
            ),
            Self::TlsCertificateRefused => {
                Account::of(Refused, "the client refused the gateway's certificate")
            }
            Self::TlsClientCertificateMissing => Account::of(
                Refused,
                "the client has no certificate, which client_auth requires",
            ),
            Self::TlsClientCertificateUntrusted => Account::of(
                Refused,
                "the client's certificate is of no authority in client_ca_file",
            ),
            Self::TlsClientCertificateExpired => Account::of(
                Refused,
                "the client's certificate has expired or is not yet valid",
            ),
            Self::TlsClientCertificateInvalid => {
                Account::of(Refused, "the client's certificate is not valid")
            }
            Self::TlsAlert => Account::of(Refused, "the client ended the TLS handshake"),
            Self::TlsMalformed => Account::of(Refused, "the client broke the protocol of TLS"),
            Self::TlsTimeout => Account::of(
                Late,
                "the TLS handshake did not end within handshake_timeout",
            ),
            Self::HeadIsTls => {
                Account::answered(400, "the client speaks TLS to a port without TLS")
            }
            Self::HeadMethod => Account::answered(400, "the method of a request is malformed"),
            Self::HeadTarget => Account::answered(400, "the target of a request is malformed"),
            Self::HeadVersion => Account::answered(
                400,
                "a request has no version of HTTP, or one other than 1.0 and 1.1",
            ),
            Self::HeadField => Account::answered(400, "a header field is malformed"),
            Self::HeadFraming => Account::answered(
                400,
                "Content-Length or Transfer-Encoding is malformed, or they contradict each other",
            ),
            Self::HeadTooLarge => Account::answered(
                431,
                "the head of a request is beyond limits.head_bytes or limits.head_fields",
            ),
            Self::HeadTargetTooLong => {
                Account::answered(414, "the target of a request is beyond 64 KiB")
            }
            Self::HeadTimeout => Account::of(
                Late,
                "the head of a request was not complete within timeouts.request_head",
            ),
            Self::Http2Preface => {
                Account::of(Refused, "the connection does not begin as HTTP/2 does")
            }
            Self::Http2Protocol => Account::of(Refused, "the client broke the protocol of HTTP/2"),
            Self::Http2FrameSize => Account::of(Refused, "a frame of HTTP/2 is too long"),
            Self::Http2FlowControl => {
                Account::of(Refused, "the client sent more than its window allows")
            }
            Self::Http2Flood => Account::of(
                Refused,
                "the client sent too many frames that carry no request, or cancelled too many requests",
            ),
            Self::Http2MalformedRequest => {
                Account::of(Refused, "a stream carries no valid request, and was reset")
            }
            Self::Http2HeadTooLarge => Account::of(
                Refused,
                "the head of a request over HTTP/2 is beyond limits.head_bytes",
            ),
            Self::Http2TooManyStreams => Account::of(
                Refused,
                "a stream is beyond http2.streams, and was reset; the client may send it again",
            ),
            Self::Http2PingTimeout => Account::counted(Left, "the client answered no PING"),
            Self::Http2GoawayTimeout => Account::counted(
                Late,
                "the client did not close the connection after a GOAWAY",
            ),
            Self::LeftInHandshake => Account::of(
                Left,
                "the client left before its PROXY header or TLS handshake was complete",
            ),
            Self::LeftInHead => Account::of(
                Left,
                "the client left before the head of its request was complete",
            ),
            Self::LeftInRequest => {
                Account::counted(Left, "the client left while a request was in progress")
            }
            Self::WriteTimeout => Account::of(
                Late,
                "the client read nothing of an answer for timeouts.idle_body",
            ),
            Self::IdleTimeout => {
                Account::counted(Late, "the connection had no request for timeouts.idle")
            }
            Self::AnswerCut => Account::counted(Failed, "an answer was cut off"),
            Self::Other => Account::of(Failed, "the connection failed"),
        }
    }

    /// Returns the reason of an error of hyper, of either protocol.
    pub(super) fn of(error: &hyper::Error) -> Self {
        let source = error.source();
        if let Some(error) = source.and_then(|source| source.downcast_ref::<h2::Error>()) {
            return Self::of_http2(error);
        }
        if error.is_parse() || error.is_parse_too_large() {
            Self::of_parser(error)
        } else if error.is_timeout() {
            Self::Http2PingTimeout
        } else if error.is_incomplete_message()
            || error.is_closed()
            || error.is_body_write_aborted()
            || has_left(error)
        {
            Self::LeftInRequest
        } else if error.is_user() {
            Self::AnswerCut
        } else {
            Self::Other
        }
    }

    /// Returns the reason of an error of the HTTP/1.1 parser. Hyper tells most of them apart in the
    /// text of the error only.
    fn of_parser(error: &hyper::Error) -> Self {
        let text = error.to_string();
        if error.is_parse_too_large() {
            return if text.starts_with("URI") {
                Self::HeadTargetTooLong
            } else {
                Self::HeadTooLarge
            };
        }
        match text.as_str() {
            "invalid HTTP method parsed" => Self::HeadMethod,
            "invalid URI" => Self::HeadTarget,
            text if text.starts_with("invalid HTTP version") => Self::HeadVersion,
            text if text.contains("content-length") || text.contains("transfer-encoding") => {
                Self::HeadFraming
            }
            _ => Self::HeadField,
        }
    }

    fn of_http2(error: &h2::Error) -> Self {
        if error.is_io() || error.is_remote() {
            return Self::LeftInRequest;
        }
        if !error.is_library() {
            return Self::Other;
        }
        match error.reason() {
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Self::Http2Flood,
            // The library uses it for a head that is too long to be decoded at all. Other errors of
            // the compression are `PROTOCOL_ERROR`.
            Some(h2::Reason::COMPRESSION_ERROR) => Self::Http2HeadTooLarge,
            Some(h2::Reason::FRAME_SIZE_ERROR) => Self::Http2FrameSize,
            Some(h2::Reason::FLOW_CONTROL_ERROR) => Self::Http2FlowControl,
            _ => Self::Http2Protocol,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Label as _;

    #[test]
    fn each_reason_has_a_row_in_the_documentation() {
        let page = include_str!("../../docs/answers.md");
        for error in ConnectionError::ALL {
            let Account {
                is_logged, status, ..
            } = error.account();
            let logged = if is_logged { "yes" } else { "no" };
            let status = status.map_or_else(String::new, |status| format!("{status} "));
            let row = format!("\n| `{}` | {status}| {logged} | ", error.name());
            assert!(page.contains(&row), "docs/answers.md has no row {row:?}");
        }
    }

    #[test]
    fn a_sentence_stands_for_one_reason() {
        for (index, one) in ConnectionError::ALL.iter().enumerate() {
            let rest = ConnectionError::ALL.iter().skip(index + 1);
            for other in rest {
                assert_ne!(one.account().detail, other.account().detail, "{one:?}");
            }
        }
    }
}
