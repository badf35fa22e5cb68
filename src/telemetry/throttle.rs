//! A limit on log lines of one kind, of which peers can cause any number.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The number of lines that may be written at once.
const BURST: u64 = 10;

/// The time after which another line may be written.
const EVERY: Duration = Duration::from_secs(1);

/// The limit for lines of one kind that one thread writes.
#[derive(Debug)]
pub struct Throttle {
    room: Cell<u64>,
    /// The time when the limit was last replenished.
    filled: Cell<Instant>,
    skipped: Cell<u64>,
}

impl Throttle {
    /// Creates a limit that allows a burst of lines.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            room: Cell::new(BURST),
            filled: Cell::new(now),
            skipped: Cell::new(0),
        }
    }

    /// Returns whether a line may be written: `Some` with the number of lines that were skipped
    /// since the last, or `None` if this line must be skipped.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let earned = now.saturating_duration_since(self.filled.get()).as_secs() / EVERY.as_secs();
        if earned > 0 {
            self.room
                .set(BURST.min(self.room.get().saturating_add(earned)));
            self.filled.set(now);
        }
        match self.room.get().checked_sub(1) {
            Some(left) => {
                self.room.set(left);
                Some(self.skipped.take())
            }
            None => {
                self.skipped.set(self.skipped.get() + 1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn after_a_burst_there_is_a_line_for_each_second_that_tells_of_the_others() {
        let mut now = clock::monotonic();
        let throttle = Throttle::new(now);
        let lines = |count: u64, now| {
            (0..count)
                .filter_map(|_| throttle.admit(now))
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(1000, now), [0; BURST as usize]);
        for _ in 0..3 {
            now += EVERY;
            let skipped = lines(1000, now);
            assert!(
                matches!(*skipped, [skipped] if skipped >= 990),
                "{skipped:?}"
            );
        }
        now += 1000 * EVERY;
        assert_eq!(
            lines(1000, now).len(),
            BURST as usize,
            "a long pause earns no more than a burst"
        );
    }
}
