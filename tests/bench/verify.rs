//! Measures the verification of a new token and the lookup of a cached one: the whole way from
//! header to principal for RS256 with 2048 bits, without a cache and with one, and the bare
//! signature check with a parsed key, in turn in one process.
//!
//!     cargo bench --bench verify
//!
//! Prints medians and their ratio. Needs an otherwise idle core.
#![expect(clippy::print_stdout, reason = "this is its output")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use scopegate::clock::{UnixTime, now};
use scopegate::issuer::{
    Algorithm, EntryHandle, FetchPolicy, Issuer, IssuerSettings, KeyAccess, KeySource,
};
use scopegate::telemetry::Metrics;
use scopegate::token::{
    Audience, BearerToken, CacheSlot, RequestContext, Rules, SharedCache, Source, TypPolicy,
    Verifier, WorkerCache, authenticate,
};
use serde_json::json;

/// The number of pairs of measurements; odd, so that there is a median.
const ROUNDS: usize = 401;
/// The number of verifications in one measurement.
const CALLS: u32 = 100;
/// The number of measurements before the first that counts.
const WARM_UP: usize = 20;

const ISSUER: &str = "https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_EXAMPLE01";
const KID: &str = "2wXv/B1kqkWZ7V0c8fYpT1yqE0l2m3b4n5o6p7q8r9s=";

/// A token, the state to verify it, and the parts of its signature check.
struct Stage {
    headers: HeaderMap,
    verifiers: [Arc<Verifier>; 1],
    now: UnixTime,
    message: Vec<u8>,
    signature: Vec<u8>,
    key: ParsedPublicKey,
    cache: WorkerCache,
}

impl Stage {
    fn set() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key is made");
        let components = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let message = message().into_bytes();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &message,
            &mut signature,
        )
        .expect("it signs");
        let token = format!(
            "{}.{}",
            String::from_utf8_lossy(&message),
            encode(&signature)
        );
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            format!("Bearer {token}")
                .parse()
                .expect("a token is a field's value"),
        );
        let key = components
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .expect("it is a key");
        let cache = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 16);
        let verifiers = [verifier(&components)];
        Self {
            headers,
            verifiers,
            now: now().unix,
            message,
            signature,
            key,
            cache,
        }
    }

    /// Runs from header to principal, without a cache, as for a new token, or with a cache that
    /// holds it.
    async fn authenticate(&self, cache: Option<&WorkerCache>) -> Duration {
        let context = RequestContext::at(self.now);
        let begin = Instant::now();
        for _ in 0..CALLS {
            let token = BearerToken::find(&[Source::Bearer], black_box(&self.headers), None);
            let token = token.expect("there is a token");
            let found = authenticate(&self.verifiers, token, 16 << 10, cache, context).await;
            black_box(found.expect("the token is good"));
        }
        begin.elapsed() / CALLS
    }

    /// Checks the signature only.
    fn verify(&self) -> Duration {
        let begin = Instant::now();
        for _ in 0..CALLS {
            let verified = self
                .key
                .verify_sig(black_box(&self.message), black_box(&self.signature));
            verified.expect("the signature is good");
        }
        begin.elapsed() / CALLS
    }
}

fn verifier(key: &RsaPublicKeyComponents<Vec<u8>>) -> Arc<Verifier> {
    let jwk = json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID, "n": encode(&key.n), "e": encode(&key.e)
    });
    let hour = Duration::from_secs(3600);
    let entry = IssuerSettings {
        issuer: ISSUER.into(),
        keys: KeySource::Static(json!({ "keys": [jwk] }).to_string().into()),
        algorithms: vec![Algorithm::RS256],
        access: KeyAccess::default(),
        fetch: FetchPolicy {
            timeout: hour,
            cooldown: hour,
            wait: hour,
            refresh: hour,
            refresh_min: hour,
            refresh_max: hour,
            keep_stale: hour,
            keep_file: None,
            max_bytes: 1 << 20,
            max_keys: 64,
            allow_http: false,
        },
    };
    let rules = Rules {
        audience: Audience::Any,
        audience_claims: vec!["aud".into()],
        client_ids: vec!["1example2345678901234abcde".into()],
        token_use: Some("access".into()),
        leeway: Duration::ZERO,
        typ: TypPolicy::Access,
        required_claims: Vec::new(),
        scope_claims: vec!["scope".into(), "scp".into()],
    };
    let metrics = Metrics::new(&[]).expect("metrics are defined once");
    let handle = EntryHandle {
        name: "idp".into(),
        metrics: metrics.issuer("idp"),
    };
    let issuer = Issuer::new(entry, vec![handle.clone()]).expect("the key is usable");
    Arc::new(Verifier::new(handle, issuer, rules, CacheSlot::FIRST))
}

/// Returns header and claims of a token as Amazon Cognito issues it to a client.
fn message() -> String {
    let issued = now().unix.0;
    let header = json!({ "kid": KID, "alg": "RS256" });
    let claims = json!({
        "sub": "1example2345678901234abcde",
        "token_use": "access",
        "scope": "orders.read orders.write",
        "auth_time": issued,
        "iss": ISSUER,
        "exp": issued + 3600,
        "iat": issued,
        "version": 2,
        "jti": "0bd1e3c4-5f6a-4b7c-8d9e-0f1a2b3c4d5e",
        "client_id": "1example2345678901234abcde",
    });
    format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    )
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e6
}

fn main() {
    let stage = Stage::set();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime can be had").block_on(async {
        let (mut whole, mut bare, mut cached) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS + WARM_UP {
            let times = (
                stage.authenticate(None).await,
                stage.verify(),
                stage.authenticate(Some(&stage.cache)).await,
            );
            if round >= WARM_UP {
                whole.push(times.0);
                bare.push(times.1);
                cached.push(times.2);
            }
        }
        let (whole, bare, cached) = (median(whole), median(bare), median(cached));
        println!("RS256, 2048 bits, {ROUNDS} rounds of {CALLS} calls, medians:");
        println!("  header to principal, no cache  {whole:6.2} us");
        println!("  bare verification, kept key    {bare:6.2} us");
        println!("  ratio                          {:6.3}", whole / bare);
        println!("  header to principal, cached    {cached:6.3} us");
    });
}
