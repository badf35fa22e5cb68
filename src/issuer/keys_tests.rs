//! Tests of finding keys and waiting for them. There is no network: the tests act as the control
//! thread.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use tokio::time::timeout;

use super::fixture::{Signer, entry, jwks, unread};
use super::keys::Change;
use super::status::Cause;
use super::*;
use crate::clock;
use crate::net::Url;

const ES256: Algorithm = Algorithm::ES256;

fn set(keys: &[serde_json::Value]) -> KeySet {
    KeySet::parse(jwks(keys).as_bytes(), 64).unwrap()
}

fn fetched_entry() -> IssuerSettings {
    entry(KeySource::Uri(
        Url::parse("https://idp.example.com/keys").unwrap(),
    ))
}

fn issuer(entry: IssuerSettings) -> Arc<Issuer> {
    Issuer::new(entry, vec![unread()]).unwrap()
}

fn with_keys(keys: &[serde_json::Value]) -> Arc<Issuer> {
    let issuer = issuer(fetched_entry());
    end_fetch(&issuer, Some(set(keys)));
    issuer
}

/// Ends a fetch for a request that has not got its key, so that the cool-down begins.
fn end_fetch(issuer: &Issuer, fetched: Option<KeySet>) -> Change {
    let before = *issuer.status.borrow();
    issuer.ask(&before, Cause::MissingKey);
    issuer.end_fetch(fetched)
}

/// Answers requests for a fetch with `keys`, as the control thread does, and
/// returns how many there were.
async fn serve(
    issuer: &Issuer,
    keys: impl Fn() -> Option<KeySet>,
    requests: impl Future<Output = ()>,
) -> usize {
    let demand = issuer.demand();
    let mut fetches = 0;
    let answer = async {
        loop {
            demand.notified().await;
            if !issuer.is_asked() {
                continue;
            }
            issuer.begin_fetch();
            tokio::task::yield_now().await;
            issuer.end_fetch(keys());
            fetches += 1;
        }
    };
    tokio::select! { () = requests => {}, () = answer => {} }
    fetches
}

// The kid is compared in full and with case.
#[test]
fn a_kid_selects_its_key_and_no_other() {
    let issuer = with_keys(&[
        Signer::p256().jwk("a"),
        Signer::p256().jwk("b/="),
        Signer::rsa().jwk("a"),
    ]);
    assert_eq!(issuer.find(Some("b/="), ES256).unwrap().kid(), Some("b/="));
    assert!(issuer.find(Some("a"), ES256).unwrap().allows(ES256));
    assert!(
        issuer
            .find(Some("a"), Algorithm::RS256)
            .unwrap()
            .allows(Algorithm::RS256)
    );
    for kid in [
        "A",
        "",
        "a ",
        "a\0",
        "b/",
        "../../a",
        "https://evil.example.com/jwks.json",
    ] {
        assert!(issuer.find(Some(kid), ES256).is_none(), "{kid}");
    }
    assert!(issuer.find(Some("b/="), Algorithm::ES384).is_none());
}

/// Returns the ids of the keys that are tried for a token.
fn tried(issuer: &Issuer, kid: Option<&str>, algorithm: Algorithm) -> Vec<String> {
    let Some(candidates) = issuer.present(kid, algorithm, None) else {
        return Vec::new();
    };
    let name = |key: &Arc<Key>| key.kid().unwrap_or("(none)").to_owned();
    candidates.iter().map(name).collect()
}

fn nameless(signer: &Signer) -> serde_json::Value {
    let mut jwk = signer.jwk("k");
    jwk.as_object_mut().unwrap().remove("kid");
    jwk
}

