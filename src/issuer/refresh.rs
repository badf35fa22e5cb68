//! The control thread's task for one issuer: it fetches keys, refreshes them in time, and drops
//! those that are too old.
//!
//! Fetches never overlap. After one that failed, or that did not bring the key that a request had
//! asked for, requests start none within the cool-down, however many ask. A failed fetch changes
//! nothing: the last good keys stay in use until they are too old to trust.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::discovery::{DiscoveryError, discover};
use super::jwk::Name;
use super::jwks::{JwksError, KeySet};
use super::keys::Change;
use super::last_good::LastGood;
use super::token_file::{self, TokenFileError};
use super::{FetchPolicy, Issuer, Key, KeyAccess, KeySource};
use crate::clock;
use crate::net::{Nearness, Proxies, Url, random};
use crate::telemetry::Refresh;
use crate::web::{Bounds, Client, FetchError};

/// The shortest delay between fetches, so that neither a cool-down of zero nor an issuer whose keys
/// change with each fetch is a busy loop.
const MIN_DELAY: Duration = Duration::from_millis(100);

/// The largest number of times that the retry delay is doubled; `refresh` usually limits it first.
const MAX_DOUBLINGS: u32 = 16;

/// A reason why a refresh brought no keys.
#[derive(Debug)]
enum RefreshError {
    Discovery(DiscoveryError),
    Fetch(Url, FetchError),
    Jwks(Url, JwksError),
    Token(PathBuf, TokenFileError),
}

/// A key set, the document that it was parsed from, and its lifetime if the response headers state
/// one.
struct Fresh {
    keys: KeySet,
    document: Bytes,
    lifetime: Option<Duration>,
}

/// The address that keys are fetched from.
enum KeyLocation {
    /// The `jwks_uri` of the metadata below this URL.
    Metadata(Url),
    /// This URL.
    Keys(Url),
}

/// The name of an issuer whose first fetch panics, in tests of this library only.
#[cfg(test)]
pub const DEFECT: &str = "defect";

/// Keeps the keys of an issuer fresh until the issuer is dropped or retired. Runs once per issuer,
/// on a runtime that serves no requests. Returns at once for keys that the configuration contains.
/// May run again after a panic.
/// `environment` has the proxies for issuers that do not choose their own.
pub async fn maintain(issuer: Weak<Issuer>, environment: Proxies) {
    let Some(held) = issuer.upgrade() else {
        return;
    };
    let Some(location) = KeyLocation::of(&held.entry().keys) else {
        return;
    };
    let Some(client) = client(&held, &environment) else {
        return;
    };
    let mut updates = held.follow();
    drop(held);
    tokio::select! {
        biased;
        // An error means that the issuer was dropped, which ends the task as well.
        _ = updates.wait_for(|status| status.retired) => {}
        () = run(issuer, &location, &client) => {}
    }
}

/// Returns the client for the servers of an issuer.
fn client(issuer: &Issuer, environment: &Proxies) -> Option<Client> {
    let access = &issuer.entry().access;
    let proxies = access.proxy.proxies(environment);
    match Client::through(access.roots.as_deref(), proxies) {
        Ok(client) => Some(client),
        // The configuration has parsed the certificates before.
        Err(error) => {
            tracing::error!(issuer = &*issuer.names(), %error, "\"ca_file\" cannot be used");
            None
        }
    }
}

async fn run(weak: Weak<Issuer>, location: &KeyLocation, client: &Client) {
    let mut due = clock::monotonic();
    let mut failures = 0;
    let mut last_good = None;
    if let Some(issuer) = weak.upgrade() {
        last_good = LastGood::of(issuer.entry());
        // An earlier run of this task may have ended in a panic after its fetch.
        due += issuer.pause_left(issuer.entry().fetch.cooldown, due);
        if let Some(file) = &last_good
            && !issuer.state().tried
        {
            restore(&issuer, file);
        }
    }
    // The task holds the issuer only while it works, so that between fetches the snapshots alone
    // keep it alive.
    while let Some(issuer) = weak.upgrade() {
        let now = clock::monotonic();
        // A notification without a request was answered by the last fetch already.
        if issuer.is_asked() {
            due = due.min(now + issuer.pause_left(MIN_DELAY, now));
        }
        if due <= now {
            let delay = refresh(&issuer, location, client, &mut failures, last_good.as_mut()).await;
            due = clock::monotonic() + delay;
        }
        let until = drop_stale(&issuer).map_or(due, |stale| stale.min(due));
        let demand = issuer.demand();
        drop(issuer);
        wait(until, &demand).await;
    }
}

