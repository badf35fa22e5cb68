use super::*;

/// Returns an export with one public operation for `ANY` of a path, and its integration.
fn integrated(path: &str, integration: &str) -> String {
    let paths = format!(
        " {path}:\n  x-amazon-apigateway-any-method:\n   x-amazon-apigateway-integration: {integration}"
    );
    export(&paths, "")
}

#[test]
fn integrations_that_forward_are_upstreams() {
    for (path, integration, upstream, rewrite) in [
        (
            "/p",
            "{type: HTTP_PROXY, uri: 'http://h:81/p'}",
            "\"http://h:81\"",
            None,
        ),
        (
            "/p",
            "{type: http_proxy, uri: 'https://h'}",
            "\"https://h\"",
            Some("\"/\""),
        ),
        (
            "/p/{id}",
            "{type: http_proxy, uri: 'http://h/v2/{x}', requestParameters: {integration.request.path.x: method.request.path.id}}",
            "\"http://h\"",
            Some("\"/v2/{id}\""),
        ),
        (
            "/{proxy+}",
            "{type: http_proxy, uri: 'http://h/{proxy}', requestParameters: {integration.request.path.proxy: method.request.path.proxy}}",
            "\"http://h\"",
            None,
        ),
        (
            "/a/{proxy+}",
            "{type: http_proxy, uri: 'http://h/{proxy}'}",
            "\"http://h\"",
            Some("\"/{proxy+}\""),
        ),
        (
            "/$default",
            "{type: http_proxy, uri: 'http://h'}",
            "\"http://h\"",
            None,
        ),
        (
            "/$default",
            "{type: http_proxy, uri: 'http://h/b/'}",
            "\"http://h\"",
            Some("\"/b/**\""),
        ),
    ] {
        let imported = import(&integrated(path, integration));
        assert_eq!(lines(&imported, "url"), [upstream], "{integration}");
        assert_eq!(
            lines(&imported, "rewrite"),
            rewrite.as_slice(),
            "{integration}"
        );
    }
}

#[test]
fn a_call_of_a_service_is_named() {
    let lambda = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/";
    for (integration, about) in [
        (
            "{type: aws, uri: 'arn:aws:apigateway:eu-west-1:sqs:path/1/q'}".to_owned(),
            "\"sqs\"",
        ),
        (
            "{type: AWS, uri: 'arn:aws:apigateway:eu-west-1:b.s3:path/k'}".to_owned(),
            "\"s3\"",
        ),
        (
            "{type: aws, uri: 'arn:aws:apigateway:x'}".to_owned(),
            "\"aws\"",
        ),
        ("{type: aws}".to_owned(), "\"aws\""),
        ("{type: odd}".to_owned(), "\"odd\""),
        (
            "{type: aws_proxy, integrationSubtype: SQS-SendMessage}".to_owned(),
            "\"SQS-SendMessage\"",
        ),
        (
            format!(
                "{{type: aws, uri: '{lambda}arn:aws:lambda:eu-west-1:123456789012:function:f\
                 /invocations'}}"
            ),
            "\"f\"",
        ),
        (
            format!("{{type: aws, uri: '{lambda}${{x}}'}}"),
            "\"lambda\"",
        ),
    ] {
        let imported = import(&integrated("/p", &integration));
        let mut findings = imported.findings.iter();
        assert!(
            findings.any(|one| &*one.about == about),
            "{integration}: {:?}",
            imported.findings
        );
    }
}

// A reader who takes the denial away finds what else the route needs.
#[test]
fn what_a_denied_route_asks_for_is_written_beside_it() {
    let document = secured("[{pool: [r/a, r/b]}]").replace("http_proxy", "odd");
    let imported = import(&document);
    let comment = "# beside that, the document says: GET = { any = [\"r/a\", \"r/b\"] }, with \
                   issuer = \"eu-west-1_AbC1\" and token_from = [\"authorization:raw\", \
                   \"authorization:bearer\"]";
    assert!(
        imported.toml.lines().any(|line| line == comment),
        "{}",
        imported.toml
    );
    // An API key hides nothing of the authorizer that stands beside it.
    let with_key = import(&secured("[{pool: [r/a], key: []}]"));
    let comment = "# beside that, the document says: GET = \"r/a\", with issuer";
    let mut lines = with_key.toml.lines();
    assert!(
        lines.any(|line| line.starts_with(comment)),
        "{}",
        with_key.toml
    );
    let about = &with_key.findings[0].about;
    assert!(
        about.ends_with(", beside the authorizer \"pool\""),
        "{about}"
    );
    // Nothing is known of an operation that asks for an API key alone, or for what is not known.
    for security in ["[{key: []}]", "[{key: [], nothing: []}]"] {
        let unknown = import(&secured(security));
        assert!(!unknown.toml.contains("beside that"), "{}", unknown.toml);
        assert!(!unknown.findings[0].about.contains("beside"), "{security}");
    }
}

