//! Documents that once came out more open than the API that they describe.

use super::*;

/// Returns the operations that are denied, in the order of the findings.
fn denied(text: &str) -> String {
    let findings = import(text).findings.into_iter();
    let errors = findings.filter(|finding| finding.code.level() == Level::Error);
    let operations = errors.filter_map(|finding| finding.operation);
    operations.map(String::from).collect::<Vec<_>>().join(" ")
}

fn two_paths(rest: &str) -> String {
    let paths = format!(" /health: {{get: {{{FORWARD}}}}}\n /admin: {{get: {{{FORWARD}}}}}");
    export(&paths, rest)
}

fn statement(effect: &str, resource: &str) -> String {
    format!(
        "{{Effect: {effect}, Principal: '*', Action: 'execute-api:Invoke', Resource: {resource}}}"
    )
}

fn with_policy(statements: &str) -> String {
    two_paths(&format!(
        "x-amazon-apigateway-policy: {{Version: '2012-10-17', Statement: [{statements}]}}"
    ))
}

#[test]
fn an_allow_that_cannot_be_read_allows_nothing() {
    for resource in [
        "''",
        "nothing",
        "'*/GET/health'",
        "'${ApiArn}/*'",
        "'execute-api/*'",
        "'execute-api:*'",
        "'arn:aws:s3:::bucket/*'",
        "'arn:aws:execute-api:*:dev/GET/health'",
        "'arn:aws:execute-api:eu-west-1:123456789012:abc123'",
        "'arn:aws:execute-api:eu-west-1:123456789012:zzzzzz/*'",
        "'arn:aws:execute-api:us-east-1:123456789012:abc123/*'",
        "\"execute-api:/\\u0000/GET/health\"",
    ] {
        let text = with_policy(&statement("Allow", resource));
        assert_eq!(denied(&text), "GET /health GET /admin", "{resource}");
    }
    for resource in [
        "'execute-api:/*/GET/health'",
        "['execute-api:/*/GET/health', nothing]",
        "'arn:aws:execute-api:*:*:*/GET/health'",
        "'arn:aws:execute-api:eu-west-1:123456789012:abc123/*/GET/health'",
    ] {
        let text = with_policy(&statement("Allow", resource));
        assert_eq!(denied(&text), "GET /admin", "{resource}");
    }
    for resource in [
        "'*'",
        "'arn:*'",
        "'arn:aws:execute-api:eu-west-1:123456789012:abc123/*'",
    ] {
        let text = with_policy(&statement("Allow", resource));
        assert_eq!(denied(&text), "", "{resource}");
    }
}

#[test]
fn a_star_of_a_deny_runs_over_slashes() {
    let allow = statement("Allow", "'execute-api:/*'");
    for (resource, expected) in [
        ("'arn:aws:execute-api:eu-west-1:1:*/admin'", "GET /admin"),
        (
            "'arn:aws:execute-api:eu-west-1:1:*/GET/admin'",
            "GET /admin",
        ),
        ("'arn:aws:execute-api:*:*:*/admin'", "GET /admin"),
        ("'arn:aws:execute-api:*/admin'", "GET /admin"),
        (
            "'arn:aws:execute-api:eu-west-1:1:??????*/admin'",
            "GET /admin",
        ),
        // A stage may have the name of a method.
        (
            "'arn:aws:execute-api:eu-west-1:1:*/POST/*'",
            "GET /health GET /admin",
        ),
        ("'arn:aws:s3:::bucket/*'", ""),
        ("'execute-api:*/admin'", "GET /health GET /admin"),
        ("'${ApiArn}/x'", "GET /health GET /admin"),
    ] {
        let text = with_policy(&format!("{allow}, {}", statement("Deny", resource)));
        assert_eq!(denied(&text), expected, "{resource}");
    }
}

