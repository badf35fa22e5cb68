//! Runs `tests/vectors/tokens` against a verifier alone; and tokens of each kind for each policy.

use std::collections::BTreeMap;

use super::*;
use crate::issuer::fixture::{Signer, b64, end_fetch, entry, jwks, unread};
use crate::issuer::{Algorithm, Issuer, KeySource};
use crate::net::Url;
use crate::policy::ScopeSet;
use crate::telemetry::{Label as _, Verification};
use crate::token::{Audience, BearerToken, Rules, TypPolicy};

const ISS: &str = "https://idp.test";
const NOW: u64 = 1_700_000_000;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    cases: Vec<Case>,
}

/// A change to a good token, and the verdict: see `tests/it/tokens.rs`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    header: BTreeMap<String, String>,
    more_header: String,
    claims: BTreeMap<String, String>,
    more: String,
    payload: Option<String>,
    accepted: bool,
    refused: Option<String>,
}

impl Case {
    fn token(&self, key: &Signer) -> String {
        let header = [("alg", "\"ES256\""), ("kid", "\"key-1\"")];
        let claims = [
            ("iss", "\"https://idp.test\""),
            ("aud", "\"api\""),
            ("exp", "$later"),
            ("scope", "\"read\""),
        ];
        let good = object(&claims, &BTreeMap::new(), "");
        let payload = match &self.payload {
            Some(payload) => payload.replace("$good", &good),
            None => object(&claims, &self.claims, &self.more),
        };
        signed(
            &object(&header, &self.header, &self.more_header),
            &payload,
            key,
        )
    }

    /// Scopes are the policy's.
    fn expected(&self) -> &str {
        match self.refused.as_deref() {
            None | Some("insufficient_scope") => Verification::Valid.name(),
            Some(reason) => reason,
        }
    }
}

/// An object with changes: each value is JSON, and an empty one leaves its member out.
fn object(good: &[(&str, &str)], changes: &BTreeMap<String, String>, more: &str) -> String {
    let good = good.iter().map(|(name, value)| (*name, *value));
    let changes = changes.iter().map(|(name, value)| (&**name, &**value));
    let members: BTreeMap<&str, &str> = good.chain(changes).collect();
    let kept = members.iter().filter(|(_, value)| !value.is_empty());
    let mut texts: Vec<String> = kept
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    texts.extend((!more.is_empty()).then(|| more.to_owned()));
    format!("{{{}}}", texts.join(", "))
}

fn signed(header: &str, payload: &str, key: &Signer) -> String {
    let filled = [header, payload].map(|text| {
        let text = text.replace("$now", &NOW.to_string());
        let text = text.replace("$later", &(NOW + 3600).to_string());
        b64(text.replace("$past", &(NOW - 3600).to_string()).as_bytes())
    });
    let message = filled.join(".");
    let signature = key.sign(Algorithm::ES256, message.as_bytes());
    format!("{message}.{signature}")
}

fn rules() -> Rules {
    Rules {
        audience: Audience::OneOf(vec!["api".into()]),
        audience_claims: vec!["aud".into()],
        client_ids: Vec::new(),
        token_use: None,
        leeway: std::time::Duration::ZERO,
        typ: TypPolicy::Access,
        required_claims: Vec::new(),
        scope_claims: vec!["scope".into(), "scp".into()],
    }
}

/// An issuer that has published the key `key-1`.
struct Scene {
    key: Signer,
    issuer: Arc<Issuer>,
    handle: EntryHandle,
}

impl Scene {
    fn new() -> Self {
        let handle = unread();
        let mut settings = entry(KeySource::Uri(Url::parse("https://idp.test/keys").unwrap()));
        settings.issuer = ISS.into();
        let issuer = Issuer::new(settings, vec![handle.clone()]).unwrap();
        let key = Signer::p256();
        end_fetch(&issuer, Some(&jwks(&[key.jwk("key-1")])));
        Self {
            key,
            issuer,
            handle,
        }
    }