#[test]
fn an_integration_that_cannot_be_reached_is_denied() {
    for (integration, name) in [
        (
            "{type: http_proxy, uri: 'http://${stageVariables.host}/p'}",
            "missing-variable",
        ),
        (
            "{type: http_proxy, uri: 'http://h:${stageVariables.port}/p'}",
            "missing-variable",
        ),
        ("{type: http_proxy, uri: 'http://{p}/p'}", "unusable-uri"),
        ("{type: http_proxy}", "unusable-uri"),
        // What no rewrite can be. Fuzzing found that such an import failed as a defect.
        ("{type: http_proxy, uri: 'http://h//p'}", "unusable-uri"),
        ("{type: http_proxy, uri: 'http://h/a//'}", "unusable-uri"),
        (
            "{type: http_proxy, uri: 'http://h/p?a=1&a=2'}",
            "unusable-uri",
        ),
        (
            "{type: http_proxy, uri: 'http://h/p?%ff=1'}",
            "unusable-uri",
        ),
        (
            "{type: http_proxy, uri: 'http://h/%2e%2e/p'}",
            "unusable-uri",
        ),
        ("{type: http_proxy, uri: 'http://h/a%2Fb'}", "unusable-uri"),
        (
            "{type: http_proxy, uri: !Sub 'http://${h}'}",
            "unusable-uri",
        ),
        (
            "{type: http_proxy, connectionType: VPC_LINK, uri: 'arn:aws:elasticloadbalancing:x'}",
            "unusable-uri",
        ),
        (
            "{type: aws, uri: 'arn:aws:apigateway:eu-west-1:sqs:path/1/q'}",
            "service-integration",
        ),
        (
            "{type: aws_proxy, integrationSubtype: SQS-SendMessage}",
            "service-integration",
        ),
        (
            "{type: aws_proxy, uri: !Sub 'arn:${f}'}",
            "unusable-function",
        ),
        (
            "{type: aws, uri: 'arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/\
             arn:aws:lambda:eu-west-1:123456789012:function:f/invocations'}",
            "custom-function",
        ),
        ("{type: odd}", "service-integration"),
        (
            "{type: mock, requestTemplates: {application/json: '#if(1){\"statusCode\": 200}#end'}}",
            "unusable-mock",
        ),
        ("{}", "service-integration"),
    ] {
        let imported = import(&integrated("/p", integration));
        assert_eq!(lines(&imported, "ANY"), [DENIED], "{integration}");
        assert!(
            names(&imported).contains(name),
            "{integration}: {}",
            names(&imported)
        );
    }
    let mut options = options();
    options
        .variables
        .insert("host".to_owned(), "h:82".to_owned());
    let text = integrated(
        "/p",
        "{type: http_proxy, uri: 'http://${stageVariables.host}/p'}",
    );
    assert_eq!(
        lines(&import_with(&text, &options), "url"),
        ["\"http://h:82\""]
    );
}

#[test]
fn a_function_is_an_upstream_with_its_event() {
    let function = "arn:aws:lambda:eu-west-1:123456789012:function:orders";
    let rest = format!(
        "{{type: aws_proxy, uri: 'arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{function}/invocations'}}"
    );
    let imported = import(&integrated("/p", &rest));
    assert_eq!(
        lines(&imported, "lambda"),
        [
            "{ function = \"orders\", event = \"1.0\", account_id = \"123456789012\", api_id = \"abc123\" }"
        ]
    );
    let http = format!("{{type: AWS_PROXY, uri: '{function}', payloadFormatVersion: '2.0'}}");
    let imported = import(&integrated("/p", &http));
    assert!(lines(&imported, "lambda")[0].contains("event = \"2.0\""));
    assert_eq!(lines(&imported, "profile"), ["\"aws-http\""]);
}

