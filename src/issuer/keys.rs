//! An issuer as the workers see it: a worker looks up a key, or waits for the fetch that may bring
//! it.
//!
//! Workers never fetch. A request whose key is missing notifies the control thread and waits on a
//! status that this thread writes; both work across runtimes. One fetch per cool-down answers all
//! waiting requests, however many there are.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::jwks::{JwksError, KeySet, Skips};
use super::{Algorithm, IssuerSettings, Key, KeySource};
use crate::clock;
use crate::telemetry::IssuerMetrics;

/// An issuer and its keys, shared by all workers. A reload that does not change the issuer's
/// settings keeps it.
pub struct Issuer {
    entry: IssuerSettings,
    metrics: Arc<IssuerMetrics>,
    keys: ArcSwap<KeySet>,
    status: watch::Sender<Status>,
    demand: Arc<Notify>,
}

/// The progress of the fetches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Status {
    /// A fetch is in progress.
    pub(super) fetching: bool,
    /// The number of fetches that have ended.
    pub(super) ended: u64,
    /// The end of the last fetch.
    pub(super) last: Option<Instant>,
    /// The end of the last successful fetch.
    pub(super) last_good: Option<Instant>,
    /// The last key set that was fetched is empty: the issuer has withdrawn all of its keys.
    pub(super) withdrawn: bool,
    /// The issuer has left the configuration and has no keys any more.
    pub(super) retired: bool,
}

/// The reason why a key is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The issuer's current key set has no such key: the token is not valid.
    Unknown,
    /// The key set could not be fetched or is empty: the token cannot be judged.
    Unavailable {
        /// The delay before another attempt is useful.
        retry_after: Duration,
    },
}

/// The state of an issuer's keys, for readiness and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuerState {
    /// The number of usable keys.
    pub keys: usize,
    /// The time since the keys were last fetched, by this process or an earlier one; `None` before
    /// the first fetch, and always for keys that are not fetched.
    pub age: Option<Duration>,
    /// Set when a fetch has ended, successfully or not; always for keys that are not fetched.
    pub tried: bool,
    /// Set when the last fetch succeeded; always for keys that are not fetched.
    pub last_ok: bool,
}

/// The difference between two key sets of one issuer.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) added: Vec<Arc<Key>>,
    pub(super) removed: Vec<Arc<Key>>,
    /// The number of keys that stayed.
    pub(super) kept: usize,
    /// The skipped keys of the new set, if they differ from those of the old one.
    pub(super) skips: Option<Skips>,
    /// Set when the new set is empty and the old one was not.
    pub(super) withdrawn: bool,
}

impl Issuer {
    /// Creates an issuer without keys, or with the keys that the configuration contains.
    ///
    /// # Errors
    /// [`JwksError`], for keys in the configuration.
    pub fn new(entry: IssuerSettings, metrics: Arc<IssuerMetrics>) -> Result<Arc<Self>, JwksError> {
        let keys = match &entry.keys {
            KeySource::Static(text) => match KeySet::parse(text.as_bytes(), entry.fetch.max_keys) {
                Ok(keys) => Some(keys),
                Err(JwksError::Empty) => None,
                Err(error) => return Err(error),
            },
            KeySource::Discovery(_) | KeySource::Uri(_) => Some(KeySet::default()),
        };
        let status = Status {
            withdrawn: keys.is_none(),
            ..Status::default()
        };
        let issuer = Self {
            entry,
            metrics,
            keys: ArcSwap::from_pointee(keys.unwrap_or_default()),
            status: watch::Sender::new(status),
            demand: Arc::default(),
        };
        issuer.report_skips(&issuer.keys.load().skips);
        if status.withdrawn {
            issuer.report_withdrawal();
        }
        issuer.publish();
        Ok(Arc::new(issuer))
    }

    /// Returns the settings of the issuer.
    #[must_use]
    pub fn entry(&self) -> &IssuerSettings {
        &self.entry
    }

