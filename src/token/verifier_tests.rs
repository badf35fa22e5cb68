//! Floods of unsigned tokens, and tokens without a key id.

use std::time::Duration;

use super::*;
use crate::clock;
use crate::issuer::fixture::{self, Signer, b64, entry, jwks, metrics};
use crate::issuer::{Algorithm, KeySource, maintain};
use crate::net::Url;
use crate::telemetry::Metrics;
use crate::tls::Tls;
use crate::token::{Audience, SharedCache, TypPolicy};
use crate::web::Client;
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
    let fake = Fake::start();
    fake.answer(KEYS, json(&jwks(&[Signer::p256().jwk("a")])));
    let mut entry = entry(KeySource::Uri(fake.url(KEYS)));
    entry.fetch.cooldown = Duration::from_secs(1);
    let metrics = Metrics::new(&[]).unwrap();
    let issuer = Issuer::new(entry, metrics.issuer("idp")).unwrap();
    tokio::spawn(maintain(
        Arc::downgrade(&issuer),
        Client::new(Tls::system()),
    ));
    (fake, Arc::new(Verifier::new(issuer, rules())))
}

fn rules() -> Rules {
    Rules {
        audience: Audience::Any,
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
    assert!(issuer.key(Some("a"), ES256).await.is_ok());
    survives(&fake, &verifier, async {
        for number in 0..FLOOD {
            let found = issuer.key(Some(&kid(number)), ES256).await;
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

// The key that a token without a `kid` names can change while its own key stays.
#[tokio::test]
async fn a_cached_token_without_a_kid_is_nobodys_while_there_is_a_choice_of_keys() {
    let (own, other) = (Signer::p256(), Signer::p256());
    let issuer = Issuer::new(
        entry(KeySource::Uri(
            Url::parse("https://idp.example.com/keys").unwrap(),
        )),
        metrics(),
    );
    let issuer = issuer.unwrap();
    let verifiers = [Arc::new(Verifier::new(issuer.clone(), rules()))];
    let cache = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 8);
    let claims = format!(
        r#"{{"iss":"{}","exp":100,"scope":"read"}}"#,
        issuer.entry().issuer
    );
    let message = format!("{}.{}", b64(br#"{"alg":"ES256"}"#), b64(claims.as_bytes()));
    let token = format!("{message}.{}", own.sign(ES256, message.as_bytes()));
    let ask = || async {
        let token = BearerToken::new(&token);
        authenticate(&verifiers, token, 4096, Some(&cache), EARLY)
            .await
            .map_err(|refused| refused.error)
    };
    let (alone, two) = (jwks(&[own.jwk("a")]), jwks(&[own.jwk("a"), other.jwk("b")]));
    for _ in 0..2 {
        fixture::end_fetch(&issuer, Some(&alone));
        assert!(ask().await.is_ok());
        assert_eq!(ask().await.unwrap().cache, CacheResult::Worker);
        fixture::end_fetch(&issuer, Some(&two));
        let error = ask().await.unwrap_err();
        assert!(matches!(error, TokenError::UnknownKey(_)), "{error}");
    }
}
