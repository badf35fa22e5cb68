//! The cache of verified tokens, in two levels: the hot tokens of each worker, in front of a level
//! that all workers share.
//!
//! An entry holds *authentication* only: this key has signed this text. Time, audience, scopes and
//! all else that a route requires are decided for each request. An entry ends with its key, with
//! the configuration of its issuer, and with its token; then the text of the token is overwritten.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::quality::RandomState;
use quick_cache::Weighter;
use tokio::time::sleep;

use super::claims::Registered;
use super::kind::OtherKind;
use super::secret::Secret;
use super::verifier_id::{CacheSlot, VerifierId};
use crate::clock::{self, UnixTime};
use crate::issuer::{Algorithm, Key};
use crate::policy::{Principal, SharedPrincipal};
use crate::sync::Cache;
use crate::telemetry::CacheResult;

/// The length of the longest token that is cached. Longer tokens are verified each time, since a
/// few of them would push out many others.
const MAX_CACHED_BYTES: usize = 8 * 1024;

/// The number of bytes at a token's end that are hashed a second time: more than two signatures
/// have in common.
const HASHED_END: usize = 64;

/// The interval at which tokens that have expired are dropped from the shared level.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// A token whose signature verified.
#[derive(Debug)]
pub(super) struct VerifiedToken {
    pub(super) text: Secret,
    /// The verifier that verified the token. Another verifier, including one for the same issuer
    /// after a change of its configuration, must not use the entry.
    pub(super) verifier: VerifierId,
    pub(super) key: Arc<Key>,
    /// The algorithm of a token whose `kid` is not the key's own. Other keys of the issuer decide
    /// whether such a token is tried with its key again.
    pub(super) chosen_for: Option<Algorithm>,
    pub(super) registered: Registered,
    /// The audience by the verifier's rules; empty if it asks for none.
    pub(super) audience: Vec<Box<str>>,
    /// The reason for which the verifier does not accept this kind of token, if it does not.
    pub(super) other_kind: Option<Box<OtherKind>>,
    pub(super) principal: Arc<Principal>,
}

impl VerifiedToken {
    /// Returns whether the entry can still be used: expired tokens are not kept
    /// (requirements.md#c06).
    fn is_alive(&self, now: UnixTime) -> bool {
        self.key.is_live() && now.0 < self.registered.expires
    }

    /// Returns whether the entry is for exactly this text, and its key has not been withdrawn.
    fn is_live_and_has(&self, text: &[u8]) -> bool {
        self.text.as_bytes() == text && self.key.is_live()
    }
}

/// The level of the cache that all workers share, bounded by bytes.
#[derive(Debug)]
pub struct SharedCache {
    /// The first half of a 128-bit hash with random keys, so that no client can aim at a slot
    /// (requirements.md#c08).
    high: RandomState,
    low: RandomState,
    tokens: Option<Cache<u128, Arc<VerifiedToken>, ByBytes, foldhash::fast::RandomState>>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<u128, Arc<VerifiedToken>> for ByBytes {
    /// Counts the text, the tree of claims (about twice the payload), and the bookkeeping.
    fn weight(&self, _: &u128, token: &Arc<VerifiedToken>) -> u64 {
        token.text.len() as u64 * 3 + 512
    }
}

impl SharedCache {
    /// Makes a cache of at most `bytes`; 0 turns it off.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / 4096).unwrap_or(usize::MAX);
        let entries = entries.clamp(16, 1 << 20);
        let tokens = (bytes > 0).then(|| {
            let hasher = foldhash::fast::RandomState::default();
            Cache::with(entries, bytes, ByBytes, hasher, Default::default())
        });
        Self {
            high: RandomState::default(),
            low: RandomState::default(),
            tokens,
        }
    }

    /// Drops tokens that have expired or whose key was withdrawn.
    pub fn sweep(&self, now: UnixTime) {
        if let Some(tokens) = &self.tokens {
            tokens.retain(|_, token| token.is_alive(now));
        }
    }