#[test]
fn the_api_matches_as_api_gateway_does() {
    let imported = import(&integrated(
        "/{proxy+}",
        "{type: http_proxy, uri: 'http://h/{proxy}'}",
    ));
    assert_eq!(lines(&imported, "method_fallthrough"), ["true"]);
    assert_eq!(lines(&imported, "head"), ["false"]);
    assert_eq!(lines(&imported, "prefix"), ["\"/dev\""]);
    assert_eq!(lines(&imported, "profile"), ["\"aws-rest\""]);
    let root = integrated("/", "{type: http_proxy, uri: 'http://h/'}");
    assert_eq!(lines(&import(&root), "path"), ["\"/\"", "\"\""]);
    let mut ignore = options();
    ignore.base_path = Some(BasePath::Ignore);
    assert_eq!(lines(&import_with(&root, &ignore), "path"), ["\"/\""]);
}

#[test]
fn a_default_route_without_an_integration_is_no_route() {
    let paths = format!(
        " /p: {{get: {{{FORWARD}}}}}\n /$default: {{x-amazon-apigateway-any-method: {{isDefaultRoute: true}}}}"
    );
    let imported = import(&export(&paths, ""));
    assert_eq!(lines(&imported, "path"), ["\"/p\""]);
}

#[test]
fn mock_options_are_cors_unless_the_origin_is_computed() {
    let path = |origin: &str, templates: &str| {
        let paths = format!(
            " /p:\n  get: {{{FORWARD}}}\n  options:\n   x-amazon-apigateway-integration:\n    type: mock\n    \
             responses: {{default: {{statusCode: '200', responseTemplates: {{application/json: \"{templates}\"}}, responseParameters: {{\
             method.response.header.Access-Control-Allow-Origin: \"{origin}\", \
             method.response.header.Access-Control-Allow-Methods: \"'GET,OPTIONS'\", \
             method.response.header.Access-Control-Allow-Headers: \"'Content-Type,X-Y'\"}}}}}}"
        );
        import(&export(&paths, ""))
    };
    let imported = path("'*'", "");
    assert_eq!(
        lines(&imported, "cors"),
        ["{ origins = \"any\", methods = [\"GET\"], headers = [\"content-type\", \"x-y\"] }"]
    );
    assert!(!imported.toml.contains("OPTIONS"), "{}", imported.toml);
    let imported = path("'https://app.example.com'", "");
    assert!(lines(&imported, "cors")[0].starts_with("{ origins = [\"https://app.example.com\"]"));
    for (origin, templates) in [
        (
            "'*'",
            "#set($context.responseOverride.header.Access-Control-Allow-Origin = $o)",
        ),
        ("method.request.header.origin", ""),
        ("integration.response.header.origin", ""),
    ] {
        let imported = path(origin, templates);
        assert!(lines(&imported, "cors").is_empty(), "{}", imported.toml);
        assert!(names(&imported).contains("computed-cors"), "{origin}");
    }
    for origin in [
        "'https://a.example.com,https://b.example.com'",
        "'null'",
        "'https://*.example.com'",
    ] {
        let imported = path(origin, "");
        assert!(lines(&imported, "cors").is_empty(), "{}", imported.toml);
        assert!(names(&imported).contains("unusable-cors"), "{origin}");
    }
}

#[test]
fn forwarded_options_are_routes_and_other_mocks_are_answers() {
    let paths = format!(
        " /p:\n  options: {{{FORWARD}}}\n /m:\n  get:\n   x-amazon-apigateway-integration:\n    type: mock\n    \
         requestTemplates: {{application/json: '{{\"statusCode\": 404}}'}}\n    responses:\n     '404': {{statusCode: '404', \
         responseTemplates: {{application/json: '{{\"a\": 1}}'}}, responseParameters: {{method.response.header.X-A: \"'b'\"}}}}"
    );
    let imported = import(&export(&paths, ""));
    assert_eq!(
        lines(&imported, "methods"),
        [
            "{ OPTIONS = { public = true } }",
            "{ GET = { public = true } }"
        ]
    );
    assert_eq!(
        lines(&imported, "respond"),
        [
            "{ status = 404, headers = { content-type = \"application/json\", x-a = \"b\" }, body = \"{\\\"a\\\": 1}\" }"
        ]
    );
}

