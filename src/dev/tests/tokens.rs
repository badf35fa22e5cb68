//! The tokens that the sandbox issues.

use super::*;

#[test]
fn a_token_looks_like_cognitos() {
    let sandbox = wired_with_rsa();
    let before = clock::now().unix.0;
    let token = token(&sandbox, "&scope=com.test.test/test.read");
    let (header, payload) = (part(&token, 0), part(&token, 1));
    assert!(
        header.contains("\\/") && !header.replace("\\/", "").contains('/'),
        "{header}"
    );
    assert!(
        payload.contains(
            r"https:\/\/cognito-idp.ap-northeast-2.amazonaws.com\/ap-northeast-2_EXAMPLE01"
        )
    );
    let header: Value = serde_json::from_str(&header).unwrap();
    assert_eq!(
        (names(&header), &header["alg"]),
        (vec!["alg", "kid"], &json!("RS256"))
    );
    let claims = claims(&token);
    assert_eq!(
        names(&claims),
        [
            "auth_time",
            "client_id",
            "exp",
            "iat",
            "iss",
            "jti",
            "scope",
            "sub",
            "token_use",
            "version"
        ]
    );
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!("dev"), &json!("dev"))
    );
    assert_eq!(
        (&claims["token_use"], &claims["version"]),
        (&json!("access"), &json!(2))
    );
    assert_eq!(claims["scope"], "com.test.test/test.read");
    let issued = claims["iat"].as_u64().unwrap();
    assert!((before..=before + 60).contains(&issued));
    assert_eq!(
        (claims["exp"].as_u64(), claims["auth_time"].as_u64()),
        (Some(issued + 3600), Some(issued))
    );
    let jti = claims["jti"].as_str().unwrap();
    assert_eq!(
        (jti.len(), &jti[14..15], jti.matches('-').count()),
        (36, "4", 4)
    );
}

#[test]
fn a_token_verifies_by_the_published_keys() {
    let sandbox = wired_with_rsa();
    let jwks = get(sandbox.issuer_address(), "/.well-known/jwks.json").json();
    for (parameters, alg) in [("", "RS256"), ("&alg=ES256", "ES256")] {
        let token = token(&sandbox, parameters);
        let header: Value = serde_json::from_str(&part(&token, 0)).unwrap();
        assert_eq!(header["alg"], alg);
        let key = jwks["keys"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["kid"] == header["kid"])
            .unwrap();
        let member = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let verified = match alg {
            "RS256" => aws_lc_rs::signature::RsaPublicKeyComponents {
                n: member("n"),
                e: member("e"),
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &signature),
            _ => UnparsedPublicKey::new(
                &ECDSA_P256_SHA256_FIXED,
                [&[4], &*member("x"), &member("y")].concat(),
            )
            .verify(input.as_bytes(), &signature),
        };
        assert!(verified.is_ok(), "{alg}");
    }
}

#[test]
fn a_token_satisfies_the_entry_it_is_for() {
    let sandbox = sandbox();
    let mut issuer = cognito("idp");
    issuer.entry.algorithms = vec![Algorithm::EdDSA, Algorithm::ES384];
    issuer.rules.audience = Audience::OneOf(vec!["https://api.example.com".into(), "other".into()]);
    issuer.rules.client_ids = vec!["1example2345678901234abcde".into()];
    issuer.rules.token_use = Some("m2m".into());
    issuer.rules.scope_claims = vec!["realm.roles".into()];
    let _ = sandbox.rewire(orders(vec![issuer]));
    let token = token(&sandbox, "&scope=orders.read");
    assert!(part(&token, 0).contains("EdDSA"));
    let claims = claims(&token);
    assert_eq!(claims["aud"], "https://api.example.com");
    assert_eq!(
        (&claims["client_id"], &claims["sub"]),
        (&claims["sub"], &json!("1example2345678901234abcde"))
    );
    assert_eq!(
        (&claims["token_use"], &claims["realm.roles"]),
        (&json!("m2m"), &json!("orders.read"))
    );
    assert_eq!(claims.get("scope"), None);
}

