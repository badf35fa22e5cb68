//! Tests of the token cache.

use std::sync::Arc;

use super::cache::{HotToken, SharedCache, VerifiedToken, WorkerCache};
use super::claims::Registered;
#[cfg(target_os = "linux")]
use super::secret::tests::{is_at, unique};
use super::verifier_id::{CacheSlot, VerifierId};
use crate::clock::UnixTime;
use crate::issuer::KeySet;
use crate::issuer::fixture::{Signer, jwks};
use crate::policy::{Claim, Claims, Principal, ScopeSet};
use crate::telemetry::CacheResult;

fn verified(text: &str, expires: u64) -> HotToken {
    let set = KeySet::parse(jwks(&[Signer::p256().jwk("a")]).as_bytes(), 1).unwrap();
    let claims = Claims::of(vec![(
        "exp".into(),
        Claim::Number(expires.to_string().into()),
    )])
    .unwrap();
    let registered = Registered::of(&claims).unwrap();
    let principal = Principal {
        issuer: "idp".into(),
        scopes: ScopeSet::default(),
        claims,
        key_id: None,
    };
    HotToken::new(Arc::new(VerifiedToken {
        text: text.into(),
        verifier: VerifierId::next(),
        key: Arc::clone(&set.keys[0]),
        chosen_for: None,
        registered,
        audience: Vec::new(),
        other_kind: None,
        principal: Arc::new(principal),
    }))
}

/// Finds a token in the first slot.
fn find(worker: &WorkerCache, text: &str) -> Option<HotToken> {
    let hash = worker.hash(text.as_bytes())?;
    let (hot, _) = worker.find(text.as_bytes(), hash, CacheSlot::FIRST)?;
    Some(hot)
}

#[test]
fn a_token_has_an_entry_in_each_slot() {
    let worker = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 8);
    let text = "header.claims.signature";
    let (first, second) = (CacheSlot::FIRST, CacheSlot::first_free(&[CacheSlot::FIRST]));
    let (one, other) = (verified(text, 100), verified(text, 100));
    worker.keep(&one, first);
    let hash = worker.hash(text.as_bytes()).unwrap();
    assert!(worker.find(text.as_bytes(), hash, second).is_none());
    worker.keep(&other, second);
    for (slot, kept) in [(first, one), (second, other)] {
        let (found, _) = worker.find(text.as_bytes(), hash, slot).unwrap();
        assert_eq!(found.token.verifier, kept.token.verifier);
    }
}

#[test]
fn a_worker_finds_what_another_has_kept() {
    let shared = Arc::new(SharedCache::new(1 << 20));
    let [one, other] = [(); 2].map(|()| WorkerCache::new(Arc::clone(&shared), 8));
    one.keep(&verified("text", 100), CacheSlot::FIRST);
    let hash = other.hash(b"text").unwrap();
    for expected in [CacheResult::Shared, CacheResult::Worker] {
        let (_, result) = other.find(b"text", hash, CacheSlot::FIRST).unwrap();
        assert_eq!(result, expected);
    }
}

#[test]
fn a_long_token_is_not_kept_and_none_is_without_a_cache() {
    let shared = Arc::new(SharedCache::new(1 << 20));
    let worker = WorkerCache::new(Arc::clone(&shared), 8);
    for (bytes, is_kept) in [(8 * 1024, true), (8 * 1024 + 1, false)] {
        let text = "a".repeat(bytes);
        worker.keep(&verified(&text, 100), CacheSlot::FIRST);
        assert_eq!(find(&worker, &text).is_some(), is_kept, "{bytes}");
    }
    let off = Arc::new(SharedCache::new(0));
    let worker = WorkerCache::new(Arc::clone(&off), 8);
    worker.keep(&verified("text", 100), CacheSlot::FIRST);
    off.sweep(UnixTime(0));
    assert!(worker.hash(b"text").is_none() && off.is_empty());
}

// Both levels drop it.
#[test]
fn a_token_that_has_expired_is_not_kept() {
    let shared = Arc::new(SharedCache::new(1 << 20));
    let worker = WorkerCache::new(Arc::clone(&shared), 8);
    worker.keep(&verified("short", 100), CacheSlot::FIRST);
    worker.keep(&verified("long", 200), CacheSlot::FIRST);
    for (now, left) in [(99, 2), (100, 1), (199, 1), (200, 0)] {
        shared.sweep(UnixTime(now));
        worker.sweep(UnixTime(now));
        assert_eq!(
            (shared.len(), worker.hot.borrow().len()),
            (left, left),
            "at {now}"
        );
        assert_eq!(find(&worker, "long").is_some(), now < 200, "at {now}");
    }
}

