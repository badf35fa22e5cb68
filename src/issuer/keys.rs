//! An issuer as the workers see it: find a key, or wait for the fetch that may bring it.
//!
//! Workers never fetch. A request whose key is not there signals, and waits on a status that the
//! control thread writes; both work across runtimes. However many requests ask, one fetch per
//! cool-down answers them all.

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

/// An issuer and its keys, shared by all workers and carried over a reload that does not change its
/// entry.
pub struct Issuer {
    entry: IssuerSettings,
    metrics: Arc<IssuerMetrics>,
    keys: ArcSwap<KeySet>,
    status: watch::Sender<Status>,
    demand: Arc<Notify>,
}

/// How the fetching goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Status {
    /// A fetch is under way.
    pub(super) fetching: bool,
    /// Fetches that ended.
    pub(super) ended: u64,
    /// When the last one ended.
    pub(super) last: Option<Instant>,
    /// When the last good one ended.
    pub(super) last_good: Option<Instant>,
    /// The last key set that was there had no key: the issuer has withdrawn them all.
    pub(super) withdrawn: bool,
    /// The issuer left the configuration; it has no keys any more.
    pub(super) retired: bool,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The issuer was heard, and has no such key: the token is not valid.
    Unknown,
    /// The issuer could not be heard, or has no keys: nothing can be said of the token.
    Unavailable {
        /// When it is worth asking again.
        retry_after: Duration,
    },
}

/// What readiness and metrics ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuerState {
    /// Usable keys.
    pub keys: usize,
    /// Since the keys were last fetched, be it by an earlier process; `None` before the first time,
    /// and always for keys that are not fetched.
    pub age: Option<Duration>,
    /// Whether a fetch has ended, well or not; always for keys that are not fetched.
    pub tried: bool,
    /// Whether the last fetch went well; always for keys that are not fetched.
    pub last_ok: bool,
}

/// The difference between two key sets of one issuer.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) added: Vec<Arc<Key>>,
    pub(super) removed: Vec<Arc<Key>>,
    /// How many stayed.
    pub(super) kept: usize,
    /// What is left out of the new set, if that is news.
    pub(super) skips: Option<Skips>,
    /// Whether the new set is empty, if that is news.
    pub(super) withdrawn: bool,
}

impl Issuer {
    /// An issuer that has no keys yet, unless the configuration holds them.
    ///
    /// # Errors
    /// [`JwksError`], for keys that the configuration holds.
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

    /// What the configuration says of it.
    #[must_use]
    pub fn entry(&self) -> &IssuerSettings {
        &self.entry
    }