#[test]
fn an_endpoint_that_cannot_be_read_is_not_public() {
    for (configuration, code) in [
        ("{types: [!Ref T]}", "unresolved-function"),
        ("{types: !Ref T}", "unresolved-function"),
        (
            "{types: [!If [c, PRIVATE, REGIONAL]]}",
            "unresolved-function",
        ),
        (
            "{Fn::Transform: x, types: [REGIONAL]}",
            "unresolved-function",
        ),
        ("{types: PRIVATE}", "private-endpoint"),
        ("{Types: [PRIVATE]}", "private-endpoint"),
        ("{types: [REGIONAL, 1]}", "private-endpoint"),
        ("{vpcEndpointIds: !Ref V}", "unresolved-function"),
        ("{vpcEndpointIds: vpce-0a}", "private-endpoint"),
        ("PRIVATE", "private-endpoint"),
        ("[{types: [PRIVATE]}]", "private-endpoint"),
        ("{types: [EDGE], vpcEndpointIds: []}", ""),
        ("", ""),
    ] {
        let key = "x-amazon-apigateway-endpoint-configuration";
        let text = secured("[{pool: [a]}]").replacen(
            "paths:",
            &format!("{key}: {configuration}\npaths:"),
            1,
        );
        assert_eq!(names(&import(&text)), code, "{configuration}");
    }
}

#[test]
fn this_machine_and_a_variable_are_no_domain_of_the_api() {
    for (server, is_own) in [
        ("http://localhost:3000", false),
        ("http://127.0.0.1", false),
        ("https://{host}/", false),
        ("https://b.EXECUTE-API.eu-west-1.amazonaws.com", false),
        ("https://api.example.com/v1", true),
    ] {
        let second = format!("/dev'}}, {{url: '{server}'}}]");
        let rest = "x-amazon-apigateway-endpoint-configuration: {disableExecuteApiEndpoint: true}";
        let text = two_paths(rest).replacen("/dev'}]", &second, 1);
        assert_eq!(denied(&text).is_empty(), is_own, "{server}");
    }
}

#[test]
fn a_function_beside_other_keys_leaves_nothing_open() {
    let include = "Fn::Transform: {Name: AWS::Include}";
    assert_eq!(denied(&two_paths(include)), "GET /health GET /admin");
    let rest = format!(
        "x-amazon-apigateway-policy: {{{include}, Statement: [{}]}}",
        statement("Allow", "'*'")
    );
    assert_eq!(denied(&two_paths(&rest)), "GET /health GET /admin");
    for (paths, expected) in [
        (
            format!(" /p: {{get: {{{include}, {FORWARD}}}, put: {{{FORWARD}}}}}"),
            "GET /p",
        ),
        (
            format!(" /p: {{get: {{Fn::If: [c, {{}}, {{}}], {FORWARD}}}}}"),
            "GET /p",
        ),
        (
            format!(" /p: {{{include}, get: {{{FORWARD}}}}}\n /q: {{get: {{{FORWARD}}}}}"),
            "ANY /p GET /p",
        ),
        (
            format!(" /p: {{{include}, x-amazon-apigateway-any-method: {{{FORWARD}}}}}"),
            "ANY /p",
        ),
        (
            format!(
                " /p: {{get: {{{}}}}}",
                FORWARD.replace("{type", &format!("{{{include}, type"))
            ),
            "GET /p",
        ),
    ] {
        assert_eq!(denied(&export(&paths, "")), expected, "{paths}");
    }
    let schema = format!(" /p: {{get: {{Condition: x, {FORWARD}}}}}");
    assert_eq!(denied(&export(&schema, "")), "");
}

#[test]
fn methods_beside_a_ref_are_read() {
    let shared = format!("x-items: {{post: {{{FORWARD}}}}}");
    let paths = |target: &str| {
        format!(" /p: {{$ref: '{target}', get: {{security: [{{pool: [a]}}], {FORWARD}}}}}")
    };
    let imported = import(&export(&paths("#/x-items"), &shared));
    assert_eq!(lines(&imported, "GET"), ["\"a\""]);
    assert_eq!(lines(&imported, "POST"), ["{ public = true }"]);
    let twice = shared.replace("post", "get");
    assert!(error(&export(&paths("#/x-items"), &twice)).contains("answers the same requests"));
    assert!(error(&export(&paths("#/x-none"), &shared)).contains("leads to nothing"));
    let computed = paths("#/x-items").replace("'#/x-items'", "!Sub x");
    assert!(error(&export(&computed, &shared)).contains("which is not fetched"));
}

