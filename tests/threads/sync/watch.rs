//! A stand-in for `tokio::sync::watch`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use loom::sync::{Condvar, Mutex, MutexGuard};

/// A value that is changed under its lock. A task that waits for it blocks its thread, and looks again after each change that
/// its writer has declared.
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    value: T,
    version: usize,
}

pub(crate) struct Sender<T>(Arc<Shared<T>>);

pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) struct Ref<'a, T>(MutexGuard<'a, State<T>>);

/// The error if there is no sender any more: no model drops it first.
#[derive(Debug)]
pub(crate) struct RecvError;

impl<T> Shared<T> {
    fn borrow(&self) -> Ref<'_, T> {
        Ref(self.state.lock().unwrap())
    }
}

impl<T> Sender<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State { value, version: 0 }),
            changed: Condvar::new(),
        }))
    }

    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    pub(crate) fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut state = self.0.state.lock().unwrap();
        let is_modified = modify(&mut state.value);
        if is_modified {
            state.version += 1;
            drop(state);
            self.0.changed.notify_all();
        }
        is_modified
    }

    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver(self.0.clone())
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
        let mut state = self.0.state.lock().unwrap();
        while !is_awaited(&state.value) {
            let seen = state.version;
            while state.version == seen {
                state = self.0.changed.wait(state).unwrap();
            }
        }
        Ok(Ref(state))
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}
