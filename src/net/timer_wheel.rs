//! The timers of one thread: deadlines that are seldom reached, rounded up to ticks.
//!
//! Almost every deadline is taken back unused: a connection sends its next request, and an upstream
//! answers in time. With a timer of the runtime for each, the runtime would sort every deadline to
//! the millisecond and remove most of them again. So a timer is moved only if the next deadline is
//! earlier than the time for which it is set. If it is later, the timer fires first and is set again
//! then: a busy connection does not set it for each request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::clock;

/// The length of a tick: the longest delay of a deadline. A deadline is never reported early.
const TICK: Duration = Duration::from_millis(50);

const PER_SECOND: u32 = 20;

/// A point in time, in ticks since the wheel was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tick(u64);

/// The timers of a thread. One task wakes them all, and sleeps until the first.
pub struct TimerWheel {
    begun: Instant,
    timers: RefCell<Timers>,
    sleeper: Sleeper,
}

/// The slots of all timers, by their numbers and by their ticks.
#[derive(Default)]
struct Timers {
    slots: Vec<Slot>,
    /// The numbers of unused slots.
    free: Vec<usize>,
    /// A slot whose time was moved stays until its old tick.
    due: BTreeMap<Tick, Vec<usize>>,
}

/// The part of one timer that the wheel needs.
#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    /// The time for which the timer is set; `None` when it has fired.
    tick: Option<Tick>,
}

/// The state of the task that wakes the timers.
#[derive(Default)]
struct Sleeper {
    waker: Cell<Option<Waker>>,
    /// The end of its sleep; `None` while no timer is set.
    until: Cell<Option<Tick>>,
}

/// A timer.
pub struct Timer {
    wheel: Rc<TimerWheel>,
    slot: usize,
    /// The time for which it was set last.
    at: Option<Instant>,
}

impl TimerWheel {
    /// Makes a wheel without timers. They fire while [`Self::run`] is polled.
    #[must_use]
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            begun: clock::monotonic(),
            timers: RefCell::default(),
            sleeper: Sleeper::default(),
        })
    }

    /// Makes a timer, which is not set.
    #[must_use]
    pub fn timer(self: &Rc<Self>) -> Timer {
        let mut timers = self.timers.borrow_mut();
        let slot = match timers.free.pop() {
            Some(slot) => slot,
            None => {
                timers.slots.push(Slot::default());
                timers.slots.len() - 1
            }
        };
        Timer {
            wheel: self.clone(),
            slot,
            at: None,
        }
    }

    /// Wakes the task of each timer, whether its time has come or not.
    pub fn wake_all(&self) {
        for slot in &self.timers.borrow().slots {
            if let Some(waker) = &slot.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Wakes the tasks of timers at their times. It never returns.
    pub async fn run(self: Rc<Self>) {
        let mut sleep = pin!(sleep_until(self.begun.into()));
        poll_fn(|cx| {
            loop {
                self.wake_due(clock::monotonic());
                let first = self.timers.borrow().first();
                self.sleeper.until.set(first);
                self.sleeper.waker.set(Some(cx.waker().clone()));
                let Some(first) = first else {
                    return Poll::<()>::Pending;
                };
                sleep.as_mut().reset(self.time_of(first).into());
                ready!(sleep.as_mut().poll(cx));
            }
        })
        .await;
    }

    fn wake_due(&self, now: Instant) {
        let mut timers = self.timers.borrow_mut();
        while let Some(tick) = timers.first()
            && self.time_of(tick) <= now
        {
            timers.fire(tick);
        }
    }

    fn set(&self, slot: usize, at: Instant) {
        let tick = self.tick_of(at);
        self.timers.borrow_mut().set(slot, tick);
        if self.sleeper.until.get().is_none_or(|until| tick < until)
            && let Some(sleeper) = self.sleeper.waker.take()
        {
            sleeper.wake();
        }
    }

    /// Returns the first tick that is not before a time.
    fn tick_of(&self, at: Instant) -> Tick {
        let time = at.saturating_duration_since(self.begun);
        let part = time.subsec_nanos().div_ceil(TICK.subsec_nanos());
        Tick(time.as_secs() * u64::from(PER_SECOND) + u64::from(part))
    }

    fn time_of(&self, tick: Tick) -> Instant {
        let part = u32::try_from(tick.0 % u64::from(PER_SECOND)).unwrap_or_default();
        self.begun + Duration::from_secs(tick.0 / u64::from(PER_SECOND)) + TICK * part
    }
}

impl Timers {
    fn set(&mut self, slot: usize, tick: Tick) {
        self.due.entry(tick).or_default().push(slot);
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.tick = Some(tick);
        }
    }

    /// Returns the next tick for which a timer was set.
    fn first(&self) -> Option<Tick> {
        self.due.first_key_value().map(|(tick, _)| *tick)
    }

    /// Fires the timers of a tick.
    fn fire(&mut self, tick: Tick) {
        for slot in self.due.remove(&tick).unwrap_or_default() {
            // Another tick means that the timer was moved, or that its slot has another timer now.
            if let Some(slot) = self.slots.get_mut(slot)
                && slot.tick == Some(tick)
            {
                slot.tick = None;
                slot.waker.iter().for_each(Waker::wake_by_ref);
            }
        }
    }
}

impl Timer {
    /// Returns the wheel of the timer.
    #[must_use]
    pub fn wheel(&self) -> &Rc<TimerWheel> {
        &self.wheel
    }

    /// Sets the timer, in place of its time before.
    pub fn set(&mut self, at: Instant) {
        self.at = Some(at);
        self.wheel.set(self.slot, at);
    }

    /// Sets the task that the timer wakes.
    pub fn register(&self, cx: &Context<'_>) {
        self.set_waker(Some(cx.waker().clone()));
    }

