//! `scopegate lint --openapi`: what a configuration and a document do not have in common.

use serde_json::Value;

use crate::support::Folder;

const CONFIG: &str = "\
[issuers.idp]
issuer = \"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Orders001\"
audience = \"api\"
jwks_file = \"keys.json\"
[upstreams.orders]
url = \"http://orders:8080\"
";

/// An export with one group of requirements: any of two scopes, one scope, and none.
const EXPORT: &str = "\
openapi: 3.0.1
info: {title: orders, version: '1'}
servers:
- url: https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/{basePath}
  variables: {basePath: {default: /dev}}
paths:
  /orders:
    get:
      security: [{pool: [orders/read, orders/admin]}]
    post:
      security: [{pool: [orders/write]}]
  /orders/{id}:
    get:
      security: [{pool: [orders/read]}]
  /health:
    get: {}
components:
  securitySchemes:
    pool:
      type: apiKey
      name: Authorization
      in: header
      x-amazon-apigateway-authtype: cognito_user_pools
      x-amazon-apigateway-authorizer:
        type: cognito_user_pools
        providerARNs: ['arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_Orders001']
";

const PLAIN: &str = "\
openapi: 3.0.3
info: {title: orders, version: '1'}
servers:
- url: https://api.example.com/v1
paths:
  /orders:
    get:
      security: [{oauth: [read, list]}]
    post:
      security: [{oauth: [write]}, {oauth: [admin]}]
components:
  securitySchemes:
    oauth:
      type: oauth2
      flows:
        clientCredentials:
          tokenUrl: https://id.example.com/token
          scopes: {read: Read, list: List, write: Write, admin: All, spare: Nothing}
";

fn folder(routes: &str, document: &str) -> Folder {
    let folder = Folder::new();
    folder.write(
        "keys.json",
        &format!("{{\"keys\": [{}]}}", folder.key.jwk()),
    );
    folder.write("gateway.toml", &format!("{CONFIG}{routes}"));
    folder.write("api.yaml", document);
    folder
}

fn group(routes: &str) -> String {
    format!("[[groups]]\nprefix = \"/dev\"\nupstream = \"orders\"\n{routes}")
}

fn route(path: &str, more: &str) -> String {
    format!("[[groups.routes]]\npath = \"{path}\"\n{more}\n")
}

/// Returns the exit code and the text.
#[track_caller]
fn lint(folder: &Folder, more: &[&str]) -> (Option<i32>, String) {
    let output = folder.run(&[&["lint", "--openapi", "api.yaml"], more].concat(), &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(errors.is_empty() || text.is_empty(), "{text}{errors}");
    (output.status.code(), text + &errors)
}

fn agreeing() -> String {
    group(
        &[
            route(
                "/orders",
                "methods = { GET = { any = [\"orders/read\", \"orders/admin\"] }, POST \
                          = \"orders/write\" }",
            ),
            route("/orders/{number}", "methods = { GET = \"orders/read\" }"),
            route("/health", "methods = [\"GET\"]\npublic = true"),
        ]
        .concat(),
    )
}

#[test]
fn a_configuration_that_says_the_same_as_an_export_has_no_difference() {
    assert_eq!(
        lint(&folder(&agreeing(), EXPORT), &[]),
        (
            Some(0),
            "gateway.toml and api.yaml, with 4 operations: no difference\n".to_owned()
        )
    );
}

// As `import` writes it: the root of a stage has two routes, and what it cannot translate is
// denied.
#[test]
fn a_root_with_two_routes_and_a_denied_operation_are_no_difference() {
    let document = EXPORT.replace(
        "  /health:\n    get: {}",
        "  /:\n    get:\n      security: [{pool: [orders/read]}]\n  /health:\n    get: {}",
    );
    let read = "methods = { GET = \"orders/read\" }";
    let routes = agreeing() + &route("", read) + &route("/", read);
    let denied = "methods = { GET = { deny = true } }";
    for (health, end) in [
        ("methods = [\"GET\"]\npublic = true", "no difference\n"),
        (denied, "no difference; 1 operation is denied\n"),
    ] {
        let routes = routes.replace("methods = [\"GET\"]\npublic = true", health);
        let (code, text) = lint(&folder(&routes, &document), &[]);
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.ends_with(&format!("with 5 operations: {end}")),
            "{text}"
        );
    }
}