#[test]
fn an_operation_that_is_a_ref_is_the_one_that_it_leads_to() {
    let shared = format!("x-get: {{security: [{{pool: [a]}}], {FORWARD}}}");
    let reference = |operation: &str| export(&format!(" /p: {{get: {operation}}}"), &shared);
    let (access, findings) = get(&reference("{$ref: '#/x-get'}"));
    assert_eq!((&*access, &*findings), ("\"a\"", ""));
    let beside = reference(&format!("{{$ref: '#/x-get', {FORWARD}}}"));
    assert!(error(&beside).contains("\"$ref\" stands beside other keys"));
    assert!(error(&reference("{$ref: '#/x-none'}")).contains("leads to nothing"));
}

#[test]
fn a_field_whose_mapping_cannot_be_read_is_not_the_clients() {
    for mapping in [
        "integration.request.header.X-User: null",
        "integration.request.header.X-User: !Sub 'a'",
        "integration.request.multivalueheader.X-User: method.request.multivalueheader.a",
        "'overwrite:header.X-User': null",
    ] {
        let parameters = format!("p', requestParameters: {{{mapping}}}}}");
        let text = secured("[{pool: [a]}]").replacen("p'}", &parameters, 1);
        let imported = import(&text);
        assert!(
            imported.toml.contains("remove = [\"x-user\"]"),
            "{mapping}\n{}",
            imported.toml
        );
        assert_eq!(names(&imported), "parameter-mapping", "{mapping}");
    }
}

#[test]
fn an_http_integration_hands_on_more_than_it_did() {
    let text = secured("[{pool: [a]}]").replacen("http_proxy", "http", 1);
    assert_eq!(names(&import(&text)), "unmapped");
}

#[test]
fn a_preflight_that_is_protected_is_denied() {
    let preflight = "x-amazon-apigateway-integration: {type: mock, responses: {default: {statusCode: '200', \
                     responseParameters: {method.response.header.Access-Control-Allow-Origin: \"'*'\"}}}}";
    for (protection, code) in [
        ("security: [{pool: [a]}]", "protected-preflight"),
        ("security: [{key: []}]", "api-key"),
        (
            "x-amazon-apigateway-auth: {type: AWS_IAM}",
            "iam-authorization",
        ),
    ] {
        let paths = format!(
            " /p: {{get: {{security: [{{pool: [a]}}], {FORWARD}}}, options: {{{protection}, {preflight}}}}}"
        );
        let imported = import(&export(&paths, ""));
        assert_eq!(names(&imported), code, "{protection}");
        assert!(lines(&imported, "cors").is_empty(), "{}", imported.toml);
    }
    let open = format!(
        " /p: {{get: {{security: [{{pool: [a]}}], {FORWARD}}}, options: {{security: [{{NONE: []}}], {preflight}}}}}"
    );
    assert_eq!(
        lines(&import(&export(&open, "")), "cors"),
        ["{ origins = \"any\" }"]
    );
}

#[test]
fn a_preflight_that_the_whole_api_restricts_is_denied() {
    let preflight = "x-amazon-apigateway-integration: {type: mock, responses: {default: {statusCode: '200', \
                     responseParameters: {method.response.header.Access-Control-Allow-Origin: \"'*'\"}}}}";
    let paths = format!(" /p: {{get: {{{FORWARD}}}, options: {{{preflight}}}}}");
    let allow = statement("Allow", "'execute-api:/*/GET/*'");
    for restriction in [
        "x-amazon-apigateway-endpoint-configuration: {types: [PRIVATE]}".to_owned(),
        "x-amazon-apigateway-endpoint-configuration: {disableExecuteApiEndpoint: true}".to_owned(),
        format!("x-amazon-apigateway-policy: {{Statement: [{allow}]}}"),
        "x-amazon-apigateway-policy: {Statement: []}".to_owned(),
    ] {
        let text = export(&paths, &restriction);
        let is_get_allowed = restriction.contains("GET");
        let expected = match is_get_allowed {
            true => "OPTIONS /p",
            false => "GET /p OPTIONS /p",
        };
        assert_eq!(denied(&text), expected, "{restriction}");
        assert!(lines(&import(&text), "cors").is_empty(), "{restriction}");
        let of_api = format!("{restriction}\nx-amazon-apigateway-cors: {{allowOrigins: ['*']}}");
        let text = export(&paths, &of_api);
        assert!(lines(&import(&text), "cors").is_empty(), "{restriction}");
        // The restriction is enforced elsewhere.
        let options = Options {
            accepts_policy: true,
            ..options()
        };
        assert_eq!(lines(&import_with(&text, &options), "cors").len(), 2);
    }
}

