//! A stand-in for `tokio::sync::Notify`.

use loom::sync::{Condvar, Mutex};

/// One permit at most, which a notification makes and a waiter takes. A task that waits blocks its thread.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    has_permit: Mutex<bool>,
    changed: Condvar,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        *self.has_permit.lock().unwrap() = true;
        self.changed.notify_one();
    }

    pub(crate) async fn notified(&self) {
        let mut has_permit = self.has_permit.lock().unwrap();
        while !*has_permit {
            has_permit = self.changed.wait(has_permit).unwrap();
        }
        *has_permit = false;
    }
}
