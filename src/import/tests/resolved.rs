use super::*;

/// Returns an export with one operation that asks for a token of a scheme, and the definition of that.
fn schemed(schemes: &str) -> String {
    format!(
        "openapi: 3.0.1\npaths: {{/p: {{get: {{security: [{{j: [a]}}], {FORWARD}}}}}}}\n\
         components: {{securitySchemes: {schemes}}}\n"
    )
}

/// Returns a JWT authorizer with these parts.
fn jwt(parts: &str) -> String {
    schemed(&format!(
        "{{j: {{type: oauth2, x-amazon-apigateway-authorizer: {{type: jwt, {parts}}}}}}}"
    ))
}

// Functions and references wherever they decide who may call an operation, or where it goes.
#[test]
fn what_stands_elsewhere_in_an_authorizer_is_denied() {
    let good = "jwtConfiguration: {issuer: 'https://idp.example.com', audience: [c]}";
    assert_eq!(get(&jwt(good)), ("\"a\"".into(), String::new()));
    for text in [
        jwt("jwtConfiguration: !Ref x"),
        jwt("jwtConfiguration: {$ref: '#/x'}"),
        jwt(
            "jwtConfiguration: {issuer: 'https://idp.example.com', audience: [c], Fn::Transform: x}",
        ),
        jwt("jwtConfiguration: {issuer: !Ref x, audience: [c]}"),
        jwt("jwtConfiguration: {issuer: 'https://idp.example.com', audience: !Ref x}"),
        jwt("jwtConfiguration: {issuer: 'https://idp.example.com', audience: [{$ref: '#/x'}]}"),
        jwt(&format!("{good}, Fn::Transform: x")),
        jwt(&format!("{good}, $ref: '#/x'")),
        jwt(good).replace("type: jwt", "type: !Ref x"),
        jwt(good).replace("type: oauth2", "type: !Ref x"),
        jwt(good).replace("type: oauth2", "type: oauth2, name: !Ref x"),
        jwt(good).replace("type: oauth2", "type: oauth2, Fn::Transform: x"),
        jwt(good).replace(
            "type: oauth2",
            "type: oauth2, x-amazon-apigateway-authtype: !Ref x",
        ),
        jwt(good).replace("{j: {type", "{Fn::Transform: x, j: {type"),
        jwt(good).replace("{securitySchemes", "{Fn::Transform: x, securitySchemes"),
        schemed("!If [a, {}, {}]"),
        schemed("{j: {$ref: '#/components/securitySchemes/k'}, k: !Ref x}"),
    ] {
        let expected = (DENIED.to_owned(), "unresolved-function".to_owned());
        assert_eq!(get(&text), expected, "{text}");
    }
    // The name that stands for nothing may be defined by a function.
    let none = jwt(good).replace("[{j: [a]}]", "[{NONE: []}]");
    assert_eq!(get(&none).0, "{ public = true }");
    let computed = none.replace("{securitySchemes", "{Fn::Transform: x, securitySchemes");
    assert_eq!(get(&computed).0, DENIED);
    for text in [
        schemed("{$ref: '#/x'}"),
        jwt(good).replace("components: {", "components: {$ref: '#/x', "),
        jwt(good).replace("type: oauth2", "type: oauth2, $ref: '#/info'"),
        jwt(good).replace("paths: {", "info: {}\npaths: {$ref: '#/info', "),
    ] {
        assert!(error(&text).contains("$ref"), "{text}");
    }
}

#[test]
fn the_issuer_and_the_audience_that_are_named_stand_for_computed_ones() {
    let text = jwt("jwtConfiguration: {issuer: !Ref x, audience: !Ref y}");
    let mut options = options();
    let pair = |value: &str| ("j".to_owned(), value.to_owned());
    options.issuers = [pair("https://idp.example.com")].into();
    options.audiences = [("j".to_owned(), vec!["c".to_owned()])].into();
    assert!(!import_with(&text, &options).has(Level::Error));
    // One that may be another authorizer altogether is denied all the same.
    let other = text.replace("type: jwt", "type: jwt, Fn::Transform: x");
    assert!(import_with(&other, &options).has(Level::Error));
}

