use super::*;

mod gateway_responses;
mod integrations;
mod large;
mod left_closed;
mod plain_documents;
mod resolved;
mod spellings;
mod tokens;
mod twins;
mod whole_documents;

/// The user pool of the tests.
const POOL: &str = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbC1";

/// Schemes of a REST API, by their names.
const SCHEMES: &str = r#"
  pool: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authtype: cognito_user_pools, x-amazon-apigateway-authorizer: {type: cognito_user_pools, providerARNs: ["POOL"]}}
  key: {type: apiKey, name: x-api-key, in: header}
  function: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authtype: custom, x-amazon-apigateway-authorizer: {type: token, authorizerUri: 'arn:aws:x'}}
  sigv4: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authtype: awsSigv4}
  odd: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authorizer: {type: other}}
  broken: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authorizer: {type: cognito_user_pools, providerARNs: ['arn:aws:cognito-idp:x']}}
  variable: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authorizer: {type: cognito_user_pools, providerARNs: ['${stageVariables.pool}']}}
  elsewhere: {type: apiKey, name: X-Token, in: header, x-amazon-apigateway-authorizer: {type: cognito_user_pools, providerARNs: ["POOL", 'arn:aws:cognito-idp:us-east-1:1:userpool/us-east-1_Two2']}}
  pattern: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authorizer: {type: cognito_user_pools, identityValidationExpression: 'a|b', providerARNs: ["POOL"]}}
  client: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authorizer: {type: cognito_user_pools, identityValidationExpression: '^abc$', providerARNs: ["POOL"]}}
  jwt: {type: oauth2, x-amazon-apigateway-authorizer: {type: jwt, identitySource: $request.header.Authorization, jwtConfiguration: {issuer: 'https://idp.example.com', audience: [client-1]}}}
  oidc: {type: openIdConnect, openIdConnectUrl: 'https://login.example.com/t/.well-known/openid-configuration', x-amazon-apigateway-authorizer: {type: jwt, identitySource: ['$request.querystring.token'], jwtConfiguration: {audience: [a, b]}}}
  relative: {type: openIdConnect, openIdConnectUrl: /.well-known/openid-configuration, x-amazon-apigateway-authorizer: {type: jwt, jwtConfiguration: {audience: [a]}}}
  scoped: {type: oauth2, x-amazon-apigateway-authorizer: {type: jwt, jwtConfiguration: {issuer: 'https://idp.example.com', audience: [x.read]}}}
  computed: {type: oauth2, x-amazon-apigateway-authorizer: {type: jwt, jwtConfiguration: {issuer: !Sub 'https://${x}', audience: [a]}}}
  bearer: {type: http, scheme: bearer}
"#;

/// Returns an export with these paths and other parts, each a text of YAML.
fn export(paths: &str, rest: &str) -> String {
    let mut schemes = String::new();
    for scheme in SCHEMES
        .split("\n  ")
        .filter(|scheme| !scheme.starts_with(' '))
    {
        let name = scheme.split_once(": ").map_or("-", |(name, _)| name);
        let is_used = |text: &str| text.contains(&format!("{name}: "));
        if is_used(paths) || is_used(rest) {
            schemes.push_str(&format!("\n  {}", scheme.replace("POOL", POOL)));
        }
    }
    format!(
        "openapi: 3.0.1\ninfo: {{title: test}}\nservers: [{{url: 'https://abc123.execute-api.eu-west-1.amazonaws.com/dev'}}]\n\
         {rest}\npaths:\n{paths}\ncomponents:\n securitySchemes:{}",
        if schemes.is_empty() { " {}" } else { &schemes }
    )
}

/// The integration that forwards.
const FORWARD: &str = "x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: 'https://a.example.com/p'}";

/// Returns an export with one operation, whose `security` is a text of YAML.
fn secured(security: &str) -> String {
    export(
        &format!(" /p: {{get: {{security: {security}, {FORWARD}}}}}"),
        "",
    )
}