#[test]
fn each_difference_is_a_line_with_its_place() {
    let routes = group(
        &[
            route(
                "/orders",
                "methods = { GET = \"orders/read\", DELETE = \"orders/delete\" }",
            ),
            route("/orders/new", "methods = [\"GET\"]\nauthenticated = true"),
            route("/orders/{number}", "methods = { GET = \"orders/read\" }"),
        ]
        .concat(),
    );
    let (code, text) = lint(&folder(&routes, EXPORT), &[]);
    assert_eq!(code, Some(4), "{text}");
    let expected = "\
api.yaml:13:5: GET /dev/orders/{id}: the document asks for orders/read, and the route \
/dev/orders/new at gateway.toml:14:8 for any valid token
api.yaml:10:5: POST /dev/orders: no route answers it
api.yaml:16:5: GET /dev/health: no route answers it
gateway.toml:11:8: DELETE /dev/orders: no operation of the document describes it
gateway.toml:11:8: scope \"orders/delete\": the route /dev/orders asks for it, and the document \
does not know it
api.yaml:8:5: scope \"orders/admin\": no route asks for it
api.yaml:10:5: scope \"orders/write\": no route asks for it

gateway.toml and api.yaml, with 4 operations: 7 differences
";
    assert_eq!(text, expected);
}

// The same list of scopes is any of them for API Gateway, and all of them for OpenAPI.
#[test]
fn a_list_of_scopes_is_read_as_its_language_reads_it() {
    let any = "methods = { GET = { any = [\"read\", \"list\"] } }";
    let all = "methods = { GET = { all = [\"read\", \"list\"] } }";
    let with = |get: &str| {
        let post = "methods = { POST = { any = [\"write\", \"admin\"] } }";
        format!(
            "[[groups]]\nprefix = \"/v1\"\nupstream = \"orders\"\n{}{}",
            route("/orders", get),
            route("/orders", post)
        )
    };
    let (code, text) = lint(&folder(&with(all), PLAIN), &[]);
    let spare = "api.yaml:18:70: scope \"spare\": no route asks for it\n";
    assert_eq!(
        (code, text.lines().next().unwrap()),
        (Some(4), spare.trim_end()),
        "{text}"
    );
    let (code, text) = lint(&folder(&with(any), PLAIN), &[]);
    assert_eq!(code, Some(4));
    assert!(
        text.starts_with(
            "api.yaml:7:5: GET /v1/orders: the document asks for read and list, and the route \
             /v1/orders at gateway.toml:11:8 for read or list\n"
        ),
        "{text}"
    );
}

#[test]
fn the_base_path_can_be_another_one() {
    let folder = folder(
        &agreeing().replace("prefix = \"/dev\"", "prefix = \"/live\""),
        EXPORT,
    );
    let help = "\nhelp: try --prefix /live: 4 of 4 have a route there\n";
    let (code, text) = lint(&folder, &[]);
    assert!(code == Some(4) && text.ends_with(help), "{text}");
    assert_eq!(lint(&folder, &["--prefix", "/live"]).0, Some(0));
    let (_, text) = lint(&folder, &["--json"]);
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["try_prefix"], "/live");
    // As an import with `--basepath ignore` writes it.
    folder.write(
        "gateway.toml",
        &format!("{CONFIG}{}", agreeing().replace("prefix = \"/dev\"\n", "")),
    );
    let (_, text) = lint(&folder, &[]);
    assert!(text.contains("help: try --prefix /: 4 of 4"), "{text}");
    assert_eq!(lint(&folder, &["--prefix", "/"]).0, Some(0));
    // No prefix helps where one operation has its route already.
    folder.write("gateway.toml", &format!("{CONFIG}{}", agreeing()));
    assert!(!lint(&folder, &[]).1.contains("help"));
}

// A response to HEAD has the fields of the response to GET.
#[test]
fn a_public_head_beside_a_closed_get_is_weaker() {
    let open = agreeing().replace(
        "GET = { any = [\"orders/read\", \"orders/admin\"] }",
        "GET = \"orders/read\", HEAD = { public = true }",
    );
    let (code, text) = lint(&folder(&open, EXPORT), &[]);
    assert_eq!(code, Some(4));
    let line = "api.yaml:8:5: HEAD /dev/orders: the document asks for orders/read or orders/admin, \
                and the route /dev/orders at gateway.toml:11:8 is public\n";
    assert!(text.starts_with(line), "{text}");
}

