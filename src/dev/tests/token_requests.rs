//! Requests to the token endpoint, and its answers.

use super::*;

#[test]
fn parameters_and_credentials_come_either_way() {
    let sandbox = wired();
    let secret = "client_id=dev&client_secret=dev-secret";
    for (path, headers, body) in [
        (
            "/oauth2/token",
            format!("{BASIC}{FORM}"),
            "grant_type=client_credentials".to_owned(),
        ),
        (
            "/oauth2/token?grant_type=client_credentials",
            BASIC.to_owned(),
            String::new(),
        ),
        (
            "/idp/oauth2/token",
            FORM.to_owned(),
            format!("grant_type=client_credentials&{secret}"),
        ),
        (
            "/oauth2/token?grant_type=client_credentials",
            FORM.to_owned(),
            secret.to_owned(),
        ),
    ] {
        let reply = post(&sandbox, path, &headers, &body);
        assert_eq!(reply.status, 200, "{path} {body}: {}", reply.body);
        let answer = reply.json();
        assert_eq!(
            (&answer["token_type"], &answer["expires_in"]),
            (&json!("Bearer"), &json!(3600))
        );
        // The request named no scope, so the answer states the granted ones (RFC 6749 §3.3).
        assert_eq!(
            answer["scope"],
            "orders.read orders.write com.test.test/test.read"
        );
        assert_eq!(
            claims(answer["access_token"].as_str().unwrap())["scope"],
            answer["scope"]
        );
        assert!(
            reply.body.starts_with("{\"access_token\":\""),
            "cut -d '\"' -f 4 takes the token out"
        );
    }
}

#[test]
fn each_error_of_rfc_6749_has_its_code_and_status() {
    let sandbox = wired();
    let grant = "grant_type=client_credentials";
    let both = format!("{BASIC}{FORM}");
    let wrong = format!(
        "Authorization: Basic {}\r\n{FORM}",
        STANDARD.encode("dev:wrong")
    );
    let bearer = format!("Authorization: Bearer eyJ\r\n{FORM}");
    // One byte too many. If more were left unread, the connection would be reset before the answer
    // arrives.
    let padding = (64 << 10) + 1 - grant.len() - "&scope=".len();
    let long = format!("{grant}&scope={}", "a".repeat(padding));
    for (query, headers, body, status, code) in [
        ("", both.as_str(), "", 400, "invalid_request"),
        ("", &both, "grant_type=", 400, "invalid_request"),
        (
            "",
            &both,
            "grant_type=password",
            400,
            "unsupported_grant_type",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&grant_type=client_credentials",
            400,
            "invalid_request",
        ),
        (
            "?grant_type=client_credentials",
            &both,
            grant,
            400,
            "invalid_request",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&scope=a&scope=b",
            400,
            "invalid_request",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&scope=%ff",
            400,
            "invalid_request",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&client_secret=dev-secret",
            400,
            "invalid_request",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&client_id=other",
            400,
            "invalid_request",
        ),
        (
            "?client_id=dev&client_secret=dev-secret",
            FORM,
            grant,
            400,
            "invalid_request",
        ),
        (
            "",
            &format!("{BASIC}{BASIC}{FORM}"),
            grant,
            400,
            "invalid_request",
        ),
        ("", BASIC, grant, 400, "invalid_request"),
        (
            "",
            &both,
            "grant_type=client_credentials&alg=RS1",
            400,
            "invalid_request",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&claims=[]",
            400,
            "invalid_request",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&resource=https://other.example.com",
            400,
            "invalid_target",
        ),
        (
            "",
            &both,
            "grant_type=authorization_code&code_verifier=v",
            400,
            "invalid_request",
        ),
        (
            "",
            &both,
            "grant_type=authorization_code&code=c&code_verifier=v",
            400,
            "invalid_grant",
        ),
        ("", &both, &long, 413, "invalid_request"),
        ("", FORM, grant, 401, "invalid_client"),
        (
            "",
            FORM,
            "grant_type=client_credentials&client_id=dev",
            401,
            "invalid_client",
        ),
        (
            "",
            FORM,
            "grant_type=client_credentials&client_id=dev&client_secret=x",
            401,
            "invalid_client",
        ),
        ("", &wrong, grant, 401, "invalid_client"),
        ("", &bearer, grant, 401, "invalid_client"),
        (
            "",
            &both,
            "grant_type=client_credentials&scope=orders.delete",
            400,
            "invalid_scope",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&scope=orders.read%0Aorders.write",
            400,
            "invalid_scope",
        ),
        (
            "",
            &both,
            "grant_type=client_credentials&scope=+",
            400,
            "invalid_scope",
        ),
    ] {
        let reply = post(&sandbox, &format!("/oauth2/token{query}"), headers, body);
        let answer = reply.json();
        let short = &body[..body.len().min(100)];
        assert_eq!(
            (reply.status, &answer["error"]),
            (status, &json!(code)),
            "{query} {headers} {short}"
        );
        assert_eq!(names(&answer), ["error", "error_description"]);
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        assert_eq!(
            challenge.starts_with("Basic realm="),
            status == 401,
            "{}",
            reply.head
        );
    }
}

#[test]
fn a_client_has_what_it_may_have() {
    let sandbox = sandbox();
    let mut config = orders(vec![cognito("idp")]);
    let scopes = Some(vec![Scope::parse("orders.read").unwrap()]);
    config.dev.clients.push(DevClient {
        id: "reader".into(),
        secret: Secret::new("r"),
        scopes,
    });
    let _ = sandbox.rewire(config);
    let ask = |scope: &str| {
        let body =
            format!("grant_type=client_credentials&client_id=reader&client_secret=r&scope={scope}");
        post(&sandbox, "/oauth2/token", FORM, &body)
    };
    assert_eq!(
        claims(ask("").json()["access_token"].as_str().unwrap())["scope"],
        "orders.read"
    );
    assert_eq!(ask("orders.read").status, 200);
    assert_eq!(
        ask("orders.read+orders.write").json()["error"],
        "invalid_scope"
    );
}
