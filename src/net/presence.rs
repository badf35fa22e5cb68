//! Whether a peer is still there: what the system finds out by itself.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Questions in a row that may go unanswered.
const QUESTIONS: u32 = 9;

/// How a peer that may be gone without a word is asked about it.
#[derive(Clone, Copy, Debug)]
pub struct Presence {
    /// How long it is silent before it is asked.
    pub idle: Duration,
    /// How long it has for each answer.
    pub interval: Duration,
}

impl Presence {
    /// When it counts as gone.
    #[must_use]
    pub const fn limit(self) -> Duration {
        self.idle
            .saturating_add(self.interval.saturating_mul(QUESTIONS))
    }

    /// Asks for it on a socket of TCP; what is accepted has the options of the socket that it came
    /// by, at no cost of its own.
    pub fn ask(self, socket: &SockRef<'_>) {
        let keepalive = TcpKeepalive::new()
            .with_time(self.idle)
            .with_interval(self.interval)
            .with_retries(QUESTIONS);
        // A system that has no such thing does without it.
        let _ = socket.set_tcp_keepalive(&keepalive);
        // A peer that owes an acknowledgement is not asked: what was sent to it is sent again, on
        // Linux for a quarter of an hour. It has the same time (RFC 5482), and so has one that
        // acknowledges and takes nothing.
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(self.limit()));
    }
}
