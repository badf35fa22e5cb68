//! A row of counters that differ in their last label alone.

use std::sync::{Mutex, OnceLock, PoisonError};

use prometheus::{IntCounter, IntCounterVec};

/// Counters of one metric for a closed list of last-label values, each resolved at its first increment: from then
/// on an increment is one atomic addition, and what never happened makes no series.
#[derive(Debug)]
pub struct Counters {
    metric: IntCounterVec,
    labels: Vec<String>,
    values: &'static [&'static str],
    cells: Box<[OnceLock<IntCounter>]>,
    /// Whether the row has left the exposition. Locked when a cell is resolved, never for an increment after that.
    removed: Mutex<bool>,
}

impl Counters {
    pub(super) fn new(metric: &IntCounterVec, labels: &[&str], values: &'static [&'static str]) -> Self {
        Self {
            metric: metric.clone(),
            labels: labels.iter().map(ToString::to_string).collect(),
            values,
            cells: values.iter().map(|_| OnceLock::new()).collect(),
            removed: Mutex::default(),
        }
    }

    /// Adds one to the counter of the value at `index`. An index beyond the list counts nothing.
    pub fn increment(&self, index: usize) {
        let (Some(cell), Some(value)) = (self.cells.get(index), self.values.get(index)) else {
            debug_assert!(false, "index {index} is outside {:?}", self.values);
            return;
        };
        cell.get_or_init(|| self.resolve(value)).inc();
    }

    /// The counter of a value. A request that was under way when its row was removed still counts, on a counter that
    /// nobody sees: the exposition does not get the row back.
    fn resolve(&self, value: &str) -> IntCounter {
        let removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        if *removed && let Ok(unseen) = IntCounter::new("unseen", "Counts what has no row any more.") {
            return unseen;
        }
        self.metric.with_label_values(&self.row(value))
    }

    /// Takes the series of this row out of the exposition, for good.
    pub(super) fn remove(&self) {
        let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        *removed = true;
        for value in self.values {
            // Absent for a value that never occurred.
            let _ = self.metric.remove_label_values(&self.row(value));
        }
    }

    fn row<'a>(&'a self, value: &'a str) -> Vec<&'a str> {
        self.labels.iter().map(String::as_str).chain([value]).collect()
    }
}
