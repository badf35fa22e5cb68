//! Whether an issuer still publishes a key.

use crate::sync::atomic::{AtomicBool, Ordering};

/// A mark on a key that every cached token asks for. Once the key is retired, it stays retired.
#[derive(Debug)]
pub(super) struct Liveness(AtomicBool);

impl Liveness {
    /// Creates the mark of a key that is published.
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    pub(super) fn is_live(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn retire(&self) {
        self.0.store(false, Ordering::Release);
    }
}
