//! The state of an endpoint: its health, its recent failures and its ejection.

use std::time::{Duration, Instant};

use crate::clock;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The longest time that an endpoint is ejected for, however often it failed.
const LONGEST: Duration = Duration::from_secs(300);

/// The state of an endpoint, shared by all workers. A worker writes it only when something changes:
/// a request to an endpoint that answers costs only reads.
#[derive(Debug)]
pub(super) struct EndpointState {
    began: Instant,
    failures: AtomicU32,
    /// An [`Ejections`].
    ejections: AtomicU64,
    /// Set while a half-open probe is under way.
    is_probed: AtomicBool,
    /// Set when its health probes fail.
    unhealthy: AtomicBool,
}

/// The ejections of an endpoint since it answered last: the end of the last one, in milliseconds,
/// and in the lower bits their number. They are one number, so that a thread that ejects an endpoint
/// and one that has got an answer from it cannot mix their changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ejections(u64);

impl Ejections {
    const NONE: Self = Self(0);

    /// The bits of the number. The milliseconds have 48, which are thousands of years.
    const BITS: u32 = 16;

    /// The largest number.
    const MOST: u64 = (1 << Self::BITS) - 1;

    fn count(self) -> u64 {
        self.0 & Self::MOST
    }

    fn until(self) -> u64 {
        self.0 >> Self::BITS
    }

    fn new(count: u64, until: u64) -> Self {
        let until = until.min(u64::MAX >> Self::BITS);
        Self((until << Self::BITS) | count.min(Self::MOST))
    }
}

impl EndpointState {
    pub(super) fn new() -> Self {
        Self {
            began: clock::monotonic(),
            failures: AtomicU32::new(0),
            ejections: AtomicU64::new(Ejections::NONE.0),
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
        self.ejections() != Ejections::NONE
    }

    /// Returns whether its health probes succeed; true if there are none.
    pub(super) fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    /// Begins a half-open probe. Returns false if one is under way. The result of an earlier one is
    /// seen from then on.
    pub(super) fn begin_probe(&self) -> bool {
        !self.is_probed.swap(true, Ordering::Acquire)
    }

    /// Ends the half-open probe.
    pub(super) fn end_probe(&self) {
        self.is_probed.store(false, Ordering::Release);
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        self.unhealthy.store(!healthy, Ordering::Relaxed);
    }

    /// Returns whether the time of its ejection is over. The clock is read only if it was ejected.
    pub(super) fn ejection_is_over(&self) -> bool {
        self.is_over(self.ejections())
    }

    /// Notes a response. Returns whether it ended an ejection.
    pub(super) fn succeeded(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        let ejections = self.ejections();
        // A response to a request that was sent before the ejection does not end it, nor one that
        // another worker has begun meanwhile.
        ejections != Ejections::NONE
            && self.is_over(ejections)
            && self.replace(ejections, Ejections::NONE)
    }

    /// Notes a failure. Returns the earlier ejections if the endpoint is to be ejected: after
    /// `limit` failures in a row, or after one if it has not answered since its last ejection.
    pub(super) fn failed(&self, limit: u32) -> Option<Ejections> {
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let ejections = self.ejections();
        let is_due = failures >= limit || ejections != Ejections::NONE;
        (limit > 0 && is_due && self.is_over(ejections)).then_some(ejections)
    }

    /// Ejects the endpoint, and returns for how long: the `n`th time in a row for `n` times as long.
    /// Returns `None` if its ejections are not those before any more: another worker has ejected it
    /// for the same failures, or it has answered.
    pub(super) fn eject(&self, before: Ejections, time: Duration) -> Option<Duration> {
        let count = before.count() + 1;
        let times = u32::try_from(count).unwrap_or(u32::MAX);
        let time = time.saturating_mul(times).min(LONGEST.max(time));
        let until = self.millis(clock::monotonic() + time).max(1);
        if !self.replace(before, Ejections::new(count, until)) {
            return None;
        }
        self.failures.store(0, Ordering::Relaxed);
        Some(time)
    }

    fn ejections(&self) -> Ejections {
        Ejections(self.ejections.load(Ordering::Relaxed))
    }

    fn is_over(&self, ejections: Ejections) -> bool {
        ejections == Ejections::NONE || self.millis(clock::monotonic()) >= ejections.until()
    }

    /// Puts other ejections in the place of these. Returns false if there are others already.
    fn replace(&self, before: Ejections, after: Ejections) -> bool {
        self.ejections
            .compare_exchange(before.0, after.0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn repeated_ejections_grow_up_to_a_bound() {
        let state = EndpointState::new();
        let mut minutes = Vec::new();
        for _ in 0..7 {
            let time = state.eject(state.ejections(), MINUTE).unwrap();
            minutes.push(time.as_secs() / 60);
        }
        assert_eq!(minutes, [1, 2, 3, 4, 5, 5, 5]);
    }

    #[test]
    fn workers_with_the_same_failures_eject_once() {
        let state = EndpointState::new();
        let (one, other) = (state.failed(1).unwrap(), state.failed(1).unwrap());
        assert_eq!(state.eject(one, MINUTE), Some(MINUTE));
        assert_eq!(state.eject(other, MINUTE), None);
    }

    #[test]
    fn the_number_of_ejections_does_not_reach_into_their_time() {
        let most = Ejections::new(Ejections::MOST + 1, u64::MAX);
        assert_eq!(most.count(), Ejections::MOST);
        assert_eq!(most.until(), (1 << 48) - 1);
        let one = Ejections::new(1, 7);
        assert_eq!((one.count(), one.until()), (1, 7));
    }
}
