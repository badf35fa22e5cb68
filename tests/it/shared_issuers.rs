//! Several entries of one issuer: its keys are fetched once, and each entry has its own audience
//! and other rules.

use std::path::Path;

use crate::support::{Answer, Gateway, Issuer, Jwks, Key, Request, Token, Upstream};

/// Returns the entry of an application: its name is the audience, and that of its route.
fn entry(issuer: &Issuer, name: &str, more: &str) -> String {
    format!(
        "[issuers.{name}]\nissuer = \"{}\"\naudience = \"{name}\"\n{more}\n\
         [[routes]]\npath = \"/{name}\"\nupstream = \"up\"\nissuer = \"{name}\"\n\
         scopes = \"read\"\n",
        issuer.url()
    )
}

fn start(upstream: &Upstream, entries: &[String]) -> Gateway {
    Gateway::start(&text(upstream, entries))
}

fn text(upstream: &Upstream, entries: &[String]) -> String {
    format!("{}\n{}", upstream.toml("up"), entries.concat())
}

/// Returns a token for an application; `id` makes it another one.
fn token(issuer: &Issuer, audience: &str, id: &str) -> String {
    let token = issuer.claims("read").with("aud", audience).with("jti", id);
    token.signed(&issuer.key)
}

#[track_caller]
fn ask(gateway: &Gateway, path: &str, token: &str) -> Answer {
    gateway.send(&Request::get(path).bearer(token))
}

fn of(gateway: &Gateway, metric: &str, issuer: &str, more: &str) -> f64 {
    gateway.metric(&format!("scopegate_{metric}{{issuer=\"{issuer}\"{more}}}"))
}

#[test]
fn keys_are_fetched_once_and_each_entry_has_its_own_audience() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let entries = [entry(&issuer, "web", ""), entry(&issuer, "batch", "")];
    let gateway = start(&upstream, &entries);
    gateway.wait_until_ready();
    let (web, batch) = (token(&issuer, "web", "1"), token(&issuer, "batch", "1"));
    // From the second round on, both tokens are cached for both entries.
    for _ in 0..6 {
        for (path, token, status) in [
            ("/web", &web, 200),
            ("/batch", &web, 401),
            ("/web", &batch, 401),
            ("/batch", &batch, 200),
        ] {
            let answer = ask(&gateway, path, token);
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            if status == 401 {
                assert_eq!(answer.code(), "wrong_audience", "{path}");
            }
        }
    }
    assert_eq!(issuer.fetches(), 1);
    for name in ["web", "batch"] {
        let verified = |result: &str| {
            let result = format!(",result=\"{result}\"");
            of(&gateway, "token_verifications_total", name, &result)
        };
        assert_eq!(
            (verified("valid"), verified("wrong_audience")),
            (6.0, 6.0),
            "{name}"
        );
        assert_eq!(of(&gateway, "issuer_keys", name, ""), 1.0, "{name}");
        let fetched = of(
            &gateway,
            "issuer_refreshes_total",
            name,
            ",result=\"success\"",
        );
        assert_eq!(fetched, 1.0, "{name}");
    }
}

#[test]
fn a_reload_that_adds_or_removes_an_entry_keeps_the_keys() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let (web, batch) = (entry(&issuer, "web", ""), entry(&issuer, "batch", ""));
    let gateway = start(&upstream, std::slice::from_ref(&web));
    gateway.wait_until_ready();
    let cached = token(&issuer, "web", "1");
    assert_eq!(ask(&gateway, "/web", &cached).status, 200);
    // An entry that had to fetch its keys would have none from here on.
    issuer.serve(Jwks::Reset);
    let reload = |entries: &[String], count: f64| {
        // Not by a signal, which asks for all keys anew.
        gateway.rewrite(&text(&upstream, entries));
        gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", count);
    };
    reload(&[web.clone(), batch.clone()], 1.0);
    assert_eq!(ask(&gateway, "/web", &cached).status, 200);
    assert_eq!(
        ask(&gateway, "/batch", &token(&issuer, "batch", "1")).status,
        200
    );
    assert_eq!(of(&gateway, "issuer_keys", "batch", ""), 1.0);
    reload(std::slice::from_ref(&batch), 2.0);
    for id in ["1", "2"] {
        assert_eq!(
            ask(&gateway, "/batch", &token(&issuer, "batch", id)).status,
            200
        );
    }
    assert_eq!(ask(&gateway, "/web", &cached).status, 404);
    assert_eq!(of(&gateway, "issuer_keys", "batch", ""), 1.0);
    assert_eq!(of(&gateway, "issuer_keys", "web", ""), 0.0, "it is gone");
    // Another name for the same issuer.
    let renamed = entry(&issuer, "jobs", "");
    reload(&[renamed], 3.0);
    assert_eq!(
        ask(&gateway, "/jobs", &token(&issuer, "jobs", "1")).status,
        200
    );
    assert_eq!(issuer.fetches(), 1);
}

