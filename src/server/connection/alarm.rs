//! The one timer of a connection.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Member;
use super::activity::{Activity, FIRST_REST};
use crate::clock;

/// Rings when a connection's [`Activity`] is due. A deadline that comes nearer moves it; one that moves away is looked at
/// when it rings, so that a connection that is busy sets no timer.
pub(super) struct Alarm {
    pub(super) member: Member,
    at: Instant,
}

impl Alarm {
    pub(super) fn new(member: Member) -> Self {
        // It looks after that time for the first time, so that the first request need not move it.
        let at = clock::monotonic() + FIRST_REST;
        member.set_alarm(at);
        Self { member, at }
    }

    /// Once, when the drain has begun: how long one more request is waited for.
    pub(super) fn poll_begun(&mut self, cx: &Context<'_>) -> Option<Duration> {
        self.member.poll_begun(cx)
    }

    /// Ready when something is due; [`Alarm::poll_begun`] was asked before, and is what sees to being woken.
    pub(super) fn poll_rings(&mut self, activity: &Activity) -> Poll<()> {
        loop {
            if let Some(due) = activity.next_due().filter(|due| *due < self.at) {
                self.set(due);
            }
            if self.member.has_alarm() {
                return Poll::Pending;
            }
            let now = clock::monotonic();
            let next = activity.next_due();
            if next.is_some_and(|due| due <= now) {
                return Poll::Ready(());
            }
            self.set(next.unwrap_or(now + activity.patience()));
        }
    }

    fn set(&mut self, at: Instant) {
        self.at = at;
        self.member.set_alarm(at);
    }
}
