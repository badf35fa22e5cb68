//! Counters and a gauge, in shards.

use std::marker::PhantomData;

use super::Label;
use super::sharded::{Apart, Count, Sharded};

/// The number of counts in one block of a row.
const PER_BLOCK: usize = 16;

/// The counters of one metric for the closed set `L` of values of its last label. A value that was
/// never counted is not shown.
#[derive(Debug)]
pub struct Counters<L> {
    named: NamedCounters,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Counters<L> {
    pub(super) fn new() -> Self {
        Self {
            named: NamedCounters::new(L::NAMES),
            label: PhantomData,
        }
    }

    /// Adds one to the counter of a value.
    pub fn increment(&self, value: L) {
        self.named.increment(value);
    }

    /// Returns the name of each value that was counted, and its count.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.named.totals()
    }
}

/// The counters of a closed set of values that this room does not know: another room gives their
/// names at the start.
#[derive(Debug)]
pub(super) struct NamedCounters {
    names: &'static [&'static str],
    shards: Sharded<Row>,
}

/// One shard: a count for each value, rounded up to whole blocks.
type Row = Box<[Apart<[Count; PER_BLOCK]>]>;

impl NamedCounters {
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            shards: Sharded::new(),
        }
    }

    /// Adds one to the counter of a value, which must be of the set with these names.
    pub(super) fn increment<L: Label>(&self, value: L) {
        debug_assert_eq!(L::NAMES, self.names, "the value is of another set");
        let index = value.index();
        let (row, writer) = self.shards.mine(|| self.row());
        if let Some(count) = at(row, index) {
            count.add(1, writer);
        }
    }

    /// Returns the name of each value that was counted, and its count.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = self.names.iter().enumerate();
        names.filter_map(|(index, name)| match self.total(index) {
            0 => None,
            total => Some((*name, total)),
        })
    }

    fn total(&self, index: usize) -> u64 {
        let mut total = 0;
        for row in self.shards.all() {
            total += at(row, index).map_or(0, Count::get);
        }
        total
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    fn row(&self) -> Row {
        let mut row = Vec::new();
        row.resize_with(self.names.len().div_ceil(PER_BLOCK), Apart::default);
        row.into()
    }
}

fn at(row: &Row, index: usize) -> Option<&Count> {
    row.get(index / PER_BLOCK)?.0.get(index % PER_BLOCK)
}

/// A counter that has no label of its own; it is shown even if it is 0.
#[derive(Debug)]
pub struct Counter(Sharded<Box<Apart<Count>>>);

impl Counter {
    pub(super) fn new() -> Self {
        Self(Sharded::new())
    }

    /// Adds one.
    pub fn inc(&self) {
        let (count, writer) = self.0.mine(Box::default);
        count.0.add(1, writer);
    }

    pub(super) fn total(&self) -> u64 {
        let mut total = 0;
        for count in self.0.all() {
            total += count.0.get();
        }
        total
    }
}

/// A number that goes up and down. One thread may add and another subtract.
#[derive(Debug)]
pub struct Gauge(Sharded<Box<Apart<Count>>>);

impl Gauge {
    pub(super) fn new() -> Self {
        Self(Sharded::new())
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Subtracts one.
    pub fn dec(&self) {
        self.add(1_u64.wrapping_neg());
    }

    /// Returns the sum. It reads the shards of all workers, so it is not for every request.
    #[must_use]
    pub fn total(&self) -> i64 {
        let mut total = 0_u64;
        for count in self.0.all() {
            total = total.wrapping_add(count.0.get());
        }
        total.cast_signed()
    }

    fn add(&self, by: u64) {
        let (count, writer) = self.0.mine(Box::default);
        count.0.add(by, writer);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::telemetry::ShardSlot;

    /// One of twenty values, which need two blocks.
    #[derive(Clone, Copy)]
    struct Letter(usize);

    impl Label for Letter {
        const ALL: &'static [Self] = &[];
        const NAMES: &'static [&'static str] = &[
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
            "r", "s", "t",
        ];

        fn index(self) -> usize {
            self.0
        }

        fn name(self) -> &'static str {
            Self::NAMES[self.0]
        }
    }

    #[test]
    fn a_row_shows_what_occurred_and_nothing_else() {
        let counters = Counters::new();
        assert_eq!(counters.totals().count(), 0);
        for index in [0, 15, 16, 19, 19] {
            counters.increment(Letter(index));
        }
        assert!(
            counters
                .totals()
                .eq([("a", 1), ("p", 1), ("q", 1), ("t", 2)])
        );
    }

    #[test]
    fn what_came_on_a_worker_may_go_elsewhere() {
        let gauge = Gauge::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = ShardSlot::reserve().occupy();
                gauge.inc();
                gauge.inc();
            });
        });
        gauge.dec();
        assert_eq!(gauge.total(), 1);
        gauge.dec();
        gauge.dec();
        assert_eq!(gauge.total(), -1);
    }
}
