use super::*;

#[test]
fn a_resource_policy_is_access_control() {
    let policy = |statements: &str| {
        let paths = format!(" /p: {{get: {{{FORWARD}}}}}\n /admin: {{get: {{{FORWARD}}}}}");
        export(
            &paths,
            &format!(
                "x-amazon-apigateway-policy: {{Version: '2012-10-17', Statement: {statements}}}"
            ),
        )
    };
    let allow =
        "{Effect: Allow, Principal: '*', Action: 'execute-api:Invoke', Resource: 'execute-api:/*'}";
    let denied = |text: &str| {
        let denied = import(text)
            .findings
            .into_iter()
            .filter(|f| f.code == Code::ResourcePolicy);
        denied
            .filter_map(|f| f.operation)
            .map(String::from)
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (statements, expected) in [
        (format!("[{allow}]"), ""),
        (
            format!("[{}]", allow.replace("'*', A", "{AWS: '*'}, A")),
            "",
        ),
        (
            format!(
                "[{}]",
                allow.replace(
                    "execute-api:/*",
                    "arn:aws:execute-api:eu-west-1:1:abc123/*/*/*"
                )
            ),
            "",
        ),
        (
            format!(
                "[{}]",
                allow.replace("execute-api:/*", "execute-api:/*/GET/p")
            ),
            "GET /admin",
        ),
        (
            format!("[{}]", allow.replace("'*', A", "'arn:aws:iam::1:root', A")),
            "GET /p GET /admin",
        ),
        (
            format!(
                "[{}]",
                allow.replace("Action", "Condition: {IpAddress: {}}, Action")
            ),
            "GET /p GET /admin",
        ),
        (
            format!(
                "[{allow}, {}]",
                allow.replace("Allow", "Deny").replace("/*'", "/*/*/admin'")
            ),
            "GET /admin",
        ),
        (
            format!(
                "[{allow}, {{Effect: Deny, Principal: '*', Action: '*', Resource: '*', Condition: {{a: b}}}}]"
            ),
            "GET /p GET /admin",
        ),
        (
            format!("[{allow}, {{Effect: Deny, NotPrincipal: x}}]"),
            "GET /p GET /admin",
        ),
        ("!Sub x".to_owned(), "GET /p GET /admin"),
        ("[]".to_owned(), "GET /p GET /admin"),
    ] {
        assert_eq!(denied(&policy(&statements)), expected, "{statements}");
    }
    let mut accepting = options();
    accepting.accepts_policy = true;
    let imported = import_with(&policy("[]"), &accepting);
    assert!(names(&imported).contains("policy-accepted") && !imported.has(Level::Error));
    assert_eq!(
        lines(&imported, "methods"),
        ["{ GET = { public = true } }"; 2]
    );
}

#[test]
fn a_private_or_disabled_endpoint_is_access_control() {
    let endpoint = |configuration: &str, servers: &str| {
        let text = format!(
            "openapi: 3.0.1\nx-amazon-apigateway-endpoint-configuration: {configuration}\nservers: {servers}\n\
             paths: {{/p: {{get: {{{FORWARD}}}}}}}\n"
        );
        let mut accepting = options();
        accepting.accepts_policy = true;
        assert!(!import_with(&text, &accepting).has(Level::Error));
        names(&import(&text))
    };
    let own = "[{url: 'https://api.example.com'}]";
    let default = "[{url: 'https://a.execute-api.eu-west-1.amazonaws.com/dev'}]";
    assert_eq!(endpoint("{types: [PRIVATE]}", own), "private-endpoint");
    assert_eq!(
        endpoint("{vpcEndpointIds: [vpce-1]}", own),
        "private-endpoint"
    );
    assert_eq!(
        endpoint("{disableExecuteApiEndpoint: true}", default),
        "disabled-endpoint"
    );
    assert_eq!(
        endpoint("{disableExecuteApiEndpoint: true}", "[]"),
        "disabled-endpoint"
    );
    assert_eq!(
        endpoint("{disableExecuteApiEndpoint: true}", own),
        "open-document"
    );
    assert_eq!(
        endpoint(
            "{disableExecuteApiEndpoint: false, types: [REGIONAL]}",
            default
        ),
        "open-document"
    );
}

#[test]
fn what_is_no_export_has_no_output() {
    assert!(
        error("Transform: AWS::Serverless-2016-10-31\nResources: {}")
            .contains("aws apigateway get-export")
    );
    assert!(error("resource \"a\" \"b\" {\n}\n").starts_with("this is a file of Terraform"));
    assert!(error("paths:\n%{ if x }\n").starts_with("this is a template"));
    assert!(error("openapi: 3.0.1\npaths: {/p: {get: {}}}").contains("extensions='apigateway'"));
    assert!(error("a: 1").starts_with("1:1: no OpenAPI document"));
}

#[test]
fn a_ref_is_followed_within_the_document_alone() {
    let reference = |target: &str| {
        let paths =
            format!(" /p: {{get: {{x-amazon-apigateway-integration: {{$ref: '{target}'}}}}}}");
        export(
            &paths,
            "x-own: {type: http_proxy, uri: 'http://own/p'}\nx-loop: {$ref: '#/x-loop'}",
        )
    };
    assert_eq!(
        lines(&import(&reference("#/x-own")), "url"),
        ["\"http://own\""]
    );
    assert!(error(&reference("https://example.com/x")).contains("which is not fetched"));
    assert!(error(&reference("#/x-loop")).contains("leads back to itself"));
}

#[test]
fn the_output_depends_on_the_document_alone() {
    let text = secured("[{elsewhere: [a]}]");
    assert_eq!(import(&text).toml, import(&text).toml);
}

// The whole way, proof included: the walk-through of a REST API with a user pool and a function.
#[test]
fn a_whole_export_is_a_configuration() {
    let uri = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/\
               arn:aws:lambda:eu-west-1:123456789012:function:tests/invocations";
    let paths = format!(
        " /:\n  get: {{security: [{{pool: []}}], {FORWARD}}}\n /tests:\n  get:\n   security: [{{pool: [test/test.read]}}]\n   \
         x-amazon-apigateway-integration: {{type: aws_proxy, httpMethod: POST, uri: '{uri}'}}\n  \
         post: {{security: [{{pool: [a, b]}}, {{key: []}}], {FORWARD}}}\n  options:\n   x-amazon-apigateway-integration:\n    \
         type: mock\n    responses: {{default: {{statusCode: '200', responseParameters: {{\
         method.response.header.Access-Control-Allow-Origin: \"'*'\", method.response.header.Access-Control-Allow-Headers: \"'*'\"}}}}}}\n \
         /{{proxy+}}:\n  x-amazon-apigateway-any-method: {{security: [{{pool: [a]}}], \
         x-amazon-apigateway-integration: {{type: http_proxy, uri: 'https://b.example.com/{{proxy}}'}}}}"
    );
    let imported = apigateway(export(&paths, "").as_bytes(), &options()).unwrap();
    let expected = r#"# Written by `scopegate import` from "api.yaml": a REST API ("test").
# Operations that require scopes: 2, any valid token: 1, nothing: 0; denied: 1.
# `scopegate check` shows what it does. What is denied says why.

# Refused clients get the answers of API Gateway. `rfc6750` tells them more.
[errors]
profile = "aws-rest"

# The user pool eu-west-1_AbC1: its access tokens.
[issuers.eu-west-1_AbC1]
issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC1"
audience = "any"
token_use = "access"
algorithms = ["RS256"]

# The user pool eu-west-1_AbC1: its ID tokens, which operations without scopes take.
[issuers.eu-west-1_AbC1-id]
issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC1"
audience = "any"
token_use = "id"
typ = "any"
algorithms = ["RS256"]

[upstreams.a-example-com]
url = "https://a.example.com"

[upstreams.b-example-com]
url = "https://b.example.com"

# The function "tests": write the address of its Invoke API, and the name that it has there (in the runtime interface emulator, "function"; with `max_connections = 1` for an emulator that takes one request at a time).
[upstreams.tests]
url = "http://127.0.0.1:9000"
lambda = { function = "tests", event = "1.0", account_id = "123456789012", api_id = "abc123" }

[[groups]]
prefix = "/dev"
method_fallthrough = true
head = false

[[groups.routes]]
path = "/"
upstream = "a-example-com"
issuer = "eu-west-1_AbC1-id"
token_from = ["authorization:raw", "authorization:bearer"]
rewrite = "/p"
methods = { GET = { authenticated = true } }

[[groups.routes]]
path = ""
upstream = "a-example-com"
issuer = "eu-west-1_AbC1-id"
token_from = ["authorization:raw", "authorization:bearer"]
rewrite = "/p"
methods = { GET = { authenticated = true } }

[[groups.routes]]
path = "/tests"
upstream = "tests"
issuer = "eu-west-1_AbC1"
token_from = ["authorization:raw", "authorization:bearer"]
cors = { origins = "any", headers = "any" }
methods = { GET = "test/test.read" }

[[groups.routes]]
path = "/tests"
upstream = "a-example-com"
cors = { origins = "any", headers = "any" }
[groups.routes.methods]
# denied, because it asks for an API key: "key", beside the authorizer "pool"
# beside that, the document says: POST = { any = ["a", "b"] }, with issuer = "eu-west-1_AbC1" and token_from = ["authorization:raw", "authorization:bearer"]
POST = { deny = true }

[[groups.routes]]
path = "/{proxy+}"
upstream = "b-example-com"
issuer = "eu-west-1_AbC1"
token_from = ["authorization:raw", "authorization:bearer"]
methods = { ANY = "a" }
"#;
    assert_eq!(imported.toml, expected, "{}", imported.toml);
}

// Texts of a document that the language does not take as they are.
#[test]
fn odd_texts_never_make_the_output_something_else_than_a_configuration() {
    let path = format!(" '/p${{x}}': {{get: {{{FORWARD}}}}}");
    assert!(error(&export(&path, "")).contains("cannot be a route"));
    let paths = " /p:\n  get:\n   x-amazon-apigateway-integration: {type: http_proxy, uri: 'https://h/p', httpMethod: TRACE, \
                 timeoutInMillis: 99999999999999, tlsConfig: {serverNameToVerify: 'a b'}}";
    let rest = "x-amazon-apigateway-cors: {allowOrigins: ['*'], allowMethods: [GET, TRACE, 'a b'], maxAge: 99999999999}\n\
                x-amazon-apigateway-binary-media-types: ['*/*', 'image~1png', '${x}/y']";
    let imported = apigateway(export(paths, rest).as_bytes(), &options()).unwrap();
    assert_eq!(
        lines(&imported, "cors"),
        ["{ origins = \"any\", methods = [\"GET\"] }"]
    );
    for key in ["server_name", "upstream_method", "response_timeout"] {
        assert!(lines(&imported, key).is_empty(), "{}", imported.toml);
    }
}

#[test]
fn an_issuer_that_is_named_is_an_address_of_https() {
    let mut options = options();
    let insecure = "http://idp.example.com".to_owned();
    options.issuers.insert("relative".to_owned(), insecure);
    let imported = import_with(&secured("[{relative: [r/a]}]"), &options);
    assert_eq!(
        (&*lines(&imported, "GET"), &*names(&imported)),
        (&[DENIED][..], "unknown-issuer")
    );
}
