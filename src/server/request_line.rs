//! The part of an HTTP/1.1 head that the parser refused. Hyper takes other protocols for malformed
//! heads, a target with a blank for another version, and a missing version for a malformed target.

use super::proxy_protocol;
use crate::net::frames::PREFACE;
use crate::telemetry::ConnectionError;

/// The first two bytes of a TLS handshake (RFC 8446 §5.1).
const TLS: &[u8] = &[22, 3];

/// The characters of the HTTP/2 preface that no head of HTTP/1.1 begins with.
const HTTP2: usize = 8;

/// Returns the reason why the parser refused a head, of which these bytes are the beginning, or
/// nothing is left. `found` is the reason that hyper gave.
pub(super) fn refusal_of(head: &[u8], found: ConnectionError) -> ConnectionError {
    let is_about_line = matches!(
        found,
        ConnectionError::HeadMethod
            | ConnectionError::HeadTarget
            | ConnectionError::HeadVersion
            | ConnectionError::HeadField
    );
    if !is_about_line || head.is_empty() {
        return found;
    }
    if head.starts_with(TLS) {
        return ConnectionError::HeadIsTls;
    }
    if proxy_protocol::begins(head) {
        return ConnectionError::ProxyHeaderUnexpected;
    }
    if PREFACE
        .get(..HTTP2)
        .is_some_and(|start| head.starts_with(start))
    {
        return ConnectionError::Http2Preface;
    }
    of_line(first_line(head))
}

/// Returns the first line that is not empty, without its end (RFC 9112 §2.2).
fn first_line(head: &[u8]) -> &[u8] {
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| !line.is_empty() && *line != b"\r");
    let line = line.unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns the part of the request line that is malformed, or that a field is.
fn of_line(line: &[u8]) -> ConnectionError {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let method = parts.next().unwrap_or_default();
    if method.is_empty() || http::Method::from_bytes(method).is_err() {
        return ConnectionError::HeadMethod;
    }
    let (target, version) = (parts.next(), parts.next());
    if target.is_none_or(<[u8]>::is_empty) {
        return ConnectionError::HeadTarget;
    }
    match version {
        _ if !is_target(target) => ConnectionError::HeadTarget,
        Some(b"HTTP/1.0" | b"HTTP/1.1") => ConnectionError::HeadField,
        Some(version) if version.contains(&b' ') => ConnectionError::HeadTarget,
        Some(_) | None => ConnectionError::HeadVersion,
    }
}

/// Returns whether the parser accepts the bytes of a target.
fn is_target(target: Option<&[u8]>) -> bool {
    target.is_some_and(|target| http::Uri::try_from(target).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectionError::*;

    #[test]
    fn a_refused_head_tells_what_is_malformed() {
        for (head, expected) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], HeadIsTls),
            (
                b"PROXY TCP4 192.0.2.1 192.0.2.2 7 80\r\n",
                ProxyHeaderUnexpected,
            ),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", ProxyHeaderUnexpected),
            (b"\0\r\nQUIT\n\x21\x11", ProxyHeaderUnexpected),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Http2Preface),
            (b"G\x01T / HTTP/1.1\r\n\r\n", HeadMethod),
            (b" / HTTP/1.1\r\n\r\n", HeadMethod),
            (b"\x80\x2e\x01", HeadMethod),
            (b"", HeadField),
            (b"GET /a b HTTP/1.1\r\n\r\n", HeadTarget),
            (b"GET /a HTTP/3.0\r\n\r\n", HeadVersion),
            (b"GET /a http\r\n\r\n", HeadVersion),
            (b"GET /a?q=\"x\" HTTP/1.1\r\n\r\n", HeadTarget),
            (b"GET  HTTP/1.1\r\n\r\n", HeadTarget),
            (b"GET\r\n\r\n", HeadTarget),
            (b"GET /a\r\n\r\n", HeadVersion),
            (b"GET /a HTTP/1.1\r\nbad name: x\r\n\r\n", HeadField),
            (b"\r\nGET /a HTTP/1.1\r\na: \x01\r\n\r\n", HeadField),
        ] {
            assert_eq!(
                refusal_of(head, HeadField),
                expected,
                "{}",
                head.escape_ascii()
            );
        }
    }

    #[test]
    fn a_reason_that_hyper_is_sure_of_stays() {
        for found in [HeadTooLarge, HeadTargetTooLong, HeadFraming, LeftInHead] {
            assert_eq!(refusal_of(b"\x16\x03", found), found);
        }
    }
}
