//! The registry of a worker's connections. It wakes a connection for the two events that do not
//! come from its socket: the drain and its deadline. Each worker has a registry of its own, so that
//! a connection reads a cell when it is polled and takes no shared lock.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::timer_wheel::{Tick, TimerWheel};
use crate::clock;

/// The time that an idle connection waits for one more request before it closes. A request may be
/// on its way, and a close would make it fail.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// The number of active connections of a worker beyond which a connection is parked as soon as its
/// answer is written. The state that serves a connection takes some 24 KiB. With so many
/// connections it has left the CPU's caches by the next request, and a new one in memory that was
/// just used costs less.
const MANY_ACTIVE: usize = 1024;

/// The connections of a worker, the state of the drain, and the deadlines.
pub(super) struct Registry {
    /// The time that each connection waits for one more request; set when the drain begins.
    grace: Cell<Option<Duration>>,
    expired: Cell<bool>,
    slots: RefCell<Vec<Slot>>,
    /// The indices of unused slots.
    free: RefCell<Vec<usize>>,
    wheel: RefCell<TimerWheel>,
    sleeper: Sleeper,
    registered_count: Cell<usize>,
    active: Cell<usize>,
    /// Notified when the last connection leaves.
    empty: tokio::sync::Notify,
}

/// The entry of one connection.
#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    /// The deadline.
    tick: Option<Tick>,
}

/// The state of the task that wakes connections at their deadlines.
#[derive(Default)]
struct Sleeper {
    waker: Cell<Option<Waker>>,
    /// The end of its sleep; `None` while there is no deadline.
    until: Cell<Option<Tick>>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            grace: Cell::default(),
            expired: Cell::default(),
            slots: RefCell::default(),
            free: RefCell::default(),
            wheel: RefCell::new(TimerWheel::new(clock::monotonic())),
            sleeper: Sleeper::default(),
            registered_count: Cell::default(),
            active: Cell::default(),
            empty: tokio::sync::Notify::default(),
        }
    }

    /// Tells all connections that the drain has begun and lasts for `limit`.
    pub(super) fn begin_drain(&self, limit: Duration) {
        self.grace.set(Some(GRACE.min(limit / 2)));
        self.wake();
    }

    /// Tells the remaining connections that the time of the drain is over.
    pub(super) fn end_drain(&self) {
        self.expired.set(true);
        self.wake();
    }

    fn wake(&self) {
        self.slots
            .borrow()
            .iter()
            .filter_map(|slot| slot.waker.as_ref())
            .for_each(Waker::wake_by_ref);
    }

    /// Registers a connection.
    pub(super) fn join(self: &Rc<Self>) -> Registration {
        self.registered_count.set(self.registered_count.get() + 1);
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut slots = self.slots.borrow_mut();
            slots.push(Slot::default());
            slots.len() - 1
        });
        Registration {
            registry: self.clone(),
            slot,
            at: clock::monotonic(),
            registered: false,
            notified: false,
        }
    }

    fn change<T>(&self, slot: usize, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.slots.borrow_mut().get_mut(slot).map(change)
    }

    fn set_waker(&self, slot: usize, waker: Option<Waker>) {
        // Dropping the last waker of a task drops the task and its registration, which borrows the
        // slots. So the old waker is dropped only after the borrow has ended.
        let _before = self.change(slot, |slot| std::mem::replace(&mut slot.waker, waker));
    }

    fn set_deadline(&self, slot: usize, at: Instant) {
        let tick = self.wheel.borrow_mut().insert(slot, at);
        self.change(slot, |slot| slot.tick = Some(tick));
        if self.sleeper.until.get().is_none_or(|until| tick < until)
            && let Some(sleeper) = self.sleeper.waker.take()
        {
            sleeper.wake();
        }
    }

    /// Wakes each connection at its deadline.
    pub(super) async fn wake_when_due(self: Rc<Self>) {
        let mut sleep = pin!(sleep_until(clock::monotonic().into()));
        poll_fn(|cx| {
            loop {
                self.wake_due(clock::monotonic());
                let first = self.wheel.borrow().first();
                self.sleeper.until.set(first);
                self.sleeper.waker.set(Some(cx.waker().clone()));
                let Some(first) = first else {
                    return Poll::<()>::Pending;
                };
                sleep
                    .as_mut()
                    .reset(self.wheel.borrow().time_of(first).into());
                ready!(sleep.as_mut().poll(cx));
            }
        })
        .await;
    }

    fn wake_due(&self, now: Instant) {
        loop {
            let Some((tick, due)) = self.wheel.borrow_mut().take(now) else {
                return;
            };
            for slot in due {
                self.change(slot, |slot| {
                    // Another tick means that the deadline was moved, or that the slot has another
                    // connection now.
                    if slot.tick == Some(tick) {
                        slot.tick = None;
                        slot.waker.iter().for_each(Waker::wake_by_ref);
                    }
                });
            }
        }
    }

    /// Returns how many connections are registered.
    pub(super) fn count(&self) -> usize {
        self.registered_count.get()
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        while self.registered_count.get() > 0 {
            self.empty.notified().await;
        }
    }
}