    /// Sweeps a cache every minute until it is dropped.
    pub async fn maintain(weak: Weak<Self>) {
        while let Some(cache) = weak.upgrade() {
            cache.sweep(clock::now().unix);
            drop(cache);
            sleep(SWEEP_INTERVAL).await;
        }
    }

    /// Returns the number of tokens in the cache.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.tokens {
            Some(tokens) => tokens.len(),
            None => 0,
        }
    }

    /// Returns whether the cache holds no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hashes a token. One half hashes the whole text; the other half hashes the end alone, which
    /// is the signature, so that one pass over the token is enough.
    pub(super) fn hash(&self, text: &[u8]) -> u128 {
        let start = text.len().saturating_sub(HASHED_END);
        let end = text.get(start..).unwrap_or_default();
        u128::from(self.high.hash_one(text)) << 64 | u128::from(self.low.hash_one(end))
    }
}

/// A cached token with reference counts of the worker's own, in the `Rc`s.
#[derive(Clone, Debug)]
#[expect(
    clippy::redundant_allocation,
    reason = "the Rc is the worker's own count"
)]
pub(super) struct HotToken {
    pub(super) token: Rc<Arc<VerifiedToken>>,
    pub(super) principal: SharedPrincipal,
}

impl HotToken {
    pub(super) fn new(token: Arc<VerifiedToken>) -> Self {
        Self {
            principal: Rc::new(token.principal.clone()),
            token: Rc::new(token),
        }
    }
}

/// The token cache of one worker: its own hot tokens, in front of the shared level.
#[derive(Debug)]
pub struct WorkerCache {
    shared: Arc<SharedCache>,
    pub(super) hot: RefCell<quick_cache::unsync::Cache<u128, HotToken>>,
}

impl WorkerCache {
    /// Makes a worker's cache of at most `tokens` hot tokens.
    #[must_use]
    pub fn new(shared: Arc<SharedCache>, tokens: usize) -> Self {
        Self {
            shared,
            hot: RefCell::new(quick_cache::unsync::Cache::new(tokens)),
        }
    }

    /// Drops tokens that have expired or whose key was withdrawn.
    pub fn sweep(&self, now: UnixTime) {
        self.hot
            .borrow_mut()
            .retain(|_, hot| hot.token.is_alive(now));
    }

    /// Returns the hash of a token; `None` if nothing is cached.
    pub(super) fn hash(&self, text: &[u8]) -> Option<u128> {
        self.shared.tokens.as_ref()?;
        Some(self.shared.hash(text))
    }

    /// Returns the entry in a slot with exactly this text, which has this hash, if its key has not
    /// been withdrawn.
    pub(super) fn find(
        &self,
        text: &[u8],
        hash: u128,
        slot: CacheSlot,
    ) -> Option<(HotToken, CacheResult)> {
        let shared = self.shared.tokens.as_ref()?;
        let hash = hash ^ slot.bits();
        if let Some(hot) = self.hot.borrow().get(&hash)
            && hot.token.is_live_and_has(text)
        {
            return Some((hot.clone(), CacheResult::Worker));
        }
        let token = shared.get(&hash)?;
        if !token.is_live_and_has(text) {
            return None;
        }
        let hot = HotToken::new(token);
        self.hot.borrow_mut().insert(hash, hot.clone());
        Some((hot, CacheResult::Shared))
    }

    /// Keeps a verified token on both levels, in the slot of its verifier.
    pub(super) fn keep(&self, hot: &HotToken, slot: CacheSlot) {
        let Some(shared) = &self.shared.tokens else {
            return;
        };
        if hot.token.text.len() > MAX_CACHED_BYTES {
            return;
        }
        let hash = self.shared.hash(hot.token.text.as_bytes()) ^ slot.bits();
        shared.insert(hash, Arc::clone(&hot.token));
        self.hot.borrow_mut().insert(hash, hot.clone());
    }
}