    fn verifier(&self, rules: Rules) -> [Arc<Verifier>; 1] {
        let (handle, issuer) = (self.handle.clone(), Arc::clone(&self.issuer));
        [Arc::new(Verifier::new(
            handle,
            issuer,
            rules,
            CacheSlot::FIRST,
        ))]
    }

    /// Returns the verdict about a token, and the scopes of one that is accepted.
    async fn verdict(&self, rules: &Rules, token: &str) -> (&'static str, ScopeSet) {
        let verifiers = self.verifier(rules.clone());
        let context = RequestContext::at(UnixTime(NOW));
        let token = BearerToken::new(token);
        match authenticate(&verifiers, token, 16 << 10, None, context).await {
            Ok(caller) => {
                let scopes = caller.identity.principal().unwrap().scopes.clone();
                (Verification::Valid.name(), scopes)
            }
            Err(refused) => (refused.error.verification().name(), ScopeSet::default()),
        }
    }

    async fn is_accepted(&self, rules: &Rules, typ: &str, claims: &[(&str, &str)]) -> bool {
        let typ = match typ {
            "" => String::new(),
            typ => format!("\"{typ}\""),
        };
        let case = Case {
            header: BTreeMap::from([("typ".to_owned(), typ)]),
            claims: claims
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Case::default()
        };
        let (verdict, _) = self.verdict(rules, &case.token(&self.key)).await;
        let refused = Verification::NotAccessToken.name();
        assert!(["valid", refused].contains(&verdict), "{verdict}: {case:?}");
        verdict == "valid"
    }
}

