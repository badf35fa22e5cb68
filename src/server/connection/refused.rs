//! A line of the log for what a parser refused. No request came of it, so that the access log has
//! none.

use std::fmt;
use std::net::SocketAddr;

use super::End;
use crate::clock;
use crate::proxy::Worker;
use crate::telemetry::GatewayMetrics;

impl End {
    /// The label value of `connection_errors`.
    fn kind(self) -> &'static str {
        GatewayMetrics::CONNECTION_ERRORS
            .get(self.index())
            .copied()
            .unwrap_or_default()
    }

    /// The status with which the parser of HTTP/1.1 answers by itself.
    fn status(self) -> Option<u16> {
        match self {
            Self::Parse => Some(400),
            Self::TargetTooLong => Some(414),
            Self::TooLarge => Some(431),
            _ => None,
        }
    }

    /// Whether the client's bytes were refused, rather than waited for in vain.
    fn is_refusal(self) -> bool {
        match self {
            Self::Parse | Self::TooLarge | Self::TargetTooLong => true,
            Self::Flood | Self::Tls | Self::ProxyProtocol => true,
            Self::Timeout | Self::Aborted | Self::Other => false,
        }
    }
}

/// Logs with whom a connection ended, and how, if its bytes were refused. Nothing of these is in
/// the line: they may be those of a token. A client can cause as many lines as it likes, so that
/// each worker writes one a second at most, after a few.
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
        kind = end.kind(),
        skipped = (skipped > 0).then_some(skipped),
        "what a client sent was refused"
    );
}

/// A client as logs name it.
struct Client(Option<SocketAddr>);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}