#[test]
fn an_entry_for_id_tokens_gets_one_like_that_of_a_user_pool() {
    let sandbox = sandbox();
    let mut issuer = cognito("idp");
    issuer.rules.token_use = Some("id".into());
    issuer.rules.audience = Audience::Any;
    let _ = sandbox.rewire(orders(vec![issuer.clone()]));
    let found = claims(&token(&sandbox, ""));
    assert_eq!(
        names(&found),
        [
            "aud",
            "auth_time",
            "cognito:username",
            "email",
            "exp",
            "iat",
            "iss",
            "jti",
            "sub",
            "token_use",
        ]
    );
    assert_eq!(
        (&found["aud"], &found["token_use"]),
        (&json!("dev"), &json!("id"))
    );
    // The client of the pool is the audience.
    issuer.rules.audience = Audience::OneOf(vec!["1example2345678901234abcde".into()]);
    let _ = sandbox.rewire(orders(vec![issuer]));
    let found = claims(&token(&sandbox, "&scope=orders.read"));
    assert_eq!(found["aud"], "1example2345678901234abcde");
    assert_eq!(found["scope"], "orders.read", "it was asked for");
}

#[test]
fn a_token_grants_scopes_by_the_names_of_members() {
    let sandbox = sandbox();
    let mut issuer = cognito("idp");
    issuer.rules.scope_claims = vec!["roles.*".into()];
    let _ = sandbox.rewire(orders(vec![issuer]));
    let token = token(&sandbox, "&scope=orders.read");
    assert_eq!(claims(&token)["roles"], json!({ "orders.read": true }));
}

// They are fetched once, from either.
#[test]
fn entries_of_one_issuer_have_its_keys_and_tokens_of_their_own() {
    let sandbox = sandbox();
    let (mut a, mut b) = (cognito("a"), cognito("b"));
    a.rules.audience = Audience::OneOf(vec!["a".into()]);
    b.rules.audience = Audience::OneOf(vec!["b".into()]);
    let rewired = sandbox.rewire(orders(vec![a, b]));
    assert_eq!(rewired.issuers[0].entry, rewired.issuers[1].entry);
    for name in ["a", "b"] {
        let path = format!("/{name}/oauth2/token");
        let body = "grant_type=client_credentials";
        let reply = post(&sandbox, &path, &format!("{BASIC}{FORM}"), body);
        let token = reply.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(claims(&token)["aud"], name);
    }
}

#[test]
fn a_token_has_its_audience_in_the_first_claim_that_may_name_it() {
    for (names, audience, clients, expected) in [
        (
            &["aud", "client_id"][..],
            "api",
            &[][..],
            [("aud", "api"), ("client_id", "dev")],
        ),
        (
            &["resource.id", "aud"],
            "api",
            &[],
            [("resource.id", "api"), ("client_id", "dev")],
        ),
        (
            &["client_id"],
            "app",
            &[],
            [("client_id", "app"), ("sub", "app")],
        ),
        (
            &["client_id"],
            "app",
            &["other", "app"],
            [("client_id", "app"), ("sub", "app")],
        ),
        (
            &["client_id"],
            "dev",
            &[],
            [("client_id", "dev"), ("sub", "dev")],
        ),
    ] {
        let sandbox = sandbox();
        let mut issuer = cognito("idp");
        issuer.rules.audience = Audience::OneOf(vec![audience.into(), "another".into()]);
        issuer.rules.audience_claims = names.iter().map(|name| (*name).into()).collect();
        issuer.rules.client_ids = clients.iter().map(|name: &&str| (*name).into()).collect();
        let _ = sandbox.rewire(orders(vec![issuer]));
        let claims = claims(&token(&sandbox, ""));
        for (name, value) in expected {
            assert_eq!(claims[name], value, "{names:?}");
        }
    }
}
