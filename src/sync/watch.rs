//! A stand-in for `tokio::sync::watch` in the tests of this library. Those who wait go on in the
//! order in which they came, so that a simulation can repeat it: the channel of tokio draws it.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

#[derive(Debug)]
struct Shared<T> {
    value: Mutex<T>,
    changed: Notify,
    /// Set when the sender was dropped.
    is_over: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) struct Ref<'a, T>(MutexGuard<'a, T>);

/// The error of waiting for a sender that was dropped.
#[derive(Debug)]
pub(crate) struct RecvError;

impl<T> Shared<T> {
    fn borrow(&self) -> Ref<'_, T> {
        Ref(self.value.lock().unwrap())
    }
}

impl<T> Sender<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            value: Mutex::new(value),
            changed: Notify::new(),
            is_over: AtomicBool::new(false),
        }))
    }

    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    pub(crate) fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        modify(&mut self.0.value.lock().unwrap());
        self.0.changed.notify_waiters();
    }

    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let is_modified = modify(&mut self.0.value.lock().unwrap());
        if is_modified {
            self.0.changed.notify_waiters();
        }
        is_modified
    }

    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

impl<T> Receiver<T> {
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    pub(crate) async fn wait_for(
        &mut self,
        mut is_awaited: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        loop {
            // Made before the value is read: it is woken by every change from now on.
            let changed = self.0.changed.notified();
            if is_awaited(&self.0.value.lock().unwrap()) {
                return Ok(self.0.borrow());
            }
            if self.0.is_over.load(Ordering::Acquire) {
                return Err(RecvError);
            }
            changed.await;
        }
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
