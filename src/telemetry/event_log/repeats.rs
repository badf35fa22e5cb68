//! Suppression of events that are repeated literally: a process without free descriptors fails to
//! accept a connection twenty times a second.

use std::time::{Duration, Instant};

/// The time in which repetitions of an event are counted before a line reports them.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// The number of times that an event is written within its window before it is only counted. It is
/// more than one, so that each of a few attempts of an operator has a line.
const WRITTEN: u32 = 5;

/// The number of events that are remembered at a time.
const REMEMBERED: usize = 64;

/// The length of the longest event that is remembered, in bytes.
const LONGEST: usize = 4 << 10;

/// The events of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Repeats(Vec<Repeated>);

#[derive(Debug)]
struct Repeated {
    event: Box<str>,
    /// The end of its window.
    end: Instant,
    written: u32,
    /// Repetitions that were counted and not written.
    folded: u64,
}

impl Repeats {
    /// Returns whether an event is to be written. Otherwise it is counted.
    pub(super) fn admits(&mut self, event: &str, now: Instant) -> bool {
        if event.len() > LONGEST {
            return true;
        }
        match self.0.iter_mut().find(|known| *known.event == *event) {
            Some(known) if known.folded == 0 && known.end <= now => {
                (known.end, known.written) = (now + WINDOW, 1);
                true
            }
            Some(known) if known.written < WRITTEN => {
                known.written += 1;
                true
            }
            Some(known) => {
                known.folded += 1;
                false
            }
            None => {
                self.remember(event, now);
                true
            }
        }
    }

    /// Remembers an event. If there is no room, it replaces the oldest event without repetitions to
    /// report.
    fn remember(&mut self, event: &str, now: Instant) {
        let new = Repeated {
            event: event.into(),
            end: now + WINDOW,
            written: 1,
            folded: 0,
        };
        if self.0.len() < REMEMBERED {
            return self.0.push(new);
        }
        let replaceable = self.0.iter_mut().filter(|known| known.folded == 0);
        if let Some(oldest) = replaceable.min_by_key(|known| known.end) {
            *oldest = new;
        }
    }

    /// Takes an event whose window ends by `end` and that was repeated within it, and returns the
    /// number of repetitions. In its next window every repetition is counted and none is written.
    pub(super) fn take_ended(&mut self, now: Instant, end: Instant) -> Option<(Box<str>, u64)> {
        let mut known = self.0.iter_mut();
        let known = known.find(|known| known.folded > 0 && known.end <= end)?;
        known.end = now + WINDOW;
        known.written = WRITTEN;
        Some((known.event.clone(), std::mem::take(&mut known.folded)))
    }

    /// Returns the end of the first window in which an event was repeated.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let mut next = None;
        for known in &self.0 {
            if known.folded > 0 && next.is_none_or(|end| known.end < end) {
                next = Some(known.end);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_flood_of_one_event_becomes_one_line_for_each_window() {
        let mut repeats = Repeats::default();
        let now = clock::monotonic();
        let written = (0..200).filter(|_| repeats.admits("full", now)).count();
        assert_eq!(written, WRITTEN as usize);
        assert_eq!(repeats.next_end(), Some(now + WINDOW));
        assert_eq!(
            repeats.take_ended(now, now),
            None,
            "not before its window ends"
        );
        let later = now + WINDOW;
        assert_eq!(
            repeats.take_ended(later, later),
            Some(("full".into(), 200 - u64::from(WRITTEN)))
        );
        assert_eq!(
            (repeats.take_ended(later, later), repeats.next_end()),
            (None, None)
        );
        // The flood goes on: there is one line for the window.
        assert_eq!(
            (0..200).filter(|_| repeats.admits("full", later)).count(),
            0
        );
        let end = later + WINDOW;
        assert_eq!(repeats.take_ended(end, end), Some(("full".into(), 200)));
        // After a window without the event it is written again.
        assert!(repeats.admits("full", end + WINDOW));
    }

    #[test]
    fn what_comes_again_now_and_then_is_written_each_time() {
        let mut repeats = Repeats::default();
        let mut now = clock::monotonic();
        for _ in 0..100 {
            assert!(repeats.admits("again", now));
            now += WINDOW / WRITTEN + Duration::from_millis(1);
        }
        assert_eq!(repeats.next_end(), None);
    }

    #[test]
    fn another_event_is_another() {
        let mut repeats = Repeats::default();
        let now = clock::monotonic();
        for number in 0..10 * REMEMBERED {
            assert!(repeats.admits(&format!("event {number}"), now), "{number}");
            assert!(repeats.0.len() <= REMEMBERED);
        }
        assert!(
            (0..100).all(|_| repeats.admits(&"x".repeat(LONGEST + 1), now)),
            "long ones are not kept"
        );
    }

    #[test]
    fn a_flood_is_remembered_among_many_other_events() {
        let mut repeats = Repeats::default();
        let now = clock::monotonic();
        let mut written = 0;
        for number in 0..10 * REMEMBERED {
            written += (0..=WRITTEN)
                .filter(|_| repeats.admits("flood", now))
                .count();
            assert!(repeats.admits(&format!("event {number}"), now));
        }
        assert_eq!(written, WRITTEN as usize);
    }
}
