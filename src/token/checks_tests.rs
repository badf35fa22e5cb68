//! The checks of a token besides that of its signature, with and without a cache.

use std::sync::Arc;
use std::time::Duration;

use super::verifier_id::CacheSlot;
use super::*;
use crate::clock::UnixTime;
use crate::issuer::fixture::{self, Signer, b64, entry, jwks, unread};
use crate::issuer::{Algorithm, Issuer, KeySource};
use crate::net::Url;
use crate::policy::Claim;

/// The claims of a token that is accepted from 90 to 1009, with the leeway.
const GOOD: &str =
    r#""nbf":100,"exp":1000,"aud":"api","client_id":"web","tenant":"a","scope":"read""#;

const NOON: u64 = 500;

fn rules() -> Rules {
    Rules {
        audience: Audience::OneOf(vec!["api".into()]),
        audience_claims: vec!["aud".into()],
        client_ids: vec!["web".into()],
        token_use: None,
        leeway: Duration::from_secs(10),
        typ: TypPolicy::Access,
        required_claims: vec![RequiredClaim {
            claim: "tenant".into(),
            demand: ClaimDemand::OneOf(vec![Claim::Text("a".into())]),
        }],
        scope_claims: vec!["scope".into()],
    }
}

/// An issuer with one key, and the cache of a worker.
struct Stage {
    signer: Signer,
    verifiers: [Arc<Verifier>; 1],
    cache: WorkerCache,
}