// They are access control, which a route without a token does not have.
#[test]
fn restrictions_of_the_whole_api_are_compared() {
    let policy = "x-amazon-apigateway-policy:\n  Version: '2012-10-17'\n  Statement:\n  - {Effect: \
                  Allow, Principal: '*', Action: 'execute-api:Invoke', Resource: '*', Condition: \
                  {IpAddress: {'aws:SourceIp': 192.0.2.0/24}}}\n";
    let private = "x-amazon-apigateway-endpoint-configuration: {types: [PRIVATE]}\n";
    let disabled =
        "x-amazon-apigateway-endpoint-configuration: {disableExecuteApiEndpoint: true}\n";
    for (extension, asks) in [
        (policy, "a caller whom the resource policy allows"),
        (private, "a caller inside of its private network"),
        (
            disabled,
            "another address, because its endpoint is turned off",
        ),
    ] {
        let folder = folder(&agreeing(), &format!("{EXPORT}{extension}"));
        let (code, text) = lint(&folder, &[]);
        assert_eq!(code, Some(4), "{text}");
        let line = format!(
            "api.yaml:16:5: GET /dev/health: the document asks for {asks}, and the route \
             /dev/health at gateway.toml:17:8 is public\n\ngateway.toml and"
        );
        assert!(text.starts_with(&line), "{text}");
        // Enforced elsewhere.
        assert_eq!(lint(&folder, &["--accept", "resource-policy"]).0, Some(0));
    }
}

#[test]
fn other_issuers_and_id_tokens_are_named() {
    let folder = folder(&agreeing(), EXPORT);
    let toml = format!("{CONFIG}{}", agreeing());
    let other = toml.replace("eu-west-1_Orders001", "eu-west-1_Other0001");
    folder.write("gateway.toml", &other);
    let (code, text) = lint(&folder, &[]);
    assert_eq!(code, Some(4));
    assert!(
        text.starts_with(
            "api.yaml:8:5: GET /dev/orders: the document takes tokens of \
             https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Orders001, and the route \
             /dev/orders at gateway.toml:11:8 tokens of \
             https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other0001\n"
        ),
        "{text}"
    );
    folder.write(
        "gateway.toml",
        &toml.replace(
            "audience = \"api\"",
            "audience = \"api\"\ntoken_use = \"id\"",
        ),
    );
    let (code, text) = lint(&folder, &[]);
    assert_eq!(code, Some(4));
    assert!(
        text.starts_with(
            "api.yaml:8:5: GET /dev/orders: the document takes access tokens, and the route \
             /dev/orders at gateway.toml:12:8 ID tokens\n"
        ),
        "{text}"
    );
}

// The scopes are compared where the pool is not known; a value makes it known.
#[test]
fn a_pool_may_be_named_by_a_stage_variable() {
    let document = EXPORT.replace("eu-west-1_Orders001", "${stageVariables.pool}");
    let open = agreeing().replace("orders/read", "orders/other");
    let (code, text) = lint(&folder(&open, &document), &[]);
    assert_eq!(code, Some(4));
    assert!(
        text.contains("GET /dev/orders/{id}: the document asks for orders/read, and the route"),
        "{text}"
    );
    let agrees = folder(&agreeing(), &document);
    assert_eq!(lint(&agrees, &[]).0, Some(0));
    let own = ["--stage-var", "pool=eu-west-1_Orders001"];
    assert_eq!(lint(&agrees, &own).0, Some(0));
    let (_, text) = lint(&agrees, &["--stage-var", "pool=eu-west-1_Other0001"]);
    assert!(text.contains("the document takes tokens of"), "{text}");
}

// The API answers nobody there, as the gateway does without a route.
#[test]
fn a_default_route_without_an_integration_needs_no_route() {
    let method = "x-amazon-apigateway-any-method";
    let empty = format!("  /$default:\n    {method}: {{isDefaultRoute: true}}\ncomponents:");
    let document = EXPORT.replace("components:", &empty);
    let document = document.replace("/$default", "$default");
    assert_eq!(lint(&folder(&agreeing(), &document), &[]).0, Some(0));
    let integration = "{isDefaultRoute: true, x-amazon-apigateway-integration: {type: http_proxy, \
                       httpMethod: ANY, uri: 'https://a.example.com'}}";
    let document = document.replace("{isDefaultRoute: true}", integration);
    let (code, text) = lint(&folder(&agreeing(), &document), &[]);
    assert!(
        code == Some(4) && text.contains("/dev/**: no route"),
        "{text}"
    );
}

#[test]
fn json_has_the_same_differences() {
    let routes = group(&route("/orders", "methods = { GET = \"orders/other\" }"));
    let (code, text) = lint(&folder(&routes, EXPORT), &["--json"]);
    assert_eq!(code, Some(4));
    let object: Value = serde_json::from_str(&text).unwrap();
    let differences = object["differences"].as_array().unwrap();
    assert_eq!(
        differences[0],
        serde_json::json!({
            "kind": "weaker_route", "methods": ["GET"], "path": "/dev/orders", "example": null,
            "scope": null, "route": "/dev/orders", "route_place": "gateway.toml:11:8",
            "document": "orders/read or orders/admin", "configuration": "orders/other",
            "place": "api.yaml:8:5",
        })
    );
    let kinds: Vec<_> = differences
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "weaker_route",
            "operation_without_route",
            "operation_without_route",
            "operation_without_route",
            "unknown_scope",
            "unused_scope",
            "unused_scope",
            "unused_scope",
        ]
    );
    assert_eq!(
        (&object["operations"], &object["denied"]),
        (&4.into(), &0.into())
    );
    let denied = agreeing().replace("\npublic = true", "\ndeny = true");
    let (code, text) = lint(&folder(&denied, EXPORT), &["--json"]);
    assert_eq!(code, Some(0));
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        object,
        serde_json::json!({
            "operations": 4, "denied": 1, "differences": [], "try_prefix": null,
        })
    );
}

