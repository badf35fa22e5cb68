//! The numbers of verifiers.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a verifier, which no other verifier of the process has: it stands for the verifier
/// where a borrow would not live long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifierId(u64);

impl VerifierId {
    /// Returns a number that was not returned before.
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
