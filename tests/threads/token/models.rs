use std::sync::{Arc, Weak};

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use scopegate::policy::{Claims, ScopeSet};

use super::cache::{HotToken, SharedCache, VerifiedToken, WorkerCache};
use super::claims::Registered;
use super::verifier_id::{CacheSlot, VerifierId};
use crate::Model;
use crate::clock::UnixTime;
use crate::issuer::{self, Key};
use crate::policy::Principal;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "a_token_whose_key_was_retired_is_not_found",
        switches: None,
        steps: a_token_whose_key_was_retired_is_not_found,
    },
    Model {
        name: "a_token_that_is_kept_while_its_key_is_retired_is_not_found_again",
        switches: None,
        steps: a_token_that_is_kept_while_its_key_is_retired_is_not_found_again,
    },
    Model {
        name: "what_a_sweep_or_an_eviction_drops_no_worker_gets",
        switches: None,
        steps: what_a_sweep_or_an_eviction_drops_no_worker_gets,
    },
    Model {
        name: "a_slot_has_the_token_of_its_text_alone",
        switches: None,
        steps: a_slot_has_the_token_of_its_text_alone,
    },
];

const NOW: UnixTime = UnixTime(100);

/// The bytes of a cache that has room for all tokens of a model.
const ROOMY: u64 = 1 << 20;

/// The bytes of a cache with room for one token.
const ONE_TOKEN: u64 = 600;

fn verified(text: &str, key: &Arc<Key>, verifier: VerifierId) -> HotToken {
    HotToken::new(Arc::new(VerifiedToken {
        text: text.into(),
        verifier,
        key: key.clone(),
        chosen_for: None,
        registered: Registered { expires: NOW.0 + 1 },
        audience: Vec::new(),
        other_kind: None,
        principal: Arc::new(Principal {
            issuer: "idp".into(),
            scopes: ScopeSet::default(),
            claims: Claims::of(Vec::new()).unwrap(),
            key_id: None,
        }),
    }))
}

/// Finds a token as a request does.
fn find(worker: &WorkerCache, text: &str) -> Option<HotToken> {
    let hash = worker.hash(text.as_bytes())?;
    let (hot, _) = worker.find(text.as_bytes(), hash, CacheSlot::FIRST)?;
    Some(hot)
}

/// A worker has a token when a fetch withdraws its key. Another worker, and the first one, do not find it once the fetch is
/// known to have ended, on either level.
fn a_token_whose_key_was_retired_is_not_found() {
    let issuer = issuer::issuer();
    issuer::publish(&issuer, &["a"]);
    let key = issuer.find(Some("a"), Key::ALGORITHM).unwrap();
    let shared = Arc::new(SharedCache::new(ROOMY));
    let worker = WorkerCache::new(shared.clone(), 8);
    worker.keep(
        &verified("text", &key, VerifierId::next()),
        CacheSlot::FIRST,
    );
    let has_ended = Arc::new(AtomicBool::new(false));
    let other = {
        let (shared, has_ended) = (shared.clone(), has_ended.clone());
        thread::spawn(move || {
            let worker = WorkerCache::new(shared, 8);
            // It may become hot.
            find(&worker, "text");
            let is_after = has_ended.load(Ordering::Acquire);
            let found = find(&worker, "text");
            assert!(
                !is_after || found.is_none(),
                "found after its key was retired"
            );
        })
    };
    issuer::publish(&issuer, &["b"]);
    has_ended.store(true, Ordering::Release);
    assert!(find(&worker, "text").is_none());
    other.join().unwrap();
}

/// A worker looks for a token, verifies it with the key that it finds, and keeps it, while a fetch withdraws the key and the
/// control thread sweeps. Whenever it was kept, nobody finds it afterwards, and the next sweeps drop it.
fn a_token_that_is_kept_while_its_key_is_retired_is_not_found_again() {
    let issuer = issuer::issuer();
    issuer::publish(&issuer, &["a"]);
    let shared = Arc::new(SharedCache::new(ROOMY));
    let (asked, kept) = (issuer.clone(), shared.clone());
    let verifying = thread::spawn(move || {
        let worker = WorkerCache::new(kept, 8);
        let key = asked.find(Some("a"), Key::ALGORITHM)?;
        let token = verified("text", &key, VerifierId::next());
        worker.keep(&token, CacheSlot::FIRST);
        let weak = Arc::downgrade(&token.token);
        drop(token);
        find(&worker, "text");
        worker.sweep(NOW);
        drop(worker);
        Some(weak)
    });
    issuer::publish(&issuer, &["b"]);
    shared.sweep(NOW);
    let weak = verifying.join().unwrap();
    assert!(find(&WorkerCache::new(shared.clone(), 8), "text").is_none());
    shared.sweep(NOW);
    assert!(shared.is_empty());
    assert!(
        weak.as_ref().and_then(Weak::upgrade).is_none(),
        "its text is kept"
    );
}

/// Two workers keep tokens in a cache with room for one, while the control thread sweeps at a time when both have expired.
/// A worker finds its own token, which is hot, and no other; the shared level is empty in the end.
fn what_a_sweep_or_an_eviction_drops_no_worker_gets() {
    let shared = Arc::new(SharedCache::new(ONE_TOKEN));
    let key = Arc::new(Key::new("a"));
    let mut workers = Vec::new();
    for (own, others) in [("one", "other"), ("other", "one")] {
        let (shared, key) = (shared.clone(), key.clone());
        workers.push(thread::spawn(move || {
            let worker = WorkerCache::new(shared, 8);
            worker.keep(&verified(own, &key, VerifierId::next()), CacheSlot::FIRST);
            assert!(find(&worker, own).is_some_and(|hot| &*hot.token.text == own));
            assert!(find(&worker, others).is_none_or(|hot| &*hot.token.text == others));
        }));
    }
    shared.sweep(UnixTime(NOW.0 + 1));
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(shared.len() <= 1, "there is room for one");
    shared.sweep(UnixTime(NOW.0 + 1));
    assert!(shared.is_empty());
}

/// Two workers verify one token by two verifiers, before and after a reload, into one slot. Each finds a token that one of the
/// two has verified, and its own as long as it is hot.
fn a_slot_has_the_token_of_its_text_alone() {
    let shared = Arc::new(SharedCache::new(ROOMY));
    let key = Arc::new(Key::new("a"));
    let verifiers = [VerifierId::next(), VerifierId::next()];
    let mut workers = Vec::new();
    for verifier in verifiers {
        let (shared, key) = (shared.clone(), key.clone());
        workers.push(thread::spawn(move || {
            let worker = WorkerCache::new(shared, 8);
            let before = find(&worker, "text");
            assert!(before.is_none_or(|hot| verifiers.contains(&hot.token.verifier)));
            worker.keep(&verified("text", &key, verifier), CacheSlot::FIRST);
            assert_eq!(find(&worker, "text").unwrap().token.verifier, verifier);
        }));
    }
    for worker in workers {
        worker.join().unwrap();
    }
    let found = find(&WorkerCache::new(shared, 8), "text").unwrap();
    assert!(verifiers.contains(&found.token.verifier));
}
