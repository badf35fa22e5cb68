//! Cells: each worker counts in its own, and a scrape adds them up.
//!
//! A worker's cell has one writer. So an increment is a load and a store, without a locked
//! instruction and without a line of the cache that moves between cores. Threads that are no
//! workers share a cell and add to it atomically.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The index of a thread that is no worker: no table is that long.
const NO_SLOT: usize = usize::MAX;

thread_local! {
    /// Where this thread counts.
    static SEAT: Cell<usize> = const { Cell::new(NO_SLOT) };
}

/// Which seats are taken, of all that ever were.
static SEATS: Mutex<Vec<bool>> = Mutex::new(Vec::new());

/// Their number, for who must not wait for the lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A worker's place among the cells. No two that live have the same, whatever gateway of the
/// process they are of: that is why a cell has one writer.
///
/// Seats are reserved before any worker counts, since a table of cells has room for those that were
/// there at its first use. A worker that comes later loses no count, but shares a cell.
#[derive(Debug)]
pub struct ShardSlot(usize);

/// A thread that has a seat, until this is dropped.
#[derive(Debug)]
pub struct ShardGuard {
    _seat: ShardSlot,
    /// The seat is this thread's; it cannot be given up by another.
    _here: PhantomData<Rc<()>>,
}

impl ShardSlot {
    /// Takes the first seat that is free.
    #[must_use]
    pub fn reserve() -> Self {
        let mut slots = slots();
        if let Some((index, taken)) = slots.iter_mut().enumerate().find(|(_, taken)| !**taken) {
            *taken = true;
            return Self(index);
        }
        slots.push(true);
        COUNT.store(slots.len(), Relaxed);
        Self(slots.len() - 1)
    }

    /// Lets the current thread count there.
    #[must_use = "the seat is given up when this is dropped"]
    pub fn occupy(self) -> ShardGuard {
        SEAT.set(self.0);
        ShardGuard {
            _seat: self,
            _here: PhantomData,
        }
    }

    /// How many there are, those included that are free again.
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
    /// Before the seat is free: what the thread counts from now on goes to the shared cells.
    fn drop(&mut self) {
        SEAT.set(NO_SLOT);
    }
}

fn slots() -> MutexGuard<'static, Vec<bool>> {
    SEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who writes a cell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer {
    /// The current thread and no other.
    Sole,
    /// Every thread that has no cell of its own.
    Shared,
}

/// A number that one writer or several add to, and that anybody reads.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds to it. The sum wraps, as an atomic addition does: to subtract is to add the complement.
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

/// Cells that share no line of the cache with another worker's: processors fetch lines of 64 bytes
/// in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

/// Cells of kind `T`, each made when its thread counts for the first time: what nobody counts takes
/// no room. `T` should be behind a pointer, and [`Apart`].
#[derive(Debug)]
pub(super) struct Sharded<T> {
    workers: OnceLock<Box<[OnceLock<T>]>>,
    shared: OnceLock<T>,
}

impl<T> Sharded<T> {
    pub(super) const fn new() -> Self {
        Self {
            workers: OnceLock::new(),
            shared: OnceLock::new(),
        }
    }

    /// The cell of the current thread, and whether it is its own.
    pub(super) fn mine(&self, make: impl FnOnce() -> T) -> (&T, Writer) {
        let slot = SEAT.get();
        // A thread without a seat makes no table: it may count before any seat is reserved.
        if slot != NO_SLOT
            && let Some(own) = self.workers.get_or_init(Self::table).get(slot)
        {
            return (own.get_or_init(make), Writer::Sole);
        }
        (self.shared.get_or_init(make), Writer::Shared)
    }

    /// Whether nobody has counted yet.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.workers.get().is_none() && self.shared.get().is_none()
    }

    /// All that were made, in no order that means anything.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        let workers = self
            .workers
            .get()
            .into_iter()
            .flat_map(|table| table.iter().filter_map(OnceLock::get));
        workers.chain(self.shared.get())
    }

    fn table() -> Box<[OnceLock<T>]> {
        (0..ShardSlot::count()).map(|_| OnceLock::new()).collect()
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
                    let _seated = slot.occupy();
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
        // It holds what it has, so that the next seat is beyond the table.
        let mut held = vec![ShardSlot::reserve()];
        let seated = held.pop().unwrap().occupy();
        count(&shards, 3);
        let length = shards.workers.get().unwrap().len();
        let late = loop {
            match ShardSlot::reserve() {
                late if late.0 >= length => break late,
                early => held.push(early),
            }
        };
        drop(seated);
        let _seated = late.occupy();
        count(&shards, 4);
        assert_eq!(sum(&shards), 7);
        assert_eq!(shards.shared.get().unwrap().get(), 4);
    }

    #[test]
    fn no_two_threads_have_the_same_seat_at_a_time() {
        const THREADS: usize = 8;
        let barrier = Barrier::new(THREADS);
        let mut taken: Vec<usize> = thread::scope(|scope| {
            let thread = || {
                let seated = ShardSlot::reserve().occupy();
                barrier.wait();
                let index = SEAT.get();
                barrier.wait();
                drop(seated);
                assert_eq!(SEAT.get(), NO_SLOT);
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
    fn a_seat_that_was_given_up_goes_on_counting_where_it_was() {
        let shards = Sharded::new();
        for _ in 0..3 {
            let _seated = ShardSlot::reserve().occupy();
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