#[tokio::test]
async fn every_change_of_a_token_has_its_verdict() {
    let scene = Scene::new();
    let mut wrong = Vec::new();
    for name in ["claims", "headers"] {
        let text = std::fs::read_to_string(format!("tests/vectors/tokens/{name}.toml")).unwrap();
        let vector: Vector = toml::from_str(&text).unwrap();
        for case in vector.cases {
            let (verdict, _) = scene.verdict(&rules(), &case.token(&scene.key)).await;
            if verdict != case.expected() {
                wrong.push(format!("{name}: {case:?}\n  seen: {verdict}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What RFC 9068 asks for, beside the claims of a good token.
const RFC_9068: [(&str, &str); 4] = [
    ("sub", "\"user\""),
    ("client_id", "\"app\""),
    ("iat", "$now"),
    ("jti", "\"1\""),
];

const NO_SCOPE: (&str, &str) = ("scope", "");

#[tokio::test]
async fn a_policy_accepts_the_tokens_of_its_kind() {
    let scene = Scene::new();
    let all = [
        TypPolicy::AtJwt,
        TypPolicy::Access,
        TypPolicy::Untyped,
        TypPolicy::Any,
    ];
    let logout = r#"{"http://schemas.openid.net/event/backchannel-logout": {}}"#;
    for (typ, claims, accepted) in [
        ("at+jwt", &RFC_9068[..], [true, true, true, true]),
        ("at+jwt", &RFC_9068[1..], [false, true, true, true]),
        ("at+jwt", &RFC_9068[..3], [false, true, true, true]),
        ("at+jwt", &[], [false, true, true, true]),
        ("dpop+jwt", &RFC_9068, [false; 4]),
        ("", &RFC_9068, [false, true, true, true]),
        ("JWT", &[], [false, true, true, true]),
        ("", &[NO_SCOPE], [false, false, true, true]),
        ("", &[NO_SCOPE, ("scp", "[]")], [false, true, true, true]),
        ("", &[NO_SCOPE, ("scp", "1")], [false, false, true, true]),
        ("", &[NO_SCOPE, ("roles", "[]")], [false, true, true, true]),
        (
            "",
            &[NO_SCOPE, ("cid", "\"app\"")],
            [false, true, true, true],
        ),
        (
            "",
            &[NO_SCOPE, ("cid", "[\"app\"]")],
            [false, false, true, true],
        ),
        (
            "",
            &[NO_SCOPE, ("typ", "\"Bearer\"")],
            [false, true, true, true],
        ),
        ("", &[("typ", "\"ID\"")], [false, false, false, true]),
        ("", &[("typ", "\"Refresh\"")], [false; 4]),
        ("", &[("typ", "\"Offline\"")], [false; 4]),
        ("", &[("events", logout)], [false; 4]),
        ("", &[("events", "{}")], [false, true, true, true]),
        ("", &[("at_hash", "\"x\"")], [false, false, false, true]),
        ("", &[("at_hash", "null")], [false, true, true, true]),
        ("", &[("nonce", "\"x\"")], [false, true, true, true]),
        (
            "",
            &[("nonce", "\"x\""), ("scope", "\"\"")],
            [false, false, false, true],
        ),
    ] {
        for (policy, accepted) in all.into_iter().zip(accepted) {
            let rules = Rules {
                typ: policy,
                ..rules()
            };
            let seen = scene.is_accepted(&rules, typ, claims).await;
            assert_eq!(seen, accepted, "{policy:?} {typ:?} {claims:?}");
        }
    }
}

#[tokio::test]
async fn the_use_of_a_token_is_exactly_the_wanted_one() {
    let scene = Scene::new();
    for (wanted, token_use, accepted) in [
        ("access", "\"access\"", true),
        ("access", "\"id\"", false),
        ("access", "", false),
        ("id", "\"id\"", true),
        ("id", "\"access\"", false),
    ] {
        let rules = Rules {
            token_use: Some(wanted.into()),
            ..rules()
        };
        let claims = [("token_use", token_use), ("at_hash", "\"x\"")];
        let claims = &claims[..if wanted == "id" { 2 } else { 1 }];
        let seen = scene.is_accepted(&rules, "", claims).await;
        assert_eq!(seen, accepted, "{wanted} {token_use}");
        // An ID token is accepted as one by its use, not by its type.
        let typed = scene.is_accepted(&rules, "at+jwt", claims).await;
        assert_eq!(typed, accepted, "{wanted} {token_use}");
    }
}

#[tokio::test]
async fn the_scopes_of_all_scope_claims_are_granted() {
    let scene = Scene::new();
    let case = Case {
        claims: BTreeMap::from([("scp".to_owned(), "[\"write\", \"a b\"]".to_owned())]),
        ..Case::default()
    };
    let (_, scopes) = scene.verdict(&rules(), &case.token(&scene.key)).await;
    assert_eq!(scopes, ScopeSet::of_names(["read", "write", "a b"]));
}

#[tokio::test]
async fn times_count_with_the_leeway() {
    let scene = Scene::new();
    let rules = Rules {
        leeway: std::time::Duration::from_secs(10),
        ..rules()
    };
    for (name, offset, verdict) in [
        ("exp", -9, "valid"),
        ("exp", -10, "token_expired"),
        ("nbf", 10, "valid"),
        ("nbf", 11, "token_not_yet_valid"),
    ] {
        let time = NOW.saturating_add_signed(offset).to_string();
        let case = Case {
            claims: BTreeMap::from([(name.to_owned(), time)]),
            ..Case::default()
        };
        let (seen, _) = scene.verdict(&rules, &case.token(&scene.key)).await;
        assert_eq!(seen, verdict, "{name} {offset}");
    }
}

#[tokio::test]
async fn a_token_has_at_most_the_bytes_of_the_limit() {
    let scene = Scene::new();
    let verifiers = scene.verifier(rules());
    let text = Case::default().token(&scene.key);
    let context = RequestContext::at(UnixTime(NOW));
    for (limit, is_accepted) in [(text.len(), true), (text.len() - 1, false)] {
        let token = BearerToken::new(&text);
        let verdict = authenticate(&verifiers, token, limit, None, context).await;
        let bytes = text.len();
        let error = verdict.map(drop).map_err(|refused| refused.error);
        let too_long = TokenError::TooLong { bytes, limit };
        assert_eq!(error, if is_accepted { Ok(()) } else { Err(too_long) });
    }
}
