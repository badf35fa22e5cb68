//! Keys in another case than the known ones.

use super::*;

const SECURED: &str = "[{jwt: [a]}]";

/// Returns the error about a document in which a text is replaced.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    error(&text.replace(from, to))
}

#[test]
fn a_key_that_differs_by_case_alone_is_an_error_wherever_it_counts() {
    let jwt = secured(SECURED);
    let scoped = secured("[{pool: [a]}]");
    let pool = secured("[{client: [a]}]").replace("/dev'}", "/{s}', variables: {s: {default: d}}}");
    for (text, from, to) in [
        (&jwt, "{type: oauth2", "{Type: oauth2"),
        (
            &jwt,
            "x-amazon-apigateway-authorizer",
            "x-Amazon-Apigateway-Authorizer",
        ),
        (&jwt, "{type: jwt", "{TYPE: jwt"),
        (&jwt, "identitySource", "IdentitySource"),
        (&jwt, "jwtConfiguration", "JwtConfiguration"),
        (&jwt, "issuer:", "Issuer:"),
        (&jwt, "audience:", "Audience:"),
        (&jwt, "securitySchemes", "SecuritySchemes"),
        (&jwt, "{type: oauth2", "{Flows: {}, type: oauth2"),
        (
            &jwt,
            "{type: oauth2",
            "{flows: {Implicit: {}}, type: oauth2",
        ),
        (
            &jwt,
            "{type: oauth2",
            "{flows: {implicit: {Scopes: {}}}, type: oauth2",
        ),
        (&pool, "name: Auth", "Name: Auth"),
        (&pool, "in: header", "In: header"),
        (
            &pool,
            "identityValidationExpression",
            "identityvalidationexpression",
        ),
        (&pool, "providerARNs", "providerArns"),
        (
            &scoped,
            "x-amazon-apigateway-authtype",
            "x-amazon-apigateway-authType",
        ),
        (&pool, "variables:", "Variables:"),
        (&pool, "{default:", "{Default:"),
        (&pool, "url:", "URL:"),
        (&pool, "httpMethod", "httpmethod"),
        (
            &pool,
            "{type: http_proxy",
            "{RequestParameters: {}, type: http_proxy",
        ),
        (
            &pool,
            "{type: http_proxy",
            "{tlsConfig: {InsecureSkipVerification: true}, type: http_proxy",
        ),
        (
            &pool,
            "security:",
            "x-amazon-apigateway-auth: {Type: AWS_IAM}, security:",
        ),
        (
            &pool,
            "paths:",
            "x-amazon-apigateway-endpoint-configuration: {DisableExecuteApiEndpoint: true}\npaths:",
        ),
        (
            &pool,
            "paths:",
            "x-amazon-apigateway-cors: {AllowOrigins: ['*']}\npaths:",
        ),
    ] {
        let found = changed(text, from, to);
        assert!(
            found.contains("counts for some readers alone: write"),
            "{to}: {found}"
        );
    }
}

#[test]
fn names_are_in_any_case() {
    let schemes = secured("[{Type: [a]}]").replace("  jwt: ", "  Type: ");
    let schemes = schemes.replace(
        "securitySchemes: {}",
        "securitySchemes: {Type: {type: oauth2, flows: {}}}",
    );
    let document = read(schemes.as_bytes()).unwrap();
    assert!(Api::read(&document, &options().variables).is_ok());
    let shared = secured("[]").replace(
        "{type: http_proxy, httpMethod: ANY, uri: 'https://a.example.com/p'}",
        "{$ref: '#/x-i'}",
    ) + "\nx-i: {type: http_proxy, Uri: 'https://a.example.com/p'}";
    assert!(
        error(&shared).contains("write \"uri\""),
        "{}",
        error(&shared)
    );
}

/// Keys whose case is looked at elsewhere: those of policies, where an unknown key allows nothing,
/// and a name of a field in a map of such names.
const ELSEWHERE: [&str; 8] = [
    "AWS",
    "Action",
    "Condition",
    "Effect",
    "Principal",
    "Resource",
    "Statement",
    "content-type",
];

// A key that is read, and not listed, would be passed over in another case.
#[test]
fn each_key_that_is_read_is_known() {
    let listed = std::fs::read_to_string("src/import/openapi/spelling.rs").unwrap();
    let mut read = 0;
    for room in ["apigateway", "openapi", "plain"] {
        for file in std::fs::read_dir(format!("src/import/{room}")).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for call in ["get(\"", "entry(\"", ".text(\""] {
                for rest in code.split(call).skip(1) {
                    let key = rest.split('"').next().unwrap();
                    let is_other = key.starts_with(['$', 'x']) || ELSEWHERE.contains(&key);
                    let is_listed = listed.contains(&format!("{key:?}"));
                    assert!(is_other || is_listed, "{key} in {room}");
                    read += 1;
                }
            }
        }
    }
    assert!(read > 30, "{read}");
}