/// The registration of one connection, which ends when it is dropped.
pub(super) struct Registration {
    registry: Rc<Registry>,
    slot: usize,
    /// The time for which the timer was set last.
    at: Instant,
    registered: bool,
    notified: bool,
}

impl Registration {
    /// Returns the registry of the same worker.
    pub(super) fn registry(&self) -> Rc<Registry> {
        self.registry.clone()
    }

    /// Sets the timer of the connection.
    pub(super) fn set_deadline(&mut self, at: Instant) {
        self.at = at;
        self.registry.set_deadline(self.slot, at);
    }

    /// Returns ready, with the current time, when the deadline has passed. The timer is moved only
    /// if the deadline is earlier. If it is later, the timer fires first and is set again then, so
    /// that a busy connection does not set it for each request.
    ///
    /// Without a deadline, the timer fires each `recheck`.
    ///
    /// [`Registration::poll_drain_begun`] must have been called before: it registers the waker.
    pub(super) fn poll_deadline(
        &mut self,
        deadline: Option<Instant>,
        recheck: Duration,
    ) -> Poll<Instant> {
        if let Some(deadline) = deadline.filter(|deadline| *deadline < self.at) {
            self.set_deadline(deadline);
        }
        if self.is_set() {
            return Poll::Pending;
        }
        let now = clock::monotonic();
        match deadline {
            Some(deadline) if deadline <= now => return Poll::Ready(now),
            Some(deadline) => self.set_deadline(deadline),
            None => self.set_deadline(now + recheck),
        }
        Poll::Pending
    }

    /// Returns whether the timer has not fired.
    fn is_set(&self) -> bool {
        self.registry.change(self.slot, |slot| slot.tick.is_some()) == Some(true)
    }

    /// Counts the connection as active until the guard is dropped.
    pub(super) fn activate(&self) -> Active {
        self.registry.active.set(self.registry.active.get() + 1);
        Active(self.registry.clone())
    }

    /// Returns, once and after the drain has begun, the time to wait for one more request.
    pub(super) fn poll_drain_begun(&mut self, cx: &Context<'_>) -> Option<Duration> {
        // A connection stays in its task, so the waker never changes.
        if !self.registered {
            self.registered = true;
            self.registry.set_waker(self.slot, Some(cx.waker().clone()));
        }
        let grace = self.registry.grace.get()?;
        (!std::mem::replace(&mut self.notified, true)).then_some(grace)
    }

    /// Waits until the time of the drain is over.
    pub(super) async fn closing(&self) {
        poll_fn(|cx| {
            if self.registry.expired.get() {
                return Poll::Ready(());
            }
            self.registry.set_waker(self.slot, Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Counts an active connection: one that is not parked.
pub(super) struct Active(Rc<Registry>);

impl Active {
    /// Returns whether more than [`MANY_ACTIVE`] connections of the worker are active.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.0.active.get() > MANY_ACTIVE
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _left = self.registry.change(self.slot, std::mem::take);
        self.registry.free.borrow_mut().push(self.slot);
        self.registry
            .registered_count
            .set(self.registry.registered_count.get() - 1);
        if self.registry.registered_count.get() == 0 {
            self.registry.empty.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_each_active_connection_is_one_of_many() {
        let registration = Rc::new(Registry::new()).join();
        let few: Vec<_> = (0..MANY_ACTIVE).map(|_| registration.activate()).collect();
        assert!(!few[0].is_one_of_many());
        let one_more = registration.activate();
        assert!(few[0].is_one_of_many() && one_more.is_one_of_many());
        drop(one_more);
        assert!(!few[0].is_one_of_many());
    }

    #[test]
    fn a_connection_has_its_deadline_until_it_has_passed() {
        let registry = Rc::new(Registry::new());
        let (now, soon) = (
            clock::monotonic(),
            clock::monotonic() + Duration::from_secs(1),
        );
        let (mut registration, mut other) = (registry.join(), registry.join());
        assert!(!registration.is_set());
        registration.set_deadline(soon);
        registry.wake_due(now);
        assert!(registration.is_set(), "never early");
        registration.set_deadline(soon + GRACE);
        other.set_deadline(soon);
        drop(other);
        let heir = registry.join();
        registry.wake_due(soon + GRACE / 2);
        assert!(registration.is_set(), "it was moved");
        assert!(!heir.is_set(), "a slot that is used again has no deadline");
        registry.wake_due(soon + 2 * GRACE);
        assert!(!registration.is_set());
    }
}
