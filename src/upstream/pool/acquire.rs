//! The permission for a new connection, and how a request waits for one (requirements.md#l08).

use std::cell::Cell;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until};

use super::super::connection_limit::ConnectionPermit;
use super::super::{Fault, Upstream};
use super::{Carrier, Pool};
use crate::clock;
use crate::net::Stage;

/// The time that an idle connection may stay after the upstream has closed it. One sweep serves all
/// that close within it. No request is sent on such a connection, since each is checked before use.
const PAUSE: Duration = Duration::from_millis(10);

/// The result of waiting for a connection.
pub(super) enum Acquired<B> {
    /// A permit to open a connection.
    New(ConnectionPermit),
    /// A connection that another exchange has finished with.
    Freed(Carrier<B>),
}

/// A request that waits for a connection, counted until it is dropped.
struct Waiting<'a>(&'a Upstream, &'a Cell<usize>);

impl<'a> Waiting<'a> {
    /// Begins to wait; `None` if too many requests wait already.
    fn begin(upstream: &'a Upstream, here: &'a Cell<usize>) -> Option<Self> {
        let others = upstream
            .connection_limit
            .pending
            .fetch_add(1, Ordering::Relaxed);
        here.set(here.get() + 1);
        let waiting = Self(upstream, here);
        (others < upstream.settings.max_pending).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0
            .connection_limit
            .pending
            .fetch_sub(1, Ordering::Relaxed);
        self.1.set(self.1.get().saturating_sub(1));
    }
}

impl<B> Pool<B> {
    /// Returns the waker that is woken by events on an idle connection.
    pub(super) fn watcher(&self) -> Waker {
        self.watcher.borrow().clone()
    }

    /// Returns whether another worker has requests that wait for a connection, and this one has
    /// none.
    pub(super) fn is_wanted_elsewhere(&self) -> bool {
        self.waiting.get() == 0
            && self
                .upstream
                .connection_limit
                .pending
                .load(Ordering::Relaxed)
                > 0
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Returns a permit for a connection or a connection that became free, at once or within the
    /// connect timeout.
    pub(super) async fn acquire(self: &Rc<Self>) -> Result<Acquired<B>, Fault> {
        self.watch();
        let upstream = &self.upstream;
        if let Some(permit) = upstream.connection_limit.try_acquire() {
            return Ok(Acquired::New(permit));
        }
        // A connection that was to be avoided is better than none.
        if let Some(carrier) = self.take(clock::monotonic(), &[]) {
            return Ok(Acquired::Freed(carrier));
        }
        let _waiting = Waiting::begin(upstream, &self.waiting).ok_or(Fault::Overloaded)?;
        let deadline = clock::monotonic() + upstream.settings.dial_timeouts.connect;
        let mut permit = pin!(upstream.connection_limit.clone().acquire());
        let mut late = pin!(sleep_until(deadline.into()));
        upstream.connection_limit.wanted.notify_waiters();
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => return permit.map(Acquired::New).ok_or(Fault::Overloaded),
                () = self.freed.notified() => {
                    if let Some(carrier) = self.take(clock::monotonic(), &[]) {
                        return Ok(Acquired::Freed(carrier));
                    }
                }
                () = &mut late => return Err(self.late(Stage::Waiting)),
            }
        }
    }

    /// Spawns the task that watches idle connections, unless it runs already. It closes those that
    /// the upstream has closed or whose address was removed, and one whenever a request of another
    /// worker begins to wait for a permit.
    fn watch(self: &Rc<Self>) {
        if self.watch.borrow().is_some() {
            return;
        }
        let (held, mut released) = oneshot::channel();
        self.watch.replace(Some(held));
        let (upstream, endpoint, pool) = (
            self.upstream.clone(),
            self.endpoint.clone(),
            Rc::downgrade(self),
        );
        tokio::task::spawn_local(async move {
            let wanted = || upstream.connection_limit.wanted.notified();
            let mut next_wanted = pin!(wanted());
            let mut is_stirred = false;
            loop {
                let stirred = async {
                    // The task was woken by a connection if no other branch is ready; a connection
                    // may also have woken it together with another branch.
                    poll_fn(|cx| {
                        if let Some(pool) = pool.upgrade() {
                            pool.watcher.replace(cx.waker().clone());
                        }
                        if std::mem::replace(&mut is_stirred, true) {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    })
                    .await;
                    sleep(PAUSE).await;
                };
                let is_wanted = tokio::select! {
                    biased;
                    _ = &mut released => return,
                    () = &mut next_wanted => true,
                    () = endpoint.addresses.removed.notified() => false,
                    () = stirred => false,
                };
                let Some(pool) = pool.upgrade() else { return };
                if is_wanted {
                    // The next notification is registered before anything else, so that no request
                    // that begins to wait is missed.
                    next_wanted.set(wanted());
                    pool.give_up_one();
                } else {
                    is_stirred = false;
                    pool.sweep();
                }
            }
        });
    }

    /// Closes the connection that was unused for longest, if another worker needs its permit.
    fn give_up_one(&self) {
        if !self.is_wanted_elsewhere() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.remove(0);
            return;
        }
        drop(idle);
        let mut multiplexed = self.multiplexed.borrow_mut();
        if let Some(unused) = multiplexed
            .iter()
            .position(|connection| connection.idle_since().is_some())
        {
            multiplexed.remove(unused);
        }
    }
}

#[cfg(test)]
#[path = "acquire_tests.rs"]
mod tests;
