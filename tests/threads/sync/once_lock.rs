//! A stand-in for `std::sync::OnceLock`.

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering};

/// A value that the first thread that needs it makes, while the others wait.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_ready: AtomicBool,
    making: Mutex<()>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            is_ready: AtomicBool::new(false),
            making: Mutex::new(()),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        let is_ready = self.is_ready.load(Ordering::Acquire);
        is_ready.then(|| self.value.get().unwrap())
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _making = self.making.lock().unwrap();
        if self.value.get().is_none() {
            let _ = self.value.set(make());
            self.is_ready.store(true, Ordering::Release);
        }
        self.value.get().unwrap()
    }
}
