use super::*;

/// Returns a document with one operation, whose `security` is a text of YAML.
fn document(security: &str) -> String {
    format!(
        "openapi: 3.0.3\ninfo: {{title: test}}\nservers: [{{url: 'https://api.example.com/v1'}}]\n\
         paths: {{/p: {{get: {{security: {security}}}}}}}\ncomponents:\n securitySchemes:\n  \
         oidc: {{type: openIdConnect, openIdConnectUrl: 'https://idp.example.com/.well-known/openid-configuration'}}\n  \
         oauth: {{type: oauth2, flows: {{}}}}\n  bearer: {{type: http, scheme: Bearer}}\n  \
         basic: {{type: http, scheme: basic}}\n  key: {{type: apiKey, name: x-key, in: header}}\n  \
         raw: {{type: apiKey, name: Authorization, in: header}}\n"
    )
}

fn options() -> Options {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut options = super::options();
    options.issuers.extend([
        pair("oauth", "https://as.example.com"),
        pair("raw", "https://as.example.com"),
    ]);
    options
}

fn import(text: &str, options: &Options) -> Imported {
    let document = read(text.as_bytes()).unwrap();
    let api = Api::read(&document, &options.variables).unwrap();
    let translation = plain::translate(&api, options);
    written(translation.unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// Returns what `GET` requires, and the names of the findings but for that about the audience.
fn get(security: &str) -> (String, String) {
    let imported = import(&document(security), &options());
    let inline = lines(&imported, "methods");
    let inline = inline
        .first()
        .and_then(|line| line.strip_prefix("{ GET = ")?.strip_suffix(" }"));
    let get = inline
        .map(str::to_owned)
        .or_else(|| lines(&imported, "GET").first().map(|l| (*l).to_owned()));
    let names = names(&imported).replace("issuer-audience", "");
    (get.unwrap_or_default(), names.trim().to_owned())
}

#[test]
fn requirements_are_read_as_openapi_defines_them() {
    for (security, expected, found) in [
        ("[{oidc: [a]}]", "\"a\"", ""),
        ("[{oidc: [a, b]}]", "{ all = [\"a\", \"b\"] }", ""),
        (
            "[{oidc: [a]}, {oidc: [b, c]}]",
            "{ any = [\"a\", { all = [\"b\", \"c\"] }] }",
            "",
        ),
        ("[{oidc: []}]", "{ authenticated = true }", ""),
        ("[{oidc: [a]}, {oidc: []}]", "{ authenticated = true }", ""),
        ("[]", "{ public = true }", "open-document"),
        ("[{oidc: [a]}, {}]", "{ public = true }", "open-document"),
        ("[{oidc: [a]}, {key: []}]", "\"a\"", "narrowed"),
        ("[{oidc: [a]}, {oauth: [a]}]", "\"a\"", ""),
        ("[{oidc: [a]}, {oauth: [b]}]", "\"a\"", "narrowed"),
        ("[{oidc: [a], oauth: [a]}]", DENIED, "several-authorizers"),
        ("[{oauth: [a], raw: [b]}]", "{ all = [\"a\", \"b\"] }", ""),
        ("[{oidc: [a], key: []}]", DENIED, "api-key"),
        ("[{key: []}]", DENIED, "api-key"),
        ("[{basic: []}]", DENIED, "unknown-authorizer"),
        ("[{bearer: []}]", DENIED, "unknown-issuer"),
        ("[{nowhere: []}]", DENIED, "undefined-scheme"),
        ("[{oidc: ['a b']}]", DENIED, "bad-scope"),
        ("{oidc: []}", DENIED, "unreadable-requirement"),
    ] {
        assert_eq!(
            get(security),
            (expected.to_owned(), found.to_owned()),
            "{security}"
        );
    }
}

#[test]
fn a_scope_counts_for_its_own_issuer_alone() {
    let same = import(&document("[{oidc: [a]}, {oauth: [a]}]"), &options());
    assert_eq!(
        lines(&same, "issuer")[2],
        "[\"idp-example-com\", \"as-example-com\"]"
    );
    let other = import(&document("[{oidc: [a]}, {oauth: [b]}]"), &options());
    assert_eq!(
        lines(&other, "issuer"),
        ["\"https://idp.example.com\"", "\"idp-example-com\""]
    );
}

#[test]
fn the_first_server_is_the_upstream() {
    let imported = import(&document("[]"), &options());
    assert_eq!(lines(&imported, "url"), ["\"https://api.example.com\""]);
    assert_eq!(lines(&imported, "prefix"), ["\"/v1\""]);
    assert_eq!(lines(&imported, "strip"), ["false"]);
    assert!(lines(&imported, "head").is_empty() && lines(&imported, "profile").is_empty());
    let nowhere = import("swagger: '2.0'\npaths: {/p: {get: {}}}", &options());
    assert_eq!(names(&nowhere), "no-server open-document");
}

#[test]
fn the_audience_is_the_address_unless_it_is_named() {
    let mut options = options();
    let imported = import(&document("[{oidc: [a]}]"), &options);
    assert_eq!(
        lines(&imported, "audience"),
        ["\"https://api.example.com/v1\""]
    );
    assert_eq!(names(&imported), "issuer-audience");
    options
        .audiences
        .insert("oidc".to_owned(), vec!["api".to_owned()]);
    let imported = import(&document("[{oidc: [a]}]"), &options);
    assert_eq!(
        (&*lines(&imported, "audience"), &*names(&imported)),
        (&["\"api\""][..], "")
    );
}