    /// Returns the keys that are present.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// Returns the key for a token with this header, if it is present. Neither waits nor asks for a
    /// fetch.
    #[must_use]
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
        if !self.entry.algorithms.contains(&algorithm) {
            return None;
        }
        self.keys.load().find(kid, algorithm)
    }

    /// Returns the key for a token with this header. Outside the cool-down, waits up to `wait` for
    /// a key that is missing.
    ///
    /// # Errors
    /// [`KeyError`]
    pub async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, KeyError> {
        if let Some(key) = self.find(kid, algorithm) {
            return Ok(key);
        }
        let retry_after = self.entry.fetch.cooldown;
        if self.status.borrow().retired {
            return Err(KeyError::Unavailable { retry_after });
        }
        // No fetch can bring a key for an algorithm that the issuer may not use.
        if !self.entry.algorithms.contains(&algorithm) {
            return Err(KeyError::Unknown);
        }
        if self.is_static() {
            let withdrawn = self.status.borrow().withdrawn;
            return Err(if withdrawn {
                KeyError::Unavailable { retry_after }
            } else {
                KeyError::Unknown
            });
        }
        match timeout(self.entry.fetch.wait, self.await_key(kid, algorithm)).await {
            Ok(found) => found,
            Err(_) => Err(KeyError::Unavailable { retry_after }),
        }
    }

    async fn await_key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, KeyError> {
        let mut updates = self.status.subscribe();
        let before = *updates.borrow();
        // The status is read before the keys and written after them, so a fetch that it counts is
        // visible in the keys that are read next.
        if let Some(key) = self.find(kid, algorithm) {
            return Ok(key);
        }
        if let Some(error) = before.refuse(&self.entry, clock::monotonic()) {
            return Err(error);
        }
        if !before.fetching {
            self.demand.notify_one();
        }
        // Keys may also come from a file before the first fetch ends.
        let done = |status: &Status| {
            status.retired || status.ended > before.ended || self.find(kid, algorithm).is_some()
        };
        let retry_after = self.entry.fetch.cooldown;
        let after = match updates.wait_for(done).await {
            Ok(status) => *status,
            Err(_) => return Err(KeyError::Unavailable { retry_after }),
        };
        match self.find(kid, algorithm) {
            Some(key) => Ok(key),
            None => Err(after.verdict(retry_after)),
        }
    }

    /// Returns the current state of the keys.
    #[must_use]
    pub fn state(&self) -> IssuerState {
        let status = *self.status.borrow();
        let (fixed, keys) = (self.is_static(), self.keys.load().keys.len());
        let age = status
            .last_good
            .map(|then| clock::monotonic().saturating_duration_since(then));
        IssuerState {
            keys,
            age,
            tried: fixed || status.last.is_some(),
            last_ok: fixed || status.is_good(),
        }
    }

    /// Updates the metrics. The age of the keys grows without an event, so the code that renders
    /// the metrics calls this first.
    pub fn publish(&self) {
        // Metrics are found by the issuer's name and may already belong to a successor.
        if self.status.borrow().retired {
            return;
        }
        let state = self.state();
        self.metrics.set_keys(state.keys, state.age);
    }

    /// Retires every key and stops fetching, because the issuer has left the configuration.
    pub fn retire_all(&self) {
        self.status.send_modify(|status| {
            status.retired = true;
            self.replace(KeySet::default());
        });
        self.demand.notify_one();
    }

    pub(super) fn is_static(&self) -> bool {
        matches!(self.entry.keys, KeySource::Static(_))
    }

    /// Returns the counters of the issuer.
    #[must_use]
    pub fn metrics(&self) -> &IssuerMetrics {
        &self.metrics
    }

    /// Returns the signal that requests give when their key is missing.
    pub(super) fn demand(&self) -> Arc<Notify> {
        Arc::clone(&self.demand)
    }

    /// Returns the remaining time during which no fetch may start.
    pub(super) fn cooldown_left(&self, now: Instant) -> Duration {
        self.status
            .borrow()
            .cooldown_left(self.entry.fetch.cooldown, now)
    }

    /// Returns the time at which the keys become too old to trust; `None` if the last fetch
    /// succeeded or there are no keys.
    pub(super) fn stale_at(&self) -> Option<Instant> {
        let status = *self.status.borrow();
        if status.is_good() || self.keys.load().keys.is_empty() {
            return None;
        }
        status.last_good?.checked_add(self.entry.fetch.keep_stale)
    }

    /// Subscribes to the status without keeping the issuer alive.
    pub(super) fn follow(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn begin_fetch(&self) {
        self.status.send_modify(|status| status.fetching = true);
    }

    /// Ends a fetch, with a new key set or, for `None`, with a failure.
    pub(super) fn end_fetch(&self, fetched: Option<KeySet>) -> Change {
        let mut change = Change::default();
        self.status.send_modify(|status| {
            let now = clock::monotonic();
            status.fetching = false;
            status.ended += 1;
            status.last = Some(now);
            if let Some(keys) = fetched
                && !status.retired
            {
                let was_withdrawn = std::mem::replace(&mut status.withdrawn, keys.keys.is_empty());
                status.last_good = Some(now);
                change = self.replace(keys);
                change.withdrawn = status.withdrawn && !was_withdrawn;
            }
        });
        self.publish();
        change
    }

    /// Takes keys that an earlier process fetched `age` ago. Until a fetch succeeds they count as
    /// stale keys: they verify tokens, but a key that is not among them is not therefore invalid.
    pub(super) fn restore(&self, keys: KeySet, age: Duration) -> Change {
        let mut change = Change::default();
        self.status.send_modify(|status| {
            let fetched = clock::monotonic().checked_sub(age);
            if let Some(fetched) = fetched
                && status.last_good.is_none()
                && !status.retired
            {
                status.last_good = Some(fetched);
                change = self.replace(keys);
            }
        });
        self.publish();
        change
    }

    /// Drops keys that are too old to trust.
    pub(super) fn drop_keys(&self) -> Change {
        let mut change = Change::default();
        self.status
            .send_modify(|_| change = self.replace(KeySet::default()));
        self.publish();
        change
    }

    /// Replaces the key set, under the lock of the status. A key that stays keeps its `Arc`, and so
    /// the cached tokens that it verified stay valid; a key that is gone or changed is retired.
    fn replace(&self, mut new: KeySet) -> Change {
        let old = self.keys.load_full();
        let mut change = Change::default();
        for key in &mut new.keys {
            match old.keys.iter().find(|known| known.is_same(key)) {
                Some(known) => *key = Arc::clone(known),
                None => change.added.push(Arc::clone(key)),
            }
        }
        for key in &old.keys {
            if new.keys.iter().any(|kept| Arc::ptr_eq(kept, key)) {
                change.kept += 1;
            } else {
                change.removed.push(Arc::clone(key));
            }
        }
        if old.skips != new.skips {
            change.skips = Some(new.skips.clone());
        }
        self.keys.store(Arc::new(new));
        for key in &change.removed {
            key.retire();
        }
        change
    }

    /// Logs that the key set is empty.
    pub(super) fn report_withdrawal(&self) {
        tracing::error!(
            issuer = &*self.entry.name,
            "the issuer's key set is empty: it has withdrawn every key, and tokens are answered \
             with 503"
        );
    }

    /// Logs which keys of a set are not used, and why.
    pub(super) fn report_skips(&self, skips: &Skips) {
        let issuer = &*self.entry.name;
        if skips.private > 0 {
            let private = skips.private;
            tracing::error!(issuer, private, %skips, "the key set publishes private keys");
        } else if skips.total > 0 {
            let skipped = skips.total;
            tracing::warn!(issuer, skipped, %skips, "keys of the set are not usable");
        }
    }
}

