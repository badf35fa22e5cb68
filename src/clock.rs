//! The clocks. Only this module reads them outside tests, so that one reading serves a whole
//! request.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock, for durations and deadlines.
    pub monotonic: Instant,
    /// The wall clock in seconds, for the times in tokens.
    pub unix: UnixTime,
    /// The wall clock in full resolution, since 1970, for identifiers.
    pub since_epoch: Duration,
}

/// Whole seconds since 1970-01-01 UTC, without leap seconds (RFC 7519 §2 "NumericDate").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

/// Reads both clocks.
#[must_use]
pub fn now() -> Now {
    let wall = source::wall();
    Now {
        monotonic: source::monotonic(),
        unix: unix_of(wall),
        since_epoch: wall.duration_since(UNIX_EPOCH).unwrap_or_default(),
    }
}

/// Reads the monotonic clock.
#[must_use]
pub fn monotonic() -> Instant {
    source::monotonic()
}

/// Reads the monotonic clock of the system in microseconds, the number that other processes read.
#[must_use]
pub fn monotonic_micros() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The time since the system was started is not negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds * 1_000_000 + nanos / 1000
}

/// Reads the wall clock, as the time since 1970, for log lines.
#[must_use]
pub fn since_epoch() -> Duration {
    source::wall()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Converts a time of the wall clock. A time before 1970 is wrong; it counts as the end of time, so
/// that every token is expired.
fn unix_of(time: SystemTime) -> UnixTime {
    UnixTime(
        time.duration_since(UNIX_EPOCH)
            .map_or(u64::MAX, |since| since.as_secs()),
    )
}

/// The clocks of the system.
#[cfg(not(test))]
mod source {
    use std::time::{Instant, SystemTime};

    #[expect(clippy::disallowed_methods, reason = "this is the one caller")]
    pub(super) fn monotonic() -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one caller")]
    pub(super) fn wall() -> SystemTime {
        SystemTime::now()
    }
}

/// The clocks of the system, or of the simulation that calls.
#[cfg(test)]
mod source {
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    /// The clock of the runtime, which a simulation moves; elsewhere it is that of the system.
    pub(super) fn monotonic() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one caller")]
    pub(super) fn wall() -> SystemTime {
        match turmoil::since_epoch() {
            Some(simulated) => UNIX_EPOCH + simulated,
            None => SystemTime::now(),
        }
    }
}