impl Stage {
    fn new(rules: Rules, algorithms: &[Algorithm]) -> Self {
        let uri = Url::parse("https://idp.example.com/keys").unwrap();
        let mut settings = entry(KeySource::Uri(uri));
        settings.algorithms = algorithms.to_vec();
        let handle = unread();
        let issuer = Issuer::new(settings, vec![handle.clone()]).unwrap();
        let signer = Signer::p256();
        fixture::end_fetch(&issuer, Some(&jwks(&[signer.jwk("a")])));
        let verifier = Verifier::new(handle, issuer, rules, CacheSlot::FIRST);
        Self {
            signer,
            verifiers: [Arc::new(verifier)],
            cache: WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 8),
        }
    }

    fn token(&self, claims: &str) -> String {
        let header = b64(br#"{"alg":"ES256","kid":"a"}"#);
        let claims = format!(r#"{{"iss":"https://idp.example.com/",{claims}}}"#);
        let message = format!("{header}.{}", b64(claims.as_bytes()));
        let signature = self.signer.sign(Algorithm::ES256, message.as_bytes());
        format!("{message}.{signature}")
    }

    /// Returns the error of a token, which has to be the same with and without a cache.
    async fn refused(&self, token: &str, now: u64) -> Option<TokenError> {
        let context = RequestContext::at(UnixTime(now));
        let mut found = Vec::new();
        for cache in [None, Some(&self.cache), Some(&self.cache)] {
            let token = BearerToken::new(token);
            let verdict = authenticate(&self.verifiers, token, 4096, cache, context).await;
            found.push(verdict.err().map(|rejection| rejection.error));
        }
        assert!(found.iter().all(|error| *error == found[0]), "{found:?}");
        found.swap_remove(0)
    }

    /// Returns the sentence for operators about a token with these claims; empty if it is accepted.
    async fn sentence(&self, claims: &str, now: u64) -> String {
        let error = self.refused(&self.token(claims), now).await;
        error.map(|error| error.to_string()).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_token_is_valid_for_its_time_and_the_leeway() {
    let stage = Stage::new(rules(), &Algorithm::ALL);
    for (now, expected) in [
        (89, "the token is valid in "),
        (90, ""),
        (NOON, ""),
        (1009, ""),
        (1010, "the token expired "),
    ] {
        let said = stage.sentence(GOOD, now).await;
        assert!(
            said.starts_with(expected) && said.is_empty() == expected.is_empty(),
            "{now}: {said}"
        );
    }
}

#[tokio::test]
async fn each_claim_is_what_the_entry_asks_for() {
    let stage = Stage::new(rules(), &Algorithm::ALL);
    let (audience, client) = (r#""aud":"api""#, r#""client_id":"web""#);
    let (tenant, scope) = (r#""tenant":"a""#, r#""scope":"read""#);
    let wants_api = r#"and the issuer's entry accepts "api""#;
    let wants_web = r#"and the issuer's entry accepts "web""#;
    let kind = "the token is not an access token: ";
    for (from, to, expected) in [
        (audience, r#""aud":["x","api"]"#, String::new()),
        (audience, r#""aud":"x""#, format!(r#"the token's aud is "x", {wants_api}"#)),
        (
            audience,
            r#""aud":"API""#,
            format!(r#"the token's aud is "API", {wants_api}: it differs from "api" by upper and lower case only"#),
        ),
        (audience, r#""x":1"#, format!("the token has no aud, {wants_api}")),
        (
            audience,
            r#""aud":1"#,
            r#"the token has a number for "aud" in its claims, which must be a string or a list of strings"#.into(),
        ),
        (client, r#""azp":"web""#, String::new()),
        (client, r#""cid":"x""#, format!(r#"the token's client is "x", {wants_web}"#)),
        (client, r#""x":1"#, format!("the token has no client, {wants_web}")),
        (tenant, r#""tenant":["b","a"]"#, String::new()),
        (
            tenant,
            r#""tenant":"b""#,
            r#"the required claim "tenant" is "b", and the issuer's entry accepts "a""#.into(),
        ),
        (
            tenant,
            r#""x":1"#,
            r#"the required claim "tenant" is absent, and the issuer's entry accepts "a""#.into(),
        ),
        (
            scope,
            r#""nonce":"n""#,
            format!(r#"{kind}it has "nonce" and no scope in "scope" or "scp", like an ID token"#),
        ),
        (
            scope,
            r#""scope":"read","cnf":{"jkt":"x"}"#,
            r#"the token is bound to a key ("cnf") whose possession is not checked"#.into(),
        ),
    ] {
        let claims = GOOD.replace(from, to);
        assert_eq!(stage.sentence(&claims, NOON).await, expected, "{to}");
    }
}

#[tokio::test]
async fn a_claim_that_only_has_to_be_there_may_have_any_value() {
    let present = RequiredClaim {
        claim: "tenant".into(),
        demand: ClaimDemand::Present,
    };
    let rules = Rules {
        required_claims: vec![present],
        ..rules()
    };
    let stage = Stage::new(rules, &Algorithm::ALL);
    let other = GOOD.replace(r#""tenant":"a""#, r#""tenant":false"#);
    assert_eq!(stage.sentence(&other, NOON).await, "");
    let none = GOOD.replace(r#""tenant":"a""#, r#""x":1"#);
    let said = stage.sentence(&none, NOON).await;
    assert_eq!(said, "the required claim \"tenant\" is absent");
}

#[tokio::test]
async fn what_is_no_signature_of_the_issuer_is_refused_before_its_claims() {
    let stage = Stage::new(rules(), &Algorithm::ALL);
    let token = stage.token(GOOD);
    let cut = stage.refused(&token[..token.len() - 4], NOON).await;
    assert!(matches!(cut, Some(TokenError::Malformed(_))), "{cut:?}");
    let long = stage
        .refused(&format!("{token}{}", "A".repeat(4096)), NOON)
        .await;
    assert!(
        matches!(long, Some(TokenError::TooLong { limit: 4096, .. })),
        "{long:?}"
    );
    let other = Stage::new(rules(), &[Algorithm::RS256]);
    let refused = other.refused(&other.token(GOOD), NOON).await;
    let Some(TokenError::Algorithm(wrong)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (wrong.found, wrong.allowed),
        (Excerpt::of("ES256"), vec!["RS256"])
    );
}
