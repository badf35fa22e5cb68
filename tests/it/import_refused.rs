//! Documents that `scopegate import` refuses: an error with its place, exit code 1, and never a
//! part of a file on standard output.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::Folder;

/// The greatest size of a document, which is also that of an import into API Gateway.
const MAX_BYTES: usize = 6 << 20;

/// Imports a document, and returns the exit code, the output and the messages.
fn import(name: &str, text: &[u8]) -> (Option<i32>, String, String) {
    let folder = Folder::new();
    std::fs::write(folder.path(name), text).unwrap();
    let output = folder.run(&["import", "apigateway", name], &[]);
    let [out, errors] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), out, errors)
}

/// Checks that a document is refused with a place and these words.
#[track_caller]
fn refused(name: &str, text: &str, words: &[&str]) {
    let (code, out, errors) = import(name, text.as_bytes());
    let shown: String = text.chars().take(300).collect();
    assert_eq!((code, out.as_str()), (Some(1), ""), "{shown}\n{errors}");
    assert!(has_place(&errors, name), "no place: {shown}\n{errors}");
    for word in words {
        assert!(errors.contains(word), "no {word:?}: {shown}\n{errors}");
    }
    let longest = errors.lines().map(str::len).max();
    assert!(longest < Some(4096), "{shown}: a line of {longest:?} bytes");
}

/// Returns whether a text has the file with a line and a column.
fn has_place(text: &str, name: &str) -> bool {
    text.match_indices(&format!("{name}:")).any(|(at, found)| {
        let mut numbers = text[at + found.len()..].split(|c: char| !c.is_ascii_digit());
        let mut is_number = || numbers.next().is_some_and(|number| !number.is_empty());
        is_number() && is_number()
    })
}

#[track_caller]
fn accepted(name: &str, text: &str) -> String {
    let (code, out, errors) = import(name, text.as_bytes());
    assert!(code == Some(0) && !out.is_empty(), "{code:?} {errors}");
    out
}

/// A document with one protected operation, which a test spoils.
fn good() -> Value {
    let pool = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_Orders001";
    json!({
        "openapi": "3.0.1",
        "info": {"title": "orders", "version": "1"},
        "paths": {"/orders": {"get": operation("http://backend.example.com/orders")}},
        "components": {"securitySchemes": {"pool": {
            "type": "apiKey", "name": "Authorization", "in": "header",
            "x-amazon-apigateway-authtype": "cognito_user_pools",
            "x-amazon-apigateway-authorizer": {
                "type": "cognito_user_pools", "providerARNs": [pool],
            },
        }}},
    })
}

fn operation(uri: &str) -> Value {
    json!({
        "security": [{"pool": ["orders/read"]}],
        "x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "GET", "uri": uri},
    })
}

fn with(pointer: &str, key: &str, value: Value) -> String {
    let mut document = good();
    document.pointer_mut(pointer).unwrap()[key] = value;
    serde_json::to_string_pretty(&document).unwrap()
}

/// Returns the good document as YAML, with these lines at its end.
fn yaml(more: &str) -> String {
    let mut text = String::from("openapi: 3.0.1\ninfo: {title: orders, version: '1'}\npaths:\n");
    text.push_str(&format!("  /orders: {}\n", good()["paths"]["/orders"]));
    text.push_str(&format!("components: {}\n{more}", good()["components"]));
    text
}

#[test]
fn the_documents_that_these_tests_spoil_are_good() {
    accepted("api.json", &good().to_string());
    accepted("api.yaml", &yaml(""));
}

#[test]
fn a_document_may_have_six_mebibytes_and_no_more() {
    let filled = |bytes: usize| {
        let text = with("/info", "description", json!("x"));
        let padding = bytes - text.len();
        text.replace("\"x\"", &format!("\"x{}\"", "x".repeat(padding)))
    };
    assert_eq!(filled(MAX_BYTES).len(), MAX_BYTES);
    accepted("api.json", &filled(MAX_BYTES));
    for name in ["api.json", "api.yaml"] {
        let (code, out, errors) = import(name, filled(MAX_BYTES + 1).as_bytes());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{errors}");
        assert!(
            errors.contains(name) && errors.contains("6 MiB"),
            "{errors}"
        );
    }
}

