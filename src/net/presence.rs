//! The detection of peers that have vanished, by TCP keep-alive.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// The number of probes in a row that may go unanswered.
const PROBES: u32 = 9;

/// The settings of TCP keep-alive, which detects a peer that has vanished without closing its
/// connection.
#[derive(Clone, Copy, Debug)]
pub struct Presence {
    /// The silence after which the first probe is sent.
    pub idle: Duration,
    /// The interval of the probes.
    pub interval: Duration,
}

impl Presence {
    /// Returns the silence after which the connection is closed.
    #[must_use]
    pub const fn limit(self) -> Duration {
        self.idle
            .saturating_add(self.interval.saturating_mul(PROBES))
    }

    /// Sets the options on a TCP socket. Accepted connections inherit the options of their
    /// listener, without a system call of their own.
    pub fn ask(self, socket: &SockRef<'_>) {
        let keepalive = TcpKeepalive::new()
            .with_time(self.idle)
            .with_interval(self.interval)
            .with_retries(PROBES);
        // A system without these options does without them.
        let _ = socket.set_tcp_keepalive(&keepalive);
        // No probes are sent while data is unacknowledged: it is sent again instead, on Linux for a
        // quarter of an hour. This limits that time to the same value (RFC 5482), also for a peer
        // that acknowledges but reads nothing.
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(self.limit()));
    }
}
