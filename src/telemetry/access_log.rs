//! One line of JSON on standard output for a request. The writer is a thread of its own: a slow reader of the log costs
//! lines, which are counted, and never a request.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use http::Version;
use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Metrics;

/// Lines that wait to be written; beyond it they are dropped.
const QUEUE: usize = 8192;

/// For the last lines at the end of the process; whoever reads the log may have stopped.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What is logged of a request. There is no token in it, no query, and no claim; JSON escapes what a client chose.
#[derive(Debug, Serialize)]
pub struct AccessLine<'a> {
    /// When the answer ended (RFC 3339, UTC).
    pub time: String,
    /// The id that the client and the upstream saw, too.
    pub request_id: &'a str,
    /// The client's address, or `unix`.
    #[serde(serialize_with = "peer")]
    pub peer: Option<SocketAddr>,
    /// The client, where a trusted proxy says that it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// Hexadecimal SHA-256 of the certificate that the client has shown and that was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<&'a str>,
    /// The protocol of the client's connection: `HTTP/1.1`, `HTTP/2.0`.
    #[serde(serialize_with = "protocol")]
    pub protocol: Version,
    /// The method.
    pub method: &'a str,
    /// The path as it came, without the query.
    pub path: &'a str,
    /// The route's host and pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// The status; 499 when the client left before there was one.
    pub status: u16,
    /// The reason code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// A sentence about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// The issuer of the token, by its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<&'a str>,
    /// Milliseconds from the request's head to the end of the answer.
    pub took_ms: f64,
}

/// A handle to the log; each worker has one.
#[derive(Clone, Debug)]
pub struct AccessLog {
    lines: Sender<String>,
    metrics: Arc<Metrics>,
}

/// The writer, seen from whoever ends the process.
#[derive(Debug)]
pub struct LogWriter(mpsc::Receiver<()>);

fn peer<S: serde::Serializer>(peer: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match peer {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str("unix"),
    }
}

fn protocol<S: serde::Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{version:?}"))
}

impl LogWriter {
    /// Waits until the last line is written: when every handle is gone, or after two seconds.
    pub fn finish(self) {
        // Nothing is ever sent: the end of the thread ends the wait.
        let _ = self.0.recv_timeout(LAST_LINES);
    }
}

impl AccessLog {
    /// Starts the writer. It ends when the last handle is gone.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(metrics: Arc<Metrics>) -> io::Result<(Self, LogWriter)> {
        // Of the queues that have a bound this one takes no memory for what is not there: the standard library's would take a
        // quarter of a megabyte.
        let (lines, mut queue) = channel(QUEUE);
        let (running, ended): (mpsc::Sender<()>, _) = mpsc::channel();
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            write_all(&mut queue, io::stdout());
            drop(running);
        })?;
        Ok((Self { lines, metrics }, LogWriter(ended)))
    }

    /// Queues a line, or counts that there was no room.
    pub fn write(&self, line: &AccessLine<'_>) {
        let Ok(text) = serde_json::to_string(line) else { return };
        if let Err(TrySendError::Full(_)) = self.lines.try_send(text) {
            self.metrics.gateway.count_dropped_line();
        }
    }
}

/// Writes lines, and flushes when there is none waiting.
fn write_all(queue: &mut Receiver<String>, out: impl Write) {
    let mut out = io::BufWriter::new(out);
    while let Some(line) = queue.blocking_recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            // Nobody is left to tell when standard output is gone.
            let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
            next = queue.try_recv().ok();
        }
        let _ = out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // O08: attacks.md row 19.
    #[test]
    fn what_a_client_chose_cannot_break_a_line() {
        let line = AccessLine {
            time: "2026-01-01T00:00:00.000Z".to_owned(),
            request_id: "id",
            peer: "127.0.0.1:1".parse().ok(),
            client: None,
            client_certificate: None,
            protocol: Version::HTTP_2,
            method: "GET",
            path: "/a\r\n{\"\u{1b}[31m",
            route: None,
            status: 404,
            reason: Some("no_route"),
            detail: None,
            issuer: None,
            took_ms: 0.5,
        };
        let (lines, mut queue) = channel(4);
        lines.try_send(serde_json::to_string(&line).unwrap()).unwrap();
        drop(lines);
        let mut out = Vec::new();
        write_all(&mut queue, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["path"], line.path);
        assert_eq!(read["protocol"], "HTTP/2.0");
    }
}