#[test]
fn a_requirement_that_stands_elsewhere_is_denied() {
    for security in [
        "[{pool: [!Ref x]}]",
        "[{pool: !Ref x}]",
        "[{pool: [a], Ref: []}]",
        "[{pool: [a], $ref: []}]",
        "[{pool: [a], Fn::If: []}]",
        "[{Condition: x}]",
        "{$ref: '#/security'}",
        "[{$ref: '#/security'}]",
        "!If [a, [], []]",
        "~",
        "[{pool: ['${x}']}]",
    ] {
        assert_eq!(get(&secured(security)).0, DENIED, "{security}");
    }
}

#[test]
fn an_integration_that_stands_elsewhere_is_denied() {
    for (integration, code) in [
        ("{type: !Ref x, uri: 'http://h/'}", "unresolved-function"),
        (
            "{type: http_proxy, uri: 'http://h/', httpMethod: !Ref x}",
            "unresolved-function",
        ),
        (
            "{type: http_proxy, uri: 'http://h/', requestParameters: !If [a, b, c]}",
            "unresolved-function",
        ),
        (
            "{type: http_proxy, uri: 'http://h/', requestParameters: {Fn::Transform: x, integration.request.header.a: \"'b'\"}}",
            "unresolved-function",
        ),
        (
            "{type: http_proxy, uri: 'http://h/', Fn::Transform: x}",
            "unresolved-function",
        ),
        ("{type: http_proxy, uri: !Ref x}", "unusable-uri"),
        (
            "{type: http_proxy, uri: 'http://h/', httpMethod: 'G T'}",
            "unusable-uri",
        ),
        (
            "{type: http_proxy, uri: 'http://h/', httpMethod: 7}",
            "unusable-uri",
        ),
        ("{type: aws_proxy, uri: !Ref x}", "unusable-function"),
        ("{type: mock, requestTemplates: !Ref x}", "unusable-mock"),
        (
            "{type: mock, responses: {default: {statusCode: !Ref x}}}",
            "unusable-mock",
        ),
    ] {
        let text = export(
            &format!(" /p: {{get: {{x-amazon-apigateway-integration: {integration}}}}}"),
            "",
        );
        assert_eq!(
            get(&text),
            (DENIED.to_owned(), code.to_owned()),
            "{integration}"
        );
    }
    let beside = export(
        " /p: {get: {x-amazon-apigateway-integration: {$ref: '#/x-a', type: mock}}}",
        "x-a: {type: mock}",
    );
    assert!(error(&beside).contains("\"$ref\" stands beside other keys"));
}

