//! The lines of the access log and their format. They are written by hand: a generic serializer and
//! a date formatter would take a tenth of the time of a request.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use http::Version;

use super::TokenFields;
use super::chosen::{push_method, push_path};
use super::json::{push, push_json};

/// The fields of one request in the access log. They contain no token, no query, and no claim but
/// those of [`TokenFields`]; texts that a client chose are escaped as JSON.
#[derive(Clone, Debug)]
pub struct AccessLine<'a> {
    /// The time of the end of the response, since 1970: `time`, in RFC 3339, UTC.
    pub ended: Duration,
    /// The request id that was sent to the client and the upstream.
    pub request_id: &'a str,
    /// The address of the connection, or `unix` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The address of the client according to a trusted proxy, if it is another.
    pub client: Option<IpAddr>,
    /// The SHA-256 of the client's verified certificate, in hexadecimal.
    pub client_certificate: Option<&'a str>,
    /// The protocol of the client's connection: `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: Version,
    /// The method.
    pub method: &'a str,
    /// The path as received, without the query.
    pub path: &'a str,
    /// The host and pattern of the route.
    pub route: Option<&'a str>,
    /// The status; 499 if the client left before there was one.
    pub status: u16,
    /// The status that the upstream or the function gave; `None` for an answer of the gateway's
    /// own.
    pub upstream_status: Option<u16>,
    /// The reason code of a refusal.
    pub reason: Option<&'a str>,
    /// A sentence that explains the reason.
    pub detail: Option<&'a str>,
    /// The name of the token's issuer in the configuration.
    pub issuer: Option<&'a str>,
    /// The members about the token.
    pub token: Option<TokenFields<'a>>,
    /// The number of lines of this kind that were left out since the last one.
    pub skipped: Option<u64>,
    /// The time from the request's head to the end of the response: `took_ms`, in milliseconds.
    pub took: Duration,
}

/// The text of the current second, which all lines in that second share.
#[derive(Debug, Default)]
pub(super) struct Second {
    since_epoch: u64,
    /// `2026-01-01T00:00:00`; empty before the first line.
    text: String,
}