    /// Forgets the task, which may have ended.
    pub fn unregister(&self) {
        self.set_waker(None);
    }

    fn set_waker(&self, waker: Option<Waker>) {
        // Dropping the last waker of a task drops the task and its timers, which borrow the slots.
        // So the old waker is dropped only after the borrow has ended.
        let _before = match self.wheel.timers.borrow_mut().slots.get_mut(self.slot) {
            Some(slot) => std::mem::replace(&mut slot.waker, waker),
            None => waker,
        };
    }

    /// Returns ready, with the current time, when the deadline has passed, for whatever time the
    /// timer was set. Without a deadline, the timer fires each `recheck`. [`Timer::register`] must
    /// have been called before.
    pub fn poll_deadline(
        &mut self,
        deadline: Option<Instant>,
        recheck: Duration,
    ) -> Poll<Instant> {
        if let Some(deadline) = deadline
            && self.at.is_some_and(|at| deadline < at)
        {
            self.set(deadline);
        }
        if self.is_set() {
            return Poll::Pending;
        }
        let now = clock::monotonic();
        match deadline {
            Some(deadline) if deadline <= now => return Poll::Ready(now),
            Some(deadline) => self.set(deadline),
            None => self.set(now + recheck),
        }
        Poll::Pending
    }

    /// Returns whether the timer is set and has not fired.
    fn is_set(&self) -> bool {
        let timers = self.wheel.timers.borrow();
        timers
            .slots
            .get(self.slot)
            .is_some_and(|slot| slot.tick.is_some())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.unregister();
        let mut timers = self.wheel.timers.borrow_mut();
        if let Some(slot) = timers.slots.get_mut(self.slot) {
            slot.tick = None;
            timers.free.push(self.slot);
        }
    }
}

const _: () = assert!(TICK.as_nanos() * PER_SECOND as u128 == 1_000_000_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timer_fires_early_or_later_than_a_tick() {
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
            let wheel = TimerWheel::new();
            let mut timer = wheel.timer();
            let at = wheel.begun + Duration::from_nanos(nanos);
            timer.set(at);
            let time = wheel.time_of(wheel.tick_of(at));
            assert!(time >= at && time < at + TICK, "{nanos}");
            wheel.wake_due(time - Duration::from_nanos(1));
            assert!(timer.is_set(), "{nanos}");
            wheel.wake_due(time);
            assert!(!timer.is_set(), "{nanos}");
        }
    }

    #[test]
    fn a_timer_is_set_until_the_time_for_which_it_was_set_last() {
        let wheel = TimerWheel::new();
        let after = |seconds| wheel.begun + Duration::from_secs(seconds);
        let (mut timer, mut other) = (wheel.timer(), wheel.timer());
        assert!(!timer.is_set());
        timer.set(after(1));
        timer.set(after(2));
        other.set(after(1));
        drop(other);
        let heir = wheel.timer();
        wheel.wake_due(after(1) + TICK);
        assert!(timer.is_set(), "it was moved");
        assert!(!heir.is_set(), "a slot that is used again is not set");
        wheel.wake_due(after(2) + TICK);
        assert!(!timer.is_set());
        assert_eq!(wheel.timers.borrow().first(), None);
    }

    #[test]
    fn a_timer_is_moved_only_to_an_earlier_time() {
        let wheel = TimerWheel::new();
        let mut timer = wheel.timer();
        let after = |hours| wheel.begun + Duration::from_secs(hours * 3600);
        let recheck = Duration::from_secs(60);
        let mut deadlines = [Some(after(3)), Some(after(4)), None, Some(after(2)), Some(after(5))]
            .into_iter()
            .map(|deadline| {
                assert!(timer.poll_deadline(deadline, recheck).is_pending());
                wheel.timers.borrow().due.len()
            });
        assert_eq!(deadlines.next(), Some(1));
        assert_eq!(deadlines.next(), Some(1), "a later deadline waits");
        assert_eq!(deadlines.next(), Some(1));
        assert_eq!(deadlines.next(), Some(2), "an earlier one does not");
        assert_eq!(deadlines.next(), Some(2));
    }

    #[test]
    fn a_deadline_that_has_passed_is_reported_with_the_time() {
        let wheel = TimerWheel::new();
        let mut timer = wheel.timer();
        let recheck = Duration::from_secs(60);
        assert!(timer.poll_deadline(Some(wheel.begun), recheck).is_ready());
        timer.set(wheel.begun);
        let poll = timer.poll_deadline(Some(wheel.begun), recheck);
        assert!(poll.is_pending(), "the task is woken when the timer fires");
        wheel.wake_due(wheel.begun);
        assert!(timer.poll_deadline(Some(wheel.begun), recheck).is_ready());
        assert!(timer.poll_deadline(None, recheck).is_pending());
        assert!(timer.is_set(), "it fires again although there is no deadline");
    }

    #[test]
    fn the_task_of_a_timer_is_woken_and_forgotten_with_it() {
        let wheel = TimerWheel::new();
        let woken = std::sync::Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut timer = wheel.timer();
        timer.register(&Context::from_waker(&waker));
        timer.set(wheel.begun);
        wheel.wake_due(wheel.begun);
        assert_eq!(woken.count(), 1);
        wheel.wake_all();
        assert_eq!(woken.count(), 2);
        timer.unregister();
        timer.set(wheel.begun);
        wheel.wake_due(wheel.begun);
        wheel.wake_all();
        assert_eq!(woken.count(), 2);
        timer.register(&Context::from_waker(&waker));
        drop(timer);
        wheel.wake_all();
        assert_eq!(woken.count(), 2);
    }

    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicUsize);

    impl Woken {
        fn count(&self) -> usize {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    impl std::task::Wake for Woken {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
