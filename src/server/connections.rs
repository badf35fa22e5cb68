//! The connections of a worker, and what each is woken for besides its socket: the drain, and its
//! deadline. One worker's own, so that a connection that is polled asks a cell and takes no lock
//! that others take.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::timer_wheel::{Tick, TimerWheel};
use crate::clock;

/// How long the next request of a client that has none under way is waited for: it may be on its
/// way, and to close would fail it.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// From so many on that are awake, the next rest when they have their answer. What serves one is
/// some 24 KiB, and made anew in memory that was just used it costs less than to be fetched from
/// where it was left.
const MANY_ACTIVE: usize = 1024;

/// The connections of a worker: whether they are to finish, and when each is to be woken.
pub(super) struct Registry {
    /// Once it has begun: how long each connection waits for one more request.
    grace: Cell<Option<Duration>>,
    expired: Cell<bool>,
    slots: RefCell<Vec<Slot>>,
    /// Places that nobody has.
    free: RefCell<Vec<usize>>,
    wheel: RefCell<TimerWheel>,
    sleeper: Sleeper,
    registered_count: Cell<usize>,
    active: Cell<usize>,
    /// Woken when the last member leaves.
    empty: tokio::sync::Notify,
}

/// A member's.
#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    /// When it is to be woken.
    tick: Option<Tick>,
}

/// Who wakes those whose tick has come.
#[derive(Default)]
struct Sleeper {
    waker: Cell<Option<Waker>>,
    /// Until when it sleeps, if it does not sleep without end.
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

    /// Tells all members, who have so long.
    pub(super) fn begin_drain(&self, limit: Duration) {
        self.grace.set(Some(GRACE.min(limit / 2)));
        self.wake();
    }

    /// Tells those that are still there that their time is over.
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

    /// A connection that wants to be told.
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
            registered: false,
            notified: false,
        }
    }

    fn change<T>(&self, slot: usize, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.slots.borrow_mut().get_mut(slot).map(change)
    }

    fn set_waker(&self, slot: usize, waker: Option<Waker>) {
        // The last waker of a task drops the task and with it its member, which comes here: not
        // while this is borrowed.
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

    /// Wakes each member when its time has come.
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
                    // Another tick is that of who was moved, or of who has the place now.
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

    /// Waits until no member is left.
    pub(super) async fn emptied(&self) {
        while self.registered_count.get() > 0 {
            self.empty.notified().await;
        }
    }
}

/// One connection's membership; it leaves when it is dropped.
pub(super) struct Registration {
    registry: Rc<Registry>,
    slot: usize,
    registered: bool,
    notified: bool,
}

impl Registration {
    /// Where others of the same worker join.
    pub(super) fn registry(&self) -> Rc<Registry> {
        self.registry.clone()
    }

    /// Is to be woken at that time, and at no other that was said before.
    pub(super) fn set_deadline(&self, at: Instant) {
        self.registry.set_deadline(self.slot, at);
    }

    /// Whether the time that was said last is still to come.
    pub(super) fn has_deadline(&self) -> bool {
        self.registry.change(self.slot, |slot| slot.tick.is_some()) == Some(true)
    }

    /// Is counted among those that are awake, until what is returned is dropped.
    pub(super) fn activate(&self) -> Active {
        self.registry.active.set(self.registry.active.get() + 1);
        Active(self.registry.clone())
    }

    /// Once, when the drain has begun: how long one more request is waited for.
    pub(super) fn poll_drain_begun(&mut self, cx: &Context<'_>) -> Option<Duration> {
        // A connection stays in its task, so its first waker is its waker.
        if !self.registered {
            self.registered = true;
            self.registry.set_waker(self.slot, Some(cx.waker().clone()));
        }
        let grace = self.registry.grace.get()?;
        (!std::mem::replace(&mut self.notified, true)).then_some(grace)
    }

    /// Ready when the drain has lasted as long as it may.
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

/// A connection that is awake.
pub(super) struct Active(Rc<Registry>);

impl Active {
    /// Whether it is one of so many that none finds anything of its own in a cache any more.
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
    fn of_many_that_are_awake_all_are_told_and_of_few_none() {
        let registration = Rc::new(Registry::new()).join();
        let few: Vec<_> = (0..MANY_ACTIVE).map(|_| registration.activate()).collect();
        assert!(!few[0].is_one_of_many());
        let one_more = registration.activate();
        assert!(few[0].is_one_of_many() && one_more.is_one_of_many());
        drop(one_more);
        assert!(!few[0].is_one_of_many());
    }

    #[test]
    fn a_member_has_its_alarm_until_it_has_rung() {
        let registry = Rc::new(Registry::new());
        let (now, soon) = (
            clock::monotonic(),
            clock::monotonic() + Duration::from_secs(1),
        );
        let (registration, other) = (registry.join(), registry.join());
        assert!(!registration.has_deadline());
        registration.set_deadline(soon);
        registry.wake_due(now);
        assert!(registration.has_deadline(), "never early");
        registration.set_deadline(soon + GRACE);
        other.set_deadline(soon);
        drop(other);
        let heir = registry.join();
        registry.wake_due(soon + GRACE / 2);
        assert!(registration.has_deadline(), "it was moved");
        assert!(
            !heir.has_deadline(),
            "a place that is taken over comes without its time"
        );
        registry.wake_due(soon + 2 * GRACE);
        assert!(!registration.has_deadline());
    }
}