fn options() -> Options {
    Options {
        file: "api.yaml".to_owned(),
        ..Options::default()
    }
}

fn import(text: &str) -> Imported {
    import_with(text, &options())
}

fn import_with(text: &str, options: &Options) -> Imported {
    let document = read(text.as_bytes()).unwrap();
    let api = Api::read(&document, &options.variables).unwrap();
    let translation = apigateway::translate(&api, options);
    written(translation.unwrap_or_else(|error| panic!("{error}\n{text}")))
}

fn written(translation: Translation) -> Imported {
    Imported {
        toml: write::write(&translation.plan).text,
        findings: translation.findings,
    }
}

fn error(text: &str) -> String {
    let error = apigateway(text.as_bytes(), &options()).unwrap_err();
    match error.place() {
        Some(place) => format!("{place}: {error}"),
        None => error.to_string(),
    }
}

/// Returns the names of the findings, each once, in alphabetical order.
fn names(imported: &Imported) -> String {
    let names: std::collections::BTreeSet<_> =
        imported.findings.iter().map(|f| f.code.name()).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// Returns the lines with a key, in the order of the file.
fn lines<'t>(imported: &'t Imported, key: &str) -> Vec<&'t str> {
    let begin = format!("{key} = ");
    let lines = imported.toml.lines();
    lines.filter_map(|line| line.strip_prefix(&begin)).collect()
}

/// Returns what `GET` requires, with the names of the findings.
fn get(text: &str) -> (String, String) {
    let imported = import(text);
    let inline = lines(&imported, "methods");
    let get = inline
        .first()
        .and_then(|line| line.strip_prefix("{ GET = "));
    let get = get.map(|line| {
        line.trim_end_matches(" }").to_owned() + if line.starts_with('{') { " }" } else { "" }
    });
    let line = lines(&imported, "GET");
    let get = get.or_else(|| line.first().map(|line| (*line).to_owned()));
    (get.unwrap_or_default(), names(&imported))
}

const DENIED: &str = "{ deny = true }";

#[test]
fn a_list_of_scopes_is_any_of() {
    assert_eq!(
        get(&secured("[{pool: [r/a]}]")),
        ("\"r/a\"".into(), String::new())
    );
    assert_eq!(
        get(&secured("[{pool: [r/a, r/b, r/a]}]")),
        ("{ any = [\"r/a\", \"r/b\"] }".into(), String::new())
    );
}

#[test]
fn requirements_that_stand_together_are_all_asked() {
    for security in [
        "[{pool: [a]}, {key: []}]",
        "[{pool: [a], key: []}]",
        "[{key: []}, {pool: [a]}]",
        "[{NONE: []}, {key: []}]",
    ] {
        assert_eq!(
            get(&secured(security)),
            (DENIED.into(), "api-key".into()),
            "{security}"
        );
    }
    assert_eq!(
        get(&secured("[{pool: [a]}, {pool: [b, c]}]")).0,
        "{ all = [\"a\", { any = [\"b\", \"c\"] }] }"
    );
    for security in [
        "[{pool: [a]}, {elsewhere: [a]}]",
        "[{pool: [a]}, {pool: []}]",
    ] {
        let expected = (DENIED.into(), "several-authorizers".into());
        assert_eq!(get(&secured(security)), expected, "{security}");
    }
}

#[test]
fn cognito_without_scopes_takes_id_tokens() {
    let imported = import(&secured("[{pool: []}]"));
    assert_eq!(names(&imported), "id-tokens");
    for line in [
        "[issuers.eu-west-1_AbC1-id]",
        "issuer = \"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC1\"",
        "audience = \"any\"",
        "token_use = \"id\"",
        "typ = \"any\"",
        "algorithms = [\"RS256\"]",
        "token_from = [\"authorization:raw\", \"authorization:bearer\"]",
        "methods = { GET = { authenticated = true } }",
    ] {
        assert!(
            imported.toml.lines().any(|own| own == line),
            "{line}\n{}",
            imported.toml
        );
    }
    let scoped = import(&secured("[{pool: [a]}]"));
    assert_eq!(lines(&scoped, "token_use"), ["\"access\""]);
    assert!(lines(&scoped, "typ").is_empty());
}

