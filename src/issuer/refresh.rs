//! The control thread's care for one issuer: fetch, fetch again in time, and let go of keys that
//! are too old.
//!
//! One fetch at a time, and none within the cool-down of the last, whoever asks. A fetch that
//! fails, in whatever way, changes nothing: the last good keys serve until they are too old to
//! trust.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::discovery::{DiscoveryError, discover};
use super::jwk::Name;
use super::jwks::{JwksError, KeySet};
use super::keys::Change;
use super::last_good::LastGood;
use super::{FetchPolicy, Issuer, Key, KeySource};
use crate::clock;
use crate::net::{Bounds, Client, FetchError, Nearness, Url};

/// A cool-down of zero must not become a busy loop.
const MIN_DELAY: Duration = Duration::from_millis(100);

/// Retries are at most this many doublings apart; `refresh` ends them sooner.
const MAX_DOUBLINGS: u32 = 16;

/// The indices of `IssuerMetrics::REFRESH_RESULTS`.
const SUCCESS: usize = 0;
const FAILURE: usize = 1;

/// Why a refresh brought no keys.
#[derive(Debug)]
enum RefreshError {
    Discovery(DiscoveryError),
    Fetch(Url, FetchError),
    Jwks(Url, JwksError),
}

/// A key set, the document it was read from, and how long it is fresh if its headers say so.
struct Fresh {
    keys: KeySet,
    document: Bytes,
    lifetime: Option<Duration>,
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wake {
    Time,
    Demand,
}

/// Where keys are fetched.
enum KeyLocation {
    /// At the `jwks_uri` of the metadata below this URL.
    Metadata(Url),
    /// At this URL.
    Keys(Url),
}

/// Keeps the keys of an issuer fresh until it is dropped or retired. To be run once per issuer, on
/// a runtime that serves no requests. Ends at once for keys that the configuration holds.
pub async fn maintain(issuer: Weak<Issuer>, client: Client) {
    let Some((location, mut updates)) = issuer
        .upgrade()
        .and_then(|issuer| Some((KeyLocation::of(&issuer.entry().keys)?, issuer.follow())))
    else {
        return;
    };
    tokio::select! {
        () = run(issuer, &location, &client) => {}
        // An error is an issuer that was dropped, which is as good a reason.
        _ = updates.wait_for(|status| status.retired) => {}
    }
}

async fn run(weak: Weak<Issuer>, location: &KeyLocation, client: &Client) {
    let mut due = clock::monotonic();
    let mut failures = 0;
    let mut last_good = weak
        .upgrade()
        .and_then(|issuer| LastGood::of(issuer.entry()));
    if let (Some(file), Some(issuer)) = (&last_good, weak.upgrade()) {
        restore(&issuer, file);
    }
    let mut wake = Wake::Time;
    // Held while there is something to do: in between, the snapshots decide how long the issuer
    // lives.
    while let Some(issuer) = weak.upgrade() {
        let now = clock::monotonic();
        // Requests ask outside the cool-down alone: one that is heard within it was answered by the
        // last fetch.
        let asked = wake == Wake::Demand && issuer.cooldown_left(now).is_zero();
        if asked || due <= now {
            let delay = refresh(&issuer, location, client, &mut failures, last_good.as_mut()).await;
            due = clock::monotonic() + delay;
        }
        let until = drop_stale(&issuer).map_or(due, |stale| stale.min(due));
        let demand = issuer.demand();
        drop(issuer);
        wake = wait(until, &demand).await;
    }
}

async fn wait(until: Instant, demand: &Notify) -> Wake {
    tokio::select! {
        () = sleep_until(until.into()) => Wake::Time,
        () = demand.notified() => Wake::Demand,
    }
}

/// One fetch, and what follows from it: the delay until the next.
async fn refresh(
    issuer: &Issuer,
    location: &KeyLocation,
    client: &Client,
    failures: &mut u32,
    last_good: Option<&mut LastGood>,
) -> Duration {
    let policy = &issuer.entry().fetch;
    issuer.begin_fetch();
    let delay = match location.fetch(issuer, client).await {
        Ok(Fresh {
            keys,
            document,
            lifetime,
        }) => {
            *failures = 0;
            issuer.metrics().refreshes.increment(SUCCESS);
            let (leaks, is_empty) = (keys.skips.private > 0, keys.keys.is_empty());
            let change = issuer.end_fetch(Some(keys));
            report_change(issuer, &change);
            if let Some(file) = last_good {
                let may_keep = !leaks && !is_empty;
                keep(
                    issuer,
                    file,
                    &document,
                    may_keep,
                    !change.removed.is_empty(),
                );
            }
            // Without keys no token is served, and every cool-down counts, whatever the headers
            // say.
            if is_empty {
                after_failure(policy, 1, false)
            } else {
                after_success(policy, lifetime)
            }
        }
        Err(error) => {
            *failures = failures.saturating_add(1);
            issuer.metrics().refreshes.increment(FAILURE);
            issuer.end_fetch(None);
            let delay = after_failure(policy, *failures, issuer.state().keys > 0);
            report_failure(issuer, &error, *failures, delay);
            delay
        }
    };
    early(delay, policy.cooldown)
}

/// Begins with what an earlier process has left.
fn restore(issuer: &Issuer, file: &LastGood) {
    let (entry, path) = (issuer.entry(), file.path().display());
    match file.read(entry, clock::now().unix) {
        Ok(None) => {}
        Ok(Some(kept)) => {
            let added = names(&issuer.restore(kept.keys, kept.age).added);
            tracing::info!(issuer = &*entry.name, %path, keys = %added, age = ?kept.age, "keys were kept");
        }
        Err(error) => {
            tracing::warn!(issuer = &*entry.name, %path, %error, "kept keys are not used");
        }
    }
}

/// Leaves a good key set to the next process, if it may be kept: one that publishes private keys is
/// not spread any further, and an empty one is no key set to restart with. In both cases the file
/// of before may hold the very keys that are not to be trusted any more; so it may where keys were
/// `removed` and the new set cannot be written.
fn keep(issuer: &Issuer, file: &mut LastGood, document: &Bytes, may_keep: bool, removed: bool) {
    let name = &*issuer.entry().name;
    let written = if may_keep {
        file.write(document, clock::now())
    } else {
        Ok(())
    };
    if let Err(error) = &written {
        let path = file.path().display();
        tracing::warn!(issuer = name, %path, %error, "the keys of this fetch are not kept for a restart");
    }
    let is_outdated = !may_keep || (removed && written.is_err());
    if is_outdated && let Err(error) = file.discard() {
        let path = file.path().display();
        tracing::error!(
            issuer = name, %path, %error,
            "the file keeps keys that are withdrawn, which would serve after a restart: remove it"
        );
    }
}

impl KeyLocation {
    fn of(keys: &KeySource) -> Option<Self> {
        match keys {
            KeySource::Discovery(base) => Some(Self::Metadata(base.clone())),
            KeySource::Uri(url) => Some(Self::Keys(url.clone())),
            KeySource::Static(_) => None,
        }
    }

