//! The progress of an issuer's fetches, which requests wait for.

use std::time::{Duration, Instant};

use super::KeyError;

/// The progress of the fetches. Workers wait on it; the control thread writes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Status {
    /// A fetch is in progress.
    pub(super) fetching: bool,
    /// A request waits for the fetch in progress, or else for the next one.
    pub(super) is_asked: bool,
    /// The operator wants a fetch, whatever the cool-down.
    pub(super) is_ordered: bool,
    /// The number of fetches that have ended.
    pub(super) ended: u64,
    /// The end of the last fetch.
    pub(super) last: Option<Instant>,
    /// The end of the last successful fetch.
    pub(super) last_good: Option<Instant>,
    /// The beginning of the cool-down: the end of a fetch that failed, or that did not bring the
    /// key that a request had asked for.
    pub(super) cooldown_start: Option<Instant>,
    /// The last key set that was fetched is empty: the issuer has withdrawn all of its keys.
    pub(super) withdrawn: bool,
    /// The issuer has left the configuration and has no keys any more.
    pub(super) retired: bool,
}

impl Status {
    /// Records the end of a fetch. The cool-down begins unless the fetch succeeded and no request
    /// waited for it; a request that got its key ends it.
    pub(super) fn end_fetch(&mut self, now: Instant, is_good: bool) {
        let was_asked = std::mem::take(&mut self.is_asked);
        self.cooldown_start = (was_asked || !is_good).then_some(now);
        self.fetching = false;
        self.ended += 1;
        self.last = Some(now);
        if is_good {
            self.last_good = Some(now);
        }
    }

    /// Returns the error for a request whose key is missing, if waiting is of no use.
    pub(super) fn refuse(&self, cooldown: Duration, now: Instant) -> Option<KeyError> {
        if self.retired {
            return Some(KeyError::Unavailable {
                retry_after: cooldown,
            });
        }
        let left = self.cooldown_left(cooldown, now);
        if self.fetching || left.is_zero() {
            None
        } else {
            Some(self.verdict(left))
        }
    }

    /// Returns the error for a missing key, according to the last fetch.
    pub(super) fn verdict(&self, retry_after: Duration) -> KeyError {
        if self.is_good() && !self.retired && !self.withdrawn {
            KeyError::Unknown
        } else {
            KeyError::Unavailable { retry_after }
        }
    }

    /// Returns whether the last fetch succeeded.
    pub(super) fn is_good(&self) -> bool {
        self.last.is_some() && self.last == self.last_good
    }

    /// Returns the remaining time during which no request starts a fetch.
    pub(super) fn cooldown_left(&self, cooldown: Duration, now: Instant) -> Duration {
        left(self.cooldown_start, cooldown, now)
    }

    /// Returns the rest of a pause after the last fetch.
    pub(super) fn pause_left(&self, pause: Duration, now: Instant) -> Duration {
        left(self.last, pause, now)
    }
}

/// Returns the rest of a duration that began at `start`.
fn left(start: Option<Instant>, duration: Duration, now: Instant) -> Duration {
    match start {
        Some(start) => duration.saturating_sub(now.saturating_duration_since(start)),
        None => Duration::ZERO,
    }
}
