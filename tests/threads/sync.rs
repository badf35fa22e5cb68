//! What `src/sync.rs` gives to the gateway, as stand-ins: each step of a thread that another thread can notice is a step of
//! the model. Those that are not loom's promise no more than the documentation of what they stand for.

mod arc_swap;
mod cache;
mod notify;
mod once_lock;
mod semaphore;
pub(crate) mod watch;

pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};

pub(crate) use arc_swap::ArcSwap;
pub(crate) use cache::Cache;
pub(crate) use notify::Notify;
pub(crate) use once_lock::OnceLock;
pub(crate) use semaphore::{OwnedSemaphorePermit, Semaphore};

/// Declares a static that each execution has anew.
macro_rules! global {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        loom::lazy_static! {
            $(#[$attribute])*
            static ref $name: $type = $value;
        }
    };
}

pub(crate) use global;

/// Declares a thread local. `loom`'s macro knows no block of constants.
macro_rules! local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };) => {
        loom::thread_local! {
            $(#[$attribute])*
            static $name: $type = $value;
        }
    };
}

pub(crate) use local as thread_local;
