//! A limit on log lines of one kind, of which peers can cause any number.

use std::cell::Cell;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::Label;

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

    /// Returns the number of lines that were skipped since the last, and forgets it.
    pub fn take_skipped(&self) -> u64 {
        self.skipped.take()
    }
}

/// A limit for each value of a set of labels, so that many lines of one kind take the room of no
/// other.
#[derive(Debug)]
pub struct Throttles<L> {
    each: Box<[Throttle]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Throttles<L> {
    /// Creates the limits, each of which allows a burst of lines.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            each: L::ALL.iter().map(|_| Throttle::new(now)).collect(),
            label: PhantomData,
        }
    }

    /// Returns whether a line of this kind may be written, as [`Throttle::admit`] does.
    pub fn admit(&self, label: L, now: Instant) -> Option<u64> {
        self.each.get(label.index())?.admit(now)
    }

    /// Returns each kind of which lines were skipped since the last one, with their number, and
    /// forgets it.
    pub fn take_skipped(&self) -> impl Iterator<Item = (L, u64)> {
        let all = L::ALL.iter().zip(&self.each);
        all.filter_map(|(label, throttle)| match throttle.take_skipped() {
            0 => None,
            skipped => Some((*label, skipped)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::telemetry::ConnectionError;

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

    #[test]
    fn many_lines_of_one_kind_take_the_room_of_no_other() {
        let now = clock::monotonic();
        let throttles = Throttles::new(now);
        let (flood, other) = (ConnectionError::HeadField, ConnectionError::TlsVersion);
        let written = (0..2000).filter(|_| throttles.admit(flood, now).is_some());
        assert_eq!(written.count() as u64, BURST);
        assert_eq!(throttles.admit(other, now), Some(0));
        let skipped: Vec<_> = throttles.take_skipped().collect();
        assert_eq!(skipped, [(flood, 2000 - BURST)]);
        assert_eq!(throttles.take_skipped().count(), 0);
        assert_eq!(throttles.admit(flood, now + EVERY), Some(0), "it was told");
    }
}
