//! The time. Nothing else outside tests reads it, so that one reading serves a whole request.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations and deadlines.
    pub monotonic: Instant,
    /// For what tokens say of themselves.
    pub unix: UnixTime,
    /// Since 1970: for identifiers.
    pub since_epoch: Duration,
}

/// Seconds since 1970-01-01 UTC, not counting leap seconds (RFC 7519 §2 "NumericDate"), whole
/// seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

/// Reads both clocks.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one caller")]
pub fn now() -> Now {
    let wall = SystemTime::now();
    Now {
        monotonic: Instant::now(),
        unix: unix_of(wall),
        since_epoch: wall.duration_since(UNIX_EPOCH).unwrap_or_default(),
    }
}

/// Reads the monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one caller")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// The wall clock, since 1970: for log lines.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one caller")]
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A clock before 1970 is broken; read as the end of time, every token is expired: fail closed.
fn unix_of(time: SystemTime) -> UnixTime {
    UnixTime(
        time.duration_since(UNIX_EPOCH)
            .map_or(u64::MAX, |since| since.as_secs()),
    )
}
