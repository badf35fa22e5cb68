//! Tests of the control thread's task against issuers that misbehave, over real sockets.

use super::super::fixture::{Signer, entry, handle, jwks};
use super::super::{Algorithm, IssuerSettings, KeyError};
use super::*;
use crate::telemetry::Metrics;
use crate::web::fake::{Fake, FakeAnswer, json, response};

const ES256: Algorithm = Algorithm::ES256;
const KEYS: &str = "/keys";

/// The longest wait for a condition that must become true.
const PATIENCE: Duration = Duration::from_secs(20);

/// An issuer whose keys are fetched from a fake server.
struct Stage {
    fake: Fake,
    issuer: Arc<Issuer>,
    metrics: Metrics,
    task: tokio::task::JoinHandle<()>,
}

impl Stage {
    fn set(answer: FakeAnswer, change: impl FnOnce(&mut IssuerSettings)) -> Self {
        let fake = Fake::start();
        fake.answer(KEYS, answer);
        let mut entry = entry(KeySource::Uri(fake.url(KEYS)));
        change(&mut entry);
        let metrics = Metrics::new(&[]).unwrap();
        let issuer = Issuer::new(entry, vec![handle(&metrics, "idp")]).unwrap();
        let task = tokio::spawn(maintain(Arc::downgrade(&issuer), Proxies::none()));
        Self {
            fake,
            issuer,
            metrics,
            task,
        }
    }

    /// Waits until `count` fetches have ended.
    async fn fetches(&self, count: u64) {
        let mut updates = self.issuer.follow();
        let done = updates.wait_for(|status| status.ended >= count);
        tokio::time::timeout(PATIENCE, done)
            .await
            .expect("a fetch ends")
            .unwrap();
    }

    /// Waits until there are keys. On a busy machine a successful fetch may still miss a short
    /// timeout.
    async fn keys(&self) {
        let mut ended = 0;
        while self.issuer.state().keys == 0 {
            ended += 1;
            assert!(ended < 100, "no keys come");
            self.fetches(ended).await;
        }
    }

    /// Waits until the keys of the first fetch are in the file, which is written just after the
    /// fetch ends.
    async fn keep(&self, file: &std::path::Path) {
        self.keys().await;
        let written = async {
            while !file.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, written)
            .await
            .expect("the file comes");
    }

    async fn key(&self, kid: &str) -> Result<Arc<Key>, KeyError> {
        let found = self.issuer.candidates(Some(kid), ES256).await?;
        Ok(Arc::clone(found.iter().next().unwrap()))
    }

    fn shows(&self, line: &str) -> bool {
        self.metrics
            .render()
            .unwrap()
            .lines()
            .any(|shown| shown == line)
    }
}

/// Removes the delays between fetches.
fn restless(entry: &mut IssuerSettings) {
    entry.fetch.cooldown = Duration::from_millis(1);
    entry.fetch.refresh = MIN_DELAY;
    entry.fetch.refresh_min = Duration::ZERO;
}

fn set_of(kid: &str) -> (Signer, FakeAnswer) {
    let signer = Signer::p256();
    let answer = json(&jwks(&[signer.jwk(kid)]));
    (signer, answer)
}

