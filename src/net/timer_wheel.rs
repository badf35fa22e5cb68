//! The timers of one thread: deadlines that are seldom reached, rounded up to ticks.
//!
//! Almost every deadline is taken back unused: a connection sends its next request, and an upstream
//! answers in time. With a timer of the runtime for each, the runtime would sort every deadline to
//! the millisecond and remove most of them again. So a timer is moved only if the next deadline is
//! earlier than the time for which it is set. If it is later, the timer fires first and is set again
//! then: a busy connection does not set it for each request.
//!
//! With a timer of the runtime for each client connection, a connection with one request takes 1.5 %
//! more instructions (47,660 instead of 46,930, callgrind). For requests to upstreams, a list of the
//! runtime's timers that are used again costs the same as this.

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

/// The place of one timer.
#[derive(Default)]
struct Slot {
    /// The task that the timer wakes.
    waker: Option<Waker>,
    /// The time for which the timer is set; `None` when it has fired.
    set: Option<Set>,
}

/// A time for which a timer is set.
#[derive(Clone, Copy)]
struct Set {
    at: Instant,
    tick: Tick,
}

/// The state of the task that wakes the timers.
#[derive(Default)]
struct Sleeper {
    waker: Cell<Option<Waker>>,
    /// The end of its sleep; `None` while no timer is set.
    until: Cell<Option<Tick>>,
}

/// A timer. It takes over the slot of a timer that was dropped, as it is set: most requests and
/// most short connections need not set it at all.
pub struct Timer {
    wheel: Rc<TimerWheel>,
    slot: usize,
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

    /// Makes a timer.
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
        self.timers.borrow_mut().set(slot, Set { at, tick });
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
    fn set(&mut self, slot: usize, set: Set) {
        self.due.entry(set.tick).or_default().push(slot);
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.set = Some(set);
        }
    }

    /// Returns the next tick for which a timer was set.
    fn first(&self) -> Option<Tick> {
        self.due.first_key_value().map(|(tick, _)| *tick)
    }

    /// Fires the timers of a tick.
    fn fire(&mut self, tick: Tick) {
        for slot in self.due.remove(&tick).unwrap_or_default() {
            // Another tick means that the timer was moved.
            if let Some(slot) = self.slots.get_mut(slot)
                && slot.set.is_some_and(|set| set.tick == tick)
            {
                slot.set = None;
                slot.waker.iter().for_each(Waker::wake_by_ref);
            }
        }
    }
}

impl Timer {
    /// Sets the timer, unless it fires before.
    pub fn set_by(&self, at: Instant) {
        if self.at().is_none_or(|before| at < before) {
            self.set(at);
        }
    }

    fn set(&self, at: Instant) {
        self.wheel.set(self.slot, at);
    }

    /// Sets the task that the timer wakes, and returns the time for which the timer is set; `None`
    /// when it has fired.
    pub fn register(&self, cx: &Context<'_>) -> Option<Instant> {
        let mut timers = self.wheel.timers.borrow_mut();
        let slot = timers.slots.get_mut(self.slot)?;
        let at = slot.set.map(|set| set.at);
        let known = slot.waker.as_ref();
        if known.is_some_and(|known| known.will_wake(cx.waker())) {
            return at;
        }
        // Dropping the last waker of a task drops the task and its timers, which borrow the slots.
        // So the old waker is dropped only after the borrow has ended.
        let before = slot.waker.replace(cx.waker().clone());
        drop(timers);
        drop(before);
        at
    }

    /// Returns ready, with the current time, when the deadline has passed, for whatever time the
    /// timer was set.
    pub fn poll_deadline(&self, cx: &Context<'_>, deadline: Instant) -> Poll<Instant> {
        match self.register(cx) {
            Some(at) if at <= deadline => {}
            Some(_) => self.set(deadline),
            None => {
                let now = clock::monotonic();
                if deadline <= now {
                    return Poll::Ready(now);
                }
                self.set(deadline);
            }
        }
        Poll::Pending
    }

    /// Wakes the task within the interval, or before.
    pub fn wake_within(&self, cx: &Context<'_>, interval: Duration) {
        if self.register(cx).is_none() {
            self.set(clock::monotonic() + interval);
        }
    }

