//! Sharded counters: each worker writes a shard of its own, and a scrape adds them up.
//!
//! The shard of a worker has one writer. So an increment is a load and a store, without a locked
//! instruction and without moving a cache line between cores. Threads that are not workers share
//! one shard and add to it atomically.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::PoisonError;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use crate::sync::{Mutex, MutexGuard, OnceLock, global, thread_local};

/// The index of a thread that is not a worker: no table is that long.
const NO_SLOT: usize = usize::MAX;

thread_local! {
    /// The slot of the current thread.
    static SLOT: Cell<usize> = const { Cell::new(NO_SLOT) };
}

global! {
    /// The slots that were ever reserved; true for those in use.
    static SLOTS: Mutex<Vec<bool>> = Mutex::new(Vec::new());
}

global! {
    /// The number of slots, readable without the lock.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
}

/// A slot for a worker, which selects its shard of every counter. Two slots that are in use at the
/// same time are different, even if they belong to different gateways of the process: that is why a
/// shard has one writer.
///
/// Slots are reserved before any worker counts, since a table has shards for the slots that existed
/// when it was first used. A worker with a later slot loses no count, but uses the shared shard.
#[derive(Debug)]
pub struct ShardSlot(usize);

/// Assigns a slot to the current thread until it is dropped.
#[derive(Debug)]
pub struct ShardGuard {
    _slot: ShardSlot,
    /// Not `Send`: only the thread that occupies the slot can give it up.
    _here: PhantomData<Rc<()>>,
}

impl ShardSlot {
    /// Reserves the first free slot.
    #[must_use]
    pub fn reserve() -> Self {
        let mut slots = slots();
        for (index, is_taken) in slots.iter_mut().enumerate() {
            if !*is_taken {
                *is_taken = true;
                return Self(index);
            }
        }
        slots.push(true);
        COUNT.store(slots.len(), Relaxed);
        Self(slots.len() - 1)
    }

    /// Assigns the slot to the current thread.
    #[must_use = "the slot is given up when this is dropped"]
    pub fn occupy(self) -> ShardGuard {
        SLOT.with(|slot| slot.set(self.0));
        ShardGuard {
            _slot: self,
            _here: PhantomData,
        }
    }

    /// Returns the number of slots, free ones included.
    #[must_use]
    pub fn count() -> usize {
        COUNT.load(Relaxed)
    }
}

impl Drop for ShardSlot {
    fn drop(&mut self) {
        if let Some(taken) = slots().get_mut(self.0) {
            *taken = false;
        }
    }
}

impl Drop for ShardGuard {
    /// Runs before the slot is freed: the thread uses the shared shards from now on.
    fn drop(&mut self) {
        SLOT.with(|slot| slot.set(NO_SLOT));
    }
}

fn slots() -> MutexGuard<'static, Vec<bool>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The threads that write a shard.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer {
    /// Only the current thread.
    Sole,
    /// Every thread without a shard of its own.
    Shared,
}

