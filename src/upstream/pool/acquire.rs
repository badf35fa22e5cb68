//! The permission for a new connection, and how a request waits for one (requirements.md#l08).

use std::cell::Cell;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until};

use super::super::connection_limit::{ConnectionLimit, ConnectionPermit};
use super::super::{Endpoint, Fault, Upstream};
use super::connections::{Carrier, Connections};
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
    /// The requests for the same connections that wait.
    of_pool: &'a Cell<usize>,
}

impl<'a> Waiting<'a> {
    /// Begins to wait; `None` if too many requests wait already.
    fn begin(upstream: &'a Upstream, of_pool: &'a Cell<usize>) -> Option<Self> {
        let connection_limit = &upstream.connection_limit;
        if !connection_limit
            .pending
            .try_add(upstream.settings.max_pending)
        {
            return None;
        }
        of_pool.set(of_pool.get() + 1);
        Some(Self {
            connection_limit,
            of_pool,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.connection_limit.pending.subtract();
        self.of_pool.set(self.of_pool.get().saturating_sub(1));
    }
}

/// Returns a permit for a connection or a connection that became free, at once or within the
/// connect timeout.
pub(super) async fn acquire<B>(connections: &Rc<Connections<B>>) -> Result<Acquired<B>, Fault>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    watch(connections);
    let upstream = &connections.upstream;
    if let Some(permit) = upstream.connection_limit.try_acquire() {
        return Ok(Acquired::New(permit));
    }
    // A connection that was to be avoided is better than none.
    if let Some(carrier) = connections.take(clock::monotonic(), &[]) {
        return Ok(Acquired::Freed(carrier));
    }
    let _waiting = Waiting::begin(upstream, &connections.waiting).ok_or(Fault::Overloaded)?;
    let deadline = clock::monotonic() + upstream.settings.queue_timeout;
    let mut permit = pin!(upstream.connection_limit.clone().acquire());
    let mut late = pin!(sleep_until(deadline.into()));
    upstream.connection_limit.wanted.notify_waiters();
    loop {
        tokio::select! {
            biased;
            permit = &mut permit => return permit.map(Acquired::New).ok_or(Fault::Overloaded),
            () = connections.freed.notified() => {
                if let Some(carrier) = connections.take(clock::monotonic(), &[]) {
                    return Ok(Acquired::Freed(carrier));
                }
            }
            () = &mut late => return Err(connections.timed_out(Stage::Waiting)),
        }
    }
}

/// Spawns the task that watches idle connections, unless it runs already.
fn watch<B>(connections: &Rc<Connections<B>>)
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    if connections.watch.borrow().is_some() {
        return;
    }
    let (held, released) = oneshot::channel();
    connections.watch.replace(Some(held));
    let upstream = connections.upstream.clone();
    let endpoint = connections.endpoint.clone();
    tokio::task::spawn_local(watch_idle(
        upstream,
        endpoint,
        Rc::downgrade(connections),
        released,
    ));
}

/// Closes idle connections that their upstream has closed or whose address was removed, and one
/// whenever a request of another worker begins to wait for a permit. Ends when they are dropped.
async fn watch_idle<B>(
    upstream: Arc<Upstream>,
    endpoint: Arc<Endpoint>,
    connections: Weak<Connections<B>>,
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
            () = connection_event(&connections, &mut is_woken) => false,
        };
        let Some(connections) = connections.upgrade() else {
            return;
        };
        if is_wanted {
            // The next notification is registered before anything else, so that no request that
            // begins to wait is missed.
            next_wanted.set(wanted.notified());
            connections.give_up_one();
        } else {
            is_woken = false;
            connections.sweep();
        }
    }
}

/// Waits for an event on an idle connection, and for further events for a short time.
///
/// A connection has woken the task if it is polled again and no other branch is ready. Since a
/// connection may also wake it together with another branch, `is_woken` is kept until the next
/// sweep.
async fn connection_event<B>(connections: &Weak<Connections<B>>, is_woken: &mut bool) {
    poll_fn(|cx| {
        if let Some(connections) = connections.upgrade() {
            connections.watcher.replace(cx.waker().clone());
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
