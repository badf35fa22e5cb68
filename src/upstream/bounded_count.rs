//! A count with a limit, shared by all workers.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// A number of things of which there may be so many at a time.
#[derive(Debug)]
pub(super) struct BoundedCount(AtomicUsize);

impl BoundedCount {
    /// Starts with none.
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Counts one more, unless there are `most`. A thing that is refused is not counted, not even
    /// for a moment: else it could keep out another for which there is room.
    pub(super) fn try_add(&self, most: usize) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < most).then_some(count + 1)
            })
            .is_ok()
    }

    /// Counts one less.
    pub(super) fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number.
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
