//! The token cache makes verdicts faster and changes none (docs/design/attacks.md#row-15).

use crate::support::{Gateway, Issuer, Key, Request, Upstream, now, wait_until};

fn ask(gateway: &Gateway, path: &str, token: &str) -> (u16, String) {
    let answer = gateway.send(&Request::get(path).bearer(token));
    let code = if answer.status == 200 {
        String::new()
    } else {
        answer.code()
    };
    (answer.status, code)
}

fn allowed() -> (u16, String) {
    (200, String::new())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Hits on the level of a worker and on the shared one.
fn hits(gateway: &Gateway) -> f64 {
    let on = |level: &str| {
        gateway.metric(&format!(
            "scopegate_token_cache_lookups_total{{result=\"{level}_hit\"}}"
        ))
    };
    on("worker") + on("shared")
}

// docs/design/attacks.md#row-15, docs/design/requirements.md#t09, #d33; Oathkeeper CVE-2026-33496,
// Traefik CVE-2026-71326: a route accepts the tokens of its own issuers only, whatever is cached.
#[test]
fn a_token_that_one_issuer_vouched_for_is_nobodys_at_another() {
    let (a, b, upstream) = (
        Issuer::start(),
        Issuer::with_key(Key::rsa("key-1", 1)),
        Upstream::start(),
    );
    let gateway = Gateway::start(&format!(
        "{}{}{}\n[defaults]\nupstream = \"up\"\n\
         [[routes]]\npath = \"/a\"\nissuer = \"a\"\nscopes = \"read\"\n\
         [[routes]]\npath = \"/b\"\nissuer = \"b\"\nscopes = \"read\"\n\
         [[routes]]\npath = \"/both\"\nissuer = [\"a\", \"b\"]\nscopes = \"read\"\n",
        a.toml_named("a"),
        b.toml_named("b"),
        upstream.toml("up")
    ));
    gateway.wait_until_ready();
    let paths = ["/a", "/b", "/both"];
    // Every order of three visits, so that each route comes first, second and third to each token.
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        for (own, other) in [(&a, &b), (&b, &a)] {
            let at_home = if std::ptr::eq(own, &raw const a) {
                "/a"
            } else {
                "/b"
            };
            // Tokens of their own for each order: fresh ones.
            let good = own
                .claims("read")
                .with("jti", format!("{order:?}"))
                .signed(&own.key);
            let forged = own
                .claims("read")
                .with("jti", format!("{order:?}"))
                .signed(&other.key);
            for path in order.map(|index| paths[index]).iter().chain(&paths) {
                let verdict = if *path == at_home || *path == "/both" {
                    allowed()
                } else {
                    refused(401, "invalid_token")
                };
                assert_eq!(ask(&gateway, path, &good), verdict, "{path} in {order:?}");
                assert_eq!(
                    ask(&gateway, path, &forged),
                    refused(401, "invalid_token"),
                    "{path} in {order:?}"
                );
            }
        }
    }
    assert!(
        hits(&gateway) > 0.0,
        "nothing was cached, so that nothing was shown"
    );
}

// docs/design/attacks.md#row-15; Oathkeeper GHSA-qvp4-rpmr-xwrr, CVE-2021-32701: scopes are checked
// for each route, cached or not.
#[test]
fn a_cached_token_is_asked_for_the_scopes_of_each_route() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}\n[defaults]\nupstream = \"up\"\n[[routes]]\npath = \"/read\"\nscopes = \"read\"\n\
         [[routes]]\npath = \"/write\"\nscopes = \"write\"\n[[routes]]\npath = \"/any\"\n\
         authenticated = true\n",
        issuer.toml(),
        upstream.toml("up")
    ));
    let token = issuer.token("read");
    for _ in 0..4 {
        assert_eq!(
            ask(&gateway, "/write", &token),
            refused(403, "insufficient_scope")
        );
        assert_eq!(ask(&gateway, "/any", &token), allowed());
        assert_eq!(ask(&gateway, "/read", &token), allowed());
    }
    assert!(hits(&gateway) > 0.0);
}

/// A gateway with one route and more of its issuer's entry.
fn one_route(issuer: &Issuer, more: &str, upstream: &Upstream) -> String {
    format!(
        "{}{more}\n{}\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\nscopes = \"read\"\n",
        issuer.toml(),
        upstream.toml("up")
    )
}

#[test]
fn a_token_expires_while_it_is_cached() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&one_route(&issuer, "leeway = \"0s\"", &upstream));
    gateway.wait_until_ready();
    let end = now() + 5;
    let short = issuer.claims("read").with("exp", end).signed(&issuer.key);
    let long = issuer.token("read");
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/x", &short), allowed());
    }
    assert!(
        hits(&gateway) > 0.0,
        "nothing was cached, so that nothing was shown"
    );
    wait_until("the token expires", || {
        ask(&gateway, "/x", &short) == refused(401, "token_expired")
    });
    assert!(now() >= end);
    assert_eq!(ask(&gateway, "/x", &short), refused(401, "token_expired"));
    assert_eq!(ask(&gateway, "/x", &long), allowed());
}

// A refusal is not remembered.
#[test]
fn a_token_that_came_too_early_is_taken_when_its_time_comes() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&one_route(&issuer, "leeway = \"0s\"", &upstream));
    let start = now() + 2;
    let early = issuer.claims("read").with("nbf", start).signed(&issuer.key);
    let first = ask(&gateway, "/x", &early);
    assert!(
        first == refused(401, "token_not_yet_valid") || now() >= start,
        "{first:?}"
    );
    wait_until("the token's time comes", || {
        ask(&gateway, "/x", &early) == allowed()
    });
    assert!(now() >= start);
}