    /// The key for a token with this header, if it is there: without waiting, and without asking
    /// for a fetch.
    #[must_use]
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
        if !self.entry.algorithms.contains(&algorithm) {
            return None;
        }
        self.keys.load().find(kid, algorithm)
    }

    /// The key for a token with this header. One that is not there is waited for, at most `wait`,
    /// outside the cool-down.
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
        let late = |_| Err(KeyError::Unavailable { retry_after });
        timeout(self.entry.fetch.wait, self.await_key(kid, algorithm))
            .await
            .unwrap_or_else(late)
    }

    async fn await_key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, KeyError> {
        let mut updates = self.status.subscribe();
        let before = *updates.borrow();
        // The status is read before the keys, and written after them: it never tells of a fetch not
        // seen here.
        if let Some(key) = self.find(kid, algorithm) {
            return Ok(key);
        }
        if let Some(error) = before.refuse(&self.entry, clock::monotonic()) {
            return Err(error);
        }
        if !before.fetching {
            self.demand.notify_one();
        }
        // Keys may come from a file before the first fetch ends.
        let done = |status: &Status| {
            status.retired || status.ended > before.ended || self.find(kid, algorithm).is_some()
        };
        let Ok(after) = updates.wait_for(done).await.map(|status| *status) else {
            return Err(KeyError::Unavailable {
                retry_after: self.entry.fetch.cooldown,
            });
        };
        self.find(kid, algorithm)
            .ok_or_else(|| after.verdict(self.entry.fetch.cooldown))
    }

    /// The state of its keys now.
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

    /// Brings the metrics up to date. The age grows by itself, so whoever renders the metrics calls
    /// this first.
    pub fn publish(&self) {
        // The metrics go by name: they may be those of a successor by now.
        if self.status.borrow().retired {
            return;
        }
        let state = self.state();
        self.metrics.set_keys(state.keys, state.age);
    }

    /// Ends every key at once, and every fetch: the issuer has left the configuration.
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

    /// What is counted of it.
    #[must_use]
    pub fn metrics(&self) -> &IssuerMetrics {
        &self.metrics
    }

    /// The signal of requests whose key is not there.
    pub(super) fn demand(&self) -> Arc<Notify> {
        Arc::clone(&self.demand)
    }

    /// How much longer no fetch may begin.
    pub(super) fn cooldown_left(&self, now: Instant) -> Duration {
        self.status
            .borrow()
            .cooldown_left(self.entry.fetch.cooldown, now)
    }

    /// When its keys become too old to trust; `None` while the last fetch is good, and when there
    /// are none.
    pub(super) fn stale_at(&self) -> Option<Instant> {
        let status = *self.status.borrow();
        if status.is_good() || self.keys.load().keys.is_empty() {
            return None;
        }
        status.last_good?.checked_add(self.entry.fetch.keep_stale)
    }

    /// Follows the status without keeping the issuer.
    pub(super) fn follow(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn begin_fetch(&self) {
        self.status.send_modify(|status| status.fetching = true);
    }

    /// Ends a fetch: with a new key set, or with none.
    pub(super) fn end_fetch(&self, fetched: Option<KeySet>) -> Change {
        let mut change = Change::default();
        self.status.send_modify(|status| {
            let now = clock::monotonic();
            status.fetching = false;
            status.ended += 1;
            status.last = Some(now);
            if let (Some(keys), false) = (fetched, status.retired) {
                let was_withdrawn = std::mem::replace(&mut status.withdrawn, keys.keys.is_empty());
                status.last_good = Some(now);
                change = self.replace(keys);
                change.withdrawn = status.withdrawn && !was_withdrawn;
            }
        });
        self.publish();
        change
    }

    /// Takes keys that were fetched before this process began, so long ago. Until the issuer was
    /// heard, they are what stale keys are: they serve, and a key that is not among them is not
    /// invalid for it.
    pub(super) fn restore(&self, keys: KeySet, age: Duration) -> Change {
        let mut change = Change::default();
        self.status.send_modify(|status| {
            let fetched = clock::monotonic().checked_sub(age);
            if let (Some(fetched), None, false) = (fetched, status.last_good, status.retired) {
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

    /// Puts a new set in place of the old, under the lock of the status. A key that is still there
    /// keeps its `Arc`, and so the tokens that were verified with it; one that is gone or changed
    /// is retired.
    fn replace(&self, mut new: KeySet) -> Change {
        let old = self.keys.load_full();
        let mut change = Change::default();
        for key in &mut new.keys {
            match old.keys.iter().find(|known| known.is_same(key)) {
                Some(known) => *key = Arc::clone(known),
                None => change.added.push(Arc::clone(key)),
            }
        }
        let kept = |key: &Arc<Key>| new.keys.iter().any(|new| Arc::ptr_eq(new, key));
        change.removed = old.keys.iter().filter(|key| !kept(key)).cloned().collect();
        change.kept = old.keys.len() - change.removed.len();
        change.skips = (old.skips != new.skips).then(|| new.skips.clone());
        self.keys.store(Arc::new(new));
        change.removed.iter().for_each(|key| key.retire());
        change
    }

    /// Raises the alarm for a key set without keys.
    pub(super) fn report_withdrawal(&self) {
        tracing::error!(
            issuer = &*self.entry.name,
            "the issuer's key set is empty: it has withdrawn every key, and tokens are answered with 503"
        );
    }

    /// Says which keys of a set are not used, and why.
    pub(super) fn report_skips(&self, skips: &Skips) {
        let issuer = &*self.entry.name;
        if skips.private > 0 {
            tracing::error!(issuer, private = skips.private, %skips, "the key set publishes private keys");
        } else if skips.total > 0 {
            tracing::warn!(issuer, skipped = skips.total, %skips, "keys of the set are not usable");
        }
    }
}

/// What a reload took away verifies nothing any more, not even a cached token.
impl Drop for Issuer {
    fn drop(&mut self) {
        self.retire_all();
    }
}

impl KeySet {
    /// A `kid` names its key exactly. A token without one is taken only when there is nothing to
    /// choose.
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
    /// The answer to a request whose key is not there, when there is nothing to wait for.
    fn refuse(&self, entry: &IssuerSettings, now: Instant) -> Option<KeyError> {
        let cooldown = entry.fetch.cooldown;
        if self.retired {
            return Some(KeyError::Unavailable {
                retry_after: cooldown,
            });
        }
        if self.fetching {
            return None;
        }
        let left = self.cooldown_left(cooldown, now);
        (!left.is_zero()).then(|| self.verdict(left))
    }

    /// What the last fetch lets us say of a key that is not there.
    fn verdict(&self, retry_after: Duration) -> KeyError {
        if self.is_good() && !self.retired && !self.withdrawn {
            KeyError::Unknown
        } else {
            KeyError::Unavailable { retry_after }
        }
    }

    /// Whether the last fetch went well.
    fn is_good(&self) -> bool {
        self.last.is_some() && self.last == self.last_good
    }

    fn cooldown_left(&self, cooldown: Duration, now: Instant) -> Duration {
        let left = |last| cooldown.saturating_sub(now.saturating_duration_since(last));
        self.last.map_or(Duration::ZERO, left)
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
            Self::Unavailable { .. } => f.write_str("the issuer's keys cannot be had"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
