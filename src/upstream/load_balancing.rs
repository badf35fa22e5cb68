//! Load balancing: the choice of an endpoint for the next request.

use std::cell::{Cell, RefCell};

use crate::net::random;

/// The load-balancing policy of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Each endpoint in turn, as often as its weight says.
    RoundRobin,
    /// The less busy of two random endpoints, relative to their weights.
    LeastRequests,
}

/// The load balancer of one worker. Workers do not coordinate: each keeps to the weights by itself.
#[derive(Debug)]
pub(super) struct LoadBalancer {
    strategy: Strategy,
    weights: Vec<u32>,
    /// The current weight of each endpoint, by which smooth weighted round robin picks the next.
    current_weights: RefCell<Vec<i64>>,
    random: Cell<u64>,
}

impl LoadBalancer {
    pub(super) fn new(strategy: Strategy, weights: Vec<u32>) -> Self {
        let current_weights = RefCell::new(vec![0; weights.len()]);
        Self {
            strategy,
            weights,
            current_weights,
            random: Cell::new(random()),
        }
    }

    /// Picks the next endpoint among those that are available, and returns its index.
    /// `active_requests` returns the number of requests under way at an endpoint.
    pub(super) fn next(
        &self,
        is_available: impl Fn(usize) -> bool,
        active_requests: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        match self.strategy {
            Strategy::RoundRobin => self.round_robin(is_available),
            Strategy::LeastRequests => self.least_requests(is_available, active_requests),
        }
    }

    /// Smooth weighted round robin, as in nginx: each pick adds the weight of every endpoint to its
    /// current weight, takes the endpoint with the highest current weight, and subtracts the sum of
    /// all weights from it. So 5:1:1 yields `a a b a c a a`, not five times `a` in a row.
    fn round_robin(&self, is_available: impl Fn(usize) -> bool) -> Option<usize> {
        let mut current_weights = self.current_weights.borrow_mut();
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        let weights = self.weights.iter().zip(current_weights.iter_mut());
        for (index, (weight, current)) in weights.enumerate() {
            if !is_available(index) {
                continue;
            }
            total += i64::from(*weight);
            *current += i64::from(*weight);
            if best.is_none_or(|(_, highest)| *current > highest) {
                best = Some((index, *current));
            }
        }
        let (index, _) = best?;
        if let Some(current) = current_weights.get_mut(index) {
            *current -= total;
        }
        Some(index)
    }

    /// Picks the less busy of two random endpoints ("power of two choices").
    fn least_requests(
        &self,
        is_available: impl Fn(usize) -> bool,
        active_requests: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let count = self.available(&is_available).count();
        let first = self.random_below(count)?;
        if count == 1 {
            return self.available(&is_available).next();
        }
        // A different endpoint than the first.
        let second = (first + 1 + self.random_below(count - 1)?) % count;
        let first = self.available(&is_available).nth(first)?;
        let second = self.available(&is_available).nth(second)?;
        let first_load = active_requests(first) as u64 + 1;
        let second_load = active_requests(second) as u64 + 1;
        if first_load * self.weight(second) <= second_load * self.weight(first) {
            Some(first)
        } else {
            Some(second)
        }
    }

    fn available(&self, is_available: impl Fn(usize) -> bool) -> impl Iterator<Item = usize> {
        (0..self.weights.len()).filter(move |index| is_available(*index))
    }

    fn weight(&self, index: usize) -> u64 {
        self.weights.get(index).copied().unwrap_or(1).into()
    }

    /// Returns a random number below `count` (SplitMix64).
    fn random_below(&self, count: usize) -> Option<usize> {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)).checked_rem(count as u64)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(weights: &[u32], unfit: Option<usize>, length: usize) -> Vec<usize> {
        let turns = LoadBalancer::new(Strategy::RoundRobin, weights.to_vec());
        (0..length)
            .map(|_| turns.next(|index| Some(index) != unfit, |_| 0).unwrap())
            .collect()
    }

    #[test]
    fn turns_follow_the_weights_smoothly() {
        assert_eq!(sequence(&[5, 1, 1], None, 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(sequence(&[1, 1, 1], None, 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(
            sequence(&[9, 1], None, 20)
                .iter()
                .filter(|index| **index == 1)
                .count(),
            2
        );
        assert_eq!(sequence(&[5, 1, 1], Some(0), 4), [1, 2, 1, 2]);
    }

    #[test]
    fn nobody_is_chosen_when_nobody_is_fit() {
        for strategy in [Strategy::RoundRobin, Strategy::LeastRequests] {
            let turns = LoadBalancer::new(strategy, vec![1, 1]);
            assert_eq!(turns.next(|_| false, |_| 0), None);
            assert_eq!(turns.next(|index| index == 1, |_| 0), Some(1));
        }
    }

    #[test]
    fn of_two_the_less_busy_one_for_its_weight_is_chosen() {
        let next = |weights: [u32; 2], busy: [usize; 2]| {
            LoadBalancer::new(Strategy::LeastRequests, weights.to_vec())
                .next(|_| true, |index| busy[index])
        };
        for _ in 0..50 {
            assert_eq!(next([1, 1], [3, 1]), Some(1));
            assert_eq!(next([1, 1], [0, 1]), Some(0));
            assert_eq!(
                next([9, 1], [5, 1]),
                Some(0),
                "six ninths are less than two"
            );
        }
    }
}