// RFC 7515 §4.1.4: `kid` is optional.
#[test]
fn a_token_without_kid_is_tried_with_the_keys_of_its_algorithm() {
    let two = [Signer::p256().jwk("a"), Signer::rsa().jwk("b")];
    assert_eq!(tried(&with_keys(&two), None, ES256), ["a"]);
    assert!(tried(&with_keys(&two), None, Algorithm::ES384).is_empty());
    let three = [
        Signer::p256().jwk("a"),
        Signer::rsa().jwk("b"),
        nameless(&Signer::p256()),
    ];
    assert_eq!(tried(&with_keys(&three), None, ES256), ["a", "(none)"]);
    assert_eq!(tried(&with_keys(&three), None, Algorithm::RS256), ["b"]);
    let many: Vec<_> = (0..20)
        .map(|place| Signer::ed25519().jwk(&place.to_string()))
        .collect();
    let issuer = with_keys(&many);
    let tried = tried(&issuer, None, Algorithm::EdDSA);
    assert_eq!(tried, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let key = |kid| issuer.find(Some(kid), Algorithm::EdDSA).unwrap();
    assert!(issuer.is_candidate(None, Algorithm::EdDSA, &key("7")));
    assert!(!issuer.is_candidate(None, Algorithm::EdDSA, &key("8")));
}

// RFC 7517 §4.5: `kid` is optional in a key as well.
#[test]
fn a_key_without_kid_is_for_every_kid_if_there_is_no_other_such_key() {
    let (a, rsa) = (Signer::p256().jwk("a"), Signer::rsa().jwk("b"));
    let (one, other) = (nameless(&Signer::p256()), nameless(&Signer::p256()));
    let set = with_keys(&[a.clone(), one.clone(), rsa]);
    assert_eq!(
        tried(&set, Some("a"), ES256),
        ["a"],
        "the key of the kid is there"
    );
    assert_eq!(tried(&set, Some("x"), ES256), ["(none)"]);
    assert!(tried(&set, Some("x"), Algorithm::RS256).is_empty());
    let set = with_keys(&[a, one, other]);
    assert!(
        tried(&set, Some("x"), ES256).is_empty(),
        "there is a choice"
    );
}

// Some issuers publish an RSA key once for each `alg`, or once with and once without one.
#[test]
fn copies_of_a_key_without_kid_are_one_key() {
    let plain = nameless(Signer::rsa());
    let with_alg = |alg: &str| {
        let mut jwk = plain.clone();
        jwk["alg"] = alg.into();
        jwk
    };
    for copies in [
        [with_alg("RS256"), plain.clone()],
        [plain.clone(), with_alg("RS256")],
        [plain.clone(), plain.clone()],
    ] {
        let set = with_keys(&copies);
        assert_eq!(tried(&set, Some("x"), Algorithm::RS256), ["(none)"]);
        assert_eq!(tried(&set, Some("x"), Algorithm::PS256), ["(none)"]);
    }
    let other = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let other = nameless(&Signer::Rsa(other));
    let set = with_keys(&[with_alg("RS256"), plain, other]);
    assert!(tried(&set, Some("x"), Algorithm::RS256).is_empty());
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_may_not_use_finds_nothing_and_fetches_nothing() {
    let issuer = issuer(IssuerSettings {
        algorithms: vec![Algorithm::RS256],
        ..fetched_entry()
    });
    end_fetch(
        &issuer,
        Some(set(&[Signer::p256().jwk("a"), Signer::rsa().jwk("b")])),
    );
    assert!(issuer.find(Some("a"), ES256).is_none());
    assert_eq!(
        issuer.candidates(Some("a"), ES256).await.unwrap_err(),
        KeyError::Unknown
    );
    assert!(issuer.find(Some("b"), Algorithm::RS256).is_some());
}

#[tokio::test]
async fn keys_in_the_configuration_are_all_there_is() {
    let text: Arc<str> = jwks(&[Signer::p256().jwk("a")]).into();
    let issuer = issuer(entry(KeySource::Static(text)));
    assert!(issuer.candidates(Some("a"), ES256).await.is_ok());
    assert_eq!(
        issuer.candidates(Some("b"), ES256).await.unwrap_err(),
        KeyError::Unknown
    );
    assert_eq!(
        issuer.state(),
        IssuerState {
            keys: 1,
            age: None,
            tried: true,
            last_ok: true
        }
    );
    let broken = entry(KeySource::Static(r#"{"keys":[{}]}"#.into()));
    assert!(matches!(
        Issuer::new(broken, vec![unread()]),
        Err(JwksError::NoUsableKey(_))
    ));
}

#[tokio::test]
async fn a_set_of_the_configuration_without_keys_says_nothing_of_a_token() {
    let issuer = issuer(entry(KeySource::Static(r#"{"keys":[]}"#.into())));
    assert!(matches!(
        issuer.candidates(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    assert_eq!(issuer.state().keys, 0);
}

// Without keys no token is judged, although the fetch succeeded.
#[tokio::test]
async fn an_empty_set_retires_every_key_and_makes_no_token_invalid() {
    let issuer = with_keys(&[Signer::p256().jwk("a"), Signer::rsa().jwk("b")]);
    let keys = [
        issuer.find(Some("a"), ES256),
        issuer.find(Some("b"), Algorithm::RS256),
    ]
    .map(Option::unwrap);
    let change = end_fetch(&issuer, Some(KeySet::default()));
    assert!(change.withdrawn && change.removed.len() == 2 && keys.iter().all(|key| !key.is_live()));
    assert!(matches!(
        issuer.candidates(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    assert!(
        !end_fetch(&issuer, Some(KeySet::default())).withdrawn,
        "the alarm is raised once"
    );
    end_fetch(&issuer, None);
    assert!(matches!(
        issuer.candidates(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    issuer.restore(set(&[Signer::p256().jwk("a")]), Duration::from_secs(1));
    assert!(
        issuer.find(Some("a"), ES256).is_none(),
        "a file brings nothing back"
    );
    end_fetch(&issuer, Some(set(&[Signer::p256().jwk("a")])));
    assert!(issuer.candidates(Some("a"), ES256).await.is_ok());
    assert_eq!(
        issuer.candidates(Some("b"), ES256).await.unwrap_err(),
        KeyError::Unknown,
        "now there is a verdict"
    );
}

#[test]
fn issuers_with_equal_kids_share_no_key() {
    let (one, other) = (Signer::p256(), Signer::p256());
    let (a, b) = (with_keys(&[one.jwk("k")]), with_keys(&[other.jwk("k")]));
    let message = b"header.claims";
    let signature = one.sign(ES256, message);
    assert!(
        a.find(Some("k"), ES256)
            .unwrap()
            .verify(ES256, message, &signature)
    );
    assert!(
        !b.find(Some("k"), ES256)
            .unwrap()
            .verify(ES256, message, &signature)
    );
    // Two issuers never share a key object, not even for the same numbers: one of them may retire
    // it.
    let c = with_keys(&[one.jwk("k")]);
    assert!(!Arc::ptr_eq(
        &a.find(Some("k"), ES256).unwrap(),
        &c.find(Some("k"), ES256).unwrap()
    ));
}

#[test]
fn a_refresh_keeps_what_is_unchanged_and_retires_the_rest() {
    let (stays, goes, changes) = (Signer::p256(), Signer::p256(), Signer::p256());
    let issuer = with_keys(&[stays.jwk("stays"), goes.jwk("goes"), changes.jwk("changes")]);
    let find = |kid| issuer.find(Some(kid), ES256);
    let [stayed, gone, changed] = ["stays", "goes", "changes"].map(|kid| find(kid).unwrap());
    let new = [
        Signer::p256().jwk("changes"),
        stays.jwk("stays"),
        Signer::p256().jwk("new"),
    ];
    let change = end_fetch(&issuer, Some(set(&new)));
    assert_eq!(
        (change.added.len(), change.removed.len(), change.kept),
        (2, 2, 1)
    );
    assert!(stayed.is_live() && !gone.is_live() && !changed.is_live());
    assert!(Arc::ptr_eq(&stayed, &find("stays").unwrap()));
    assert!(find("goes").is_none());
    assert!(find("changes").unwrap().is_live() && find("new").unwrap().is_live());
}

// The same numbers with another `kid` or for another algorithm are another key.
#[test]
fn a_key_that_is_renamed_or_restricted_is_another_key() {
    let rsa = Signer::rsa();
    let issuer = with_keys(&[rsa.jwk("a"), Signer::p256().jwk("b")]);
    let before = issuer.find(Some("a"), Algorithm::RS256).unwrap();
    let mut restricted = rsa.jwk("a");
    restricted["alg"] = "RS256".into();
    end_fetch(&issuer, Some(set(&[restricted])));
    assert!(!before.is_live());
    let restricted = issuer.find(Some("a"), Algorithm::RS256).unwrap();
    end_fetch(&issuer, Some(set(&[rsa.jwk("renamed")])));
    assert!(!restricted.is_live());
}

#[test]
fn a_fetch_that_fails_changes_no_key() {
    let issuer = with_keys(&[Signer::p256().jwk("a")]);
    let key = issuer.find(Some("a"), ES256).unwrap();
    issuer.begin_fetch();
    end_fetch(&issuer, None);
    assert!(key.is_live() && issuer.find(Some("a"), ES256).is_some());
    let state = issuer.state();
    assert!(state.tried && !state.last_ok && state.keys == 1 && state.age.is_some());
}

#[tokio::test]
async fn an_issuer_that_is_gone_verifies_nothing() {
    let issuer = with_keys(&[Signer::p256().jwk("a")]);
    let key = issuer.find(Some("a"), ES256).unwrap();
    issuer.retire_all();
    assert!(!key.is_live() && issuer.find(Some("a"), ES256).is_none());
    assert!(matches!(
        issuer.candidates(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    // A fetch that was in progress does not bring keys back.
    end_fetch(&issuer, Some(set(&[Signer::p256().jwk("a")])));
    assert!(issuer.find(Some("a"), ES256).is_none());

    let dropped = with_keys(&[Signer::p256().jwk("a")]);
    let key = dropped.find(Some("a"), ES256).unwrap();
    drop(dropped);
    assert!(!key.is_live());
}

// All requests share a single fetch.
#[tokio::test]
async fn all_who_miss_a_key_wait_for_one_fetch() {
    let issuer = issuer(fetched_entry());
    let keys = [Signer::p256().jwk("a")];
    let requests = async {
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let issuer = Arc::clone(&issuer);
                tokio::spawn(async move { issuer.candidates(Some("a"), ES256).await.map(|_| ()) })
            })
            .collect();
        for request in waiting {
            assert_eq!(request.await.unwrap(), Ok(()));
        }
    };
    assert_eq!(serve(&issuer, || Some(set(&keys)), requests).await, 1);
}

#[tokio::test]
async fn in_the_cool_down_nobody_waits() {
    let issuer = issuer(fetched_entry());
    let keys = [Signer::p256().jwk("a")];
    let requests = async {
        for kid in 0..100_000 {
            let result = issuer.candidates(Some(&kid.to_string()), ES256).await;
            assert_eq!(result.unwrap_err(), KeyError::Unknown);
        }
    };
    assert_eq!(serve(&issuer, || Some(set(&keys)), requests).await, 1);
}

// A refresh that no request waited for proves nothing about a key that a token names later.
#[tokio::test]
async fn a_new_key_is_learnt_at_once_after_a_refresh_that_nobody_asked_for() {
    let issuer = issuer(fetched_entry());
    let (old, new) = (Signer::p256().jwk("old"), Signer::p256().jwk("new"));
    issuer.begin_fetch();
    issuer.end_fetch(Some(set(std::slice::from_ref(&old))));
    let newest = Signer::p256().jwk("newest");
    let sets = std::cell::RefCell::new(vec![
        vec![old.clone(), new.clone(), newest.clone()],
        vec![old.clone(), new.clone()],
    ]);
    let requests = async {
        for kid in ["new", "newest"] {
            let found = issuer.candidates(Some(kid), ES256).await;
            issuer.confirm(&found.expect(kid));
        }
    };
    let next = || sets.borrow_mut().pop().map(|keys| set(&keys));
    assert_eq!(serve(&issuer, next, requests).await, 2);
}

// The fetch in progress answers the request, and starts the cool-down if it does not have the key.
#[tokio::test]
async fn a_request_that_joins_a_refresh_in_vain_starts_the_cool_down() {
    let issuer = issuer(fetched_entry());
    issuer.begin_fetch();
    let joined = tokio::spawn({
        let issuer = Arc::clone(&issuer);
        async move { issuer.candidates(Some("b"), ES256).await.map(|_| ()) }
    });
    while !issuer.is_asked() {
        tokio::task::yield_now().await;
    }
    issuer.end_fetch(Some(set(&[Signer::p256().jwk("a")])));
    assert_eq!(joined.await.unwrap(), Err(KeyError::Unknown));
    assert!(!issuer.is_asked());
    let again = issuer.candidates(Some("b"), ES256).await;
    assert_eq!(again.unwrap_err(), KeyError::Unknown);
    assert!(!issuer.is_asked(), "no fetch is asked for in the cool-down");
}

// A signature that fails may mean that the issuer has another key under the same kid.
#[tokio::test]
async fn other_keys_are_asked_for_once_per_cool_down() {
    let issuer = issuer(fetched_entry());
    issuer.begin_fetch();
    issuer.end_fetch(Some(set(&[Signer::p256().jwk("a")])));
    let (same, other) = (issuer.keys(), Signer::p256().jwk("a"));
    let known = issuer.candidates(Some("a"), ES256).await.unwrap();
    let requests = async {
        for _ in 0..1000 {
            let newer = issuer.newer_candidates(Some("a"), ES256, &known).await;
            assert!(newer.unwrap().is_none());
        }
    };
    let unchanged = || {
        Some(KeySet {
            keys: same.keys.clone(),
            ..KeySet::default()
        })
    };
    assert_eq!(serve(&issuer, unchanged, requests).await, 1);
    // Another request has brought the new key meanwhile.
    issuer.end_fetch(Some(set(&[other])));
    let newer = issuer
        .newer_candidates(Some("a"), ES256, &known)
        .await
        .unwrap();
    assert!(newer.is_some_and(|newer| !newer.is_within(&known)));
    issuer.end_fetch(Some(set(&[Signer::p256().jwk("b")])));
    let gone = issuer.newer_candidates(Some("a"), ES256, &known).await;
    assert_eq!(gone.unwrap_err(), KeyError::Unknown);
}

// While the issuer is out, the keys that are known decide.
#[tokio::test]
async fn a_fetch_that_fails_or_hangs_leaves_the_verdict_of_the_known_keys() {
    let mut entry = fetched_entry();
    entry.fetch.wait = Duration::from_millis(20);
    let issuer = issuer(entry);
    issuer.end_fetch(Some(set(&[Signer::p256().jwk("a")])));
    let known = issuer.candidates(Some("a"), ES256).await.unwrap();
    issuer.begin_fetch();
    let hangs = issuer.newer_candidates(Some("a"), ES256, &known).await;
    assert!(hangs.unwrap().is_none());
    issuer.end_fetch(None);
    let fails = issuer.newer_candidates(Some("a"), ES256, &known).await;
    assert!(fails.unwrap().is_none());
}

#[test]
fn an_order_is_taken_in_the_cool_down_and_lasts_until_a_fetch_begins() {
    let issuer = with_keys(&[Signer::p256().jwk("a")]);
    assert!(!issuer.is_asked());
    issuer.begin_fetch();
    issuer.refresh();
    issuer.end_fetch(None);
    assert!(issuer.is_asked(), "the fetch had begun before the order");
    issuer.begin_fetch();
    issuer.end_fetch(None);
    assert!(!issuer.is_asked());
    let text: Arc<str> = jwks(&[Signer::p256().jwk("a")]).into();
    let fixed = self::issuer(entry(KeySource::Static(text)));
    fixed.refresh();
    assert!(!fixed.is_asked());
}

// The gateway answers 503, not 401, when it has no keys.
#[tokio::test]
async fn an_issuer_that_cannot_be_heard_makes_no_token_invalid() {
    let issuer = issuer(fetched_entry());
    let cooldown = issuer.entry().fetch.cooldown;
    let requests = async {
        for _ in 0..3 {
            let error = issuer.candidates(Some("a"), ES256).await.unwrap_err();
            let KeyError::Unavailable { retry_after } = error else {
                panic!("{error:?}")
            };
            assert!(retry_after <= cooldown && retry_after > cooldown / 2);
        }
    };
    assert_eq!(serve(&issuer, || None, requests).await, 1);
}

#[tokio::test]
async fn with_old_keys_a_new_kid_is_not_invalid_while_the_issuer_is_out() {
    let issuer = with_keys(&[Signer::p256().jwk("a")]);
    end_fetch(&issuer, None);
    assert!(issuer.candidates(Some("a"), ES256).await.is_ok());
    assert!(matches!(
        issuer.candidates(Some("b"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
}

#[tokio::test]
async fn a_wait_ends() {
    let mut entry = fetched_entry();
    entry.fetch.wait = Duration::from_millis(20);
    let issuer = issuer(entry);
    assert!(matches!(
        issuer.candidates(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    issuer.begin_fetch();
    assert!(matches!(
        issuer.candidates(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
}

#[test]
fn a_wait_works_from_another_runtime() {
    let issuer = issuer(fetched_entry());
    let worker = std::thread::spawn({
        let issuer = Arc::clone(&issuer);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime
                .block_on(issuer.candidates(Some("a"), ES256))
                .map(|_| ())
        }
    });
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    control.block_on(async {
        let heard = timeout(Duration::from_secs(10), issuer.demand().notified()).await;
        heard.unwrap();
        issuer.begin_fetch();
        end_fetch(&issuer, Some(set(&[Signer::p256().jwk("a")])));
    });
    assert_eq!(worker.join().unwrap(), Ok(()));
}

// A restart does not make keys younger.
#[tokio::test]
async fn restored_keys_are_as_old_as_they_are() {
    let issuer = issuer(fetched_entry());
    let (age, keep_stale) = (Duration::from_secs(3600), issuer.entry().fetch.keep_stale);
    let change = issuer.restore(set(&[Signer::p256().jwk("a")]), age);
    assert_eq!(
        (change.added.len(), issuer.find(Some("a"), ES256).is_some()),
        (1, true)
    );
    let state = issuer.state();
    assert!(
        !state.tried && !state.last_ok && state.age.unwrap() >= age,
        "{state:?}"
    );
    let left = issuer
        .stale_at()
        .unwrap()
        .saturating_duration_since(clock::monotonic());
    assert!(
        left <= keep_stale - age && left > keep_stale - age - Duration::from_secs(60),
        "{left:?}"
    );
    end_fetch(&issuer, None);
    assert!(issuer.stale_at().is_some() && issuer.find(Some("a"), ES256).is_some());
    assert!(matches!(
        issuer.candidates(Some("b"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    end_fetch(&issuer, Some(set(&[Signer::p256().jwk("b")])));
    assert!(issuer.find(Some("a"), ES256).is_none() && issuer.stale_at().is_none());
}

#[test]
fn what_was_fetched_is_not_replaced_by_what_was_kept() {
    let fetched = with_keys(&[Signer::p256().jwk("new")]);
    fetched.restore(set(&[Signer::p256().jwk("old")]), Duration::from_secs(1));
    assert!(
        fetched.find(Some("old"), ES256).is_none() && fetched.find(Some("new"), ES256).is_some()
    );
    let retired = issuer(fetched_entry());
    retired.retire_all();
    retired.restore(set(&[Signer::p256().jwk("old")]), Duration::from_secs(1));
    assert!(retired.find(Some("old"), ES256).is_none());
}