#[test]
fn deep_nesting_is_an_error_in_either_language() {
    let deep = |open: &str, close: &str, depth: usize| {
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    };
    let json = |nested: &str| with("/info", "x-deep", json!("?")).replace("\"?\"", nested);
    accepted("api.json", &json(&deep("[", "]", 20)));
    accepted("api.json", &json(&deep("{\"a\":", "}", 20)));
    for depth in [1000, 200_000] {
        refused("api.json", &json(&deep("[", "]", depth)), &["levels"]);
        refused("api.json", &json(&deep("{\"a\":", "}", depth)), &["levels"]);
        refused(
            "api.yaml",
            &yaml(&format!("x-deep: {}\n", deep("[", "]", depth))),
            &["levels"],
        );
        refused(
            "api.yaml",
            &yaml(&format!("x-deep: {}\n", deep("{a: ", "}", depth))),
            &["levels"],
        );
        refused(
            "api.yaml",
            &yaml(&format!("x-deep:\n {}\n", deep("- ", "", depth))),
            &["levels"],
        );
    }
    let mut block = String::from("x-deep:\n");
    for depth in 1..1000 {
        block.push_str(&format!("{}a:\n", " ".repeat(depth)));
    }
    refused("api.yaml", &yaml(&block), &["levels"]);
}

// A few hundred bytes that stand for more nodes than a machine has memory.
#[test]
fn aliases_that_multiply_are_an_error() {
    let mut bomb = String::from("x-bomb:\n  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("  a{level}: &a{level} [{before}]\n"));
    }
    refused("api.yaml", &yaml(&bomb), &["alias"]);
    let mut merged = String::from("x-bomb:\n  m0: &m0 {k: 1}\n");
    for level in 1..40 {
        let before = level - 1;
        merged.push_str(&format!(
            "  m{level}: &m{level} {{<<: [*m{before}, *m{before}], a: *m{before}, b: *m{before}}}\n"
        ));
    }
    refused("api.yaml", &yaml(&merged), &["alias"]);
    // One anchor of some size and many aliases of it.
    let large = format!(
        "x-large: &large [{}]\nx-many:\n",
        vec!["1"; 20_000].join(",")
    );
    let many = "- *large\n".repeat(20_000);
    refused("api.yaml", &yaml(&(large + &many)), &["alias"]);
    for wrong in ["x-a: *nowhere\n", "x-a: &a [*a]\n", "x-a: &a {<<: *a}\n"] {
        refused("api.yaml", &yaml(wrong), &[]);
    }
    accepted(
        "api.yaml",
        &yaml("x-a: &a [1, 2]\nx-b: *a\nx-c: &a [3]\nx-d: *a\n"),
    );
}

#[test]
fn a_key_that_is_there_twice_is_an_error_at_its_second_place() {
    let text = serde_json::to_string_pretty(&good()).unwrap();
    let security = "\"security\": [";
    let twice = text.replace(security, "\"security\": [],\n\"security\": [");
    refused("api.json", &twice, &["security"]);
    let escaped = text.replace(security, "\"s\\u0065curity\": [],\n\"security\": [");
    refused("api.json", &escaped, &["security"]);
    let path = "\"/orders\": {";
    refused(
        "api.json",
        &text.replace(path, "\"/orders\": {}, \"/orders\": {"),
        &["/orders"],
    );
    refused(
        "api.json",
        &text.replace("\"info\": {", "\"info\": {}, \"info\": {"),
        &["info"],
    );
    refused("api.yaml", &yaml("paths: {}\n"), &["paths"]);
    refused("api.yaml", &yaml("'paths': {}\n"), &["paths"]);
    refused("api.yaml", &yaml("\"p\\x61ths\": {}\n"), &["paths"]);
    refused("api.yaml", &yaml("? paths\n: {}\n"), &["paths"]);
    refused("api.yaml", &yaml("x-a: {b: 1, b: 2}\n"), &["b"]);
    // A merged key is no second one.
    accepted("api.yaml", &yaml("x-a: &a {b: 1}\nx-c: {<<: *a, b: 2}\n"));
}