// What the configuration says of a token holds for cached ones at once, and only while it says
// so.
#[test]
fn a_reload_judges_cached_tokens_by_the_new_configuration() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let text = one_route(&issuer, "leeway = \"5m\"", &upstream);
    let gateway = Gateway::start(&text);
    let token = issuer
        .claims("read")
        .with("exp", now() - 1)
        .signed(&issuer.key);
    assert_eq!(ask(&gateway, "/x", &token), allowed());
    let (other, jwks) = (Issuer::with_key(Key::rsa("key-1", 1)), "jwks_uri = ");
    let keys_from_elsewhere = format!("leeway = \"5m\"\n{jwks}\"{}/jwks\"", other.url());
    let cases = [
        (
            "audience = \"api\"",
            "audience = \"other\"",
            refused(401, "wrong_audience"),
        ),
        (
            "scopes = \"read\"",
            "scopes = \"admin\"",
            refused(403, "insufficient_scope"),
        ),
        (
            "leeway = \"5m\"",
            "leeway = \"0s\"",
            refused(401, "token_expired"),
        ),
        (
            "leeway = \"5m\"",
            "leeway = \"5m\"\nclient_ids = \"other\"",
            refused(401, "wrong_client"),
        ),
        (
            "leeway = \"5m\"",
            "leeway = \"5m\"\ntoken_use = \"access\"",
            refused(401, "not_an_access_token"),
        ),
        (
            "leeway = \"5m\"",
            "leeway = \"5m\"\nscope_claims = \"scp\"",
            refused(403, "insufficient_scope"),
        ),
        (
            "leeway = \"5m\"",
            "leeway = \"5m\"\nalgorithms = \"ES256\"",
            refused(401, "invalid_token"),
        ),
    ]
    .map(|(from, to, verdict)| (from.to_owned(), to.to_owned(), verdict));
    let elsewhere = [
        (issuer.url(), other.url(), refused(401, "invalid_token")),
        (
            "leeway = \"5m\"".to_owned(),
            keys_from_elsewhere,
            refused(401, "invalid_token"),
        ),
    ];
    for (from, to, verdict) in cases.into_iter().chain(elsewhere) {
        let changed = text.replace(&from, &to);
        assert_ne!(changed, text);
        gateway.rewrite(&changed);
        gateway.reload();
        wait_until(&to, || ask(&gateway, "/x", &token) == verdict);
        gateway.rewrite(&text);
        gateway.reload();
        wait_until(&from, || ask(&gateway, "/x", &token) == allowed());
    }
}

// The cache is no part of the meaning: without it everything is as it is with it.
#[test]
fn without_a_cache_the_verdicts_are_the_same() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let text = one_route(&issuer, "", &upstream);
    let gateways = [
        Gateway::start(&text),
        Gateway::start(&format!("{text}[token_cache]\nbytes = 0\n")),
    ];
    let evil = Key::rsa("key-1", 1);
    for (token, verdict) in [
        (issuer.token("read"), allowed()),
        (issuer.token("write"), refused(403, "insufficient_scope")),
        (
            issuer.claims("read").with("exp", 1).signed(&issuer.key),
            refused(401, "token_expired"),
        ),
        (
            issuer
                .claims("read")
                .with("aud", "other")
                .signed(&issuer.key),
            refused(401, "wrong_audience"),
        ),
        (
            issuer.claims("read").signed(&evil),
            refused(401, "invalid_token"),
        ),
    ] {
        for gateway in &gateways {
            for _ in 0..3 {
                assert_eq!(ask(gateway, "/x", &token), verdict);
            }
        }
    }
    assert!(hits(&gateways[0]) > 0.0);
    assert!(hits(&gateways[1]) == 0.0);
}

// Bad tokens leave nothing behind, and good ones no more than the
// bound.
#[test]
fn ten_thousand_bad_tokens_do_not_push_a_good_one_out() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&one_route(&issuer, "", &upstream));
    let token = issuer.token("read");
    let mut client = gateway.connect();
    let mut send = |token: &str| client.send(&Request::get("/x").bearer(token)).status;
    assert_eq!(send(&token), 200);
    let (message, signature) = token.rsplit_once('.').unwrap();
    for number in 0..10_000 {
        // Distinct signatures of the right length.
        let forged = format!("{number:0>8}{}", &signature[8..]);
        assert_eq!(send(&format!("{message}.{forged}")), 401);
    }
    let before = hits(&gateway);
    assert_eq!(send(&token), 200);
    assert!(hits(&gateway) > before, "the good token was verified again");
}

#[test]
fn a_worker_keeps_as_many_tokens_as_its_own_level_takes() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let token = issuer.token("read");
    for (per_worker, level) in [
        ("", "worker_hit"),
        ("[token_cache]\nper_worker = 0\n", "shared_hit"),
    ] {
        let gateway = Gateway::start(&format!(
            "{per_worker}{}{}[[routes]]\npath = \"/a\"\n\
             upstream = \"up\"\nscopes = \"read\"\n",
            issuer.toml(),
            upstream.toml("up")
        ));
        gateway.wait_until_ready();
        // One connection stays with one worker.
        let mut client = gateway.connect();
        for _ in 0..3 {
            let answer = client.send(&Request::get("/a").bearer(&token));
            assert_eq!(answer.status, 200);
        }
        for (result, count) in [("miss", 1.0), (level, 2.0)] {
            let name = "scopegate_token_cache_lookups_total";
            gateway.wait_for_metric(&format!("{name}{{result=\"{result}\"}}"), count);
        }
    }
}
