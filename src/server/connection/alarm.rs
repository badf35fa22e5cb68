//! The one timer of a connection.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use super::activity::{Activity, FIRST_REST};
use crate::clock;

/// Rings when a connection's [`Activity`] is due. A deadline that comes nearer moves it; one that moves away is looked at
/// when it rings, so that a connection that is busy sets no timer.
pub(super) struct Alarm {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
    /// Whom the timer wakes, once it runs: until then it need not be asked again.
    sleeper: Option<Waker>,
}

impl Alarm {
    pub(super) fn new(activity: &Activity) -> Self {
        // It looks after that time for the first time, so that the first request need not move it.
        let look = clock::monotonic() + FIRST_REST;
        let at = activity.next_due().map_or(look, |due| due.min(look));
        Self { at, sleep: Box::pin(sleep_until(at.into())), sleeper: None }
    }

    /// Ready when something is due.
    pub(super) fn poll_rings(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(due) = activity.next_due().filter(|due| *due < self.at) {
                self.set(due);
            }
            ready!(self.poll_sleep(cx));
            let now = clock::monotonic();
            let next = activity.next_due();
            if next.is_some_and(|due| due <= now) {
                return Poll::Ready(());
            }
            self.set(next.unwrap_or(now + activity.patience()));
        }
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_told = |sleeper: &Waker| sleeper.will_wake(cx.waker());
        if self.sleeper.as_ref().is_some_and(is_told) && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        let poll = self.sleep.as_mut().poll(cx);
        self.sleeper = poll.is_pending().then(|| cx.waker().clone());
        poll
    }

    fn set(&mut self, at: Instant) {
        self.at = at;
        self.sleeper = None;
        self.sleep.as_mut().reset(at.into());
    }
}
