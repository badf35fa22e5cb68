//! A row of counters that differ in their last label alone.

use std::sync::OnceLock;

use prometheus::{IntCounter, IntCounterVec};

/// Counters of one metric for a closed list of last-label values, each resolved at its first increment: from then
/// on an increment is one atomic addition, and what never happened makes no series.
#[derive(Debug)]
pub struct Counters {
    metric: IntCounterVec,
    labels: Vec<String>,
    values: &'static [&'static str],
    cells: Box<[OnceLock<IntCounter>]>,
}

impl Counters {
    pub(super) fn new(metric: &IntCounterVec, labels: &[&str], values: &'static [&'static str]) -> Self {
        Self {
            metric: metric.clone(),
            labels: labels.iter().map(ToString::to_string).collect(),
            values,
            cells: values.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// Adds one to the counter of the value at `index`. An index beyond the list counts nothing.
    pub fn increment(&self, index: usize) {
        let (Some(cell), Some(value)) = (self.cells.get(index), self.values.get(index)) else {
            debug_assert!(false, "index {index} is outside {:?}", self.values);
            return;
        };
        cell.get_or_init(|| self.metric.with_label_values(&self.row(value))).inc();
    }

    /// Takes the series of this row out of the exposition.
    pub(super) fn remove(&self) {
        for value in self.values {
            // Absent for a value that never occurred.
            let _ = self.metric.remove_label_values(&self.row(value));
        }
    }

    fn row<'a>(&'a self, value: &'a str) -> Vec<&'a str> {
        self.labels.iter().map(String::as_str).chain([value]).collect()
    }
}