    /// Returns the time for which the timer is set; `None` when it has fired.
    fn at(&self) -> Option<Instant> {
        let timers = self.wheel.timers.borrow();
        let set = timers.slots.get(self.slot)?.set?;
        Some(set.at)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut timers = self.wheel.timers.borrow_mut();
        timers.free.push(self.slot);
        let slot = timers.slots.get_mut(self.slot);
        let waker = slot.and_then(|slot| slot.waker.take());
        // Only after the borrow has ended, as in `register`.
        drop(timers);
        drop(waker);
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
            let timer = wheel.timer();
            let at = wheel.begun + Duration::from_nanos(nanos);
            timer.set(at);
            let time = wheel.time_of(wheel.tick_of(at));
            assert!(time >= at && time < at + TICK, "{nanos}");
            wheel.wake_due(time - Duration::from_nanos(1));
            assert_eq!(timer.at(), Some(at), "{nanos}");
            wheel.wake_due(time);
            assert_eq!(timer.at(), None, "{nanos}");
        }
    }

    #[test]
    fn a_timer_is_set_until_the_time_for_which_it_was_set_last() {
        let wheel = TimerWheel::new();
        let timer = wheel.timer();
        assert_eq!(timer.at(), None);
        let (soon, late) = (wheel.begun + 20 * TICK, wheel.begun + 40 * TICK);
        timer.set(soon);
        timer.set(late);
        wheel.wake_due(soon + TICK);
        assert_eq!(timer.at(), Some(late), "it was moved");
        wheel.wake_due(late + TICK);
        assert_eq!(timer.at(), None);
        assert_eq!(wheel.timers.borrow().first(), None);
    }

    #[test]
    fn a_slot_that_is_used_again_stays_set() {
        let wheel = TimerWheel::new();
        let at = wheel.begun + 20 * TICK;
        let (one, other) = (wheel.timer(), wheel.timer());
        one.set(at);
        drop(one);
        let heir = wheel.timer();
        assert_eq!((heir.at(), other.at()), (Some(at), None));
        assert_eq!(wheel.timers.borrow().slots.len(), 2);
    }

    #[test]
    fn a_timer_is_moved_only_to_an_earlier_time() {
        let wheel = TimerWheel::new();
        let timer = wheel.timer();
        let cx = Context::from_waker(Waker::noop());
        let after = |hours: u64| wheel.begun + Duration::from_secs(hours * 3600);
        for (deadline, set) in [(3, 3), (4, 3), (2, 2), (5, 2)] {
            assert!(timer.poll_deadline(&cx, after(deadline)).is_pending());
            assert_eq!(timer.at(), Some(after(set)), "{deadline}");
        }
        timer.wake_within(&cx, Duration::from_secs(1));
        timer.set_by(after(4));
        assert_eq!(timer.at(), Some(after(2)));
        timer.set_by(after(1));
        assert_eq!(timer.at(), Some(after(1)));
    }

    #[test]
    fn a_deadline_that_has_passed_is_reported_with_the_time() {
        let wheel = TimerWheel::new();
        let timer = wheel.timer();
        let cx = Context::from_waker(Waker::noop());
        assert!(timer.poll_deadline(&cx, wheel.begun).is_ready());
        timer.set(wheel.begun);
        let poll = timer.poll_deadline(&cx, wheel.begun);
        assert!(poll.is_pending(), "the task is woken when the timer fires");
        wheel.wake_due(wheel.begun);
        assert!(timer.poll_deadline(&cx, wheel.begun).is_ready());
        timer.wake_within(&cx, TICK);
        assert!(timer.at().is_some());
    }

    #[test]
    fn the_task_of_a_timer_is_woken_and_forgotten_with_it() {
        let wheel = TimerWheel::new();
        let woken = std::sync::Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let timer = wheel.timer();
        for _ in 0..2 {
            assert_eq!(timer.register(&Context::from_waker(&waker)), None);
        }
        timer.set(wheel.begun);
        wheel.wake_due(wheel.begun);
        assert_eq!(woken.count(), 1);
        wheel.wake_all();
        assert_eq!(woken.count(), 2);
        drop(timer);
        let heir = wheel.timer();
        heir.set(wheel.begun);
        wheel.wake_due(wheel.begun);
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
