//! A test that a cached verdict equals the verdict without a cache, whatever happened in between.
//!
//! Requests with good and bad tokens are interleaved with everything that can change a verdict:
//! time, keys, reloads, restarts. Each request is decided three times: through the caches of a
//! worker, by a freshly compiled snapshot without a cache, and by a model that has neither a cache
//! nor a gateway. A failure names its seed: `SCOPEGATE_TEST_SEED=… cargo test --lib cached_tests`.

#[cfg(test)]
pub(crate) mod chance;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod model;
#[cfg(test)]
mod world;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;

use crate::decision::{Cause, Refusal, Verdict, answer};
use crate::policy::{Denial, Principal, Scope};
use crate::snapshot::{RouteIndex, Snapshot};
use crate::telemetry::Label as _;
use model::ALLOWED;
use world::World;

const SEED: &str = "SCOPEGATE_TEST_SEED";

/// The number of seeds that are always tried; one more is drawn at random.
const SEEDS: u64 = 12;

/// The reasons that must each have refused a token that the same caches had let through before at
/// the same path.
const LATER_REFUSALS: [&str; 13] = [
    "token_expired",
    "token_not_yet_valid",
    "unknown_key",
    "bad_signature",
    "keys_unavailable",
    "unknown_issuer",
    "algorithm_not_allowed",
    "wrong_audience",
    "wrong_client",
    "required_claim",
    "wrong_client_certificate",
    "insufficient_scope",
    "token_too_long",
];

#[test]
fn a_cached_verdict_is_the_verdict_without_a_cache() {
    let given = std::env::var(SEED)
        .ok()
        .map(|seed| seed.parse().expect("a seed is a number"));
    let seeds = match given {
        Some(seed) => vec![seed],
        None => (1..=SEEDS)
            .chain([RandomState::new().hash_one(0)])
            .collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut tally = Tally::default();
    for seed in seeds {
        println!("{SEED}={seed}");
        runtime.block_on(World::new(seed).run(&mut tally));
    }
    if given.is_none() {
        tally.check();
    }
}

/// Counts what the test has exercised, so that it fails if it has shown nothing.
#[derive(Default)]
struct Tally {
    /// The number of permitted requests by the cache level that held the token.
    found: [usize; 3],
    /// The same for tokens that the verifiers of two entries of one issuer had verified.
    found_for_two: [usize; 3],
    later_refusals: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn check(&self) {
        println!(
            "found on a worker, shared, nowhere: {:?}; {:?}",
            self.found, self.later_refusals
        );
        assert!(
            self.found.iter().all(|count| *count > 100),
            "found on a worker, shared, nowhere: {:?}",
            self.found
        );
        let for_two = &self.found_for_two[..2];
        assert!(
            for_two.iter().all(|count| *count > 20),
            "for two entries: {for_two:?}"
        );
        for reason in LATER_REFUSALS {
            assert!(
                self.later_refusals.contains_key(reason),
                "no token that was cached was refused for {reason}"
            );
        }
    }
}

/// All parts of a verdict that can be observed.
#[derive(Debug, PartialEq)]
struct Observed {
    reason: &'static str,
    status: u16,
    challenge: Option<HeaderValue>,
    route: Option<RouteIndex>,
    issuer: Option<Arc<str>>,
    needed: Vec<Scope>,
    principal: Option<Principal>,
}

impl Observed {
    fn of(snapshot: &Snapshot, verdict: Result<Verdict<'_>, Refusal<'_>>) -> Self {
        let refusal = match verdict {
            Ok(Verdict::Forward(decision)) => {
                let route = Some(decision.route.index);
                let principal = decision.permit.principal().cloned();
                let issuer = decision.verifier.map(|verifier| verifier.name().clone());
                let (status, challenge, needed) = (200, None, Vec::new());
                return Self {
                    reason: ALLOWED,
                    status,
                    challenge,
                    route,
                    issuer,
                    needed,
                    principal,
                };
            }
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => refusal,
        };
        let response = answer::to(snapshot, &refusal, &HeaderValue::from_static("id"), None);
        let issuer = refusal.verifier.map(|verifier| verifier.name().clone());
        let needed = match &refusal.cause {
            Cause::Token { needed, .. } => needed.clone(),
            Cause::Denied(Denial::InsufficientScope { missing, .. }) => missing.clone(),
            _ => Vec::new(),
        };
        Self {
            reason: refusal.reason().name(),
            status: response.status().as_u16(),
            challenge: response.headers().get(WWW_AUTHENTICATE).cloned(),
            route: refusal.route.map(|route| route.index),
            issuer,
            needed,
            principal: None,
        }
    }
}