async fn wait(until: Instant, demand: &Notify) {
    tokio::select! {
        biased;
        () = demand.notified() => {}
        () = sleep_until(until.into()) => {}
    }
}

/// Fetches once and applies the result. Returns the delay before the next fetch.
async fn refresh(
    issuer: &Issuer,
    location: &KeyLocation,
    client: &Client,
    failures: &mut u32,
    last_good: Option<&mut LastGood>,
) -> Duration {
    let policy = &issuer.entry().fetch;
    #[cfg(test)]
    let is_first = !issuer.follow().borrow().fetching;
    issuer.begin_fetch();
    #[cfg(test)]
    assert!(*issuer.names() != *DEFECT || !is_first, "made up");
    let delay = match location.fetch(issuer, client).await {
        Ok(fresh) => {
            *failures = 0;
            apply(issuer, fresh, last_good)
        }
        Err(error) => {
            *failures = failures.saturating_add(1);
            issuer.count_refresh(Refresh::Failure);
            issuer.end_fetch(None);
            let delay = after_failure(policy, *failures, issuer.state().keys > 0);
            report_failure(issuer, &error, *failures, delay);
            delay
        }
    };
    early(delay, policy.cooldown)
}

/// Applies a key set that was fetched. Returns the delay before the next fetch.
fn apply(issuer: &Issuer, fresh: Fresh, last_good: Option<&mut LastGood>) -> Duration {
    let policy = &issuer.entry().fetch;
    let is_empty = fresh.keys.keys.is_empty();
    let may_keep = !is_empty && fresh.keys.skips.private == 0;
    issuer.count_refresh(Refresh::Success);
    let change = issuer.end_fetch(Some(fresh.keys));
    report_change(issuer, &change);
    if let Some(file) = last_good {
        let removed = !change.removed.is_empty();
        keep(issuer, file, &fresh.document, may_keep, removed);
    }
    // Without keys every token is refused, so the next fetch comes after the cool-down, whatever
    // the headers say.
    if is_empty {
        after_failure(policy, 1, false)
    } else {
        after_success(policy, fresh.lifetime)
    }
}

/// Loads the keys that an earlier process wrote.
fn restore(issuer: &Issuer, file: &LastGood) {
    let (entry, path) = (issuer.entry(), file.path().display());
    match file.read(entry, clock::now().unix) {
        Ok(None) => {}
        Ok(Some(kept)) => {
            let added = names(&issuer.restore(kept.keys, kept.age).added);
            tracing::info!(
                issuer = &*issuer.names(),
                %path,
                keys = %added,
                age = ?kept.age,
                "keys were restored from the file of an earlier process"
            );
        }
        Err(error) => {
            tracing::warn!(
                issuer = &*issuer.names(),
                %path,
                %error,
                "the file with the keys of an earlier process is not used"
            );
        }
    }
}

/// Writes a good key set to the file for the next process if `may_keep` is set. A set that contains
/// private keys is not copied, and an empty one is of no use after a restart; in both cases the
/// existing file may hold the very keys that must not be trusted any more, so it is removed. It is
/// also removed if keys were `removed` from the set and the new set cannot be written.
fn keep(issuer: &Issuer, file: &mut LastGood, document: &Bytes, may_keep: bool, removed: bool) {
    let name = &*issuer.names();
    let written = if may_keep {
        file.write(document, clock::now())
    } else {
        Ok(())
    };
    if let Err(error) = &written {
        let path = file.path().display();
        tracing::warn!(
            issuer = name,
            %path,
            %error,
            "the fetched keys could not be saved for a restart"
        );
    }
    let is_outdated = !may_keep || (removed && written.is_err());
    if is_outdated && let Err(error) = file.discard() {
        let path = file.path().display();
        tracing::error!(
            issuer = name, %path, %error,
            "the file contains withdrawn keys, which would be used after a restart: remove it"
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
        // The operator chose this address, so it may be on any network.
        let mut bounds = Bounds {
            timeout: entry.fetch.timeout,
            max_bytes: entry.fetch.max_bytes,
            allow_http: entry.fetch.allow_http,
            nearest: Nearness::Machine,
        };
        let url = match self {
            // The metadata is fetched again each time: the keys may move, and another party may
            // then own the old address.
            Self::Metadata(base) => {
                let found = discover(client, entry, base, bounds)
                    .await
                    .map_err(RefreshError::Discovery)?;
                bounds.nearest = found.nearness;
                found.jwks_uri
            }
            Self::Keys(url) => url.clone(),
        };
        let authorization = authorization(&entry.access)?;
        let fetched = client.get_as(&url, bounds, authorization.as_ref()).await;
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => return Err(RefreshError::Fetch(url, error)),
        };
        let keys = match KeySet::parse(&fetched.body, entry.fetch.max_keys) {
            Ok(keys) => keys,
            // The issuer answered that it has no signing keys, so its earlier keys are not trusted any
            // more. A document without `keys`, or with unusable keys, is an error instead.
            Err(JwksError::Empty) => KeySet::default(),
            Err(error) => return Err(RefreshError::Jwks(url, error)),
        };
        Ok(Fresh {
            keys,
            document: fetched.body,
            lifetime: fetched.lifetime,
        })
    }
}