#[test]
fn references_that_loop_are_an_error() {
    let item = |at: &str| json!({ "$ref": at });
    for (pointer, key, value) in [
        ("/paths", "/loop", item("#/paths/~1loop")),
        ("/paths", "/loop", item("#/x-a")),
        (
            "/paths/~1orders/get",
            "x-amazon-apigateway-integration",
            item("#/x-a"),
        ),
        ("/components/securitySchemes", "pool", item("#/x-a")),
    ] {
        let mut document: Value = serde_json::from_str(&with(pointer, key, value)).unwrap();
        document["x-a"] = item("#/x-b");
        document["x-b"] = item("#/x-a");
        let text = serde_json::to_string_pretty(&document).unwrap();
        refused("api.json", &text, &["$ref"]);
        document["x-b"] = item("#/nowhere");
        let text = serde_json::to_string_pretty(&document).unwrap();
        refused("api.json", &text, &["$ref"]);
    }
    // A type that contains itself is no loop for the importer, which reads no types.
    let node = json!({"properties": {"next": {"$ref": "#/components/schemas/node"}}});
    accepted(
        "api.json",
        &with("/components", "schemas", json!({ "node": node })),
    );
}

#[test]
fn a_reference_to_another_place_is_an_error_and_is_never_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let remote = format!("http://{}/api.json#/a", listener.local_addr().unwrap());
    for at in [
        remote.as_str(),
        "https://example.com/a.json",
        "other.json#/a",
        "file:///etc/passwd",
    ] {
        for (pointer, key) in [
            ("/paths", "/remote"),
            ("/paths/~1orders/get", "x-amazon-apigateway-integration"),
            ("/components/securitySchemes", "pool"),
        ] {
            let text = with(pointer, key, json!({ "$ref": at }));
            refused("api.json", &text, &["$ref"]);
        }
        // Types are not read, wherever they are.
        let schemas = json!({ "node": { "$ref": at } });
        accepted("api.json", &with("/components", "schemas", schemas));
    }
    let connected = listener.accept();
    assert!(connected.is_err(), "{remote} was fetched");
}

/// Texts that end a string, a comment or a line of TOML, and begin something else.
const HOSTILE: [&str; 8] = [
    "a\n[[routes]]\npath = \"/evil\"\nupstream = \"u\"\nmethods = \"ANY\"\npublic = true\n",
    "a\r\npublic = true",
    "a\"\npublic = true #",
    "a'''\npublic = true",
    "a\u{0}b",
    "a\u{85}b\u{2028}c",
    "a\u{1b}[2Jb",
    "a\u{202e}b",
];

// A name that no table of the output can have is an error, and one of a comment is written without
// what would end the comment.
#[test]
fn control_characters_in_names_never_end_a_line_of_the_output() {
    for hostile in HOSTILE {
        let scheme = {
            let mut document = good();
            let pool = document["components"]["securitySchemes"]["pool"].take();
            document["components"]["securitySchemes"] = json!({ hostile: pool });
            document["paths"]["/orders"]["get"]["security"] = json!([{ hostile: ["orders/read"] }]);
            document.to_string()
        };
        let path = format!("/a{hostile}");
        let uri = format!("http://{hostile}.example.com/x");
        let get = "/paths/~1orders/get";
        let security = json!([{ "pool": [hostile] }]);
        let documents = [
            scheme,
            with(
                "/paths",
                &path,
                json!({ "get": operation("http://backend.example.com/x") }),
            ),
            with("/paths/~1orders", "get", operation(&uri)),
            with(get, "security", security),
            with(get, "operationId", json!(hostile)),
            with(get, "summary", json!(hostile)),
            with("/info", "title", json!(hostile)),
            with("/info", "description", json!(hostile)),
            with("/components/securitySchemes/pool", "name", json!(hostile)),
        ];
        for text in documents {
            let (code, out, errors) = import("api.json", text.as_bytes());
            let is_error = code == Some(1) && out.is_empty() && has_place(&errors, "api.json");
            assert!(
                is_error || is_harmless(&out),
                "{text}\n{code:?}\n{out}\n{errors}"
            );
            let control = errors.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(control, None, "{errors:?}");
        }
    }
}

