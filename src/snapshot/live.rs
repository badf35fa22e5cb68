//! The snapshot in force.

use std::sync::Arc;

use super::Snapshot;
use crate::sync::ArcSwap;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The snapshot in force, and the number of times that it changed.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Snapshot>,
    generation: AtomicU64,
}

/// The snapshot that was in force at one time, as a worker keeps it until the next one.
#[derive(Debug)]
pub struct InForce {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The number of snapshots that were in force before it, or fewer.
    pub generation: u64,
}

impl Live {
    /// Starts with a snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        snapshot.name_entries();
        Self {
            current: ArcSwap::from_pointee(snapshot),
            generation: AtomicU64::new(0),
        }
    }

    /// Returns the snapshot in force.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another snapshot in force, for every request that begins from now on. Only one thread
    /// may call it at a time.
    pub fn swap(&self, snapshot: Snapshot) {
        snapshot.name_entries();
        self.current.store(Arc::new(snapshot));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Returns the snapshot in force with its generation.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        self.since(self.generation.load(Ordering::Acquire))
    }

    /// Returns the snapshot in force, if another one was when `generation` was read. While there is
    /// none, this costs one read of a number.
    #[must_use]
    pub fn newer_than(&self, generation: u64) -> Option<InForce> {
        let current = self.generation.load(Ordering::Acquire);
        (current != generation).then(|| self.since(current))
    }

    /// Returns the snapshot in force, which is that of `generation` or a later one. The generation
    /// is read first: after a swap in between, the next look finds another number and loads again.
    fn since(&self, generation: u64) -> InForce {
        InForce {
            snapshot: self.load(),
            generation,
        }
    }
}
