//! What an upstream has to do at a time, for all workers together.
//!
//! It outlives a reload: what began under an earlier configuration counts until it ends, and the
//! bounds are those of the configuration in force.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// What an upstream has to do.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    /// One permit for each connection that there may still be.
    connections: Arc<Semaphore>,
    /// How many there may be.
    most: AtomicUsize,
    /// How many more there are, since fewer may be.
    excess: AtomicUsize,
    /// Requests that wait for a connection.
    pub(super) pending: AtomicUsize,
    /// Requests that are under way, where `max_requests` bounds them.
    pub(super) under_way: AtomicUsize,
    /// Told when a request begins to wait: idle connections are closed to make room for one where
    /// it is wanted.
    pub(super) wanted: Notify,
}

/// A place among the connections that there may be; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    permit: Option<OwnedSemaphorePermit>,
    connection_limit: Arc<ConnectionLimit>,
}

impl ConnectionLimit {
    /// Nothing yet, and so many connections at most.
    pub(super) fn new(connections: usize) -> Arc<Self> {
        let most = connections.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            connections: Arc::new(Semaphore::new(most)),
            most: AtomicUsize::new(most),
            excess: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            wanted: Notify::new(),
        })
    }

    /// A place, if one is free and nobody waits for it.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let permit = self.connections.clone().try_acquire_owned().ok()?;
        Some(ConnectionPermit {
            permit: Some(permit),
            connection_limit: self.clone(),
        })
    }

    /// A place, when it is this one's turn. `None` never comes: the semaphore is not closed.
    pub(super) async fn acquire(self: Arc<Self>) -> Option<ConnectionPermit> {
        let permit = self.connections.clone().acquire_owned().await.ok()?;
        Some(ConnectionPermit {
            permit: Some(permit),
            connection_limit: self,
        })
    }

    /// Changes how many connections there may be. Those that are too many stay open, and none takes
    /// their places. Called by one thread alone.
    pub(super) fn allow(&self, connections: usize) {
        let most = connections.min(Semaphore::MAX_PERMITS);
        let before = self.most.swap(most, Ordering::Relaxed);
        if let Some(fewer) = before.checked_sub(most) {
            // First all of them are too many, so that one that closes meanwhile is not given out
            // again.
            self.excess.fetch_add(fewer, Ordering::Relaxed);
            let free = self.connections.forget_permits(fewer);
            self.give_back(free);
        } else {
            self.give_back(most - before);
        }
    }

    /// So many more may be open: some of those that are too many are not, and the rest is free.
    fn give_back(&self, count: usize) {
        let less = |excess: usize| Some(excess.saturating_sub(count));
        let excess = self
            .excess
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .unwrap_or_default();
        self.connections.add_permits(count.saturating_sub(excess));
    }

    fn is_too_many(&self) -> bool {
        let one = |excess: usize| excess.checked_sub(1);
        self.excess
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one)
            .is_ok()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if self.connection_limit.is_too_many()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many places as can be had at once.
    fn fill(connection_limit: &Arc<ConnectionLimit>) -> Vec<ConnectionPermit> {
        std::iter::from_fn(|| connection_limit.try_acquire()).collect()
    }

    #[test]
    fn fewer_connections_are_reached_as_connections_close() {
        let connection_limit = ConnectionLimit::new(4);
        let mut places = fill(&connection_limit);
        assert_eq!(places.len(), 4);
        connection_limit.allow(2);
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
        connection_limit.allow(1);
        connection_limit.allow(4);
        places.extend(fill(&connection_limit));
        assert_eq!(places.len(), 4);
        drop(places);
        connection_limit.allow(3);
        assert_eq!(fill(&connection_limit).len(), 3);
        connection_limit.allow(usize::MAX);
        connection_limit.allow(1);
        assert_eq!(fill(&connection_limit).len(), 1);
    }
}