/// A number that one or several writers add to, and that any thread reads.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds to the number, wrapping around at the limit of the type: to subtract, add the
    /// complement.
    pub(super) fn add(&self, by: u64, writer: Writer) {
        match writer {
            Writer::Sole => self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed),
            Writer::Shared => {
                self.0.fetch_add(by, Relaxed);
            }
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A shard in a cache line that no other worker's shard uses: processors fetch lines of 64 bytes in
/// pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

/// A counter of type `T` in shards. A shard is created when its thread counts for the first time,
/// so a counter that is not used takes no memory. `T` should be behind a pointer, and [`Apart`].
#[derive(Debug)]
pub(super) struct Sharded<T> {
    workers: OnceLock<Box<[OnceLock<T>]>>,
    shared: OnceLock<T>,
}

impl<T> Sharded<T> {
    pub(super) fn new() -> Self {
        Self {
            workers: OnceLock::new(),
            shared: OnceLock::new(),
        }
    }

    /// Returns the shard of the current thread, and whether other threads write it too.
    pub(super) fn mine(&self, make: impl FnOnce() -> T) -> (&T, Writer) {
        let slot = SLOT.with(Cell::get);
        // A thread without a slot creates no table: it may count before any slot is reserved.
        if slot != NO_SLOT
            && let Some(own) = self.workers.get_or_init(Self::table).get(slot)
        {
            return (own.get_or_init(make), Writer::Sole);
        }
        (self.shared.get_or_init(make), Writer::Shared)
    }

    /// Returns whether nothing was counted.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.workers.get().is_none() && self.shared.get().is_none()
    }

    /// Returns all shards, in no particular order.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        let workers = self.workers.get().map_or(&[][..], |table| table);
        let own = workers.iter().filter_map(OnceLock::get);
        own.chain(self.shared.get())
    }

    fn table() -> Box<[OnceLock<T>]> {
        let mut table = Vec::new();
        table.resize_with(ShardSlot::count(), OnceLock::new);
        table.into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn sum(shards: &Sharded<Count>) -> u64 {
        shards.all().map(Count::get).sum()
    }

    fn count(shards: &Sharded<Count>, times: usize) {
        for _ in 0..times {
            let (own, writer) = shards.mine(Count::default);
            own.add(1, writer);
        }
    }

    #[test]
    fn counts_of_many_threads_add_up() {
        const WORKERS: usize = 4;
        const OTHERS: usize = 3;
        const TIMES: usize = 20_000;
        let shards = Sharded::new();
        let slots: Vec<_> = (0..WORKERS).map(|_| ShardSlot::reserve()).collect();
        thread::scope(|scope| {
            for slot in slots {
                scope.spawn(|| {
                    let _guard = slot.occupy();
                    count(&shards, TIMES);
                });
            }
            for _ in 0..OTHERS {
                scope.spawn(|| count(&shards, TIMES));
            }
        });
        assert_eq!(sum(&shards), ((WORKERS + OTHERS) * TIMES) as u64);
        assert_eq!(
            shards.all().count(),
            WORKERS + 1,
            "each worker has its own, the others have one"
        );
    }

    #[test]
    fn a_worker_that_came_after_the_table_loses_no_count() {
        let shards = Sharded::new();
        // It keeps the slots that it reserves, so that the next one is beyond the table.
        let mut held = vec![ShardSlot::reserve()];
        let guard = held.pop().unwrap().occupy();
        count(&shards, 3);
        let length = shards.workers.get().unwrap().len();
        let late = loop {
            match ShardSlot::reserve() {
                late if late.0 >= length => break late,
                early => held.push(early),
            }
        };
        drop(guard);
        let _guard = late.occupy();
        count(&shards, 4);
        assert_eq!(sum(&shards), 7);
        assert_eq!(shards.shared.get().unwrap().get(), 4);
    }

    #[test]
    fn no_two_threads_have_the_same_slot_at_a_time() {
        const THREADS: usize = 8;
        let barrier = Barrier::new(THREADS);
        let mut taken: Vec<usize> = thread::scope(|scope| {
            let thread = || {
                let guard = ShardSlot::reserve().occupy();
                barrier.wait();
                let index = SLOT.with(Cell::get);
                barrier.wait();
                drop(guard);
                assert_eq!(SLOT.with(Cell::get), NO_SLOT);
                index
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(thread)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), THREADS);
    }

    #[test]
    fn a_slot_that_was_given_up_keeps_its_counts() {
        let shards = Sharded::new();
        for _ in 0..3 {
            let _guard = ShardSlot::reserve().occupy();
            count(&shards, 2);
        }
        assert_eq!(sum(&shards), 6);
    }

    #[test]
    fn workers_share_no_line_of_the_cache() {
        assert_eq!(align_of::<Apart<Count>>(), 128);
        assert_eq!(size_of::<Apart<Count>>(), 128);
    }
}
