//! Tests of finding keys and waiting for them. There is no network: the tests act as the control
//! thread.

use std::future::Future;

use super::super::fixture::{Signer, entry, jwks, metrics};
use super::*;
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
    Issuer::new(entry, metrics()).unwrap()
}

fn with_keys(keys: &[serde_json::Value]) -> Arc<Issuer> {
    let issuer = issuer(fetched_entry());
    issuer.end_fetch(Some(set(keys)));
    issuer
}

/// Answers requests for a fetch outside the cool-down with `keys`, as the control thread does, and
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
            if !issuer.cooldown_left(clock::monotonic()).is_zero() {
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

#[test]
fn a_token_without_kid_needs_a_set_without_choice() {
    let two = [Signer::p256().jwk("a"), Signer::rsa().jwk("b")];
    assert_eq!(with_keys(&two).find(None, ES256).unwrap().kid(), Some("a"));
    assert!(with_keys(&two).find(None, Algorithm::ES384).is_none());
    let three = [
        Signer::p256().jwk("a"),
        Signer::rsa().jwk("b"),
        Signer::p256().jwk("c"),
    ];
    assert!(with_keys(&three).find(None, ES256).is_none());
    assert_eq!(
        with_keys(&three)
            .find(None, Algorithm::RS256)
            .unwrap()
            .kid(),
        Some("b")
    );
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_may_not_use_finds_nothing_and_fetches_nothing() {
    let issuer = issuer(IssuerSettings {
        algorithms: vec![Algorithm::RS256],
        ..fetched_entry()
    });
    issuer.end_fetch(Some(set(&[
        Signer::p256().jwk("a"),
        Signer::rsa().jwk("b"),
    ])));
    assert!(issuer.find(Some("a"), ES256).is_none());
    assert_eq!(
        issuer.key(Some("a"), ES256).await.unwrap_err(),
        KeyError::Unknown
    );
    assert!(issuer.find(Some("b"), Algorithm::RS256).is_some());
}

#[tokio::test]
async fn keys_in_the_configuration_are_all_there_is() {
    let text: Arc<str> = jwks(&[Signer::p256().jwk("a")]).into();
    let issuer = issuer(entry(KeySource::Static(text)));
    assert!(issuer.key(Some("a"), ES256).await.is_ok());
    assert_eq!(
        issuer.key(Some("b"), ES256).await.unwrap_err(),
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
        Issuer::new(broken, metrics()),
        Err(JwksError::NoUsableKey(_))
    ));
}

#[tokio::test]
async fn a_set_of_the_configuration_without_keys_says_nothing_of_a_token() {
    let issuer = issuer(entry(KeySource::Static(r#"{"keys":[]}"#.into())));
    assert!(matches!(
        issuer.key(Some("a"), ES256).await,
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
    let change = issuer.end_fetch(Some(KeySet::default()));
    assert!(change.withdrawn && change.removed.len() == 2 && keys.iter().all(|key| !key.is_live()));
    assert!(matches!(
        issuer.key(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    assert!(
        !issuer.end_fetch(Some(KeySet::default())).withdrawn,
        "the alarm is raised once"
    );
    issuer.end_fetch(None);
    assert!(matches!(
        issuer.key(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    issuer.restore(set(&[Signer::p256().jwk("a")]), Duration::from_secs(1));
    assert!(
        issuer.find(Some("a"), ES256).is_none(),
        "a file brings nothing back"
    );
    issuer.end_fetch(Some(set(&[Signer::p256().jwk("a")])));
    assert!(issuer.key(Some("a"), ES256).await.is_ok());
    assert_eq!(
        issuer.key(Some("b"), ES256).await.unwrap_err(),
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
    let change = issuer.end_fetch(Some(set(&new)));
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
    issuer.end_fetch(Some(set(&[restricted])));
    assert!(!before.is_live());
    let restricted = issuer.find(Some("a"), Algorithm::RS256).unwrap();
    issuer.end_fetch(Some(set(&[rsa.jwk("renamed")])));
    assert!(!restricted.is_live());
}

#[test]
fn a_fetch_that_fails_changes_no_key() {
    let issuer = with_keys(&[Signer::p256().jwk("a")]);
    let key = issuer.find(Some("a"), ES256).unwrap();
    issuer.begin_fetch();
    issuer.end_fetch(None);
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
        issuer.key(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    // A fetch that was in progress does not bring keys back.
    issuer.end_fetch(Some(set(&[Signer::p256().jwk("a")])));
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
                tokio::spawn(async move { issuer.key(Some("a"), ES256).await.map(|_| ()) })
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
            let result = issuer.key(Some(&kid.to_string()), ES256).await;
            assert_eq!(result.unwrap_err(), KeyError::Unknown);
        }
    };
    assert_eq!(serve(&issuer, || Some(set(&keys)), requests).await, 1);
}

// The gateway answers 503, not 401, when it has no keys.
#[tokio::test]
async fn an_issuer_that_cannot_be_heard_makes_no_token_invalid() {
    let issuer = issuer(fetched_entry());
    let cooldown = issuer.entry().fetch.cooldown;
    let requests = async {
        for _ in 0..3 {
            let error = issuer.key(Some("a"), ES256).await.unwrap_err();
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
    issuer.end_fetch(None);
    assert!(issuer.key(Some("a"), ES256).await.is_ok());
    assert!(matches!(
        issuer.key(Some("b"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
}

#[tokio::test]
async fn a_wait_ends() {
    let mut entry = fetched_entry();
    entry.fetch.wait = Duration::from_millis(20);
    let issuer = issuer(entry);
    assert!(matches!(
        issuer.key(Some("a"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    issuer.begin_fetch();
    assert!(matches!(
        issuer.key(Some("a"), ES256).await,
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
            runtime.block_on(issuer.key(Some("a"), ES256)).map(|_| ())
        }
    });
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    control.block_on(async {
        let heard = timeout(Duration::from_secs(10), issuer.demand.notified()).await;
        heard.unwrap();
        issuer.begin_fetch();
        issuer.end_fetch(Some(set(&[Signer::p256().jwk("a")])));
    });
    assert_eq!(worker.join().unwrap(), Ok(()));
}

// A restart does not make keys younger.
#[tokio::test]
async fn restored_keys_are_as_old_as_they_are() {
    let issuer = issuer(fetched_entry());
    let (age, keep_stale) = (Duration::from_secs(3600), issuer.entry.fetch.keep_stale);
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
    issuer.end_fetch(None);
    assert!(issuer.stale_at().is_some() && issuer.find(Some("a"), ES256).is_some());
    assert!(matches!(
        issuer.key(Some("b"), ES256).await,
        Err(KeyError::Unavailable { .. })
    ));
    issuer.end_fetch(Some(set(&[Signer::p256().jwk("b")])));
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
