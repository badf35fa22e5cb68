//! A clock that stands still until a model moves it: every execution reads the same times.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) use scopegate::clock::{UnixTime, now};

/// The time since the first reading. All threads of a model run on one thread of the system, and no step of a model depends on
/// this number's place in memory.
static MILLIS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn monotonic() -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = FIRST.get_or_init(Instant::now);
    *first + Duration::from_millis(MILLIS.load(Ordering::Relaxed))
}

pub(crate) fn set(millis: u64) {
    MILLIS.store(millis, Ordering::Relaxed);
}