    async fn fetch(&self, issuer: &Issuer, client: &Client) -> Result<Fresh, RefreshError> {
        let entry = issuer.entry();
        let FetchPolicy {
            timeout,
            max_bytes,
            allow_http,
            max_keys,
            ..
        } = entry.fetch;
        // The operator chose the place, wherever it is.
        let bounds = Bounds {
            timeout,
            max_bytes,
            allow_http,
            nearest: Nearness::Machine,
        };
        let (url, bounds) = match self {
            // Asked again every time: where the keys are may change, and the old place is then
            // anybody's.
            Self::Metadata(base) => {
                let found = discover(client, entry, base, bounds)
                    .await
                    .map_err(RefreshError::Discovery)?;
                (
                    found.jwks_uri,
                    Bounds {
                        nearest: found.nearness,
                        ..bounds
                    },
                )
            }
            Self::Keys(url) => (url.clone(), bounds),
        };
        let fetched = match client.get(&url, bounds).await {
            Ok(fetched) => fetched,
            Err(error) => return Err(RefreshError::Fetch(url, error)),
        };
        match KeySet::parse(&fetched.body, max_keys) {
            Ok(keys) => Ok(Fresh {
                keys,
                document: fetched.body,
                lifetime: fetched.lifetime,
            }),
            // The issuer was heard, and says that it has no key: what it had is not to be trusted
            // any more. A document without `keys`, or with keys that cannot be used, says no such
            // thing.
            Err(JwksError::Empty) => {
                let keys = KeySet::default();
                Ok(Fresh {
                    keys,
                    document: fetched.body,
                    lifetime: fetched.lifetime,
                })
            }
            Err(error) => Err(RefreshError::Jwks(url, error)),
        }
    }
}

/// Lets go of keys that are too old; else says when they will be, if the last fetch failed.
fn drop_stale(issuer: &Issuer) -> Option<Instant> {
    let stale = issuer.stale_at()?;
    if clock::monotonic() < stale {
        return Some(stale);
    }
    let removed = issuer.drop_keys().removed;
    tracing::error!(
        issuer = &*issuer.entry().name,
        keys = %names(&removed),
        kept = ?issuer.entry().fetch.keep_stale,
        "no key set could be fetched for too long: the old keys are dropped, and tokens are answered with 503"
    );
    None
}

/// What the headers say, within the bounds. Half of the time that stale keys are kept is left for
/// retries: else an issuer with long lifetimes would be lost with the first fetch that fails.
fn after_success(policy: &FetchPolicy, lifetime: Option<Duration>) -> Duration {
    let wanted = lifetime.unwrap_or(policy.refresh);
    wanted
        .min(policy.refresh_max)
        .min(policy.keep_stale / 2)
        .max(policy.refresh_min)
        .max(MIN_DELAY)
}

/// Doubled with each failure up to `refresh`, while there are keys to serve with; without, nobody
/// is served and every cool-down counts.
fn after_failure(policy: &FetchPolicy, failures: u32, has_keys: bool) -> Duration {
    let first = policy.cooldown.max(MIN_DELAY);
    let doublings = if has_keys {
        failures.saturating_sub(1).min(MAX_DOUBLINGS)
    } else {
        0
    };
    first
        .saturating_mul(1 << doublings)
        .min(policy.refresh.max(first))
}

/// Up to a tenth early, so that many gateways do not ask in step; never within the cool-down.
fn early(delay: Duration, cooldown: Duration) -> Duration {
    // Uneven is all it has to be: the random keys of the standard library's hashers will do.
    let part = RandomState::new().hash_one(delay) % 256;
    let part = u32::try_from(part).unwrap_or_default();
    (delay - delay / 10 * part / 255).max(cooldown)
}

fn report_change(issuer: &Issuer, change: &Change) {
    if let Some(skips) = &change.skips {
        issuer.report_skips(skips);
    }
    if change.withdrawn {
        issuer.report_withdrawal();
    }
    let issuer = &*issuer.entry().name;
    let (added, removed) = (names(&change.added), names(&change.removed));
    if change.kept == 0 && !change.removed.is_empty() && !change.added.is_empty() {
        // A rotation overlaps. This is a new key server, or somebody else's (requirements.md#k14).
        tracing::warn!(issuer, %added, %removed, "every key was replaced at once");
    } else if !change.added.is_empty() || !change.removed.is_empty() {
        tracing::info!(issuer, %added, %removed, kept = change.kept, "keys changed");
    }
}

fn report_failure(issuer: &Issuer, error: &RefreshError, failures: u32, retry: Duration) {
    if let RefreshError::Jwks(_, JwksError::NoUsableKey(skips)) = error
        && skips.private > 0
    {
        issuer.report_skips(skips);
    }
    let keys = issuer.state().keys;
    let consequence = if keys > 0 {
        "those that are there serve on"
    } else {
        "tokens are answered with 503"
    };
    tracing::warn!(
        issuer = &*issuer.entry().name,
        %error,
        failures,
        keys,
        ?retry,
        "keys could not be fetched: {consequence}"
    );
}

/// The key ids, for a log line.
fn names(keys: &[Arc<Key>]) -> String {
    let name = |key: &Arc<Key>| match key.kid() {
        Some(kid) => Name(kid).to_string(),
        None => format!("(no kid) {}", key.thumbprint()),
    };
    keys.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovery(error) => write!(f, "{error}"),
            Self::Fetch(url, error) => write!(f, "keys at {url}: {error}"),
            Self::Jwks(url, error) => write!(f, "keys at {url}: {error}"),
        }
    }
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