#[test]
fn a_jwt_authorizer_takes_the_client_for_an_absent_audience() {
    let imported = import(&secured("[{jwt: []}]"));
    assert_eq!(names(&imported), "any-tokens");
    for line in [
        "[issuers.idp-example-com-any]",
        "audience = \"client-1\"",
        "audience_claims = [\"aud\", \"client_id\"]",
        "typ = \"any\"",
        "algorithms = [\"RS256\", \"RS384\", \"RS512\"]",
    ] {
        assert!(
            imported.toml.lines().any(|own| own == line),
            "{line}\n{}",
            imported.toml
        );
    }
    let scoped = import(&secured("[{jwt: [a, b]}]"));
    assert_eq!(
        lines(&scoped, "methods"),
        ["{ GET = { any = [\"a\", \"b\"] } }"]
    );
    assert!(lines(&scoped, "typ").is_empty() && scoped.toml.contains("[issuers.idp-example-com]"));
}

#[test]
fn what_cannot_be_translated_about_authorization_is_denied_with_the_reason() {
    for (security, name) in [
        ("[{function: []}]", "lambda-authorizer"),
        ("[{sigv4: []}]", "iam-authorization"),
        ("[{odd: []}]", "unknown-authorizer"),
        ("[{bearer: []}]", "unknown-authorizer"),
        ("[{key: []}]", "api-key"),
        ("[{broken: [a]}]", "unknown-issuer"),
        ("[{relative: [r/a]}]", "unknown-issuer"),
        ("[{scoped: [x.read]}]", "scope-as-audience"),
        ("[{variable: [r/a]}]", "missing-variable"),
        ("[{pattern: []}]", "audience-pattern"),
        ("[{computed: []}]", "unresolved-function"),
        ("[{nowhere: []}]", "undefined-scheme"),
        ("[{}]", "empty-requirement"),
        ("[{pool: [a]}, {}]", "empty-requirement"),
        ("[{pool: ['a b']}]", "bad-scope"),
        ("[{pool: ['']}]", "bad-scope"),
        ("[{pool: a}]", "unreadable-requirement"),
        ("[pool]", "unreadable-requirement"),
        ("{pool: []}", "unreadable-requirement"),
        ("pool", "unreadable-requirement"),
        ("~", "unreadable-requirement"),
        ("[{pool: [{Ref: Scope}]}]", "unresolved-function"),
        (
            "[!If [a, {pool: []}, !Ref AWS::NoValue]]",
            "unresolved-function",
        ),
        ("{Fn::If: [a, [], [{pool: []}]]}", "unresolved-function"),
        ("[{pool: !Sub '${a}'}]", "unresolved-function"),
    ] {
        let imported = import(&secured(security));
        let denied = lines(&imported, "GET");
        assert_eq!(
            (&*denied, &*names(&imported)),
            (&[DENIED][..], name),
            "{security}"
        );
        assert!(imported.has(Level::Error));
        assert!(
            imported.toml.contains("\n# denied, because "),
            "{}",
            imported.toml
        );
        assert_eq!(
            lines(&imported, "upstream"),
            ["\"a-example-com\""],
            "{security}"
        );
    }
}

