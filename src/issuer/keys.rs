//! An issuer as the workers see it: a worker looks up a key, or waits for the fetch that may bring
//! it.
//!
//! Workers never fetch. A request whose key is missing notifies the control thread and waits on a
//! status that this thread writes; both work across runtimes. One fetch per cool-down answers all
//! waiting requests, however many there are.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::candidates::Wait;
use super::entry_handle::Entries;
use super::jwks::{JwksError, KeySet, Skips};
use super::status::{Cause, Status};
use super::{Algorithm, Candidates, EntryHandle, IssuerSettings, Key, KeyError, KeySource};
use crate::clock;
use crate::sync::{ArcSwap, Notify, watch};
use crate::telemetry::Refresh;

/// An issuer and its keys, shared by all workers. A reload that does not change the issuer's
/// settings keeps it.
pub struct Issuer {
    entry: IssuerSettings,
    entries: ArcSwap<Entries>,
    keys: ArcSwap<KeySet>,
    pub(super) status: watch::Sender<Status>,
    demand: Arc<Notify>,
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
    /// Set when the new set has no signing keys and the old one was not empty.
    pub(super) withdrawn: bool,
}

impl Issuer {
    /// Creates the issuer of these entries without keys, or with the keys that the configuration
    /// contains.
    ///
    /// # Errors
    /// [`JwksError`], for keys in the configuration.
    pub fn new(entry: IssuerSettings, entries: Vec<EntryHandle>) -> Result<Arc<Self>, JwksError> {
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
            entries: ArcSwap::from_pointee(Entries::new(entries)),
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

    /// Returns the key that is tried first for a token with this header, if one is present. Neither
    /// waits nor asks for a fetch.
    #[must_use]
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
        if !self.entry.algorithms.contains(&algorithm) {
            return None;
        }
        self.keys.load().candidates(kid, algorithm).next().cloned()
    }

    /// Returns whether a token with this header may be signed with `key`. Neither waits nor asks
    /// for a fetch.
    #[must_use]
    pub fn is_candidate(&self, kid: Option<&str>, algorithm: Algorithm, key: &Arc<Key>) -> bool {
        self.entry.algorithms.contains(&algorithm)
            && self
                .keys
                .load()
                .candidates(kid, algorithm)
                .any(|one| Arc::ptr_eq(one, key))
    }

