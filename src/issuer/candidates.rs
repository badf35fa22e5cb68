//! The keys of a set that may have signed a token, by the token's header.

use std::sync::Arc;

use super::jwks::KeySet;
use super::status::Cause;
use super::{Algorithm, Key};

/// The largest number of keys that are tried for a token without a `kid` (RFC 7515 §4.1.4 and
/// appendix D). Each of them costs a verification, for a forged token as well.
pub const MAX_CANDIDATES: usize = 8;

/// The fetch that a request waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// The number of the fetch.
    pub(super) fetch: u64,
    /// The reason why the request asked for it.
    pub(super) cause: Cause,
}

/// The keys to try for one token: at least one, and at most [`MAX_CANDIDATES`].
#[derive(Clone, Debug)]
pub struct Candidates {
    first: Arc<Key>,
    /// Empty for a token with a `kid`.
    others: Vec<Arc<Key>>,
    /// The fetch that the request waited for; `None` if it did not wait.
    pub(super) wait: Option<Wait>,
}

impl Candidates {
    /// Returns the keys that these are; `None` if there are none.
    pub(super) fn of<'k>(
        mut keys: impl Iterator<Item = &'k Arc<Key>>,
        wait: Option<Wait>,
    ) -> Option<Self> {
        Some(Self {
            first: Arc::clone(keys.next()?),
            others: keys.cloned().collect(),
            wait,
        })
    }

    /// Returns the keys in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Returns those that are not among `others`; `None` if there are none.
    pub(super) fn without(&self, others: &Self) -> Option<Self> {
        Self::of(self.iter().filter(|key| !others.has(key)), self.wait)
    }

    /// Returns whether all of these are among `others`.
    pub(super) fn is_within(&self, others: &Self) -> bool {
        self.iter().all(|key| others.has(key))
    }

    /// Returns whether a key is among these.
    fn has(&self, key: &Arc<Key>) -> bool {
        self.iter().any(|one| Arc::ptr_eq(one, key))
    }
}

impl KeySet {
    /// Returns the keys that a token may be signed with. A `kid` selects one key; without a `kid`
    /// the first keys that fit the algorithm are candidates.
    pub(super) fn candidates<'s>(
        &'s self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'s Arc<Key>> {
        let named = kid.and_then(|kid| self.named(kid, algorithm));
        let unnamed = if kid.is_none() { MAX_CANDIDATES } else { 0 };
        named
            .into_iter()
            .chain(self.fitting(algorithm).take(unnamed))
    }

    /// Returns the key with this `kid`. If there is none, returns the key without a `kid`, which
    /// RFC 7517 §4.5 makes optional, if it is the only one. Copies of it, each for an `alg` of its
    /// own, are the same key.
    fn named(&self, kid: &str, algorithm: Algorithm) -> Option<&Arc<Key>> {
        let mut nameless = self.fitting(algorithm).filter(|key| key.kid().is_none());
        let exact = self.fitting(algorithm).find(|key| key.kid() == Some(kid));
        if exact.is_some() {
            return exact;
        }
        let only = nameless.next()?;
        let is_only = nameless.all(|key| key.thumbprint() == only.thumbprint());
        is_only.then_some(only)
    }

    fn fitting(&self, algorithm: Algorithm) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.iter().filter(move |key| key.allows(algorithm))
    }
}