#[test]
fn computed_cors_of_an_http_api_is_none() {
    for setting in [
        "{allowOrigins: !Ref x}",
        "{allowOrigins: [!Ref x, 'https://a.example']}",
        "{allowOrigins: ['https://a.example'], allowHeaders: [!Ref x]}",
        "{allowOrigins: ['https://a.example'], Fn::Transform: x}",
        "{$ref: '#/x'}",
    ] {
        let text = export(
            &format!(" /p: {{get: {{{FORWARD}}}}}"),
            &format!("x-amazon-apigateway-cors: {setting}"),
        );
        let imported = import(&text);
        assert!(names(&imported).contains("computed-cors"), "{setting}");
        assert!(lines(&imported, "cors").is_empty(), "{setting}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_has_its_own_reason() {
    for (parts, code) in [
        (
            "jwtConfiguration: {issuer: ~, audience: [c]}",
            "unknown-issuer",
        ),
        (
            "jwtConfiguration: {issuer: 7, audience: [c]}",
            "unknown-issuer",
        ),
        (
            "jwtConfiguration: {issuer: [], audience: [c]}",
            "unknown-issuer",
        ),
        (
            "jwtConfiguration: {issuer: 'https://i.example', audience: [7]}",
            "unknown-audience",
        ),
        (
            "jwtConfiguration: {issuer: 'https://i.example', audience: ~}",
            "unknown-audience",
        ),
        (
            "jwtConfiguration: {issuer: 'https://i.example', audience: [any]}",
            "unknown-audience",
        ),
        (
            "jwtConfiguration: {issuer: '${stageVariables.i}', audience: [c]}",
            "missing-variable",
        ),
    ] {
        assert_eq!(
            get(&jwt(parts)),
            (DENIED.to_owned(), code.to_owned()),
            "{parts}"
        );
    }
}

#[test]
fn the_address_of_a_server_is_known_or_has_a_finding() {
    let served = |servers: &str| {
        format!("openapi: 3.0.1\nservers: {servers}\npaths: {{/p: {{get: {{{FORWARD}}}}}}}\n")
    };
    for servers in [
        "[{url: 'https://h/{stage}'}]",
        "[{url: 'https://{h}/dev'}]",
        "[{url: !Sub 'https://h/${s}'}]",
        "[{url: 'https://h/{a}', variables: {a: {default: '{b}'}, b: {default: c}}}]",
        "!If [a, [], []]",
        "[{$ref: '#/x'}]",
    ] {
        let imported = import(&served(servers));
        assert_eq!(
            names(&imported),
            "open-document unreadable-server",
            "{servers}"
        );
        assert!(lines(&imported, "prefix").is_empty(), "{servers}");
    }
    let mut with_stage = options();
    with_stage.variables = [("stage".to_owned(), "dev".to_owned())].into();
    let imported = import_with(&served("[{url: 'https://h/{stage}'}]"), &with_stage);
    assert_eq!(lines(&imported, "prefix"), ["\"/dev\""]);
    assert_eq!(
        lines(&import(&served("[{url: 'https://h/a*'}]")), "prefix"),
        ["\"/a%2A\""]
    );
    // Values are not read again, and cannot grow.
    let mut variables = String::new();
    for number in 0..40 {
        let (name, next) = (format!("v{number}"), format!("{{v{}}}", number + 1));
        variables.push_str(&format!("{name}: {{default: '{next}{next}'}}, "));
    }
    let growing = format!("[{{url: 'https://h/{{v0}}', variables: {{{variables}}}}}]");
    assert!(names(&import(&served(&growing))).contains("unreadable-server"));
    for servers in [
        "[{url: 'https://h/a b'}]",
        "[{url: 'https://h/../b'}]",
        "[{url: 'https://h/a;b'}]",
    ] {
        assert!(
            error(&served(servers)).starts_with("2:"),
            "{}",
            error(&served(servers))
        );
    }
}

#[test]
fn an_option_names_something_of_the_document() {
    let text = jwt("jwtConfiguration: {issuer: 'https://${stageVariables.host}', audience: [c]}");
    let of = |option: &str, name: &str, value: &str| {
        let mut options = options();
        let name = name.to_owned();
        match option {
            "issuer" => drop(options.issuers.insert(name, value.to_owned())),
            "audience" => drop(options.audiences.insert(name, vec![value.to_owned()])),
            _ => drop(options.variables.insert(name, value.to_owned())),
        }
        let result = apigateway(text.as_bytes(), &options);
        result.map(|_| ()).map_err(|error| error.to_string())
    };
    for (option, name, value, message) in [
        ("issuer", "j", "https://i.example", None),
        ("audience", "j", "c", None),
        ("var", "host", "h.example", None),
        (
            "issuer",
            "k",
            "https://i.example",
            Some("`--issuer k=…`: the document has no \"k\", but [\"j\"]"),
        ),
        (
            "audience",
            "k",
            "c",
            Some("`--audience k=…`: the document has no \"k\", but [\"j\"]"),
        ),
        (
            "var",
            "hots",
            "x",
            Some("`--var hots=…`: the document has no \"hots\", but [\"host\"]"),
        ),
        (
            "audience",
            "j",
            "any",
            Some("`--audience j=any`: \"any\" is no audience of a token"),
        ),
    ] {
        let expected = message.map_or(Ok(()), |message| Err(message.to_owned()));
        assert_eq!(of(option, name, value), expected, "{option} {name}={value}");
    }
    // Functions get every stage variable.
    let function = "x-amazon-apigateway-integration: {type: aws_proxy, uri: 'arn:aws:lambda:eu-west-1:1:function:f'}";
    let text = export(&format!(" /p: {{get: {{{function}}}}}"), "");
    let mut options = options();
    options.variables = [("anything".to_owned(), "x".to_owned())].into();
    assert!(apigateway(text.as_bytes(), &options).is_ok());
}

#[test]
fn an_export_is_not_read_as_another_document() {
    let text = secured("[{pool: [a]}]");
    let error = openapi(text.as_bytes(), &options()).unwrap_err();
    assert!(error.place().is_some() && error.to_string().contains("scopegate import apigateway"));
}

#[test]
fn texts_of_a_document_are_no_patterns_and_no_references() {
    let at = |path: &str, integration: &str| {
        import(&export(
            &format!(" '{path}': {{get: {{x-amazon-apigateway-integration: {integration}}}}}"),
            "",
        ))
    };
    for (path, route) in [
        ("/f/**", "\"/f/%2A%2A\""),
        ("/f/*", "\"/f/%2A\""),
        ("/a:b", "\"/a:b\""),
        ("/a$b", "\"/a$b\""),
    ] {
        let imported = at(path, "{type: http_proxy, uri: 'http://h/x'}");
        assert_eq!(lines(&imported, "path"), [route]);
    }
    for path in [
        "/a/{b}{c}",
        "/a{b}",
        "/${a}",
        "/a/{}",
        "/a b",
        "/a;b",
        "/a/../b",
    ] {
        let text = export(&format!(" '{path}': {{get: {{{FORWARD}}}}}"), "");
        assert!(error(&text).contains("cannot be a route"), "{path}");
    }
    let mock = |header: &str, body: &str| {
        format!(
            "{{type: mock, responses: {{default: {{statusCode: '200', responseParameters: \
             {{method.response.header.X-A: \"'{header}'\"}}, responseTemplates: {{application/json: '{body}'}}}}}}}}"
        )
    };
    for (header, written) in [
        ("a", "x-a = \"a\""),
        ("a{b c}", "x-a = \"a{b c}\""),
        ("5$", "x-a = \"5$$\""),
        ("**", "x-a = \"**\""),
    ] {
        let imported = at("/m/{id}", &mock(header, "{\"id\": \"{id}\"}"));
        let respond = lines(&imported, "respond").concat();
        assert!(respond.contains(written), "{respond}");
        assert!(respond.contains("{\\\"id\\\": \\\"{id}\\\"}"), "{respond}");
    }
    for header in ["{id}", "{other}", "a{id+}"] {
        let imported = at("/m/{id}", &mock(header, "x"));
        assert!(names(&imported).contains("mock-part"), "{header}");
        assert!(!imported.toml.contains("x-a"), "{header}");
    }
    for body in ["$context.requestId", "#set($x = 1)", "$input.json(\"$\")"] {
        let imported = at("/m", &mock("a", body));
        assert_eq!(names(&imported), "unusable-mock", "{body}");
    }
}

#[test]
fn a_missing_variable_of_a_mapping_is_one() {
    let text = export(
        " /p: {get: {x-amazon-apigateway-integration: {type: http_proxy, uri: 'http://h/p', requestParameters: \
         {integration.request.header.x-env: stageVariables.env}}}}",
        "",
    );
    assert_eq!(
        get(&text),
        (DENIED.to_owned(), "missing-variable".to_owned())
    );
    let mut options = options();
    options.variables = [("env".to_owned(), "dev".to_owned())].into();
    assert!(
        import_with(&text, &options)
            .toml
            .contains("x-env = \"dev\"")
    );
}

#[test]
fn a_field_that_several_mappings_change_is_taken_from_the_client() {
    let text = export(
        " /p: {get: {security: [{pool: [a]}], x-amazon-apigateway-integration: {type: http_proxy, uri: 'http://h/p', \
         requestParameters: {integration.request.header.X-User: context.authorizer.claims.sub, \
         integration.request.header.x-user: \"'a'\"}}}}",
        "",
    );
    let imported = apigateway(text.as_bytes(), &options()).unwrap();
    assert_eq!(
        lines(&imported, "request_headers"),
        ["{ remove = [\"x-user\"] }"]
    );
    assert!(names(&imported).contains("parameter-mapping"));
}

#[test]
fn a_pool_of_a_stage_variable_is_resolved_or_denied() {
    let text = secured("[{variable: [a]}]");
    assert_eq!(
        get(&text),
        (DENIED.to_owned(), "missing-variable".to_owned())
    );
    let mut options = options();
    options.variables = [("pool".to_owned(), POOL.to_owned())].into();
    let imported = import_with(&text, &options);
    assert!(!imported.has(Level::Error));
    assert!(
        imported
            .toml
            .contains("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC1")
    );
}
