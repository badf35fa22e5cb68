//! The one timer of a connection.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Registration;
use super::activity::{Activity, FIRST_PARK};
use crate::clock;

/// Rings when a connection's [`Activity`] is due. A deadline that comes nearer moves it; one that
/// moves away is looked at when it rings, so that a connection that is busy sets no timer.
pub(super) struct Deadline {
    pub(super) registration: Registration,
    at: Instant,
}

impl Deadline {
    pub(super) fn new(registration: Registration) -> Self {
        // It looks after that time for the first time, so that the first request need not move it.
        let at = clock::monotonic() + FIRST_PARK;
        registration.set_deadline(at);
        Self { registration, at }
    }

    /// Once, when the drain has begun: how long one more request is waited for.
    pub(super) fn poll_drain_begun(&mut self, cx: &Context<'_>) -> Option<Duration> {
        self.registration.poll_drain_begun(cx)
    }

    /// Ready when something is due; [`Deadline::poll_drain_begun`] was asked before, and is what
    /// sees to being woken.
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
            self.set(next.unwrap_or(now + activity.look_interval()));
        }
    }

    fn set(&mut self, at: Instant) {
        self.at = at;
        self.registration.set_deadline(at);
    }
}
