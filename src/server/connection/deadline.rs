//! The deadline of a connection, its only timer.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Registration;
use super::activity::{Activity, FIRST_PARK};
use crate::clock;

/// The timer of a connection's [`Activity`]. It is moved only if the next deadline is earlier. If
/// the deadline is later, the timer fires first and is set again then, so that a busy connection
/// does not set a timer for each request.
pub(super) struct Deadline {
    pub(super) registration: Registration,
    at: Instant,
}

impl Deadline {
    pub(super) fn new(registration: Registration) -> Self {
        // The timer first fires after this time, so that the first request need not move it.
        let at = clock::monotonic() + FIRST_PARK;
        registration.set_deadline(at);
        Self { registration, at }
    }

    /// Returns, once and after the drain has begun, the time to wait for one more request.
    pub(super) fn poll_drain_begun(&mut self, cx: &Context<'_>) -> Option<Duration> {
        self.registration.poll_drain_begun(cx)
    }

    /// Returns ready when an action is due. [`Deadline::poll_drain_begun`] must have been called
    /// before: it registers the waker.
    pub(super) fn poll_due(&mut self, activity: &Activity) -> Poll<()> {
        loop {
            if let Some(due) = activity.next_due().filter(|due| *due < self.at) {
                self.set(due);
            }
            if self.registration.has_deadline() {
                return Poll::Pending;
            }
            let now = clock::monotonic();
            let next = activity.next_due();
            if next.is_some_and(|due| due <= now) {
                return Poll::Ready(());
            }
            self.set(next.unwrap_or(now + activity.check_interval()));
        }
    }

    fn set(&mut self, at: Instant) {
        self.at = at;
        self.registration.set_deadline(at);
    }
}
