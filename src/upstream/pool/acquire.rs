//! The permission for a new connection, and how a request waits for one (requirements.md#l08).

use std::cell::Cell;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until};

use super::super::connection_limit::{ConnectionLimit, ConnectionPermit};
use super::super::{Endpoint, Fault, Upstream};
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
struct Waiting<'a> {
    connection_limit: &'a ConnectionLimit,
    /// The requests of the same pool that wait.
    of_pool: &'a Cell<usize>,
}

impl<'a> Waiting<'a> {
    /// Begins to wait; `None` if too many requests wait already.
    fn begin(upstream: &'a Upstream, of_pool: &'a Cell<usize>) -> Option<Self> {
        let connection_limit = &upstream.connection_limit;
        let others = connection_limit.pending.fetch_add(1, Ordering::Relaxed);
        of_pool.set(of_pool.get() + 1);
        let waiting = Self {
            connection_limit,
            of_pool,
        };
        (others < upstream.settings.max_pending).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let pending = &self.connection_limit.pending;
        pending.fetch_sub(1, Ordering::Relaxed);
        self.of_pool.set(self.of_pool.get().saturating_sub(1));
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
        let pending = &self.upstream.connection_limit.pending;
        self.waiting.get() == 0 && pending.load(Ordering::Relaxed) > 0
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
                () = &mut late => return Err(self.timed_out(Stage::Waiting)),
            }
        }
    }

    /// Spawns the task that watches idle connections, unless it runs already.
    fn watch(self: &Rc<Self>) {
        if self.watch.borrow().is_some() {
            return;
        }
        let (held, released) = oneshot::channel();
        self.watch.replace(Some(held));
        let upstream = self.upstream.clone();
        let endpoint = self.endpoint.clone();
        tokio::task::spawn_local(watch_idle(
            upstream,
            endpoint,
            Rc::downgrade(self),
            released,
        ));
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
        let unused = multiplexed
            .iter()
            .position(|connection| connection.idle_since().is_some());
        if let Some(unused) = unused {
            multiplexed.remove(unused);
        }
    }
}

/// Closes idle connections that their upstream has closed or whose address was removed, and one
/// whenever a request of another worker begins to wait for a permit. Ends when the pool is dropped.
async fn watch_idle<B>(
    upstream: Arc<Upstream>,
    endpoint: Arc<Endpoint>,
    pool: Weak<Pool<B>>,
    mut released: oneshot::Receiver<()>,
) where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let wanted = &upstream.connection_limit.wanted;
    let mut next_wanted = pin!(wanted.notified());
    let mut is_woken = false;
    loop {
        let is_wanted = tokio::select! {
            biased;
            _ = &mut released => return,
            () = &mut next_wanted => true,
            () = endpoint.addresses.removed.notified() => false,
            () = connection_event(&pool, &mut is_woken) => false,
        };
        let Some(pool) = pool.upgrade() else { return };
        if is_wanted {
            // The next notification is registered before anything else, so that no request that
            // begins to wait is missed.
            next_wanted.set(wanted.notified());
            pool.give_up_one();
        } else {
            is_woken = false;
            pool.sweep();
        }
    }
}

/// Waits for an event on an idle connection, and for further events for a short time.
///
/// A connection has woken the task if it is polled again and no other branch is ready. Since a
/// connection may also wake it together with another branch, `is_woken` is kept until the next
/// sweep.
async fn connection_event<B>(pool: &Weak<Pool<B>>, is_woken: &mut bool) {
    poll_fn(|cx| {
        if let Some(pool) = pool.upgrade() {
            pool.watcher.replace(cx.waker().clone());
        }
        if std::mem::replace(is_woken, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    sleep(PAUSE).await;
}

#[cfg(test)]
#[path = "acquire_tests.rs"]
mod tests;
