//! The log lines for bytes that a parser refused. They never became a request, so that the access
//! log has no line for them.

use std::fmt;
use std::net::SocketAddr;

use super::super::end::End;
use crate::clock;
use crate::proxy::Worker;
use crate::telemetry::Label as _;

/// Logs the client and the cause, if a connection ended because bytes were refused. The bytes
/// themselves are not logged: they may be part of a token. A client can cause any number of lines,
/// so each worker writes a few at once, and then at most one a second.
pub(super) fn log(worker: &Worker, peer: Option<SocketAddr>, end: End, is_http2: bool) {
    if !end.is_refusal() {
        return;
    }
    let Some(skipped) = worker.refusal_lines.admit(clock::monotonic()) else {
        return;
    };
    tracing::info!(
        peer = %Client(peer),
        status = end.status().filter(|_| !is_http2),
        kind = end.kind().name(),
        skipped = (skipped > 0).then_some(skipped),
        "a parser refused bytes of a client"
    );
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
