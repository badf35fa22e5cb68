//! The numbers of verifiers, and their slots in the token cache.

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

/// The slot of a verifier in the token cache. Verifiers of one issuer have different slots, so that
/// a token that several of them verify has an entry for each. Verifiers of different issuers share
/// slots, and a request looks into few of them.
///
/// An entry names its verifier as well, so that two verifiers in one slot would only replace each
/// other's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSlot(u8);

impl CacheSlot {
    /// The slot of the only verifier of an issuer.
    pub const FIRST: Self = Self(0);

    /// The number of slots: one for each bit of [`SlotSet`]. The verifiers beyond share the last
    /// one.
    const COUNT: u8 = 64;

    /// Returns the first slot that is not taken.
    #[must_use]
    pub fn first_free(taken: &[Self]) -> Self {
        let mut free = (0..Self::COUNT).map(Self);
        let free = free.find(|slot| !taken.contains(slot));
        free.unwrap_or(Self(Self::COUNT - 1))
    }

    /// Returns the bits by which the slot changes the hash of a token.
    pub(super) fn bits(self) -> u128 {
        u128::from(self.0)
    }
}

/// A set of slots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlotSet(u64);

impl SlotSet {
    /// Adds a slot. Returns whether it was not in the set.
    pub(super) fn add(&mut self, slot: CacheSlot) -> bool {
        let bit = 1_u64 << slot.0;
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_until_all_are_taken() {
        let mut taken = Vec::new();
        for number in 0..CacheSlot::COUNT {
            assert_eq!(CacheSlot::first_free(&taken), CacheSlot(number));
            taken.push(CacheSlot(number));
        }
        assert_eq!(CacheSlot::first_free(&taken), CacheSlot(63));
        taken.remove(1);
        assert_eq!(CacheSlot::first_free(&taken), CacheSlot(1));
    }

    #[test]
    fn a_set_has_each_slot_once() {
        let mut set = SlotSet::default();
        for slot in [CacheSlot(0), CacheSlot(63), CacheSlot(1)] {
            assert!(set.add(slot), "{slot:?}");
            assert!(!set.add(slot), "{slot:?}");
        }
    }
}
