//! Tokens as issuers shape them: which claims they have, of which types, and under which names.

use serde_json::{Value, json};

use crate::support::{Key, Pair, Request};

const ROUTES: &str = "[[routes]]\npath = \"/x\"\nscopes = \"read\"\n";

fn rsa() -> Key {
    Key::rsa("key-1", 0)
}

fn with(token: &str) -> Request {
    Request::get("/x").bearer(token)
}

// Dex, authentik: access tokens that are built like ID tokens.
#[test]
fn an_issuer_may_be_trusted_whatever_its_tokens_look_like() {
    let like_id_tokens = [
        json!({ "at_hash": "h", "groups": ["read"], "email": "a@example.com" }),
        json!({ "at_hash": "h", "nonce": "n", "groups": ["read"] }),
        json!({ "nonce": "n", "azp": "app", "sid": "s", "groups": ["read"] }),
        json!({ "c_hash": "h", "typ": "ID", "groups": ["read"] }),
    ];
    let token = |claims: &Value| {
        let mut token = Pair::claims("").with("scope", Value::Null);
        token = token.with("client_id", Value::Null);
        for (name, value) in claims.as_object().unwrap() {
            token = token.with(name, value.clone());
        }
        token
    };
    let any = "typ = \"any\"\nscope_claims = [\"groups\"]\n";
    let pair = Pair::start(&rsa(), any, ROUTES);
    for claims in &like_id_tokens {
        pair.ask(&with(&token(claims).signed(&rsa()))).forwarded();
    }
    let good = token(&like_id_tokens[0]);
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt"] {
        pair.ask(&with(&good.clone().header("typ", typ).signed(&rsa())))
            .refused("not_an_access_token");
    }
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    for (claim, value) in [("events", event), ("typ", json!("Refresh"))] {
        pair.ask(&with(&good.clone().with(claim, value).signed(&rsa())))
            .refused("not_an_access_token");
    }
    pair.ask(&with(&good.with("aud", "other").signed(&rsa())))
        .refused("wrong_audience");
    // The twin: no other value of `typ` accepts them.
    for typ in ["access", "untyped", "at+jwt"] {
        let entry = format!("typ = \"{typ}\"\nscope_claims = [\"groups\"]\n");
        let pair = Pair::start(&rsa(), &entry, ROUTES);
        for claims in &like_id_tokens {
            pair.ask(&with(&token(claims).signed(&rsa())))
                .refused("not_an_access_token");
        }
    }
}

#[test]
fn a_claim_that_the_entry_asks_for_has_its_type() {
    let odd = |claim: &str, value: Value| {
        let mut token = Pair::claims("read");
        token.claims[claim] = value;
        with(&token.signed(&rsa()))
    };
    let asking = "client_ids = [\"app\"]\n";
    let pair = Pair::start(&rsa(), asking, ROUTES);
    pair.ask(&odd("client_id", json!(["app"])))
        .refused("malformed_token");
    // Another claim with the right client is no substitute for the first one.
    for client in [Value::Null, json!(7)] {
        let mut token = Pair::claims("read").with("azp", "app");
        token.claims["client_id"] = client;
        pair.ask(&with(&token.signed(&rsa())))
            .refused("malformed_token");
    }
    pair.ask(&odd("cid", json!(7))).forwarded();
    pair.ask(&odd("azp", Value::Null)).forwarded();
    pair.ask(&odd("aud", json!(5))).refused("malformed_token");
    let pair = Pair::start(&rsa(), "token_use = \"access\"\n", ROUTES);
    pair.ask(&odd("token_use", json!(["access"])))
        .refused("malformed_token");
    let pair = Pair::start(&rsa(), "audience = \"any\"\n", ROUTES);
    for aud in [json!(5), Value::Null, json!({ "api": true })] {
        pair.ask(&odd("aud", aud)).forwarded();
    }
}

#[test]
fn a_path_passes_through_names_with_dots_and_takes_names_of_members() {
    let issuer = "typ = \"untyped\"\n\
                  scope_claims = \
                  [\"https://example.com/claims.roles\", \"a.com.example.api.roles.*\"]\n\
                  required_claims = { \"kubernetes.io.namespace\" = \"shop\" }\n";
    let route = "[[routes]]\npath = \"/x\"\nscopes = [\"read\", \"write\"]\n\
                 forward = { \"x-namespace\" = \"kubernetes.io.namespace\" }\n";
    let pair = Pair::start(&rsa(), issuer, route);
    let token = |namespace: &str| {
        Pair::claims("")
            .with("scope", Value::Null)
            .with("kubernetes.io", json!({ "namespace": namespace }))
            .with("https://example.com/claims", json!({ "roles": ["read"] }))
            .with(
                "a",
                json!({ "com.example.api": { "roles": { "write": { "1": "x" } } } }),
            )
    };
    let arrival = pair.ask(&with(&token("shop").signed(&rsa()))).forwarded();
    assert_eq!(arrival.field("x-namespace"), Some("shop"));
    pair.ask(&with(&token("other").signed(&rsa())))
        .refused("required_claim");
    let roles = json!({ "com.example.api": { "roles": { "write": false } } });
    pair.ask(&with(&token("shop").with("a", roles).signed(&rsa())))
        .refused("insufficient_scope");
}

