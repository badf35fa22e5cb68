//! The retry policy of an upstream, and the budget that bounds retries.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock;

/// The retry policy of an upstream: a failed request is sent to another endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The most retries of one request.
    pub attempts: usize,
    /// The retries of a worker, in percent of its requests.
    pub percent: usize,
    /// The retries of a worker in a second that are allowed in any case, however few requests there
    /// are.
    pub floor: usize,
}

/// The cost of a retry, in percent of a request.
const COST: usize = 100;
/// The most credit that can accumulate: a hundred retries.
const MAX_CREDIT: usize = 100 * COST;

/// The retry budget of one worker, so that an upstream that fails does not get a multiple of its
/// load in addition. Each worker has its own: a share of its own requests needs no agreement with
/// the others.
#[derive(Debug)]
pub(super) struct Budget {
    percent: usize,
    floor: usize,
    credit: Cell<usize>,
    second: Cell<Instant>,
    spent: Cell<usize>,
}

impl Budget {
    pub(super) fn new(retry: &Retry) -> Self {
        Self {
            percent: retry.percent,
            floor: retry.floor,
            credit: Cell::new(0),
            second: Cell::new(clock::monotonic()),
            spent: Cell::new(0),
        }
    }

    /// Notes a request. Its retries are not counted.
    pub(super) fn deposit(&self) {
        let credit = self.credit.get() + self.percent;
        self.credit.set(credit.min(MAX_CREDIT));
    }

    /// Takes one retry from the budget. Returns whether there was one.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        if let Some(left) = self.credit.get().checked_sub(COST) {
            self.credit.set(left);
            return true;
        }
        if now.saturating_duration_since(self.second.get()) >= Duration::from_secs(1) {
            self.second.set(now);
            self.spent.set(0);
        }
        if self.spent.get() >= self.floor {
            return false;
        }
        self.spent.set(self.spent.get() + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_the_requests_above_a_floor() {
        let budget = Budget::new(&Retry {
            attempts: 1,
            percent: 20,
            floor: 2,
        });
        let now = budget.second.get();
        (0..10).for_each(|_| budget.deposit());
        let granted = (0..10).filter(|_| budget.withdraw(now)).count();
        assert_eq!(granted, 4, "two of ten requests, and the floor of two");
        let later = now + Duration::from_secs(1);
        assert_eq!(
            (0..10).filter(|_| budget.withdraw(later)).count(),
            2,
            "the floor of the next second"
        );
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = Budget::new(&Retry {
            attempts: 1,
            percent: 100,
            floor: 0,
        });
        let now = budget.second.get();
        (0..10_000).for_each(|_| budget.deposit());
        assert_eq!((0..10_000).filter(|_| budget.withdraw(now)).count(), 100);
    }
}
