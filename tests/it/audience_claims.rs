//! `audience_claims`: the claims that name a token's audience, of which the first that is present
//! decides.

use serde_json::{Value, json};

use crate::support::{Folder, Key, Pair, Request, Token};

const ROUTE: &str = "[[routes]]\npath = \"/x\"\nscopes = \"read\"\n";

/// The rule of the HTTP APIs of Amazon API Gateway.
const AUD_OR_CLIENT: &str =
    "audience = [\"api\", \"app-1\"]\naudience_claims = [\"aud\", \"client_id\"]";

fn pair(issuer: &str) -> Pair {
    Pair::start(&Key::ed25519("key-1"), issuer, ROUTE)
}

/// Returns a token with these claims; `null` removes one.
fn token(claims: &Value) -> Token {
    let mut token = Pair::claims("read");
    for (name, value) in claims.as_object().unwrap() {
        token = token.with(name, value.clone());
    }
    token
}

#[track_caller]
fn ask(pair: &Pair, token: &Token) -> Option<&'static str> {
    let token = token.signed(&pair.key);
    pair.ask(&Request::get("/x").bearer(&token)).reason
}

#[test]
fn the_client_is_the_audience_of_a_token_without_one() {
    let pair = pair(AUD_OR_CLIENT);
    for (claims, expected) in [
        (json!({ "aud": "api", "client_id": null }), None),
        (json!({ "aud": null, "client_id": "app-1" }), None),
        (json!({ "aud": ["other", "app-1"], "client_id": "x" }), None),
        // `aud` decides, whatever the client is.
        (json!({ "aud": "api", "client_id": "another" }), None),
        (
            json!({ "aud": "other", "client_id": "app-1" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": [], "client_id": "app-1" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": "", "client_id": "app-1" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": null, "client_id": "app" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": null, "client_id": "App-1" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": null, "client_id": null }),
            Some("wrong_audience"),
        ),
        // Only `client_id` is named, and not what else may name a client.
        (
            json!({ "aud": null, "client_id": null, "azp": "app-1" }),
            Some("wrong_audience"),
        ),
        // A claim of another type is not an absent one.
        (
            json!({ "aud": 1, "client_id": "app-1" }),
            Some("malformed_token"),
        ),
        (
            json!({ "aud": { "api": true }, "client_id": "app-1" }),
            Some("malformed_token"),
        ),
        (
            json!({ "aud": ["api", 1], "client_id": "app-1" }),
            Some("malformed_token"),
        ),
        (
            json!({ "aud": null, "client_id": 7 }),
            Some("malformed_token"),
        ),
        // What decides nothing may be anything.
        (json!({ "aud": "api", "client_id": 7 }), None),
    ] {
        assert_eq!(ask(&pair, &token(&claims)), expected, "{claims}");
    }
    let mut null = token(&json!({ "client_id": "app-1" }));
    null.claims["aud"] = Value::Null;
    assert_eq!(ask(&pair, &null), Some("malformed_token"));
}

#[test]
fn a_path_leads_into_objects_and_may_be_a_name_with_dots() {
    let pair = pair("audience = \"api\"\naudience_claims = [\"resource.id\", \"aud\"]");
    for (claims, expected) in [
        (json!({ "resource": { "id": "api" }, "aud": "other" }), None),
        (json!({ "resource.id": ["api"], "aud": "other" }), None),
        (
            json!({ "resource": { "id": "other" }, "aud": "api" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "resource": { "id": 1 }, "aud": "api" }),
            Some("malformed_token"),
        ),
        (json!({ "resource": { "name": "x" }, "aud": "api" }), None),
        (
            json!({ "resource": "x", "aud": "other" }),
            Some("wrong_audience"),
        ),
    ] {
        assert_eq!(ask(&pair, &token(&claims)), expected, "{claims}");
    }
}

// The clients are a condition of their own.
#[test]
fn client_ids_count_beside_the_audience() {
    let pair = pair(&format!(
        "{AUD_OR_CLIENT}\nclient_ids = [\"app-1\", \"app-2\"]"
    ));
    for (claims, expected) in [
        (json!({ "aud": "api", "client_id": "app-2" }), None),
        (json!({ "aud": null, "client_id": "app-1" }), None),
        (
            json!({ "aud": null, "client_id": "app-2" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": "api", "client_id": "app-3" }),
            Some("wrong_client"),
        ),
    ] {
        assert_eq!(ask(&pair, &token(&claims)), expected, "{claims}");
    }
}

#[test]
fn explain_names_the_claims_that_were_looked_at() {
    let folder = Folder::new();
    let file = std::fs::read_to_string(folder.path("gateway.toml")).unwrap();
    let audience = file
        .lines()
        .find(|line| line.starts_with("audience"))
        .unwrap();
    let claims = format!("{audience}\naudience_claims = [\"aud\", \"client_id\"]");
    folder.write("gateway.toml", &file.replacen(audience, &claims, 1));
    let explained = |change: fn(Token) -> Token| folder.explain_token(&folder.token(change)).1;
    let neither = explained(|token| {
        token
            .with("aud", Value::Null)
            .with("client_id", Value::Null)
    });
    assert!(
        neither.contains("the token has no aud and no client_id"),
        "{neither}"
    );
    let aud = explained(|token| token.with("aud", "other"));
    assert!(aud.contains("the token's aud is \"other\""), "{aud}");
    assert!(aud.contains("not read: aud decides"), "{aud}");
    let client = explained(|token| token.with("aud", Value::Null).with("client_id", "other"));
    assert!(
        client.contains("the token's client_id is \"other\""),
        "{client}"
    );
}
