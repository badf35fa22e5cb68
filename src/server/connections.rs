//! The registry of a worker's connections. A connection is woken by its timer for the two events that
//! do not come from its socket: its deadline, and the drain. Each worker has a registry of its own,
//! so that a connection reads a cell when it is polled and takes no shared lock.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::net::timer_wheel::{Timer, TimerWheel};

/// The time that an idle connection waits for one more request before it closes. A request may be
/// on its way, and a close would make it fail.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// The number of active connections of a worker beyond which a connection is parked as soon as its
/// answer is written. The state that serves a connection takes some 24 KiB. With so many
/// connections it has left the CPU's caches by the next request, and a new one in memory that was
/// just used costs less.
const MANY_ACTIVE: usize = 1024;

/// The connections of a worker, and the state of the drain.
pub(super) struct Registry {
    /// The time that each connection waits for one more request; set when the drain begins.
    grace: Cell<Option<Duration>>,
    expired: Cell<bool>,
    timer_wheel: Rc<TimerWheel>,
    registered_count: Cell<usize>,
    active: Cell<usize>,
    /// Notified when the last connection leaves.
    empty: tokio::sync::Notify,
}

impl Registry {
    pub(super) fn new(timer_wheel: Rc<TimerWheel>) -> Self {
        Self {
            grace: Cell::default(),
            expired: Cell::default(),
            timer_wheel,
            registered_count: Cell::default(),
            active: Cell::default(),
            empty: tokio::sync::Notify::default(),
        }
    }

    /// Tells all connections that the drain has begun and lasts for `limit`.
    pub(super) fn begin_drain(&self, limit: Duration) {
        self.grace.set(Some(GRACE.min(limit / 2)));
        self.timer_wheel.wake_all();
    }

    /// Tells the remaining connections that the time of the drain is over.
    pub(super) fn end_drain(&self) {
        self.expired.set(true);
        self.timer_wheel.wake_all();
    }

    /// Registers a connection.
    pub(super) fn join(self: &Rc<Self>) -> Registration {
        self.registered_count.set(self.registered_count.get() + 1);
        Registration {
            registry: self.clone(),
            timer: self.timer_wheel.timer(),
            is_told: false,
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
    /// Wakes the connection at its deadlines, and when the drain begins or its time is over.
    pub(super) timer: Timer,
    /// Set when the connection was told of the drain.
    is_told: bool,
}

impl Registration {
    /// Returns the registry of the same worker.
    pub(super) fn registry(&self) -> Rc<Registry> {
        self.registry.clone()
    }

    /// Counts the connection as active until the guard is dropped.
    pub(super) fn activate(&self) -> Active {
        self.registry.active.set(self.registry.active.get() + 1);
        Active(self.registry.clone())
    }

    /// Returns, once and after the drain has begun, the time to wait for one more request. The timer
    /// wakes the task that it knows.
    pub(super) fn drain_begun(&mut self) -> Option<Duration> {
        let grace = self.registry.grace.get()?;
        (!std::mem::replace(&mut self.is_told, true)).then_some(grace)
    }

    /// Waits until the time of the drain is over.
    pub(super) async fn closing(&self) {
        poll_fn(|cx| {
            if self.registry.expired.get() {
                return Poll::Ready(());
            }
            let _ = self.timer.register(cx);
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
        let registration = Rc::new(Registry::new(TimerWheel::new())).join();
        let few: Vec<_> = (0..MANY_ACTIVE).map(|_| registration.activate()).collect();
        assert!(!few[0].is_one_of_many());
        let one_more = registration.activate();
        assert!(few[0].is_one_of_many() && one_more.is_one_of_many());
        drop(one_more);
        assert!(!few[0].is_one_of_many());
    }
}
