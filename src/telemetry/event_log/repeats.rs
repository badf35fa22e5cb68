//! Events that come again and again, word for word: a process without descriptors fails to accept
//! twenty times a second.

use std::time::{Duration, Instant};

/// For so long the repetitions of an event are counted before a line tells of them.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// The number of times that an event is written within its window before it is only counted: an
/// operator who tries a thing again sees that it failed again.
const WRITTEN: u32 = 5;

/// Events that are remembered at a time.
const REMEMBERED: usize = 64;

/// A longer event is not remembered.
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
    /// Repetitions that were not written.
    folded: u64,
}

impl Repeats {
    /// Whether an event is to be written. Otherwise it was counted.
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

    /// Remembers an event in the place of the oldest of which nothing is left to tell, if there is
    /// no other.
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
        let told = self.0.iter_mut().filter(|known| known.folded == 0);
        if let Some(oldest) = told.min_by_key(|known| known.end) {
            *oldest = new;
        }
    }

    /// An event whose window ends by `end` and that was repeated within it, and how often. In its
    /// next window it is counted from the first time on.
    pub(super) fn take_ended(&mut self, now: Instant, end: Instant) -> Option<(Box<str>, u64)> {
        let known = self
            .0
            .iter_mut()
            .find(|known| known.folded > 0 && known.end <= end)?;
        known.end = now + WINDOW;
        known.written = WRITTEN;
        Some((known.event.clone(), std::mem::take(&mut known.folded)))
    }

    /// Returns the end of the first window in which an event was repeated.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.0
            .iter()
            .filter(|known| known.folded > 0)
            .map(|known| known.end)
            .min()
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
        // It goes on: a line for the window and no other.
        assert_eq!(
            (0..200).filter(|_| repeats.admits("full", later)).count(),
            0
        );
        let end = later + WINDOW;
        assert_eq!(repeats.take_ended(end, end), Some(("full".into(), 200)));
        // And after a window without it, it is new again.
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
