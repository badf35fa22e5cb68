//! The state of an endpoint: its health, its recent failures and its ejection.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// The longest time that an endpoint is ejected for, however often it failed.
const LONGEST: Duration = Duration::from_secs(300);

/// The state of an endpoint, shared by all workers. A worker writes it only when something changes:
/// a request to an endpoint that answers costs only reads.
#[derive(Debug)]
pub(super) struct EndpointState {
    began: Instant,
    failures: AtomicU32,
    /// Milliseconds since `began`; 0 if the endpoint answered since its last ejection, or was never
    /// ejected.
    ejected_until: AtomicU64,
    ejections: AtomicU32,
    /// Set while a half-open probe is under way.
    is_probed: AtomicBool,
    /// Set when its health probes fail.
    unhealthy: AtomicBool,
}

impl EndpointState {
    pub(super) fn new() -> Self {
        Self {
            began: clock::monotonic(),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            is_probed: AtomicBool::new(false),
            unhealthy: AtomicBool::new(false),
        }
    }

    /// Returns whether the endpoint may get a request.
    pub(super) fn is_available(&self) -> bool {
        !self.is_out() && !self.is_probed.load(Ordering::Relaxed)
    }

    /// Returns whether the endpoint must get no request, not even a half-open probe.
    pub(super) fn is_out(&self) -> bool {
        !self.is_healthy() || !self.ejection_is_over()
    }

    /// Returns whether the endpoint was ejected, and has not answered since.
    pub(super) fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Relaxed) != 0
    }

    /// Returns whether its health probes succeed; true if there are none.
    pub(super) fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    /// Begins a half-open probe. Returns false if one is under way.
    pub(super) fn begin_probe(&self) -> bool {
        !self.is_probed.swap(true, Ordering::Relaxed)
    }

    /// Ends the half-open probe.
    pub(super) fn end_probe(&self) {
        self.is_probed.store(false, Ordering::Relaxed);
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        self.unhealthy.store(!healthy, Ordering::Relaxed);
    }

    /// Returns whether the time of its ejection is over. The clock is read only if it was ejected.
    pub(super) fn ejection_is_over(&self) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until == 0 || self.millis(clock::monotonic()) >= until
    }

    /// Notes a response. Returns whether it ended an ejection.
    pub(super) fn succeeded(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        // A response to a request that was sent before the ejection does not end it.
        if self.ejected_until.load(Ordering::Relaxed) == 0 || !self.ejection_is_over() {
            return false;
        }
        self.ejections.store(0, Ordering::Relaxed);
        self.ejected_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Notes a failure. Returns whether the endpoint is to be ejected: after `limit` failures in a
    /// row, or after one if it has not answered since its last ejection.
    pub(super) fn failed(&self, limit: u32) -> bool {
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        limit > 0
            && self.ejection_is_over()
            && (failures >= limit || self.ejections.load(Ordering::Relaxed) > 0)
    }

    /// Ejects the endpoint, and returns for how long: the `n`th time in a row for `n` times as
    /// long.
    pub(super) fn eject(&self, time: Duration) -> Duration {
        let times = self
            .ejections
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let time = time.saturating_mul(times).min(LONGEST.max(time));
        self.failures.store(0, Ordering::Relaxed);
        self.ejected_until.store(
            self.millis(clock::monotonic() + time).max(1),
            Ordering::Relaxed,
        );
        time
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}
