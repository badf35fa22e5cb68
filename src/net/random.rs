//! Random numbers that need not be secret: for jitter, choices and identifiers.

use std::hash::{BuildHasher as _, RandomState};

/// Returns a random number. Every random choice of the gateway begins with one, so that a
/// simulation can repeat them all.
///
/// The hashers of the standard library have random keys, which are good enough for numbers that are
/// no secret. The generator of the crypto library gathers entropy for a tenth of a second at its
/// first use.
#[must_use]
pub fn random() -> u64 {
    #[cfg(test)]
    if let Some(number) = super::simulated::random() {
        return number;
    }
    RandomState::new().hash_one(0)
}
