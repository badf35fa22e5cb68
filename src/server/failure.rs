//! Connections that failed without a request: their metric, and their lines in the gateway's own
//! log. The access log has no line for them, since there is no request.

use std::fmt;
use std::net::SocketAddr;

use super::end::Blame;
use crate::clock;
use crate::proxy::Worker;
use crate::telemetry::{ConnectionError, Label as _, Quoted};

/// The failure of a connection, or of a stream of HTTP/2.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: ConnectionError,
    /// The address of the client, as far as it is known: behind a load balancer, that of the PROXY
    /// header.
    pub(super) peer: Option<SocketAddr>,
    /// The host that the client asked for in its TLS handshake.
    pub(super) server_name: Option<Box<str>>,
    /// What the TLS library says.
    pub(super) cause: Option<Box<str>>,
}

impl Failure {
    pub(super) fn new(error: ConnectionError, peer: Option<SocketAddr>) -> Self {
        Self {
            error,
            peer,
            server_name: None,
            cause: None,
        }
    }

    /// Counts and logs the failure of a connection.
    pub(super) fn record(&self, worker: &Worker) {
        worker.metrics().connection_errors.increment(self.error);
        self.log(worker);
    }

    /// Counts and logs the failure of a stream, whose connection goes on.
    pub(super) fn record_stream(&self, worker: &Worker) {
        worker.metrics().refused_streams.increment(self.error);
        self.log(worker);
    }

    /// Writes a line, if the reason has lines. The client's bytes are not logged, because they may
    /// be part of a token. A client can cause any number of lines, so each worker writes a few of
    /// each reason at once, and then at most one a second.
    fn log(&self, worker: &Worker) {
        let account = self.error.account();
        if !account.is_logged {
            return;
        }
        let Some(skipped) = worker.failure_lines.admit(self.error, clock::monotonic()) else {
            return;
        };
        tracing::info!(
            peer = %Client(self.peer),
            reason = self.error.name(),
            detail = account.detail,
            status = account.status,
            server_name = quoted(self.server_name.as_deref()),
            cause = quoted(self.cause.as_deref()),
            skipped = (skipped > 0).then_some(skipped),
            "{}",
            message(account.blame)
        );
    }
}

/// Reports the number of lines that were skipped since the last of their kind, so that the log
/// counts all failures also when a flood has ended.
pub(super) fn report_skipped(worker: &Worker) {
    for (error, count) in worker.failure_lines.take_skipped() {
        tracing::info!(
            count,
            reason = error.name(),
            "more clients failed like those before"
        );
    }
    let count = worker.take_skipped_departures();
    if count > 0 {
        tracing::info!(
            count,
            reason = "client_left",
            "more clients left than the access log has lines for"
        );
    }
}

fn message(blame: Blame) -> &'static str {
    match blame {
        Blame::Refused => "a client was refused",
        Blame::Left => "a client left",
        Blame::Late => "a client took too long",
        Blame::Failed => "a client's connection failed",
    }
}

fn quoted(text: Option<&str>) -> Option<tracing::field::DisplayValue<Quoted<'_>>> {
    text.map(|text| tracing::field::display(Quoted(text)))
}

/// The address of a client, for logs.
struct Client(Option<SocketAddr>);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}
