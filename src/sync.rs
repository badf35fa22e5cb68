//! The types by which threads share state, for the files whose threads keep rules of their own.
//!
//! `tests/threads` compiles the same files with other types under these names, which try the orders
//! in which the steps of the threads can happen.

pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock, atomic};
pub(crate) use std::thread_local;

pub(crate) use arc_swap::ArcSwap;
pub(crate) use quick_cache::sync::Cache;
#[cfg(not(test))]
pub(crate) use tokio::sync::watch;
pub(crate) use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

#[cfg(test)]
pub(crate) mod watch;

/// Declares a static.
macro_rules! global {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$attribute])*
        static $name: $type = $value;
    };
}

pub(crate) use global;
