//! Timers for response deadlines, which are seldom reached.
//!
//! Almost every request is answered long before its deadline, and setting and cancelling a timer
//! for each costs more than reading the clock once in a while. So a request takes over the timer of
//! an earlier request as it is set, and its own deadline is looked at only when that timer fires.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use crate::clock;

/// The timers of one worker that no request uses now. There are as many as there were requests at a
/// time, up to a bound.
#[derive(Default)]
pub(super) struct Timers(RefCell<Vec<Timer>>);

/// The most timers that are kept.
const MAX_KEPT: usize = 256;

/// A timer.
pub(super) struct Timer {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Timers {
    /// Takes a timer for a deadline. Its time may be another one.
    pub(super) fn take(&self, deadline: Instant) -> Timer {
        match self.0.borrow_mut().pop() {
            Some(kept) => kept,
            None => Timer {
                at: deadline,
                sleep: Box::pin(sleep_until(deadline.into())),
            },
        }
    }

    /// Keeps a timer for another request.
    pub(super) fn give_back(&self, timer: Timer) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < MAX_KEPT {
            kept.push(timer);
        }
    }
}

impl Timer {
    /// Polls whether the deadline has passed, to whatever time the timer was set.
    pub(super) fn poll_deadline(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
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