#[test]
fn the_setting_of_an_http_api_is_cors_of_the_group() {
    let cors = |setting: &str| {
        let text = export(
            &format!(" /p: {{get: {{{FORWARD}}}}}"),
            &format!("x-amazon-apigateway-cors: {setting}"),
        );
        import(&text)
    };
    let imported = cors(
        "{allowOrigins: ['https://*'], allowHeaders: ['*'], exposeHeaders: [x-a], allowMethods: [GET, '*'], maxAge: 60}",
    );
    assert_eq!(
        lines(&imported, "cors"),
        ["{ origins = [\"https://*\"], headers = \"any\", expose = [\"x-a\"], max_age = \"60s\" }"]
    );
    let imported = cors("{allowOrigins: ['*'], allowCredentials: true}");
    assert!(lines(&imported, "cors").is_empty() && names(&imported).contains("unusable-cors"));
}

#[test]
fn parameter_mappings_are_header_rules_and_claims() {
    let text = export(
        " /p/{id}:\n  get:\n   security: [{pool: [a]}]\n   x-amazon-apigateway-integration:\n    type: http_proxy\n    \
         uri: 'http://h/p/{id}'\n    httpMethod: POST\n    timeoutInMillis: 3000\n    requestParameters:\n     \
         integration.request.header.x-sub: context.authorizer.claims.sub\n     \
         integration.request.header.x-env: \"'dev$1'\"\n     \
         integration.request.header.x-id: method.request.path.id\n     \
         integration.request.header.x-ip: context.identity.sourceIp\n     \
         integration.request.header.Authorization: \"'Basic x'\"\n     \
         integration.request.querystring.q: method.request.querystring.q\n     \
         integration.request.querystring.r: method.request.header.x-r",
        "",
    );
    let imported = import(&text);
    assert_eq!(lines(&imported, "forward"), ["{ x-sub = \"sub\" }"]);
    assert_eq!(
        lines(&imported, "request_headers"),
        ["{ remove = [\"x-ip\"], set = { x-env = \"dev$$1\", x-id = \"{id}\" } }"]
    );
    assert_eq!(lines(&imported, "rewrite"), ["\"/p/{id}?r=${header:x-r}\""]);
    assert_eq!(lines(&imported, "upstream_method"), ["\"POST\""]);
    assert_eq!(lines(&imported, "response_timeout"), ["\"3s\""]);
    let lost: Vec<_> = imported
        .findings
        .iter()
        .filter(|f| f.code == Code::ParameterMapping)
        .collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
}

#[test]
fn a_client_never_sets_a_field_that_the_api_sets() {
    let integration = "{type: http_proxy, uri: 'http://h/p', requestParameters: {\
        'overwrite:header.x-user': $context.authorizer.claims.sub, 'append:header.x-a': '$request.header.b', 'remove:header.x-c': \"''\"}}";
    let imported = import(&integrated("/p", integration));
    assert_eq!(
        lines(&imported, "request_headers"),
        ["{ remove = [\"x-c\", \"x-user\"], add = { x-a = \"${header:b}\" } }"]
    );
}

#[test]
fn what_has_no_counterpart_is_listed_by_operation() {
    let integration = "{type: http, uri: 'http://h/p', requestTemplates: {a: b}, responses: {default: {statusCode: 200}}, \
        cacheKeyParameters: [a], credentials: 'arn:aws:iam::1:role/r', connectionType: VPC_LINK, tlsConfig: {insecureSkipVerification: true}}";
    let imported = import(&integrated("/p", integration));
    assert_eq!(
        names(&imported),
        "caching mapping-template open-document private-upstream response-mapping role unmapped"
    );
    let of_operation = imported
        .findings
        .iter()
        .filter(|f| f.operation.as_deref() == Some("ANY /p"));
    assert_eq!(of_operation.count(), 6);
    let imported = import(&integrated(
        "/p",
        &integration.replace("http://h", "https://h"),
    ));
    assert!(names(&imported).contains("unverified-tls"));
    assert_eq!(lines(&imported, "verify"), ["false"]);
}