#[test]
fn an_issuer_that_is_not_ready_is_named_by_all_its_entries() {
    let (issuer, other, upstream) = (Issuer::start(), Issuer::start(), Upstream::start());
    issuer.serve(Jwks::Reset);
    let entries = [
        entry(&issuer, "web", ""),
        entry(&other, "alone", ""),
        entry(&issuer, "batch", ""),
    ];
    let entries = entries.concat();
    let gateway = start(
        &upstream,
        &["[server]\nready = \"keys\"\n".to_owned() + &entries],
    );
    gateway.wait_for_metric("scopegate_issuer_keys{issuer=\"alone\"}", 1.0);
    let (status, text) = gateway.ask_admin("/readyz");
    assert_eq!((status, text.as_str()), (503, "no keys yet: batch, web\n"));
}

// The file of the keys is that of the issuer, and not of one entry.
#[test]
fn a_restart_finds_the_keys_for_every_entry() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("idp.keys");
    let keeping = format!("keep_file = {:?}", file.display().to_string());
    let entries = [
        entry(&issuer, "web", &keeping),
        entry(&issuer, "batch", &keeping),
    ];
    let before = start(&upstream, &entries);
    before.wait_until_ready();
    crate::support::wait_until("the keys are kept", || Path::exists(&file));
    before.shutdown();
    issuer.serve(Jwks::Reset);
    let after = start(&upstream, &entries);
    for name in ["web", "batch"] {
        assert_eq!(
            ask(&after, &format!("/{name}"), &token(&issuer, name, "1")).status,
            200
        );
    }
}

// A token without a `kid` is tried with several keys, for each entry by itself.
#[test]
fn a_token_without_a_kid_is_tried_and_counted_for_its_entry() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    issuer.serve(Jwks::Keys(vec![Key::rsa("other", 1), issuer.key.clone()]));
    let entries = [entry(&issuer, "web", ""), entry(&issuer, "batch", "")];
    let gateway = start(&upstream, &entries);
    gateway.wait_until_ready();
    let both = serde_json::json!(["web", "batch"]);
    let claims = issuer.claims("read").with("aud", both).claims.to_string();
    let token = Token::signed_text(r#"{"alg":"RS256"}"#, &claims, &issuer.key);
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "/web", &token).status, 200);
    }
    assert_eq!(
        of(&gateway, "issuer_further_keys_tried_total", "batch", ""),
        0.0
    );
    assert_eq!(
        of(&gateway, "issuer_further_keys_tried_total", "web", ""),
        1.0
    );
    assert_eq!(ask(&gateway, "/batch", &token).status, 200);
    assert_eq!(
        of(&gateway, "issuer_further_keys_tried_total", "batch", ""),
        1.0
    );
}

// A route that takes one entry of an issuer and entries of others.
#[test]
fn a_route_with_several_issuers_finds_its_own_entry() {
    let (issuer, other, upstream) = (Issuer::start(), Issuer::start(), Upstream::start());
    let both = "[[routes]]\npath = \"/both\"\nupstream = \"up\"\nissuer = [\"alone\", \"batch\"]\n\
                scopes = \"read\"\n";
    let entries = [
        entry(&issuer, "web", ""),
        entry(&other, "alone", ""),
        entry(&issuer, "batch", ""),
        both.to_owned(),
    ];
    let gateway = start(&upstream, &entries);
    gateway.wait_until_ready();
    let (web, batch) = (token(&issuer, "web", "1"), token(&issuer, "batch", "1"));
    let alone = token(&other, "alone", "1");
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/web", &web).status, 200);
        assert_eq!(ask(&gateway, "/both", &web).code(), "wrong_audience");
        assert_eq!(ask(&gateway, "/both", &batch).status, 200);
        assert_eq!(ask(&gateway, "/both", &alone).status, 200);
        assert_eq!(ask(&gateway, "/web", &alone).code(), "invalid_token");
    }
}