    /// Returns the keys in use. They change with the next fetch.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// Returns the keys to try for a token with this header. Outside the cool-down, waits up to
    /// `wait` for a key that is missing.
    ///
    /// # Errors
    /// [`KeyError`]
    pub async fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Candidates, KeyError> {
        if let Some(found) = self.present(kid, algorithm, None) {
            return Ok(found);
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

    /// Returns keys that are new since `tried`, none of which has signed a token with this header:
    /// an issuer that is set up anew may have another key under the same `kid`. Outside the
    /// cool-down, asks for a fetch and waits up to `wait` for it. Returns `None` if there are no
    /// other keys, or no answer: then the verdict of the keys in use stands.
    ///
    /// # Errors
    /// [`KeyError`], if the fetch has taken the keys away.
    pub async fn newer_candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        tried: &Candidates,
    ) -> Result<Option<Candidates>, KeyError> {
        // Keys that this request has waited for are the newest.
        if tried.wait.is_some() || self.is_static() {
            return Ok(None);
        }
        let mut updates = self.status.subscribe();
        let before = *updates.borrow();
        let cooldown = self.entry.fetch.cooldown;
        let present = self.present(kid, algorithm, None);
        if present.is_some_and(|present| present.is_within(tried)) {
            let now = clock::monotonic();
            if before
                .refuse(&before.bad_signature, cooldown, now)
                .is_some()
            {
                return Ok(None);
            }
            self.ask(&before, Cause::BadSignature);
            let ended = updates.wait_for(|status| status.retired || status.ended > before.ended);
            if timeout(self.entry.fetch.wait, ended).await.is_err() {
                return Ok(None);
            }
        }
        let after = *self.status.borrow();
        let wait = Wait {
            fetch: after.ended,
            cause: Cause::BadSignature,
        };
        match self.present(kid, algorithm, Some(wait)) {
            Some(found) => Ok(found.without(tried)),
            None => Err(after.verdict(cooldown)),
        }
    }

    /// Ends the cool-down after a fetch that brought the key that has signed a token: the next new
    /// key is learnt at once as well. Call this only after a signature was verified with one of the
    /// keys that were `found`. A forged token can name a key that the fetch brought, so that a key
    /// that is there proves nothing.
    pub fn confirm(&self, found: &Candidates) {
        let Some(wait) = found.wait else { return };
        self.status.send_if_modified(|status| {
            if status.ended == wait.fetch && status.is_good() {
                status.want(wait.cause).cooldown_start = None;
            }
            false
        });
    }

    /// Orders a fetch as soon as possible, whatever the cool-down. Does nothing for keys that are
    /// not fetched.
    pub fn refresh(&self) {
        if self.is_static() {
            return;
        }
        self.status.send_if_modified(|status| {
            status.is_ordered = true;
            false
        });
        self.demand.notify_one();
    }

    /// Returns the keys that are present for a token.
    pub(super) fn present(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        wait: Option<Wait>,
    ) -> Option<Candidates> {
        if !self.entry.algorithms.contains(&algorithm) {
            return None;
        }
        Candidates::of(self.keys.load().candidates(kid, algorithm), wait)
    }

    async fn await_key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Candidates, KeyError> {
        let mut updates = self.status.subscribe();
        let before = *updates.borrow();
        // The status is read before the keys and written after them, so a fetch that it counts is
        // visible in the keys that are read next.
        let mut wait = Wait {
            fetch: before.ended,
            cause: Cause::MissingKey,
        };
        if let Some(found) = self.present(kid, algorithm, Some(wait)) {
            return Ok(found);
        }
        let retry_after = self.entry.fetch.cooldown;
        let now = clock::monotonic();
        if let Some(error) = before.refuse(&before.missing_key, retry_after, now) {
            return Err(error);
        }
        self.ask(&before, Cause::MissingKey);
        // Keys may also come from a file before the first fetch ends.
        let done = |status: &Status| {
            status.retired || status.ended > before.ended || self.find(kid, algorithm).is_some()
        };
        let after = match updates.wait_for(done).await {
            Ok(status) => *status,
            Err(_) => return Err(KeyError::Unavailable { retry_after }),
        };
        wait.fetch = after.ended;
        match self.present(kid, algorithm, Some(wait)) {
            Some(found) => Ok(found),
            None => Err(after.verdict(retry_after)),
        }
    }

    /// Asks for a fetch, or joins the one in progress, unless one has ended since `before`.
    pub(super) fn ask(&self, before: &Status, cause: Cause) {
        let mut is_first = false;
        self.status.send_if_modified(|status| {
            if status.ended == before.ended {
                is_first = !status.fetching && !status.is_asked();
                status.want(cause).is_asked = true;
            }
            false
        });
        if is_first {
            self.demand.notify_one();
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
        for entry in &self.entries.load().list {
            entry.metrics.set_keys(state.keys, state.age);
        }
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

    /// Sets the entries that have the issuer. A reload may add some and remove others, while the
    /// issuer stays with its keys.
    pub fn set_entries(&self, entries: Vec<EntryHandle>) {
        self.entries.store(Arc::new(Entries::new(entries)));
        self.publish();
    }

    /// Returns the names of the entries that have the issuer, separated by commas.
    #[must_use]
    pub fn names(&self) -> Arc<str> {
        Arc::clone(&self.entries.load().names)
    }

    /// Counts a fetch, for each entry.
    pub(super) fn count_refresh(&self, result: Refresh) {
        for entry in &self.entries.load().list {
            entry.metrics.refreshes.increment(result);
        }
    }

    /// Returns the signal of a request for a fetch.
    pub(super) fn demand(&self) -> Arc<Notify> {
        Arc::clone(&self.demand)
    }

    /// Returns the rest of a pause after the last fetch.
    pub(super) fn pause_left(&self, pause: Duration, now: Instant) -> Duration {
        self.status.borrow().pause_left(pause, now)
    }

    /// Returns whether a request waits for a fetch, or the operator has ordered one.
    pub(super) fn is_asked(&self) -> bool {
        let status = self.status.borrow();
        status.is_asked() || status.is_ordered
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
        self.status.send_modify(|status| {
            status.fetching = true;
            status.is_ordered = false;
        });
    }

    /// Ends a fetch, with a new key set or, for `None`, with a failure.
    pub(super) fn end_fetch(&self, fetched: Option<KeySet>) -> Change {
        let mut change = Change::default();
        self.status.send_modify(|status| {
            let fetched = fetched.filter(|_| !status.retired);
            status.end_fetch(clock::monotonic(), fetched.is_some());
            if let Some(keys) = fetched {
                let was_withdrawn = std::mem::replace(&mut status.withdrawn, keys.keys.is_empty());
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

    /// Logs that the key set has no signing keys.
    pub(super) fn report_withdrawal(&self) {
        tracing::error!(
            issuer = &*self.names(),
            "the issuer's key set is empty, or has keys for encryption alone: it has withdrawn \
             every signing key, and tokens are answered with 503"
        );
    }

    /// Logs which keys of a set are not used, and why.
    pub(super) fn report_skips(&self, skips: &Skips) {
        let issuer = &*self.names();
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

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("names", &self.names())
            .field("state", &self.state())
            .finish()
    }
}