/// An issuer that a reload removed verifies nothing any more, not even a cached token.
impl Drop for Issuer {
    fn drop(&mut self) {
        self.retire_all();
    }
}

impl KeySet {
    /// Returns the key for a token. A `kid` selects exactly its key; a token without a `kid` is
    /// accepted only if a single key fits.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
        let mut candidates = self.keys.iter().filter(|key| key.allows(algorithm));
        if kid.is_some() {
            return candidates.find(|key| key.kid() == kid).cloned();
        }
        let only = candidates.next()?;
        candidates.next().is_none().then(|| Arc::clone(only))
    }
}

impl Status {
    /// Returns the error for a request whose key is missing, if waiting is of no use.
    fn refuse(&self, entry: &IssuerSettings, now: Instant) -> Option<KeyError> {
        let cooldown = entry.fetch.cooldown;
        if self.retired {
            return Some(KeyError::Unavailable {
                retry_after: cooldown,
            });
        }
        let left = self.cooldown_left(cooldown, now);
        if self.fetching || left.is_zero() {
            None
        } else {
            Some(self.verdict(left))
        }
    }

    /// Returns the error for a missing key, according to the last fetch.
    fn verdict(&self, retry_after: Duration) -> KeyError {
        if self.is_good() && !self.retired && !self.withdrawn {
            KeyError::Unknown
        } else {
            KeyError::Unavailable { retry_after }
        }
    }

    /// Returns whether the last fetch succeeded.
    fn is_good(&self) -> bool {
        self.last.is_some() && self.last == self.last_good
    }

    fn cooldown_left(&self, cooldown: Duration, now: Instant) -> Duration {
        match self.last {
            Some(last) => cooldown.saturating_sub(now.saturating_duration_since(last)),
            None => Duration::ZERO,
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.entry.name)
            .field("state", &self.state())
            .finish()
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the issuer has no such key"),
            Self::Unavailable { .. } => f.write_str("the issuer's keys are not available"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