#[tokio::test]
async fn the_first_keys_are_fetched_at_once_and_waited_for() {
    let (signer, answer) = set_of("a");
    let stage = Stage::set(answer, |_| {});
    let message = b"header.claims";
    let key = stage.key("a").await.unwrap();
    assert!(key.verify(ES256, message, &signer.sign(ES256, message)));
    assert_eq!(stage.fake.hits(KEYS), 1);
    let state = stage.issuer.state();
    assert!(state.tried && state.last_ok && state.keys == 1 && state.age.is_some());
    assert!(stage.shows(r#"scopegate_issuer_refreshes_total{issuer="idp",result="success"} 1"#));
    assert!(stage.shows(r#"scopegate_issuer_keys{issuer="idp"} 1"#));
}

#[tokio::test]
async fn keys_are_found_through_metadata() {
    let stage = Stage::set(set_of("a").1, |entry| {
        let KeySource::Uri(url) = entry.keys.clone() else {
            panic!()
        };
        entry.issuer = url.with_path("/").to_string().into();
        entry.keys = KeySource::Discovery(url.with_path("/"));
    });
    let (issuer, jwks_uri) = (
        stage.fake.url("/").to_string(),
        stage.fake.url(KEYS).to_string(),
    );
    let metadata = serde_json::json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string();
    // The task only starts when the test first waits, so the answer is set before the first fetch.
    stage
        .fake
        .answer("/.well-known/openid-configuration", json(&metadata));
    assert!(stage.key("a").await.is_ok());
}

// An issuer on this machine, as on a laptop or in a pod, may name addresses of this machine.
#[tokio::test]
async fn metadata_of_this_machine_may_name_this_machine() {
    for host in ["127.0.0.1", "127.1", "[::ffff:127.0.0.1]", "localhost"] {
        let stage = Stage::set(set_of("a").1, |entry| {
            let KeySource::Uri(url) = entry.keys.clone() else {
                panic!()
            };
            entry.issuer = url.with_path("/").to_string().into();
            entry.keys = KeySource::Discovery(url.with_path("/"));
        });
        let jwks_uri = format!("http://{host}:{}{KEYS}", stage.fake.address().port());
        let metadata =
            serde_json::json!({ "issuer": stage.fake.url("/").to_string(), "jwks_uri": jwks_uri });
        stage.fake.answer(
            "/.well-known/openid-configuration",
            json(&metadata.to_string()),
        );
        assert!(stage.key("a").await.is_ok(), "{host}");
    }
}

// The last good keys stay in use through every failure of the issuer, and no request waits.
#[tokio::test]
async fn last_known_good_keys_serve_through_every_failure() {
    let (_, good) = set_of("a");
    let private = {
        let mut jwk = Signer::p256().jwk("a");
        jwk["d"] = "AQAB".into();
        json(&jwks(&[jwk]))
    };
    let other = "http://192.0.2.1/keys";
    let survivals = [
        ("500", FakeAnswer::Bytes(response(500, "", "<html>"))),
        ("404", FakeAnswer::Bytes(response(404, "", ""))),
        ("HTML", json("<html>")),
        ("not JSON", json("{")),
        ("no set", json(r#"{}"#)),
        ("null for keys", json(r#"{"keys":null}"#)),
        ("an object for keys", json(r#"{"keys":{}}"#)),
        (
            "two sets, one of them empty",
            json(r#"{"keys":[],"keys":[]}"#),
        ),
        ("keys that are none", json(r#"{"keys":[null,{},[]]}"#)),
        ("only a private key", private),
        (
            "cut off",
            FakeAnswer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"keys\":[".to_vec()),
        ),
        ("reset", FakeAnswer::Reset),
        ("hang", FakeAnswer::Hang),
        (
            "drip",
            FakeAnswer::Drip(response(200, "", &" ".repeat(10_000))),
        ),
        ("endless", FakeAnswer::Endless),
        (
            "a gibibyte",
            FakeAnswer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec()),
        ),
        (
            "a redirect elsewhere",
            FakeAnswer::Bytes(response(302, &format!("Location: {other}\r\n"), "")),
        ),
    ]
    .map(|(name, bad)| tokio::spawn(survives(name, good.clone(), bad)));
    for survival in survivals {
        survival.await.unwrap();
    }
}

async fn survives(name: &'static str, good: FakeAnswer, bad: FakeAnswer) {
    let stage = Stage::set(good.clone(), |entry| {
        restless(entry);
        entry.fetch.timeout = Duration::from_millis(200);
    });
    stage.keys().await;
    let key = stage.key("a").await.unwrap();
    stage.fake.answer(KEYS, bad);
    while stage.issuer.state().last_ok {
        let ended = stage.issuer.follow().borrow().ended;
        stage.fetches(ended + 1).await;
        // `find` is synchronous: a request whose key is present does not wait.
        assert!(stage.issuer.find(Some("a"), ES256).is_some(), "{name}");
    }
    assert!(
        key.is_live() && Arc::ptr_eq(&key, &stage.key("a").await.unwrap()),
        "{name}"
    );
    assert!(
        stage.shows(r#"scopegate_issuer_refreshes_total{issuer="idp",result="failure"} 1"#),
        "{name}"
    );
    let failed = stage.issuer.follow().borrow().ended;
    stage.fake.answer(KEYS, good.clone());
    while !stage.issuer.state().last_ok {
        let ended = stage.issuer.follow().borrow().ended;
        assert!(ended < failed + 100, "{name}: it does not heal");
        stage.fetches(ended + 1).await;
    }
    assert!(key.is_live(), "{name}");
}

#[tokio::test]
async fn a_new_key_is_learnt_when_a_token_names_it() {
    let (_, old) = set_of("a");
    // Only the token can cause the second fetch: the next scheduled one is an hour away.
    let stage = Stage::set(old, |entry| entry.fetch.cooldown = Duration::ZERO);
    stage.fetches(1).await;
    stage.fake.answer(KEYS, set_of("b").1);
    assert!(stage.key("b").await.is_ok());
    assert_eq!(stage.fake.hits(KEYS), 2);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_or_replaced_dies_with_the_next_refresh() {
    let stage = Stage::set(set_of("a").1, restless);
    stage.fetches(1).await;
    let first = stage.key("a").await.unwrap();
    stage.fake.answer(KEYS, set_of("a").1);
    let mut ended = 1;
    while first.is_live() {
        ended += 1;
        assert!(ended < 100, "the replaced key lives on");
        stage.fetches(ended).await;
    }
    let second = stage.key("a").await.unwrap();
    assert_ne!(first.thumbprint(), second.thumbprint());
}

#[tokio::test]
async fn a_flood_of_unknown_kids_is_one_fetch_per_cool_down() {
    let stage = Stage::set(set_of("a").1, |_| {});
    stage.fetches(1).await;
    for kid in 0..10_000 {
        assert_eq!(
            stage.key(&format!("unknown-{kid}")).await.unwrap_err(),
            KeyError::Unknown
        );
    }
    // That of the start, and one of the first unknown kid.
    assert_eq!(stage.fake.hits(KEYS), 2);
}

// Requests that arrive during a fetch wait for that fetch.
#[tokio::test]
async fn requests_during_a_fetch_start_no_other() {
    let held = FakeAnswer::Held(response(200, "", &jwks(&[Signer::p256().jwk("a")])));
    let stage = Stage::set(held, |_| {});
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let issuer = Arc::clone(&stage.issuer);
            tokio::spawn(async move { issuer.candidates(Some("a"), ES256).await.map(|_| ()) })
        })
        .collect();
    let mut updates = stage.issuer.follow();
    tokio::time::timeout(PATIENCE, updates.wait_for(|status| status.fetching))
        .await
        .unwrap()
        .unwrap();
    stage.fake.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), Ok(()));
    }
    assert_eq!(stage.fake.hits(KEYS), 1);
}

// A request may signal just when the fetch that answers it has started or ended.
#[tokio::test]
async fn a_signal_that_a_fetch_has_answered_starts_no_other() {
    let stage = Stage::set(set_of("a").1, |_| {});
    stage.fetches(1).await;
    stage.issuer.demand().notify_one();
    // Lets the task run: on this single thread, a fetch would have started by then.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let status = *stage.issuer.follow().borrow();
    assert!(!status.fetching && status.ended == 1, "{status:?}");
}

#[tokio::test]
async fn an_order_fetches_within_the_cool_down() {
    let stage = Stage::set(FakeAnswer::Reset, |_| {});
    stage.fetches(1).await;
    stage.fake.answer(KEYS, set_of("a").1);
    stage.issuer.refresh();
    stage.fetches(2).await;
    assert!(stage.key("a").await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_is_out_at_the_start_is_found_when_it_comes_back() {
    let stage = Stage::set(FakeAnswer::Reset, restless);
    stage.fetches(1).await;
    assert!(matches!(
        stage.key("a").await,
        Err(KeyError::Unavailable { .. })
    ));
    let state = stage.issuer.state();
    assert!(state.tried && !state.last_ok && state.keys == 0 && state.age.is_none());
    stage.fake.answer(KEYS, set_of("a").1);
    stage.keys().await;
    assert!(stage.key("a").await.is_ok());
}

#[tokio::test]
async fn keys_that_are_too_old_are_dropped() {
    let stage = Stage::set(set_of("a").1, |entry| {
        restless(entry);
        entry.fetch.keep_stale = Duration::from_millis(300);
    });
    stage.fetches(1).await;
    let key = stage.key("a").await.unwrap();
    stage.fake.answer(KEYS, FakeAnswer::Reset);
    let mut updates = stage.issuer.follow();
    let dropped = updates.wait_for(|_| !key.is_live());
    tokio::time::timeout(PATIENCE, dropped)
        .await
        .expect("the key is dropped")
        .unwrap();
    assert!(matches!(
        stage.key("a").await,
        Err(KeyError::Unavailable { .. })
    ));
    assert!(stage.shows(r#"scopegate_issuer_keys{issuer="idp"} 0"#));
}

#[tokio::test]
async fn the_task_ends_with_its_issuer() {
    for drops in [true, false] {
        // An issuer can also be retired during a fetch.
        let Stage { issuer, task, .. } = Stage::set(
            if drops {
                set_of("a").1
            } else {
                FakeAnswer::Hang
            },
            |_| {},
        );
        let mut updates = issuer.follow();
        let started = updates.wait_for(|status| {
            if drops {
                status.ended > 0
            } else {
                status.fetching
            }
        });
        tokio::time::timeout(PATIENCE, started)
            .await
            .unwrap()
            .unwrap();
        if drops {
            drop(issuer);
        } else {
            issuer.retire_all();
        }
        tokio::time::timeout(PATIENCE, task)
            .await
            .expect("the task ends")
            .unwrap();
    }
}

#[tokio::test]
async fn keys_of_the_configuration_need_no_task() {
    let text = jwks(&[Signer::p256().jwk("a")]);
    let issuer = Issuer::new(
        entry(KeySource::Static(text.into())),
        vec![super::super::fixture::unread()],
    )
    .unwrap();
    let task = maintain(Arc::downgrade(&issuer), Proxies::none());
    tokio::time::timeout(PATIENCE, task).await.unwrap();
}

#[test]
fn the_refresh_interval_is_the_headers_own_within_bounds() {
    let secs = Duration::from_secs;
    let policy = FetchPolicy {
        refresh: secs(300),
        refresh_min: secs(60),
        refresh_max: secs(3600),
        ..entry(KeySource::Static("".into())).fetch
    };
    for (lifetime, interval) in [
        (None, 300),
        (Some(secs(0)), 60),
        (Some(secs(120)), 120),
        (Some(secs(10 * 365 * 86_400)), 3600),
        (Some(secs(u64::MAX)), 3600),
    ] {
        assert_eq!(
            after_success(&policy, lifetime),
            secs(interval),
            "{lifetime:?}"
        );
    }
    let impatient = FetchPolicy {
        keep_stale: secs(1000),
        ..policy.clone()
    };
    assert_eq!(after_success(&impatient, Some(secs(3600))), secs(500));
    let never_stale = FetchPolicy {
        keep_stale: secs(0),
        ..policy
    };
    assert_eq!(after_success(&never_stale, Some(secs(3600))), secs(60));
}

#[test]
fn retries_back_off_while_there_are_keys() {
    let secs = Duration::from_secs;
    let fetch = entry(KeySource::Static("".into())).fetch;
    let policy = FetchPolicy {
        cooldown: secs(10),
        refresh: secs(300),
        ..fetch
    };
    let delays =
        [1, 2, 3, 5, 6, 1000].map(|failures| after_failure(&policy, failures, true).as_secs());
    assert_eq!(delays, [10, 20, 40, 160, 300, 300]);
    assert_eq!(after_failure(&policy, 1000, false), secs(10));
    let eager = FetchPolicy {
        cooldown: secs(0),
        ..policy
    };
    assert_eq!(after_failure(&eager, 1, true), MIN_DELAY);
}

#[test]
fn jitter_is_early_a_tenth_at_most_and_outside_the_cool_down() {
    let (delay, cooldown) = (Duration::from_secs(100), Duration::from_secs(95));
    let delays: Vec<_> = (0..100).map(|_| early(delay, Duration::ZERO)).collect();
    assert!(
        delays
            .iter()
            .all(|early| *early <= delay && *early >= delay - delay / 10)
    );
    assert!(delays.iter().any(|early| *early != delays[0]));
    assert!((0..100).all(|_| early(delay, cooldown) >= cooldown));
}

#[test]
fn a_failure_is_told_without_what_was_received() {
    let url = Url::parse("https://idp.example.com/keys").unwrap();
    let Err(error) = KeySet::parse(br#"{"keys":"c2VjcmV0"}"#, 64) else {
        panic!()
    };
    let text = RefreshError::Jwks(url, error).to_string();
    assert_eq!(
        text,
        "keys at https://idp.example.com/keys: the key set is not an object with one array \"keys\""
    );
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod kept;