#[test]
fn a_claim_with_a_dotted_name_neither_hides_another_nor_is_chosen_among_several() {
    let issuer = "typ = \"untyped\"\n\
                  scope_claims = [\"resource_access.api.roles\", \"a.example.com.roles\"]\n";
    let routes = "[[routes]]\npath = \"/x\"\nscopes = \"read\"\n\
                  [[routes]]\npath = \"/forwarded\"\nauthenticated = true\n\
                  forward = { \"x-roles\" = \"a.example.com.roles\" }\n";
    let pair = Pair::start(&rsa(), issuer, routes);
    let roles = |role: &str| json!({ "roles": [role] });
    let claims = || Pair::claims("").with("scope", Value::Null);
    let hidden = |nested: &str, dotted: &str| {
        claims()
            .with("resource_access", json!({ "api": roles(nested) }))
            .with("resource_access.api", roles(dotted))
            .signed(&rsa())
    };
    pair.ask(&with(&hidden("read", "none"))).forwarded();
    pair.ask(&with(&hidden("none", "read")))
        .refused("insufficient_scope");

    let only = claims().with("a.example.com", roles("read"));
    let several = only
        .clone()
        .with("a", json!({ "example.com": roles("read") }));
    for (token, is_found) in [(only, true), (several, false)] {
        let token = token.signed(&rsa());
        let judged = pair.ask(&with(&token));
        if is_found {
            judged.forwarded();
        } else {
            judged.refused("insufficient_scope");
        }
        let request = Request::get("/forwarded").bearer(&token);
        let arrival = pair.ask(&request).forwarded();
        assert_eq!(arrival.field("x-roles"), is_found.then_some("read"));
    }
}

// The client is told which kind of token is wanted.
#[test]
fn where_an_id_token_is_wanted_the_answer_says_so() {
    for (wanted, sent, kind) in [("id", "access", "an ID"), ("access", "id", "an access")] {
        let entry = format!("audience = \"api\"\ntoken_use = \"{wanted}\"");
        let route = "[[routes]]\npath = \"/x\"\nauthenticated = true\n";
        let pair = Pair::start(&Key::ed25519("key-1"), &entry, route);
        let send = |token_use: &str| {
            let token = Pair::claims("read").with("token_use", token_use);
            pair.ask(&Request::get("/x").bearer(&token.signed(&pair.key)))
        };
        send(wanted).forwarded();
        let answer = send(sent).refused("not_an_access_token");
        let sentence = format!("The token is not {kind} token.");
        let challenge = answer.field("www-authenticate").unwrap();
        let description = format!("error_description=\"{sentence}\"");
        assert!(challenge.contains(&description), "{challenge}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["detail"], sentence.as_str());
    }
}

// A token without a type is an access token if it states a scope or a client.
#[test]
fn a_claim_of_another_type_states_neither_a_scope_nor_a_client() {
    let routes = "[[routes]]\npath = \"/x\"\nauthenticated = true\n";
    let pair = Pair::start(&rsa(), "", routes);
    let marked = |name: &str, value: Value| {
        let token = Pair::claims("").with("scope", Value::Null);
        let token = token.with("client_id", Value::Null).with(name, value);
        with(&token.signed(&rsa()))
    };
    for (name, value) in [
        ("scope", json!(5)),
        ("scp", json!({ "read": true })),
        ("roles", json!([1])),
        ("permissions", json!(true)),
        ("client_id", json!(5)),
        ("client_id", json!(["app"])),
        ("cid", json!({})),
        ("azp", json!("app")),
    ] {
        pair.ask(&marked(name, value))
            .refused("not_an_access_token");
    }
    for (name, value) in [
        ("scope", json!("")),
        ("scp", json!(["read"])),
        ("roles", json!(["a"])),
        ("permissions", json!([])),
        ("client_id", json!("app")),
        ("cid", json!("app")),
        ("appid", json!("app")),
    ] {
        pair.ask(&marked(name, value)).forwarded();
    }
}