/// Returns whether a configuration can be read, has no control characters, and opens nothing.
fn is_harmless(toml: &str) -> bool {
    let Ok(config) = scopegate::config::Config::parse(toml, "gateway.toml") else {
        return false;
    };
    let policy = scopegate::config::effective_policy(&config);
    let is_plain = |c: char| c == '\n' || scopegate::config::is_printable(c);
    !policy.contains("public") && !policy.contains("/evil") && toml.chars().all(is_plain)
}

#[test]
fn operations_that_collide_are_an_error_at_their_places() {
    let two = |one: &str, other: &str| {
        let mut document = good();
        for path in [one, other] {
            document["paths"][path] = json!({ "get": operation("http://backend.example.com/x") });
        }
        serde_json::to_string_pretty(&document).unwrap()
    };
    for (one, other) in [
        ("/a/{x-y}", "/a/{x.y}"),
        ("/a/{id}", "/a/{name}"),
        ("/a/{p+}", "/a/{q+}"),
        ("/a/%62", "/a/b"),
    ] {
        refused("api.json", &two(one, other), &[other]);
    }
    refused(
        "api.json",
        &with(
            "/paths",
            "/x/{a:b}/{a.b}",
            json!({ "get": operation("http://b.example.com/") }),
        ),
        &[],
    );
    accepted("api.json", &two("/a/{x-y}", "/b/{x.y}"));
}

#[test]
fn what_is_no_document_is_an_error() {
    for (name, text) in [
        ("api.json", ""),
        ("api.json", " \n"),
        ("api.json", "null"),
        ("api.json", "[]"),
        ("api.json", "7"),
        ("api.json", "{}"),
        ("api.json", "{\"openapi\": \"3.0.1\""),
        ("api.json", "{\"openapi\": 3}"),
        ("api.json", "{\"openapi\": \"2.9\", \"paths\": {}}"),
        ("api.json", "{\"swagger\": \"1.2\", \"paths\": {}}"),
        (
            "api.json",
            "{\"openapi\": \"3.0.1\", \"swagger\": \"2.0\", \"paths\": {}}",
        ),
        ("api.json", "{\"openapi\": \"3.0.1\", \"paths\": []}"),
        (
            "api.json",
            "{\"openapi\": \"3.0.1\", \"paths\": {\"/a\": 1}}",
        ),
        (
            "api.json",
            "{\"openapi\": \"3.0.1\", \"paths\": {\"/a\": {\"get\": []}}}",
        ),
        ("api.json", "{\"openapi\": \"3.0.1\", \"paths\": {}} {}"),
        ("api.yaml", "openapi: 3.0.1\n---\nopenapi: 3.0.1\n"),
        ("api.yaml", "openapi: [\n"),
        ("api.yaml", "\topenapi: 3.0.1\n"),
    ] {
        let (code, out, errors) = import(name, text.as_bytes());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{text:?}\n{errors}");
        assert!(errors.contains(name), "{text:?}\n{errors}");
    }
    let (code, out, _) = import("api.json", b"{\"openapi\": \"3.0.1\xff\"}");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let output = Folder::new().run(&["import", "apigateway", "missing.json"], &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}