#[test]
fn an_authorization_that_a_function_decides_is_named_by_the_function() {
    for auth in [
        "{Ref: A}",
        "{type: {Ref: A}}",
        "{type: !Ref A}",
        "{type: NONE, 'Fn::Transform': x}",
        "{type: AWS_IAM, $ref: '#/x'}",
    ] {
        let text = secured("[{pool: [a]}]").replacen(
            "security:",
            &format!("x-amazon-apigateway-auth: {auth}, security:"),
            1,
        );
        assert_eq!(names(&import(&text)), "unresolved-function", "{auth}");
    }
}

/// Returns the methods that are denied at each path besides those of the document.
fn greedy_paths(paths: &[(&str, &str, &str)]) -> Vec<String> {
    let mut text = String::new();
    for (path, method, security) in paths {
        text.push_str(&format!(
            " '{path}': {{{method}: {{security: {security}, {FORWARD}}}}}\n"
        ));
    }
    let imported = apigateway(export(&text, "").as_bytes(), &options());
    let imported = imported.unwrap_or_else(|error| panic!("{text}: {error}"));
    let findings = imported.findings.iter();
    let found = findings.filter(|finding| finding.code == Code::GreedyPath);
    found
        .map(|finding| {
            let operation = finding.operation.as_deref().unwrap();
            format!("{operation}: {}", finding.about)
        })
        .collect()
}

/// An HTTP API takes `/{x}/b` for `/a/b`, and the gateway `/a/{proxy+}`.
#[test]
fn a_greedy_path_does_not_open_another_one() {
    const ANY: &str = "x-amazon-apigateway-any-method";
    let (open, scoped, other) = ("[]", "[{pool: [a]}]", "[{pool: [b]}]");
    for (own, greedy, expected) in [
        (("/{x}/b", "get", scoped), ("/a/{p+}", "get", open), "/a/b"),
        (("/{x}/b", "get", scoped), ("/a/{p+}", "get", other), "/a/b"),
        (("/{x}/b", "get", scoped), ("/a/{p+}", ANY, open), "/a/b"),
        (("/{x}/b", ANY, scoped), ("/a/{p+}", "get", open), "/a/b"),
        (
            ("/{x}/b/{y}", "get", scoped),
            ("/a/{p+}", "get", open),
            "/a/b/{y}",
        ),
        (
            ("/{x}/{y}/c", "get", scoped),
            ("/{q}/b/{p+}", "get", open),
            "/{x}/b/c",
        ),
        (
            ("/{x}/b/{r+}", "get", scoped),
            ("/a/{p+}", "get", open),
            "/a/b/{r+}",
        ),
        // The route of the document goes first in both, or they ask for the same.
        (("/{x}/b", "get", scoped), ("/a/{p+}", "get", scoped), ""),
        (("/{x}/b", "get", open), ("/a/{p+}", "get", scoped), ""),
        (("/{x}/b", "get", scoped), ("/a/{p+}", "post", open), ""),
        (("/{x}", "get", scoped), ("/a/{p+}", "get", open), ""),
        (("/{x}/b", "get", scoped), ("/{p+}", "get", open), ""),
        (("/a/b", "get", scoped), ("/{x}/{p+}", "get", open), ""),
        (("/{x}/b", "get", scoped), ("/a/c/{p+}", "get", open), ""),
    ] {
        let found = greedy_paths(&[own, greedy]);
        let expected: Vec<_> = match expected {
            "" => Vec::new(),
            path => vec![format!("{path:?}")],
        };
        let paths: Vec<_> = found
            .iter()
            .map(|one| one.split_once(": ").unwrap().1.split(',').next().unwrap())
            .collect();
        assert_eq!(paths, expected, "{own:?} {greedy:?}: {found:?}");
    }
    // A path of the document's own stays as it is.
    let stated = greedy_paths(&[
        ("/{x}/b", "get", scoped),
        ("/a/{p+}", "get", open),
        ("/a/b", "get", other),
    ]);
    assert!(stated.is_empty(), "{stated:?}");
}