#[test]
fn the_requirement_of_the_root_holds_where_an_operation_has_none() {
    let root = "security: [{pool: [r/a]}]";
    let paths = format!(
        " /p:\n  get: {{{FORWARD}}}\n  put: {{security: [], {FORWARD}}}\n  \
         delete: {{x-amazon-apigateway-auth: {{type: NONE}}, {FORWARD}}}\n  \
         patch: {{x-amazon-apigateway-auth: {{type: AWS_IAM}}, security: [], {FORWARD}}}"
    );
    let imported = import(&export(&paths, root));
    assert_eq!(lines(&imported, "GET"), ["\"r/a\""]);
    assert_eq!(lines(&imported, "DELETE"), ["\"r/a\""]);
    assert_eq!(lines(&imported, "PUT"), ["{ public = true }"]);
    assert_eq!(lines(&imported, "PATCH"), [DENIED]);
    assert_eq!(names(&imported), "iam-authorization open-write");
}

#[test]
fn an_unused_authorizer_protects_nothing_and_is_named_once() {
    let text = format!(
        "openapi: 3.0.1\npaths: {{/p: {{post: {{{FORWARD}}}, get: {{{FORWARD}}}}}}}\n\
         components: {{securitySchemes: {{pool: {{type: apiKey, name: Authorization, in: header, \
         x-amazon-apigateway-authorizer: {{type: cognito_user_pools, providerARNs: ['{POOL}']}}}}}}}}\n"
    );
    let imported = import(&text);
    assert_eq!(names(&imported), "open-document unused-authorizer");
    assert_eq!(imported.findings.len(), 2);
    assert_eq!(lines(&imported, "POST"), ["{ public = true }"]);
}

#[test]
fn each_open_writing_method_of_a_protected_api_is_warned_of() {
    let paths = format!(
        " /p:\n  get: {{security: [{{pool: [a]}}], {FORWARD}}}\n  put: {{{FORWARD}}}\n  \
         head: {{{FORWARD}}}\n  delete: {{security: [{{NONE: []}}], {FORWARD}}}\n \
         /q: {{x-amazon-apigateway-any-method: {{{FORWARD}}}}}"
    );
    let imported = import(&export(&paths, ""));
    let open = imported
        .findings
        .iter()
        .filter(|f| f.code == Code::OpenWrite);
    let open: Vec<_> = open.filter_map(|f| f.operation.as_deref()).collect();
    assert_eq!(open, ["PUT /p", "DELETE /p", "ANY /q"]);
}

#[test]
fn two_pools_and_another_field_are_read() {
    let imported = import(&secured("[{elsewhere: [a]}]"));
    assert_eq!(
        lines(&imported, "issuer")[2],
        "[\"eu-west-1_AbC1\", \"us-east-1_Two2\"]"
    );
    assert_eq!(lines(&imported, "token_from"), ["[\"header:x-token\"]"]);
    let imported = import(&secured("[{oidc: [r/a]}]"));
    assert_eq!(lines(&imported, "token_from"), ["[\"query:token\"]"]);
    assert_eq!(
        lines(&imported, "issuer")[0],
        "\"https://login.example.com/t\""
    );
    assert_eq!(lines(&imported, "audience"), ["[\"a\", \"b\"]"]);
    assert_eq!(
        lines(&import(&secured("[{client: []}]")), "audience"),
        ["\"abc\""]
    );
}

#[test]
fn options_name_what_the_document_does_not_say() {
    let mut options = options();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    options.issuers.extend([
        pair("relative", "https://idp.example.com/r"),
        pair("bearer", "https://idp.example.com/b"),
    ]);
    options
        .audiences
        .insert("bearer".to_owned(), vec!["api".to_owned()]);
    options.variables.extend([pair("pool", POOL)]);
    for (security, issuer) in [
        ("[{relative: [r/a]}]", "\"https://idp.example.com/r\""),
        ("[{bearer: [r/a]}]", "\"https://idp.example.com/b\""),
        (
            "[{variable: [r/a]}]",
            "\"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC1\"",
        ),
    ] {
        let imported = import_with(&secured(security), &options);
        assert_eq!(lines(&imported, "issuer")[0], issuer);
        assert_eq!(lines(&imported, "methods"), ["{ GET = \"r/a\" }"]);
    }
}
