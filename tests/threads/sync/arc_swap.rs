//! A stand-in for `arc_swap::ArcSwap`.

use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicUsize, Ordering};

/// A pointer that is replaced as a whole. A load returns any value that nothing has ordered before it to be out of date, and
/// sees what the thread that stored it had written until then: no more than that is promised.
#[derive(Debug)]
pub(crate) struct ArcSwap<T> {
    /// All values that were ever stored. The lock is no step of the model.
    values: Mutex<Vec<Arc<T>>>,
    current: AtomicUsize,
}

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        Self {
            values: Mutex::new(vec![Arc::new(value)]),
            current: AtomicUsize::new(0),
        }
    }

    pub(crate) fn load(&self) -> Arc<T> {
        self.load_full()
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        let index = self.current.load(Ordering::Acquire);
        self.values.lock().unwrap()[index].clone()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        let mut values = self.values.lock().unwrap();
        values.push(value);
        let index = values.len() - 1;
        drop(values);
        self.current.store(index, Ordering::Release);
    }
}