#[test]
fn the_configuration_is_found_as_other_commands_find_it() {
    let folder = folder("", EXPORT);
    folder.write("good.toml", &format!("{CONFIG}{}", agreeing()));
    assert_eq!(lint(&folder, &["-c", "good.toml"]).0, Some(0));
    let variable = [("SCOPEGATE_CONFIG", "good.toml")];
    let output = folder.run(&["lint", "--openapi", "api.yaml"], &variable);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn what_cannot_be_read_is_an_error_and_no_difference() {
    let folder = folder(
        &agreeing(),
        "openapi: 3.0.1\npaths: {/a: {get: {}, get: {}}}\n",
    );
    let (code, text) = lint(&folder, &[]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("error: api.yaml:2:"), "{text}");
    for (document, says) in [
        ("openapi: 3.0.1\npaths: {}\n", "no operation"),
        (
            "Resources: {A: {Type: 'AWS::Serverless::Api'}}\n",
            "get-export",
        ),
        ("", "empty"),
    ] {
        folder.write("api.yaml", document);
        let (code, text) = lint(&folder, &[]);
        assert!(code == Some(1) && text.contains(says), "{document}: {text}");
    }
    std::fs::remove_file(folder.path("api.yaml")).unwrap();
    assert_eq!(lint(&folder, &[]).0, Some(1));
    folder.write("api.yaml", EXPORT);
    folder.write("gateway.toml", "nothing = 1\n");
    let (code, text) = lint(&folder, &[]);
    assert!(
        code == Some(1) && text.contains("gateway.toml:1:1"),
        "{text}"
    );
    let output = folder.run(&["lint"], &[]);
    assert_eq!(output.status.code(), Some(2));
}

// An imported configuration agrees with its document.
#[test]
fn an_import_has_no_difference_from_its_document() {
    let tables = crate::import_table::Table::all();
    let mut compared = 0;
    for table in tables.iter().filter(|table| table.exit == Some(0)) {
        let document = std::path::Path::new(crate::import_table::DIRECTORY).join(&table.document);
        let document = std::fs::canonicalize(document).unwrap();
        let folder = Folder::new();
        let mut command = crate::support::scopegate(&["import"]);
        let output = command
            .args(&table.command)
            .arg(&document)
            .output()
            .unwrap();
        std::fs::write(folder.path("gateway.toml"), output.stdout).unwrap();
        let document = document.to_str().unwrap();
        let mut lint = vec!["lint", "--openapi", document];
        if table.command.iter().any(|word| word == "--accept") {
            lint.extend(["--accept", "resource-policy"]);
        }
        let mut words = table.command.iter();
        while let Some(word) = words.next() {
            if word == "--var" {
                lint.extend(["--stage-var", words.next().unwrap()]);
            }
        }
        let output = folder.run(&lint, &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        // What the importer leaves out, such as an operation without an integration, is a
        // difference; one that matters would be a route that asks for less.
        assert!(
            !text.contains("the document asks for") && !text.contains("the document takes"),
            "{}: {text}",
            table.name
        );
        compared += 1;
    }
    assert!(compared > 10);
}

// A route for every path answers each operation, whatever its prefix.
#[test]
fn a_prefix_is_proposed_where_a_default_route_answers_everything() {
    let document = EXPORT.replace(
        "  /health:\n    get: {}",
        "  /$default:\n    x-amazon-apigateway-any-method: {x-amazon-apigateway-integration: \
         {type: http_proxy, uri: 'http://orders/'}}",
    );
    let config = agreeing()
        .replace("prefix = \"/dev\"\n", "")
        .replace("\"/health\"", "\"/**\"")
        .replace("methods = [\"GET\"]\npublic", "methods = \"ANY\"\npublic");
    let folder = folder(&config, &document);
    let (code, text) = lint(&folder, &[]);
    assert!(
        code == Some(4) && text.contains("help: try --prefix /: "),
        "{text}"
    );
    let (_, text) = lint(&folder, &["--prefix", "/"]);
    assert!(!text.contains("help"), "{text}");
}