/// Keeps a token on both levels, and returns its text and the address of the kept text.
#[cfg(target_os = "linux")]
fn kept(worker: &WorkerCache, seed: u64, expires: u64) -> (String, usize) {
    let text = unique(seed);
    worker.keep(&verified(&text, expires), CacheSlot::FIRST);
    let hot = find(worker, &text).unwrap();
    let at = hot.token.text.as_ptr() as usize;
    assert!(is_at(at, &text));
    (text, at)
}

// The token of each entry that leaves is overwritten in memory.
#[cfg(target_os = "linux")]
#[test]
fn what_the_cache_lets_go_is_not_in_memory_any_more() {
    let cache = |bytes, tokens| {
        let shared = Arc::new(SharedCache::new(bytes));
        let worker = WorkerCache::new(Arc::clone(&shared), tokens);
        (shared, worker)
    };
    let (shared, worker) = cache(1 << 20, 8);
    let (text, at) = kept(&worker, 10, 100);
    shared.sweep(UnixTime(100));
    assert!(is_at(at, &text), "the worker has it still");
    worker.sweep(UnixTime(100));
    assert!(!is_at(at, &text), "swept");

    let (_shared, worker) = cache(1 << 20, 8);
    let (text, at) = kept(&worker, 11, 100);
    worker.keep(&verified(&text, 200), CacheSlot::FIRST);
    assert!(!is_at(at, &text), "replaced");

    let (_shared, worker) = cache(1 << 14, 1);
    let evicted = kept(&worker, 12, 100);
    let later: Vec<_> = (13..80).map(|seed| kept(&worker, seed, 100)).collect();
    let gone = std::iter::once(&evicted)
        .chain(&later)
        .filter(|(text, at)| !is_at(*at, text))
        .count();
    assert!(gone >= 60, "evicted: {gone}");

    let (shared, worker) = cache(1 << 20, 8);
    let (text, at) = kept(&worker, 80, 100);
    drop((shared, worker));
    assert!(!is_at(at, &text), "dropped with its cache");

    let token = verified(&unique(81), 100);
    let at = token.token.text.as_ptr() as usize;
    drop(token);
    assert!(!is_at(at, &unique(81)), "never kept");
}

// A client that learns the slots of one cache knows none of another's.
#[test]
fn each_cache_has_places_of_its_own() {
    let (one, other) = (SharedCache::new(0), SharedCache::new(0));
    let hash = one.hash(b"header.claims.signature");
    assert_eq!(one.hash(b"header.claims.signature"), hash);
    assert_ne!(other.hash(b"header.claims.signature"), hash);
    assert_ne!(
        hash >> 64,
        hash & u128::from(u64::MAX),
        "two halves, two keys"
    );
}

#[test]
fn an_entry_is_for_exactly_its_text() {
    let shared = Arc::new(SharedCache::new(1 << 20));
    let worker = || WorkerCache::new(Arc::clone(&shared), 8);
    let (one, other) = (worker(), worker());
    assert!(shared.is_empty());
    one.keep(&verified("one", 100), CacheSlot::FIRST);
    assert!(!shared.is_empty());
    let hash = one.hash(b"one").unwrap();
    assert_ne!(hash >> 64, 0);
    let level = |worker: &WorkerCache, text| {
        let found = worker.find(text, hash, CacheSlot::FIRST);
        found.map(|(_, level)| level)
    };
    // As if two texts had one hash.
    assert_eq!(level(&one, b"two"), None);
    assert_eq!(level(&other, b"two"), None);
    assert_eq!(level(&one, b"one"), Some(CacheResult::Worker));
    assert_eq!(level(&other, b"one"), Some(CacheResult::Shared));
    assert_eq!(level(&other, b"one"), Some(CacheResult::Worker));
}

#[tokio::test]
async fn a_cache_is_swept_until_it_is_dropped() {
    let shared = Arc::new(SharedCache::new(1 << 20));
    let worker = WorkerCache::new(Arc::clone(&shared), 8);
    worker.keep(&verified("old", 1), CacheSlot::FIRST);
    let mut sweeps = Box::pin(SharedCache::maintain(Arc::downgrade(&shared)));
    let has_ended = std::future::poll_fn(|context| {
        std::task::Poll::Ready(sweeps.as_mut().poll(context).is_ready())
    });
    assert!(!has_ended.await);
    assert!(shared.is_empty());
    SharedCache::maintain(std::sync::Weak::new()).await;
}
