//! Floods of unsigned tokens, tokens without a key id, and keys that change under their id.

use std::time::Duration;

use super::*;
use crate::clock;
use crate::issuer::fixture::{self, Signer, b64, entry, handle, jwks, unread};
use crate::issuer::{Algorithm, KeySource, MAX_CANDIDATES, maintain};
use crate::net::{Proxies, Url};
use crate::telemetry::{Metrics, Verification};
use crate::token::{Audience, SharedCache, TypPolicy};
use crate::web::fake::{Fake, json};

const KEYS: &str = "/keys";
const EARLY: RequestContext<'_> = RequestContext::at(UnixTime(1));
const ES256: Algorithm = Algorithm::ES256;

/// The number of requests in a flood.
const FLOOD: usize = 100_000;

/// The length of each key id, in bytes: if the gateway kept these alone, a flood would take 100 MB.
const KID_BYTES: usize = 1024;

/// The memory that bounded caches, the allocator and the runtime may take during a flood, in bytes.
/// The measured value was 2 MB.
const MEMORY: usize = 16 << 20;

/// Set in the process that runs a flood alone.
const ALONE: &str = "SCOPEGATE_TEST_ALONE";

/// Runs the body of a test in a process of its own, so that the memory of other tests is not
/// counted.
fn alone(test: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(body);
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let again = again
        .args(["--exact", &format!("{module}::{test}"), "--nocapture"])
        .env(ALONE, "1");
    let output = again.output().unwrap();
    let said = [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// Starts an issuer that counts the fetches of its keys, and makes a verifier for it.
fn stage() -> (Fake, Arc<Verifier>) {
    stage_with(Duration::from_secs(1))
}

fn stage_with(cooldown: Duration) -> (Fake, Arc<Verifier>) {
    let fake = Fake::start();
    fake.answer(KEYS, json(&jwks(&[Signer::p256().jwk("a")])));
    let mut entry = entry(KeySource::Uri(fake.url(KEYS)));
    entry.fetch.cooldown = cooldown;
    let metrics = Metrics::new(&[]).unwrap();
    let handle = handle(&metrics, "idp");
    let issuer = Issuer::new(entry, vec![handle.clone()]).unwrap();
    tokio::spawn(maintain(Arc::downgrade(&issuer), Proxies::none()));
    let verifier = Verifier::new(handle, issuer, rules(), CacheSlot::FIRST);
    (fake, Arc::new(verifier))
}

fn rules() -> Rules {
    Rules {
        audience: Audience::Any,
        audience_claims: vec!["aud".into()],
        client_ids: Vec::new(),
        token_use: None,
        leeway: Duration::ZERO,
        typ: TypPolicy::Access,
        required_claims: Vec::new(),
        scope_claims: vec!["scope".into()],
    }
}

fn kid(number: usize) -> String {
    format!("{number:0KID_BYTES$}")
}

/// Returns the resident memory of the process in bytes; 0 if the system does not report it.
fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}

/// Runs a flood, and asserts that it causes one fetch per cool-down and takes no memory.
async fn survives(fake: &Fake, verifier: &Verifier, flood: impl Future<Output = ()>) {
    let (begin, before) = (clock::monotonic(), memory());
    flood.await;
    let seconds = clock::monotonic()
        .saturating_duration_since(begin)
        .as_secs();
    let fetches = fake.hits(KEYS) as u64;
    assert!(fetches <= seconds + 2, "{fetches} fetches in {seconds} s");
    let grown = memory().saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes more");
    assert_eq!(verifier.issuer.state().keys, 1);
}

#[test]
fn a_flood_of_unknown_kids_costs_a_fetch_per_cool_down_and_no_memory() {
    alone(
        "a_flood_of_unknown_kids_costs_a_fetch_per_cool_down_and_no_memory",
        unknown_kids(),
    );
}

async fn unknown_kids() {
    let (fake, verifier) = stage();
    let issuer = &verifier.issuer;
    assert!(issuer.candidates(Some("a"), ES256).await.is_ok());
    survives(&fake, &verifier, async {
        for number in 0..FLOOD {
            let found = issuer.candidates(Some(&kid(number)), ES256).await;
            assert_eq!(found.unwrap_err(), KeyError::Unknown);
        }
    })
    .await;
}

// The same through a whole verification, with a cache that must keep none of it.
#[test]
fn a_flood_of_tokens_that_nobody_signed_leaves_nothing_behind() {
    alone(
        "a_flood_of_tokens_that_nobody_signed_leaves_nothing_behind",
        unsigned_tokens(),
    );
}

async fn unsigned_tokens() {
    let (fake, verifier) = stage();
    let verifiers = [Arc::clone(&verifier)];
    let shared = Arc::new(SharedCache::new(1 << 30));
    let cache = WorkerCache::new(Arc::clone(&shared), FLOOD);
    let issuer = verifier.issuer.entry().issuer.clone();
    let claims = b64(format!(r#"{{"iss":"{issuer}","exp":{}}}"#, u64::MAX / 2).as_bytes());
    survives(&fake, &verifier, async {
        for number in 0..FLOOD {
            let header = b64(format!(r#"{{"alg":"ES256","kid":"{}"}}"#, kid(number)).as_bytes());
            let token = format!("{header}.{claims}.{}", b64(&[1; 64]));
            let token = BearerToken::new(&token);
            let context = RequestContext::at(clock::now().unix);
            let refused = authenticate(&verifiers, token, 16 << 10, Some(&cache), context).await;
            let refused = refused.expect_err("nobody signed it");
            assert!(matches!(refused.error, TokenError::UnknownKey(_)));
        }
    })
    .await;
    assert!(shared.is_empty());
}

// A signature that fails asks for keys, once per cool-down, and no good token waits for that.
#[test]
fn a_flood_of_bad_signatures_costs_a_fetch_per_cool_down_and_no_memory() {
    alone(
        "a_flood_of_bad_signatures_costs_a_fetch_per_cool_down_and_no_memory",
        bad_signatures(),
    );
}

async fn bad_signatures() {
    let (fake, verifier) = stage();
    let own = Signer::p256();
    fake.answer(KEYS, json(&jwks(&[own.jwk("a")])));
    let issuer = verifier.issuer.entry().issuer.clone();
    let good = signed(&own, Some("a"), &issuer, 0);
    let ask = async |token: &str| asked(&verifier, None, token).await;
    assert_eq!(ask(&good).await, Ok(CacheResult::Miss));
    survives(&fake, &verifier, async {
        let forger = Signer::p256();
        for number in 0..1000 {
            let forged = signed(&forger, Some("a"), &issuer, number);
            assert_eq!(ask(&forged).await, Err(Verification::Signature));
        }
        let mut pending = Box::pin(ask(&good));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(pending.as_mut().poll(context).is_ready())
        });
        assert!(polled.await, "a good token waits for nothing");
    })
    .await;
}

/// Returns a token that is valid for long.
fn signed(signer: &Signer, kid: Option<&str>, issuer: &str, number: u64) -> String {
    let header = match kid {
        Some(kid) => format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#),
        None => r#"{"alg":"ES256"}"#.to_owned(),
    };
    let expires = u64::MAX / 2;
    let claims = format!(r#"{{"iss":"{issuer}","exp":{expires},"scope":"read","jti":"{number}"}}"#);
    let message = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
    let signature = signer.sign(ES256, message.as_bytes());
    format!("{message}.{signature}")
}

/// Verifies a token, and returns the level of the cache that held it.
async fn asked(
    verifier: &Arc<Verifier>,
    cache: Option<&WorkerCache>,
    token: &str,
) -> Result<CacheResult, Verification> {
    let verifiers = [Arc::clone(verifier)];
    let token = BearerToken::new(token);
    match authenticate(&verifiers, token, 4096, cache, EARLY).await {
        Ok(authenticated) => Ok(authenticated.cache),
        Err(refused) => Err(refused.error.verification()),
    }
}

// An issuer that is set up anew often calls its new key by the old name.
#[tokio::test]
async fn a_key_that_was_replaced_under_its_kid_is_learnt_from_the_first_token() {
    let (fake, verifier) = stage();
    let issuer = verifier.issuer.entry().issuer.clone();
    let (old, new) = (Signer::p256(), Signer::p256());
    fake.answer(KEYS, json(&jwks(&[old.jwk("a")])));
    let tokens = [&old, &new].map(|signer| signed(signer, Some("a"), &issuer, 0));
    assert!(asked(&verifier, None, &tokens[0]).await.is_ok());
    fake.answer(KEYS, json(&jwks(&[new.jwk("a")])));
    assert!(asked(&verifier, None, &tokens[1]).await.is_ok());
    let refused = asked(&verifier, None, &tokens[0]).await;
    assert_eq!(refused, Err(Verification::Signature));
    assert_eq!(fake.hits(KEYS), 3, "the last one asks as well");
}

/// A cool-down that is longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

/// An issuer whose servers publish different sets of keys: the test says which one answers next.
struct Replicas {
    fake: Fake,
    verifier: Arc<Verifier>,
    signers: [(&'static str, Signer); 3],
}

impl Replicas {
    /// Starts an issuer whose keys are `a` alone, which are fetched once.
    async fn start() -> Self {
        let (fake, verifier) = stage_with(HOUR);
        let signers = ["a", "b", "c"].map(|kid| (kid, Signer::p256()));
        let replicas = Self {
            fake,
            verifier,
            signers,
        };
        replicas.publish(&["a"]);
        assert_eq!(replicas.genuine("a").await, Ok(()));
        assert_eq!(replicas.fetches(), 1);
        replicas
    }

    fn publish(&self, kids: &[&str]) {
        let published = self.signers.iter().filter(|(kid, _)| kids.contains(kid));
        let keys: Vec<_> = published.map(|(kid, signer)| signer.jwk(kid)).collect();
        self.fake.answer(KEYS, json(&jwks(&keys)));
    }

    async fn genuine(&self, kid: &str) -> Result<(), Verification> {
        let mut signers = self.signers.iter();
        let signer = signers.find(|(own, _)| *own == kid).expect(kid);
        self.ask(&signer.1, kid).await
    }

    async fn forged(&self, kid: &str) -> Result<(), Verification> {
        self.ask(&Signer::p256(), kid).await
    }

    async fn ask(&self, signer: &Signer, kid: &str) -> Result<(), Verification> {
        let issuer = &self.verifier.issuer.entry().issuer;
        let token = signed(signer, Some(kid), issuer, 0);
        asked(&self.verifier, None, &token).await.map(drop)
    }

    fn fetches(&self) -> usize {
        self.fake.hits(KEYS)
    }
}

// A key that a forged token names can be there after the fetch: its signature decides.
#[tokio::test]
async fn a_forged_token_whose_key_appears_does_not_end_the_cool_down() {
    let replicas = Replicas::start().await;
    for round in 0..10 {
        replicas.publish(&["a", "b"]);
        let forged = replicas.forged("b").await;
        assert_eq!(forged, Err(Verification::Signature), "{round}");
        replicas.publish(&["a", "c"]);
        let forged = replicas.forged("c").await;
        assert_eq!(forged, Err(Verification::UnknownKey), "{round}");
    }
    assert_eq!(replicas.fetches(), 3, "one for each cause");
}

#[tokio::test]
async fn a_verified_token_whose_key_appears_ends_the_cool_down() {
    let replicas = Replicas::start().await;
    replicas.publish(&["a", "b"]);
    assert_eq!(replicas.genuine("b").await, Ok(()));
    replicas.publish(&["a", "b", "c"]);
    assert_eq!(replicas.genuine("c").await, Ok(()));
    assert_eq!(replicas.fetches(), 3);
}

// The cool-down after a bad signature is not that of a missing key, and neither ends the other.
#[tokio::test]
async fn a_bad_signature_does_not_keep_a_new_key_from_being_learnt() {
    let replicas = Replicas::start().await;
    assert_eq!(replicas.forged("a").await, Err(Verification::Signature));
    assert_eq!(replicas.fetches(), 2);
    replicas.publish(&["a", "b"]);
    assert_eq!(replicas.genuine("b").await, Ok(()));
    assert_eq!(replicas.fetches(), 3);
    for _ in 0..10 {
        assert_eq!(replicas.forged("a").await, Err(Verification::Signature));
    }
    assert_eq!(replicas.fetches(), 3, "the other cool-down goes on");
    for _ in 0..10 {
        assert_eq!(replicas.forged("x").await, Err(Verification::UnknownKey));
        assert_eq!(replicas.forged("a").await, Err(Verification::Signature));
    }
    assert_eq!(replicas.fetches(), 4, "one for each cause");
}

/// Makes a verifier of an issuer that publishes what the test says.
fn published() -> (Arc<Issuer>, Arc<Verifier>) {
    let uri = Url::parse("https://idp.example.com/keys").unwrap();
    let handle = unread();
    let issuer = Issuer::new(entry(KeySource::Uri(uri)), vec![handle.clone()]).unwrap();
    let verifier = Verifier::new(handle, issuer.clone(), rules(), CacheSlot::FIRST);
    (issuer, Arc::new(verifier))
}

/// Asserts that a token has the same verdict through the cache and without it.
async fn assert_verdict(
    verifier: &Arc<Verifier>,
    cache: &WorkerCache,
    token: &str,
    expected: Result<(), Verification>,
) {
    assert_eq!(asked(verifier, None, token).await.map(drop), expected);
    for _ in 0..2 {
        let cached = asked(verifier, Some(cache), token).await;
        assert_eq!(cached.map(drop), expected);
    }
}

#[tokio::test]
async fn a_signature_of_none_of_several_keys_names_none() {
    let (issuer, verifier) = published();
    let keys = ["a", "b"].map(|kid| Signer::p256().jwk(kid));
    for (count, says) in [
        (1, "is not that of the issuer's key \"a\" for ES256"),
        (2, "is that of none of the issuer's keys for ES256"),
    ] {
        fixture::end_fetch(&issuer, Some(&jwks(&keys[..count])));
        let token = signed(&Signer::p256(), None, &issuer.entry().issuer, 0);
        let verifiers = [Arc::clone(&verifier)];
        let token = BearerToken::new(&token);
        let refused = authenticate(&verifiers, token, 4096, None, EARLY).await;
        let said = refused.unwrap_err().error.to_string();
        assert!(said.ends_with(says), "{said}");
    }
}

#[tokio::test]
async fn an_issuer_of_other_routes_is_named() {
    let (issuer, verifier) = published();
    let token = signed(&Signer::p256(), None, &issuer.entry().issuer, 0);
    let refused = authenticate(&[], BearerToken::new(&token), 4096, None, EARLY).await;
    let mut rejection = refused.unwrap_err();
    rejection.look_among(&[]);
    assert!(!rejection.error.to_string().contains("other routes"));
    rejection.look_among(&[Arc::clone(&verifier)]);
    let said = rejection.error.to_string();
    let named = format!(
        "it is that of the issuer \"{}\" of other routes",
        verifier.name()
    );
    assert!(said.ends_with(&named), "{said}");
    rejection.look_among(&[published().1]);
    let said = rejection.error.to_string();
    let both = "it is that of the issuers \"idp\", \"idp\" of other routes";
    assert!(said.ends_with(both), "{said}");
}

// The keys that a token is tried with can change while the key that signed it stays.
#[tokio::test]
async fn a_cached_token_without_a_kid_is_judged_by_the_keys_that_are_tried_now() {
    let (issuer, verifier) = published();
    let cache = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 8);
    let own = Signer::p256();
    let token = signed(&own, None, &issuer.entry().issuer, 0);
    let others: Vec<_> = (0..MAX_CANDIDATES)
        .map(|place| Signer::p256().jwk(&format!("other-{place}")))
        .collect();
    for _ in 0..2 {
        for (before, verdict) in [
            (0, Ok(())),
            (MAX_CANDIDATES - 1, Ok(())),
            (MAX_CANDIDATES, Err(Verification::Signature)),
        ] {
            let mut keys = others[..before].to_vec();
            keys.push(own.jwk("own"));
            fixture::end_fetch(&issuer, Some(&jwks(&keys)));
            assert_verdict(&verifier, &cache, &token, verdict).await;
        }
    }
    fixture::end_fetch(&issuer, Some(&jwks(&others)));
    assert_verdict(&verifier, &cache, &token, Err(Verification::Signature)).await;
}

// A key without a `kid` stays, and another key that has the token's `kid` joins it.
#[tokio::test]
async fn a_cached_token_of_a_key_without_a_kid_gives_way_to_a_key_with_its_kid() {
    let (issuer, verifier) = published();
    let cache = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 8);
    let own = Signer::p256();
    let token = signed(&own, Some("a"), &issuer.entry().issuer, 0);
    let mut nameless = own.jwk("");
    nameless.as_object_mut().unwrap().remove("kid");
    let (named, other) = (Signer::p256().jwk("a"), Signer::p256().jwk("b"));
    for _ in 0..2 {
        let alone = jwks(&[nameless.clone(), other.clone()]);
        fixture::end_fetch(&issuer, Some(&alone));
        assert_verdict(&verifier, &cache, &token, Ok(())).await;
        let both = jwks(&[nameless.clone(), named.clone()]);
        fixture::end_fetch(&issuer, Some(&both));
        assert_verdict(&verifier, &cache, &token, Err(Verification::Signature)).await;
    }
}
