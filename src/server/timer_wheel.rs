//! The deadlines of many connections, rounded up to ticks. Most connections end or send a request
//! before their deadline. With a timer for each connection, the runtime would sort every deadline
//! to the millisecond and remove most of them unused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The length of a tick: the longest delay of a deadline. A deadline is never reported early.
const TICK: Duration = Duration::from_millis(50);

const PER_SECOND: u32 = 20;

/// A point in time, in ticks since the wheel was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

/// The slots of a registry by their deadlines.
#[derive(Debug)]
pub(super) struct TimerWheel {
    begun: Instant,
    /// A slot whose deadline was moved or withdrawn stays until its old tick. The caller has to
    /// compare the tick with the current deadline of the slot.
    slots: BTreeMap<Tick, Vec<usize>>,
}

impl TimerWheel {
    pub(super) fn new(begun: Instant) -> Self {
        Self {
            begun,
            slots: BTreeMap::new(),
        }
    }

    /// Adds a deadline of a slot, and returns the first tick that is not before it.
    pub(super) fn insert(&mut self, slot: usize, at: Instant) -> Tick {
        let time = at.saturating_duration_since(self.begun);
        let part = time.subsec_nanos().div_ceil(TICK.subsec_nanos());
        let tick = Tick(time.as_secs() * u64::from(PER_SECOND) + u64::from(part));
        self.slots.entry(tick).or_default().push(slot);
        tick
    }

    /// Returns the next tick that has slots.
    pub(super) fn first(&self) -> Option<Tick> {
        self.slots.first_key_value().map(|(tick, _)| *tick)
    }

    /// Returns the time of a tick.
    pub(super) fn time_of(&self, tick: Tick) -> Instant {
        let part = u32::try_from(tick.0 % u64::from(PER_SECOND)).unwrap_or_default();
        self.begun + Duration::from_secs(tick.0 / u64::from(PER_SECOND)) + TICK * part
    }

    /// Removes and returns the next tick and its slots, if its time has come.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Tick, Vec<usize>)> {
        let first = self.first().filter(|first| self.time_of(*first) <= now)?;
        self.slots.remove_entry(&first)
    }
}

const _: () = assert!(TICK.as_nanos() * PER_SECOND as u128 == 1_000_000_000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn no_slot_is_taken_early_or_later_than_a_tick() {
        let begun = clock::monotonic();
        for nanos in [
            0,
            1,
            49_999_999,
            50_000_000,
            50_000_001,
            999_999_999,
            1_000_000_000,
            61_234_567_890,
        ] {
            let mut wheel = TimerWheel::new(begun);
            let at = begun + Duration::from_nanos(nanos);
            let tick = wheel.insert(7, at);
            let time = wheel.time_of(tick);
            assert!(time >= at && time < at + TICK, "{nanos}");
            assert_eq!(wheel.take(time - Duration::from_nanos(1)), None);
            assert_eq!(wheel.take(time), Some((tick, vec![7])));
            assert_eq!(wheel.first(), None);
        }
    }

    #[test]
    fn ticks_come_in_their_order() {
        let begun = clock::monotonic();
        let mut wheel = TimerWheel::new(begun);
        let after = |seconds| begun + Duration::from_secs(seconds);
        let (late, soon) = (wheel.insert(1, after(60)), wheel.insert(2, after(1)));
        assert_eq!(wheel.insert(3, after(60)), late);
        assert_eq!(wheel.first(), Some(soon));
        assert_eq!(wheel.take(after(90)), Some((soon, vec![2])));
        assert_eq!(wheel.take(after(90)), Some((late, vec![1, 3])));
        assert_eq!(wheel.take(after(90)), None);
    }
}
