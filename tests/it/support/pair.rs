//! A gateway, and beside it a snapshot of the same configuration: both have to give the same
//! verdict.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use scopegate::clock;
use scopegate::config::Config;
use scopegate::decision::{self, Cause, OwnAnswer, Reason, Refusal, admit, decide};
use scopegate::policy::{Denial, Scope};
use scopegate::snapshot::Snapshot;
use scopegate::telemetry::{Label as _, Metrics};
use scopegate::token::{CacheResult, RequestContext, SharedCache, WorkerCache};
use serde_json::{Value, json};

use super::{Answer, Arrival, Gateway, Key, Request, Token, Upstream};

/// A running gateway and a compiled snapshot of the same text.
pub(crate) struct Pair {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
    pub(crate) key: Key,
    snapshot: Snapshot,
    cache: WorkerCache,
    /// The number of refusals by route and reason.
    refused: RefCell<BTreeMap<(String, &'static str), f64>>,
}

/// The verdict on a request.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) answer: Answer,
    /// The request as it arrived at the upstream.
    pub(crate) arrival: Option<Arrival>,
    /// The reason of the refusal.
    pub(crate) reason: Option<&'static str>,
    /// The label of the route for the request.
    pub(crate) route: Option<String>,
    /// The scopes that the challenge names.
    pub(crate) needs: Option<String>,
    /// The scopes that the token lacks.
    pub(crate) missing: Option<String>,
}

/// The `iss` of the pair's tokens.
pub(crate) const ISS: &str = "https://idp.test";

/// The answer to the client for each reason: status, code, and the error of the challenge if there
/// is one.
const ANSWERS: [(&str, u16, &str, Option<&str>); 31] = [
    ("target_too_long", 414, "target_too_long", None),
    ("malformed_target", 400, "malformed_target", None),
    ("invalid_host", 400, "invalid_host", None),
    ("ambiguous_path", 400, "ambiguous_path", None),
    ("unmappable_request", 400, "unmappable_request", None),
    ("route_denied", 403, "route_denied", None),
    ("no_route", 404, "no_route", None),
    ("shadowed_path", 404, "shadowed_path", None),
    ("method_not_allowed", 405, "method_not_allowed", None),
    ("missing_token", 401, "missing_token", None),
    ("wrong_scheme", 401, "missing_token", None),
    (
        "placeholder_token",
        401,
        "invalid_token",
        Some("invalid_token"),
    ),
    ("opaque_token", 401, "invalid_token", Some("invalid_token")),
    (
        "encrypted_token",
        401,
        "invalid_token",
        Some("invalid_token"),
    ),
    (
        "several_tokens",
        400,
        "invalid_request",
        Some("invalid_request"),
    ),
    (
        "token_too_long",
        401,
        "invalid_token",
        Some("invalid_token"),
    ),
    (
        "malformed_token",
        401,
        "invalid_token",
        Some("invalid_token"),
    ),
    (
        "algorithm_not_allowed",
        401,
        "invalid_token",
        Some("invalid_token"),
    ),
    (
        "unknown_issuer",
        401,
        "invalid_token",
        Some("invalid_token"),
    ),
    ("unknown_key", 401, "invalid_token", Some("invalid_token")),
    ("bad_signature", 401, "invalid_token", Some("invalid_token")),
    ("token_expired", 401, "token_expired", Some("invalid_token")),
    (
        "token_not_yet_valid",
        401,
        "token_not_yet_valid",
        Some("invalid_token"),
    ),
    (
        "wrong_audience",
        401,
        "wrong_audience",
        Some("invalid_token"),
    ),
    ("wrong_client", 401, "wrong_client", Some("invalid_token")),
    (
        "required_claim",
        401,
        "required_claim",
        Some("invalid_token"),
    ),
    (
        "not_an_access_token",
        401,
        "not_an_access_token",
        Some("invalid_token"),
    ),
    (
        "sender_constrained_token",
        401,
        "sender_constrained_token",
        Some("invalid_token"),
    ),
    (
        "wrong_client_certificate",
        401,
        "wrong_client_certificate",
        Some("invalid_token"),
    ),
    (
        "insufficient_scope",
        403,
        "insufficient_scope",
        Some("insufficient_scope"),
    ),
    ("cross_site_request", 403, "cross_site_request", None),
];