impl AccessLine<'_> {
    /// Appends the line with its line feed.
    pub(super) fn write_to(&self, out: &mut Vec<u8>, second: &mut Second) {
        out.extend_from_slice(br#"{"time":""#);
        second.push(self.ended, out);
        push_member(out, br#","request_id":"#, Some(self.request_id));
        push_peer(out, self.peer);
        if let Some(client) = self.client {
            out.extend_from_slice(br#","client":"#);
            push(out, &client);
        }
        push_member(out, br#","client_certificate":"#, self.client_certificate);
        push_protocol(out, self.protocol);
        out.extend_from_slice(br#","method":"#);
        push_method(out, self.method);
        out.extend_from_slice(br#","path":"#);
        push_path(out, self.path);
        push_member(out, br#","route":"#, self.route);
        out.extend_from_slice(br#","status":"#);
        push(out, &self.status);
        if let Some(status) = self.upstream_status {
            out.extend_from_slice(br#","upstream_status":"#);
            push(out, &status);
        }
        push_member(out, br#","reason":"#, self.reason);
        push_member(out, br#","detail":"#, self.detail);
        push_member(out, br#","issuer":"#, self.issuer);
        if let Some(token) = &self.token {
            out.extend_from_slice(br#","token":"#);
            token.write_to(out);
        }
        if let Some(skipped) = self.skipped {
            out.extend_from_slice(br#","skipped":"#);
            push(out, &skipped);
        }
        out.extend_from_slice(br#","took_ms":"#);
        push(out, &milliseconds(self.took));
        out.extend_from_slice(b"}\n");
    }
}

impl Second {
    /// Appends a time, and the quotation mark after it.
    fn push(&mut self, time: Duration, out: &mut Vec<u8>) {
        let since_epoch = time.as_secs();
        if self.since_epoch != since_epoch || self.text.is_empty() {
            self.since_epoch = since_epoch;
            self.text.clear();
            // A year after 9999 cannot be written.
            let _ = write!(
                self.text,
                "{}",
                humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(since_epoch))
            );
            self.text.truncate("2026-01-01T00:00:00".len());
        }
        let millis = time.subsec_millis();
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(&[
            b'.',
            digit(millis / 100),
            digit(millis / 10),
            digit(millis),
            b'Z',
            b'"',
        ]);
    }
}

fn digit(value: u32) -> u8 {
    b'0' + (value % 10) as u8
}

/// Returns the milliseconds with three decimal places.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

fn push_peer(out: &mut Vec<u8>, peer: Option<SocketAddr>) {
    out.extend_from_slice(br#","peer":""#);
    match peer {
        // The formatting of the standard library takes five times as long.
        Some(SocketAddr::V4(address)) => {
            for (index, octet) in address.ip().octets().iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"" } else { b"." });
                push(out, octet);
            }
            out.push(b':');
            push(out, &address.port());
        }
        // Writing to memory cannot fail.
        Some(address) => drop(write!(out, "{address}")),
        None => out.extend_from_slice(b"unix"),
    }
    out.push(b'"');
}

fn push_protocol(out: &mut Vec<u8>, version: Version) {
    out.extend_from_slice(match version {
        Version::HTTP_11 => br#","protocol":"HTTP/1.1""#,
        Version::HTTP_2 => br#","protocol":"HTTP/2.0""#,
        Version::HTTP_10 => br#","protocol":"HTTP/1.0""#,
        // Other versions are not supported.
        Version::HTTP_09 => br#","protocol":"HTTP/0.9""#,
        _ => br#","protocol":"HTTP/3.0""#,
    });
}

fn push_member(out: &mut Vec<u8>, name: &[u8], text: Option<&str>) {
    if let Some(text) = text {
        out.extend_from_slice(name);
        push_json(out, text);
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    /// The line in the form that a serializer writes.
    #[derive(Serialize)]
    struct Serialized<'a> {
        time: String,
        request_id: &'a str,
        peer: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<IpAddr>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_certificate: Option<&'a str>,
        protocol: String,
        method: &'a str,
        path: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        route: Option<&'a str>,
        status: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        skipped: Option<u64>,
        took_ms: f64,
    }

    fn serialized(line: &AccessLine<'_>) -> String {
        let line = Serialized {
            time: humantime::format_rfc3339_millis(UNIX_EPOCH + line.ended).to_string(),
            request_id: line.request_id,
            peer: line.peer.map_or("unix".to_owned(), |peer| peer.to_string()),
            client: line.client,
            client_certificate: line.client_certificate,
            protocol: format!("{:?}", line.protocol),
            method: line.method,
            path: line.path,
            route: line.route,
            status: line.status,
            reason: line.reason,
            detail: line.detail,
            issuer: line.issuer,
            skipped: line.skipped,
            took_ms: (line.took.as_secs_f64() * 1e6).round() / 1e3,
        };
        serde_json::to_string(&line).unwrap() + "\n"
    }

    fn plain() -> AccessLine<'static> {
        AccessLine {
            ended: Duration::from_millis(1_767_225_600_000),
            request_id: "id",
            peer: "127.0.0.1:1".parse().ok(),
            client: None,
            client_certificate: None,
            protocol: Version::HTTP_11,
            method: "GET",
            path: "/",
            route: None,
            status: 200,
            upstream_status: None,
            reason: None,
            detail: None,
            issuer: None,
            token: None,
            skipped: None,
            took: Duration::from_micros(500),
        }
    }

    fn written(line: &AccessLine<'_>) -> String {
        let mut out = Vec::new();
        line.write_to(&mut out, &mut Second::default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_a_place_for_everything() {
        let line = AccessLine {
            client: "2001:db8::1".parse().ok(),
            client_certificate: Some("ab"),
            route: Some("/{id}"),
            status: 401,
            reason: Some("missing_token"),
            upstream_status: Some(418),
            detail: Some("there is no token"),
            issuer: Some("idp"),
            token: Some(TokenFields {
                client: Some("web"),
                ..TokenFields::default()
            }),
            skipped: Some(7),
            ..plain()
        };
        assert_eq!(
            written(&line),
            r#"{"time":"2026-01-01T00:00:00.000Z","request_id":"id","peer":"127.0.0.1:1","client":"2001:db8::1","client_certificate":"ab","protocol":"HTTP/1.1","method":"GET","path":"/","route":"/{id}","status":401,"upstream_status":418,"reason":"missing_token","detail":"there is no token","issuer":"idp","token":{"client":"web"},"skipped":7,"took_ms":0.5}"#.to_owned() + "\n"
        );
    }

    #[test]
    fn a_line_is_what_a_serializer_makes_of_it() {
        let none = plain();
        let texts = [
            "",
            "/a",
            "/\u{7f}é\u{2028}\u{1f600}",
            "\"",
            "\\",
            "\r\n\t\u{8}\u{c}\0\u{1b}[31m",
            "/a\"b\\c\u{1f}",
        ];
        let mut lines = Vec::new();
        for text in texts {
            let some = Some(text);
            lines.push(AccessLine {
                request_id: text,
                method: text,
                path: text,
                ..plain()
            });
            lines.push(AccessLine {
                route: some,
                reason: some,
                detail: some,
                issuer: some,
                ..plain()
            });
            lines.push(AccessLine {
                client_certificate: some,
                ..plain()
            });
        }
        for peer in [
            "0.0.0.0:0",
            "255.10.9.100:65535",
            "[::1]:80",
            "[fe80::1%7]:9",
            "[::ffff:1.2.3.4]:5",
        ] {
            let peer: SocketAddr = peer.parse().unwrap();
            lines.push(AccessLine {
                peer: Some(peer),
                client: Some(peer.ip()),
                ..plain()
            });
        }
        lines.push(AccessLine {
            peer: None,
            ..plain()
        });
        for protocol in [
            Version::HTTP_09,
            Version::HTTP_10,
            Version::HTTP_11,
            Version::HTTP_2,
            Version::HTTP_3,
        ] {
            lines.push(AccessLine {
                protocol,
                ..plain()
            });
        }
        for skipped in [0, u64::MAX] {
            lines.push(AccessLine {
                skipped: Some(skipped),
                ..plain()
            });
        }
        for status in [0, 100, 499, u16::MAX] {
            lines.push(AccessLine { status, ..plain() });
        }
        for nanos in [
            0,
            1,
            499,
            500,
            501,
            999,
            1_000,
            1_500,
            999_499,
            999_500,
            1_000_000,
            12_345_678,
            1_000_000_001,
        ] {
            for seconds in [0, 1, 59, 86_400, 1 << 32] {
                lines.push(AccessLine {
                    took: Duration::new(seconds, nanos),
                    ..plain()
                });
            }
        }
        // All lines share one `Second`, which must follow the time.
        let mut second = Second::default();
        for millis in [
            0,
            1,
            999,
            1_000,
            1_001,
            59_999,
            60_000,
            951_827_696_789,
            951_827_697_000,
            1_767_225_599_999,
        ] {
            lines.push(AccessLine {
                ended: Duration::from_millis(millis),
                ..none.clone()
            });
        }
        for line in &lines {
            let mut out = Vec::new();
            line.write_to(&mut out, &mut second);
            let read = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap();
            assert_eq!(read(&out), read(serialized(line).as_bytes()));
        }
    }

    #[test]
    fn what_a_client_chose_cannot_break_a_line() {
        let line = AccessLine {
            path: "/a\r\n{\"\u{1b}[31m",
            protocol: Version::HTTP_2,
            ..plain()
        };
        let text = written(&line);
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["path"], line.path);
        assert_eq!(read["protocol"], "HTTP/2.0");
    }

    #[test]
    fn a_clock_that_is_far_ahead_breaks_no_line() {
        let line = AccessLine {
            ended: Duration::from_secs(u64::MAX / 2),
            ..plain()
        };
        let read: serde_json::Value = serde_json::from_str(&written(&line)).unwrap();
        assert_eq!(read["path"], "/");
    }
}
