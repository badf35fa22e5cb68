//! The progress of an issuer's fetches, which requests wait for.

use std::time::{Duration, Instant};

use super::KeyError;

/// A reason why a request asks for a fetch. Each has a cool-down of its own: whoever sends forged
/// tokens with the `kid` of a known key must not keep new keys from being learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The key of a token is missing.
    MissingKey,
    /// A signature is that of none of the known keys.
    BadSignature,
}

/// The requests for a fetch for one [`Cause`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Want {
    /// A request waits for the fetch in progress, or else for the next one.
    pub(super) is_asked: bool,
    /// The beginning of the cool-down: the end of a fetch that failed, or that did not bring the
    /// key that a request had asked for.
    pub(super) cooldown_start: Option<Instant>,
}

/// The progress of the fetches. Workers wait on it; the control thread writes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Status {
    /// A fetch is in progress.
    pub(super) fetching: bool,
    /// The requests whose key is missing.
    pub(super) missing_key: Want,
    /// The requests whose signature failed.
    pub(super) bad_signature: Want,
    /// The operator wants a fetch, whatever the cool-down.
    pub(super) is_ordered: bool,
    /// The number of fetches that have ended.
    pub(super) ended: u64,
    /// The end of the last fetch.
    pub(super) last: Option<Instant>,
    /// The end of the last successful fetch.
    pub(super) last_good: Option<Instant>,
    /// The last key set that was fetched has no signing keys: the issuer has withdrawn them all.
    pub(super) withdrawn: bool,
    /// The issuer has left the configuration and has no keys any more.
    pub(super) retired: bool,
}

impl Status {
    /// Records the end of a fetch. A cool-down begins if the fetch failed, or if a request waited
    /// for it; a request that got its key ends it. A fetch that only requests for another cause
    /// asked for does not change it, so that two causes in turn do not end each other's.
    pub(super) fn end_fetch(&mut self, now: Instant, is_good: bool) {
        let is_unasked = !self.is_asked();
        for want in [&mut self.missing_key, &mut self.bad_signature] {
            let was_asked = std::mem::take(&mut want.is_asked);
            if was_asked || !is_good {
                want.cooldown_start = Some(now);
            } else if is_unasked {
                want.cooldown_start = None;
            }
        }
        self.fetching = false;
        self.ended += 1;
        self.last = Some(now);
        if is_good {
            self.last_good = Some(now);
        }
    }

    /// Returns whether a request waits for a fetch.
    pub(super) fn is_asked(&self) -> bool {
        self.missing_key.is_asked || self.bad_signature.is_asked
    }

    /// Returns the requests for a cause.
    pub(super) fn want(&mut self, cause: Cause) -> &mut Want {
        match cause {
            Cause::MissingKey => &mut self.missing_key,
            Cause::BadSignature => &mut self.bad_signature,
        }
    }

    /// Returns the error for a request whose key is missing, if waiting is of no use.
    pub(super) fn refuse(&self, want: &Want, cooldown: Duration, now: Instant) -> Option<KeyError> {
        if self.retired {
            return Some(KeyError::Unavailable {
                retry_after: cooldown,
            });
        }
        let left = left(want.cooldown_start, cooldown, now);
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