impl Pair {
    /// Starts with one issuer `idp` whose tokens are signed by `key`, one upstream `up` that is the
    /// default of every route, and `text`. `issuer` continues the issuer's table.
    #[track_caller]
    pub(crate) fn start(key: &Key, issuer: &str, text: &str) -> Self {
        Self::with_keys(key, &json!([key.jwk()]), issuer, text)
    }

    /// Starts with this key set instead.
    #[track_caller]
    pub(crate) fn with_keys(key: &Key, keys: &Value, issuer: &str, text: &str) -> Self {
        let upstream = Upstream::start();
        let jwks = json!({ "keys": keys });
        let audience = if issuer.contains("audience") {
            ""
        } else {
            "audience = \"api\""
        };
        let text = format!(
            "[issuers.idp]\nissuer = \"{ISS}\"\njwks = '{jwks}'\n{audience}\n{issuer}\n{}\n\
             [defaults]\nupstream = \"up\"\n{text}",
            upstream.toml("up")
        );
        let config = Config::parse(&text, "gateway.toml");
        let config = config.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let metrics = Metrics::new(Reason::NAMES).unwrap();
        let snapshot = Snapshot::compile(config, &metrics, None).unwrap();
        let cache = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 64);
        let gateway = Gateway::start(&text);
        Self {
            gateway,
            upstream,
            key: key.clone(),
            snapshot,
            cache,
            refused: RefCell::default(),
        }
    }

    /// Returns the claims of a good token with these scopes, unsigned.
    pub(crate) fn claims(scope: &str) -> Token {
        Token::of(ISS, scope)
    }

    /// Returns a good token with these scopes.
    pub(crate) fn token(&self, scope: &str) -> String {
        Self::claims(scope).signed(&self.key)
    }

    /// Returns the verdict on a request. It must be the same for a new token and a cached one, by
    /// `decide` and over a socket (requirements.md#c07).
    #[track_caller]
    pub(crate) fn ask(&self, request: &Request) -> Verdict {
        let head = request.head();
        let Asked { route, refusal, .. } = self.decide(&head, None);
        let reason = refusal.as_ref().map(|cause| cause.reason().name());
        // Tokens of more than 8 KiB are not cached.
        let is_small = head
            .headers()
            .values()
            .map(http::HeaderValue::len)
            .sum::<usize>()
            < 8192;
        for is_second in [false, true] {
            let again = self.decide(&head, Some(&self.cache));
            assert_eq!(again.route, route, "a cached token has another route");
            assert_eq!(
                again.refusal.as_ref().map(|cause| cause.reason().name()),
                reason,
                "a cached token has another verdict"
            );
            let is_hit = again.cache != Some(CacheResult::Miss);
            assert!(
                is_hit || !is_second || !is_small,
                "a verified token is verified again"
            );
        }
        let before = self.upstream.arrivals().len();
        let answer = self.gateway.send(request);
        let arrivals = self.upstream.arrivals();
        assert!(arrivals.len() <= before + 1, "forwarded more than once");
        let arrival = arrivals.get(before).cloned();
        if let Some(reason) = reason {
            let route = route.clone().unwrap_or_else(|| "none".to_owned());
            *self
                .refused
                .borrow_mut()
                .entry((route, reason))
                .or_default() += 1.0;
        }
        let needs = refusal.as_ref().and_then(needs);
        let missing = refusal.as_ref().and_then(missing);
        let verdict = Verdict {
            answer,
            arrival,
            reason,
            route,
            needs,
            missing,
        };
        verdict.check(refusal.as_ref());
        verdict
    }

    /// Asserts that the gateway has counted exactly the expected refusals, by route and reason.
    #[track_caller]
    pub(crate) fn check_counts(&self) {
        let refused = self.refused.borrow();
        for ((route, reason), count) in refused.iter() {
            let series =
                format!("scopegate_refusals_total{{reason=\"{reason}\",route=\"{route}\"}}");
            self.gateway.wait_for_metric(&series, *count);
        }
        let (_, text) = self.gateway.ask_admin("/metrics");
        let series = text
            .lines()
            .filter_map(|line| line.strip_prefix("scopegate_refusals_total{"));
        let counted: f64 = series
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        assert!(
            (counted - refused.values().sum::<f64>()).abs() < 0.5,
            "{counted} refusals were counted"
        );
    }

    fn decide(&self, request: &http::Request<()>, cache: Option<&WorkerCache>) -> Asked {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (mut head, ()) = request.clone().into_parts();
        let max_fields = self.snapshot.config.server.limits.head_fields;
        let verdict = match admit(&mut head, None, max_fields) {
            Ok(facts) => {
                let context = RequestContext::at(clock::now().unix);
                runtime.block_on(decide(&self.snapshot, facts, cache, context))
            }
            Err(refusal) => Err(refusal),
        };
        match verdict {
            Ok(decision::Verdict::Forward(decision)) => Asked {
                route: Some(decision.route.label.to_string()),
                refusal: None,
                cache: decision.cache,
            },
            Ok(decision::Verdict::Answer(OwnAnswer::Preflight { headers, .. })) => {
                panic!("a preflight: {headers:?}")
            }
            Ok(decision::Verdict::Answer(OwnAnswer::Metadata(resource))) => {
                panic!("metadata of {}", resource.url())
            }
            Err(Refusal { cause, route, .. }) => Asked {
                route: route.map(|route| route.label.to_string()),
                refusal: Some(cause),
                cache: None,
            },
        }
    }
}

