//! The deadlines of a body, and the errors that end one early.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::clock;
use crate::upstream::StreamError;

/// An error that ended a body early.
#[derive(Debug)]
pub enum BodyError {
    /// No piece arrived for the idle time.
    Stalled,
    /// The body is longer than the limit.
    TooLarge,
    /// The request as a whole took longer than its limit.
    Deadline,
    /// A trailer field is malformed (RFC 9113 §8.1.1).
    Malformed,
    /// The client's connection failed, or the client broke the framing.
    Client(hyper::Error),
    /// The upstream's connection failed, or the upstream broke the framing.
    Upstream(StreamError),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled => f.write_str("the body stopped coming"),
            Self::TooLarge => f.write_str("the body is longer than the limit"),
            Self::Deadline => f.write_str("the request took too long"),
            Self::Malformed => f.write_str("a field of its trailers is malformed"),
            Self::Client(error) => error.fmt(f),
            Self::Upstream(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

/// The deadlines of a body: one for the next piece, and one for the request as a whole.
#[derive(Debug)]
pub(super) struct BodyTimer {
    idle: Duration,
    until: Option<Instant>,
    /// The timer, made at the first wait: a body that arrives at once needs none.
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl BodyTimer {
    pub(super) fn new(idle: Duration, until: Option<Instant>) -> Self {
        Self {
            idle,
            until,
            sleep: None,
            is_waiting: false,
        }
    }

    /// Checks the deadline of the request when the next piece has arrived. Without this check a
    /// peer that always sends in time could exceed the deadline, since the timer is polled only
    /// while the body waits.
    pub(super) fn check(&mut self) -> Option<BodyError> {
        self.is_waiting = false;
        self.is_over().then_some(BodyError::Deadline)
    }

    fn is_over(&self) -> bool {
        match self.until {
            Some(until) => clock::monotonic() >= until,
            None => false,
        }
    }

    /// Returns the deadline of a wait that begins now.
    fn next_deadline(&self) -> Instant {
        let idle = clock::monotonic() + self.idle;
        match self.until {
            Some(until) => until.min(idle),
            None => idle,
        }
    }

    /// Polls the timer while the next piece is missing, and returns an error once a deadline has
    /// passed.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Option<BodyError> {
        if !self.is_waiting {
            self.is_waiting = true;
            let deadline = self.next_deadline().into();
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        let sleep = self.sleep.as_mut()?;
        if sleep.as_mut().poll(cx).is_pending() {
            return None;
        }
        Some(if self.is_over() {
            BodyError::Deadline
        } else {
            BodyError::Stalled
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_has_arrived_can_be_too_late() {
        let hour = Duration::from_secs(3600);
        assert!(matches!(
            BodyTimer::new(hour, Some(clock::monotonic())).check(),
            Some(BodyError::Deadline)
        ));
        assert!(
            BodyTimer::new(hour, Some(clock::monotonic() + hour))
                .check()
                .is_none()
        );
        assert!(BodyTimer::new(Duration::ZERO, None).check().is_none());
    }
}
