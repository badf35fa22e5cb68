//! A stand-in for `tokio::sync::Semaphore`, with the orders of its steps in memory, and without its queue.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};

/// A number of permits.
#[derive(Debug)]
pub(crate) struct Semaphore(AtomicUsize);

#[derive(Debug)]
pub(crate) struct OwnedSemaphorePermit(Option<Arc<Semaphore>>);

/// The error if no permit is free.
#[derive(Debug)]
pub(crate) struct NoPermit;

impl Semaphore {
    pub(crate) const MAX_PERMITS: usize = usize::MAX >> 3;

    pub(crate) fn new(permits: usize) -> Self {
        Self(AtomicUsize::new(permits))
    }

    pub(crate) fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, NoPermit> {
        let taken = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |permits| {
                permits.checked_sub(1)
            });
        match taken {
            Ok(_) => Ok(OwnedSemaphorePermit(Some(self))),
            Err(_) => Err(NoPermit),
        }
    }

    /// No model waits for a permit: the queue is the library's.
    pub(crate) async fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, NoPermit> {
        self.try_acquire_owned()
    }

    pub(crate) fn add_permits(&self, permits: usize) {
        self.0.fetch_add(permits, Ordering::Release);
    }

    pub(crate) fn forget_permits(&self, most: usize) -> usize {
        let step = |permits: usize| Some(permits.saturating_sub(most));
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        before.unwrap_or_default().min(most)
    }
}

impl OwnedSemaphorePermit {
    pub(crate) fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        if let Some(semaphore) = &self.0 {
            semaphore.add_permits(1);
        }
    }
}