/// The answer of `decide`.
struct Asked {
    /// The label of the route.
    route: Option<String>,
    refusal: Option<Cause>,
    cache: Option<CacheResult>,
}

fn needs(refusal: &Cause) -> Option<String> {
    let scopes = match refusal {
        Cause::Token { needed, .. } => needed,
        Cause::Denied(Denial::InsufficientScope { needed, .. }) => needed,
        _ => return None,
    };
    (!scopes.is_empty()).then(|| joined(scopes))
}

fn missing(refusal: &Cause) -> Option<String> {
    match refusal {
        Cause::Denied(Denial::InsufficientScope { missing, .. }) => Some(joined(missing)),
        _ => None,
    }
}

fn joined(scopes: &[Scope]) -> String {
    let names: Vec<_> = scopes.iter().map(Scope::as_str).collect();
    names.join(" ")
}

impl Verdict {
    /// Returns the request as it was forwarded.
    #[track_caller]
    pub(crate) fn forwarded(self) -> Arrival {
        assert_eq!(
            (self.reason, self.answer.status),
            (None, 200),
            "{:?}",
            self.answer
        );
        self.arrival.expect("it is forwarded")
    }

    /// Returns the answer to a request that is refused for this reason.
    #[track_caller]
    pub(crate) fn refused(self, reason: &str) -> Answer {
        assert_eq!(self.reason, Some(reason), "{:?}", self.answer);
        self.answer
    }

    /// Asserts that both verdicts agree, and that the answer is the one for the reason.
    #[track_caller]
    fn check(&self, refusal: Option<&Cause>) {
        let (answer, Some(reason)) = (&self.answer, self.reason) else {
            assert_eq!(
                self.answer.status, 200,
                "asked it is allowed: {:?}",
                self.answer
            );
            assert!(self.arrival.is_some(), "allowed and not forwarded");
            return;
        };
        assert!(
            self.arrival.is_none(),
            "asked it is refused ({reason}), and it was forwarded"
        );
        let known = ANSWERS.iter().find(|(known, ..)| *known == reason);
        let (_, status, code, error) =
            known.unwrap_or_else(|| panic!("no answer is known for {reason}"));
        assert_eq!(answer.status, *status, "{reason}: {answer:?}");
        if !answer.body.is_empty() {
            assert_eq!(answer.code(), *code, "{reason}");
        }
        let is_about_tokens =
            matches!(status, 401 | 403) && reason != "route_denied" || *code == "invalid_request";
        assert_eq!(
            answer.field("www-authenticate").is_some(),
            is_about_tokens,
            "{answer:?}"
        );
        if is_about_tokens {
            assert_eq!(answer.challenge("error").as_deref(), *error);
            assert_eq!(answer.challenge("scope"), self.needs);
        }
        if let (Some(missing), false) = (&self.missing, answer.body.is_empty()) {
            let missing = json!(missing.split(' ').collect::<Vec<_>>());
            assert_eq!(answer.problem()["missing_scopes"], missing);
        }
        if let Some(Cause::Method { allow }) = refusal {
            assert_eq!(answer.field("allow"), Some(&**allow));
        }
    }
}
