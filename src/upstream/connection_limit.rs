//! The connections and requests of an upstream, counted over all workers.
//!
//! The counts outlive a reload: what began under an earlier configuration counts until it ends. The
//! limits are those of the configuration in force.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The connections and requests of an upstream, and the limit of its connections.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    /// One permit for each connection that may still be opened.
    connections: Arc<Semaphore>,
    /// The limit of connections.
    limit: AtomicUsize,
    /// The number of open connections above the limit, after it was lowered.
    excess: AtomicUsize,
    /// The number of requests that wait for a connection.
    pub(super) pending: AtomicUsize,
    /// The number of requests under way, if `max_requests` limits them.
    pub(super) under_way: AtomicUsize,
    /// Notified when a request begins to wait, so that other workers close an idle connection for
    /// it.
    pub(super) wanted: Notify,
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
            limit: AtomicUsize::new(limit),
            excess: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
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
    /// again. Only one thread may call it.
    pub(super) fn set_limit(&self, connections: usize) {
        let limit = connections.min(Semaphore::MAX_PERMITS);
        let before = self.limit.swap(limit, Ordering::Relaxed);
        if let Some(fewer) = before.checked_sub(limit) {
            // At first the whole difference counts as excess, so that the permit of a connection
            // that closes meanwhile is not given out again.
            self.excess.fetch_add(fewer, Ordering::Relaxed);
            let free = self.connections.forget_permits(fewer);
            self.give_back(free);
        } else {
            self.give_back(limit - before);
        }
    }

    /// Allows `count` more connections: first for those above the limit, the rest as free permits.
    fn give_back(&self, count: usize) {
        let excess = self
            .excess
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |excess| {
                Some(excess.saturating_sub(count))
            })
            .unwrap_or_default();
        self.connections.add_permits(count.saturating_sub(excess));
    }

    /// Counts the end of a connection above the limit. Returns false if there is none above it.
    fn take_excess(&self) -> bool {
        self.excess
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |excess| {
                excess.checked_sub(1)
            })
            .is_ok()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if self.connection_limit.take_excess()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
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