/// Reads the credential that the key set asks for, if it asks for one.
fn authorization(access: &KeyAccess) -> Result<Option<HeaderValue>, RefreshError> {
    let Some(file) = &access.token_file else {
        return Ok(None);
    };
    match token_file::authorization(file) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(RefreshError::Token(file.clone(), error)),
    }
}

/// Drops keys that are too old. Otherwise returns the time at which they will be, if the last fetch
/// failed.
fn drop_stale(issuer: &Issuer) -> Option<Instant> {
    let stale = issuer.stale_at()?;
    if clock::monotonic() < stale {
        return Some(stale);
    }
    let removed = issuer.drop_keys().removed;
    tracing::error!(
        issuer = &*issuer.names(),
        keys = %names(&removed),
        kept = ?issuer.entry().fetch.keep_stale,
        "no key set could be fetched for too long: the old keys are dropped, and tokens are \
         answered with 503"
    );
    None
}

/// Returns the delay after a successful fetch: the lifetime in the headers, within the limits. At
/// most half of `keep_stale` is used, which leaves time for retries: the keys of an issuer with
/// long lifetimes would otherwise expire with the first fetch that fails.
fn after_success(policy: &FetchPolicy, lifetime: Option<Duration>) -> Duration {
    let wanted = lifetime.unwrap_or(policy.refresh);
    wanted
        .min(policy.refresh_max)
        .min(policy.keep_stale / 2)
        .max(policy.refresh_min)
        .max(MIN_DELAY)
}

/// Returns the delay after a failed fetch, which doubles with each failure up to `refresh` while
/// there are keys. Without keys every token is refused, so the delay stays at the cool-down.
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

/// Shortens the delay by up to a tenth, so that many gateways do not fetch in step; never below the
/// cool-down.
fn early(delay: Duration, cooldown: Duration) -> Duration {
    let part = random() % 256;
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
    let issuer = &*issuer.names();
    let (added, removed) = (names(&change.added), names(&change.removed));
    if change.kept == 0 && !change.removed.is_empty() && !change.added.is_empty() {
        // A normal rotation overlaps. A complete replacement means a new key server, or an
        // attacker's (docs/design/requirements.md#k14).
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
        "the current keys stay in use"
    } else {
        "tokens are answered with 503"
    };
    tracing::warn!(
        issuer = &*issuer.names(),
        %error,
        failures,
        keys,
        ?retry,
        "keys could not be fetched: {consequence}"
    );
}

/// Joins the key ids for a log line.
fn names(keys: &[Arc<Key>]) -> String {
    let mut names = Vec::with_capacity(keys.len());
    for key in keys {
        names.push(match key.kid() {
            Some(kid) => Name(kid).to_string(),
            None => format!("(no kid) {}", key.thumbprint()),
        });
    }
    names.join(", ")
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovery(error) => write!(f, "{error}"),
            Self::Fetch(url, error) => write!(f, "keys at {url}: {error}"),
            Self::Jwks(url, error) => write!(f, "keys at {url}: {error}"),
            Self::Token(path, error) => {
                write!(f, "\"jwks_token_file\" is \"{}\": {error}", path.display())
            }
        }
    }
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
