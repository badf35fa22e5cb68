//! The one timer of a connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use super::activity::{Activity, FIRST_REST};
use crate::clock;

/// Rings when a connection's [`Activity`] is due. A deadline that comes nearer moves it; one that moves away is looked at
/// when it rings, so that a connection that is busy sets no timer.
pub(super) struct Alarm {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    pub(super) fn new(activity: &Activity) -> Self {
        // It looks after that time for the first time, so that the first request need not move it.
        let look = clock::monotonic() + FIRST_REST;
        let at = activity.next_due().map_or(look, |due| due.min(look));
        Self { at, sleep: Box::pin(sleep_until(at.into())) }
    }

    /// Ready when something is due.
    pub(super) fn poll_rings(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(due) = activity.next_due().filter(|due| *due < self.at) {
                self.set(due);
            }
            ready!(self.sleep.as_mut().poll(cx));
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
        self.sleep.as_mut().reset(at.into());
    }
}
