//! The connections and requests of an upstream, counted over all workers.
//!
//! The counts outlive a reload: what began under an earlier configuration counts until it ends. The
//! limits are those of the configuration in force.

use std::mem;
use std::sync::{Arc, PoisonError};

use super::bounded_count::BoundedCount;
use crate::sync::{Mutex, MutexGuard, Notify, OwnedSemaphorePermit, Semaphore};

/// The connections and requests of an upstream, and the limit of its connections.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    /// One permit for each connection that may still be opened.
    connections: Arc<Semaphore>,
    bound: Mutex<Bound>,
    /// The number of requests that wait for a connection.
    pub(super) pending: BoundedCount,
    /// The number of requests under way, if `max_requests` limits them.
    pub(super) under_way: BoundedCount,
    /// Notified when a request begins to wait, so that other workers close an idle connection for
    /// it.
    pub(super) wanted: Notify,
}

/// The limit of connections. It is locked while permits change with it, and while a connection
/// ends: a permit must not become free after the limit was lowered, because the connection that
/// had it found nothing above the limit before.
#[derive(Debug)]
struct Bound {
    limit: usize,
    /// The number of open connections above the limit, after it was lowered.
    excess: usize,
}

/// A permit for one connection. Dropping it frees the permit.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    permit: Option<OwnedSemaphorePermit>,
    connection_limit: Arc<ConnectionLimit>,
}

impl ConnectionLimit {
    /// Creates the limit of an upstream without connections.
    pub(super) fn new(connections: usize) -> Arc<Self> {
        let limit = connections.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            connections: Arc::new(Semaphore::new(limit)),
            bound: Mutex::new(Bound { limit, excess: 0 }),
            pending: BoundedCount::new(),
            under_way: BoundedCount::new(),
            wanted: Notify::new(),
        })
    }

    /// Returns a permit, if one is free and no request waits for it.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let permit = self.connections.clone().try_acquire_owned().ok()?;
        Some(ConnectionPermit {
            permit: Some(permit),
            connection_limit: self.clone(),
        })
    }

    /// Waits for a permit. Never returns `None`: the semaphore is not closed.
    pub(super) async fn acquire(self: Arc<Self>) -> Option<ConnectionPermit> {
        let permit = self.connections.clone().acquire_owned().await.ok()?;
        Some(ConnectionPermit {
            permit: Some(permit),
            connection_limit: self,
        })
    }

    /// Changes the limit. Connections above it stay open, and their permits are not given out
    /// again.
    pub(super) fn set_limit(&self, connections: usize) {
        let limit = connections.min(Semaphore::MAX_PERMITS);
        let mut bound = self.lock();
        let before = mem::replace(&mut bound.limit, limit);
        if let Some(fewer) = before.checked_sub(limit) {
            let free = self.connections.forget_permits(fewer);
            bound.excess += fewer - free;
        } else {
            // First for those above the limit, the rest as free permits.
            let more = limit - before;
            let above = more.min(bound.excess);
            bound.excess -= above;
            self.connections.add_permits(more - above);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut bound = self.connection_limit.lock();
        let Some(permit) = self.permit.take() else {
            return;
        };
        match bound.excess.checked_sub(1) {
            None => drop(permit),
            Some(left) => {
                bound.excess = left;
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all permits that are free.
    fn fill(connection_limit: &Arc<ConnectionLimit>) -> Vec<ConnectionPermit> {
        std::iter::from_fn(|| connection_limit.try_acquire()).collect()
    }

    #[test]
    fn fewer_connections_are_reached_as_connections_close() {
        let connection_limit = ConnectionLimit::new(4);
        let mut places = fill(&connection_limit);
        assert_eq!(places.len(), 4);
        connection_limit.set_limit(2);
        for left in [3, 2] {
            places.pop();
            assert_eq!(places.len(), left);
            assert!(
                connection_limit.try_acquire().is_none(),
                "{left} are open and 2 may be"
            );
        }
        places.pop();
        assert_eq!(fill(&connection_limit).len(), 1, "one is open and 2 may be");
        drop(places);
        assert_eq!(fill(&connection_limit).len(), 2);
    }

    #[test]
    fn more_connections_may_be_at_once() {
        let connection_limit = ConnectionLimit::new(2);
        let mut places = fill(&connection_limit);
        connection_limit.set_limit(1);
        connection_limit.set_limit(4);
        places.extend(fill(&connection_limit));
        assert_eq!(places.len(), 4);
        drop(places);
        connection_limit.set_limit(3);
        assert_eq!(fill(&connection_limit).len(), 3);
        connection_limit.set_limit(usize::MAX);
        connection_limit.set_limit(1);
        assert_eq!(fill(&connection_limit).len(), 1);
    }
}
