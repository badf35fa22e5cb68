//! Timers that are seldom set. Almost every request is answered long before its deadline, and to
//! set a timer and take it back costs more than to look at the time once in a while: so a timer
//! that an earlier request has left is used as it is, and only when it rings is the deadline of the
//! present one looked at.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use crate::clock;

/// Timers of one worker that nobody uses now. As many as there were requests at a time, up to a
/// bound.
#[derive(Default)]
pub(super) struct Timers(RefCell<Vec<Timer>>);

/// More are not kept for later.
const MOST_KEPT: usize = 256;

/// A timer.
pub(super) struct Timer {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Timers {
    /// A timer for a deadline.
    pub(super) fn take(&self, deadline: Instant) -> Timer {
        let kept = self.0.borrow_mut().pop();
        kept.unwrap_or_else(|| Timer {
            at: deadline,
            sleep: Box::pin(sleep_until(deadline.into())),
        })
    }

    /// Keeps a timer for another request.
    pub(super) fn give_back(&self, timer: Timer) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < MOST_KEPT {
            kept.push(timer);
        }
    }
}

impl Timer {
    /// Ready at the deadline, whatever the timer was set to.
    pub(super) fn poll_late(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if deadline < self.at {
            self.set(deadline);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if deadline <= clock::monotonic() {
                return Poll::Ready(());
            }
            self.set(deadline);
        }
    }

    fn set(&mut self, at: Instant) {
        self.at = at;
        self.sleep.as_mut().reset(at.into());
    }
}
