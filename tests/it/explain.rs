//! The words of `scopegate explain`: the judgement of the gateway, with what was found beside what
//! is accepted.

use aws_lc_rs::digest;
use serde_json::{Value, json};

use crate::support::{Authority, Folder, Identity, Token, encode};

/// A change of a good token.
type Change = fn(Token) -> Token;

/// Returns the JSON of an explanation.
#[track_caller]
fn explain_json(folder: &Folder, arguments: &[&str]) -> Value {
    let (_, text) = folder.explain(&[arguments, &["--json"]].concat());
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

// The verdict, and the answer's fields that a client would hear.
#[test]
fn explain_tells_every_kind_of_verdict() {
    let folder = Folder::new();
    folder.write("good", &(folder.token(|token| token) + "\n"));
    folder.write("late", &folder.token(|token| token.with("exp", 1)));
    folder.write(
        "other",
        &folder.token(|token| token.with("iss", "https://other.test")),
    );
    folder.write("broken", "eyJ.not.a-token");
    for (call, token, verdict, says) in [
        (
            "GET /orders/1",
            Some("good"),
            "forwarded to orders",
            "granted: \"orders.read\"",
        ),
        (
            "GET /orders/1?a=b",
            Some("good"),
            "forwarded to orders",
            "/orders/{id}",
        ),
        (
            "HEAD /orders/1",
            Some("good"),
            "forwarded to orders",
            "/orders/{id}",
        ),
        (
            "GET /dev/tests",
            Some("good"),
            "forwarded to orders",
            "authorization:raw",
        ),
        ("GET /health", None, "forwarded to orders", "/health"),
        (
            "DELETE /orders/1",
            Some("good"),
            "403 Forbidden",
            "scope=\"orders.write orders.delete\"",
        ),
        (
            "GET /orders/new",
            Some("good"),
            "403 Forbidden",
            "insufficient_scope",
        ),
        ("GET /orders/1", None, "401 Unauthorized", "missing_token"),
        (
            "GET /orders/1",
            Some("late"),
            "401 Unauthorized",
            "token_expired",
        ),
        (
            "GET /orders/1",
            Some("other"),
            "401 Unauthorized",
            "unknown_issuer",
        ),
        (
            "GET /orders/1",
            Some("broken"),
            "401 Unauthorized",
            "malformed_token",
        ),
        ("GET /nowhere", Some("good"), "404 Not Found", "no_route"),
        (
            "POST /orders/1",
            Some("good"),
            "405 Method Not Allowed",
            "allow: DELETE, GET, HEAD",
        ),
        (
            "GET /orders/../health",
            None,
            "400 Bad Request",
            "ambiguous_path",
        ),
        (
            "GET /orders/a%2Fb",
            Some("good"),
            "400 Bad Request",
            "ambiguous_path",
        ),
        ("GET //health", None, "400 Bad Request", "ambiguous_path"),
    ] {
        let mut arguments: Vec<&str> = call.split(' ').collect();
        arguments.extend(token.iter().flat_map(|name| ["--token-file", name]));
        let (code, printed) = folder.explain(&arguments);
        let is_refused = verdict.starts_with('4');
        assert_eq!(code, Some(if is_refused { 4 } else { 0 }), "{printed}");
        let found = printed
            .lines()
            .find_map(|line| line.split_once("verdict"))
            .map(|(_, found)| found.trim_start());
        assert!(
            found.is_some_and(|found| found.starts_with(verdict)),
            "{call}: {printed}"
        );
        assert!(printed.contains(says), "{call}: no {says:?} in {printed}");
        if let Some(name) = token {
            let token = std::fs::read_to_string(folder.path(name)).unwrap();
            assert!(
                !printed.contains(token.trim().rsplit('.').next().unwrap()),
                "the token is printed: {printed}"
            );
        }
    }
}

#[test]
fn explain_names_the_places_of_other_routes_that_are_not_forwarded() {
    let folder = Folder::new();
    let cookie = "\n[[routes]]\npath = \"/page\"\nupstream = \"orders\"\nscopes = \"orders.read\"\n\
                  token_from = [\"cookie:session\", \"header:x-token\"]\n";
    let text = std::fs::read_to_string(folder.path("gateway.toml")).unwrap();
    folder.write("gateway.toml", &(text + cookie));
    folder.write("good", &folder.token(|token| token));
    let says = "without cookie:session, header:x-token: other routes to this upstream take their \
                tokens from there";
    for (path, expected) in [
        ("/orders/1", true),
        ("/dev/tests", true),
        ("/page", false),
        ("/health", false),
    ] {
        let (_, printed) = folder.explain(&["GET", path, "--token-file", "good"]);
        assert!(printed.contains("forwarded to orders"), "{printed}");
        assert_eq!(printed.contains(says), expected, "{path}: {printed}");
    }
}

#[test]
fn explain_takes_the_certificate_that_the_client_would_show() {
    let (folder, root) = (Folder::new(), Authority::new());
    let (alice, mallory) = (root.sign(&["alice"]), root.sign(&["mallory"]));
    let thumbprint =
        |identity: &Identity| encode(digest::digest(&digest::SHA256, &identity.leaf()));
    let bound = thumbprint(&alice);
    folder.write(
        "token",
        &folder.token(|token| token.with("cnf", json!({ "x5t#S256": bound }))),
    );
    folder.write("alice.pem", &alice.chain);
    folder.write("mallory.pem", &mallory.chain);
    let explain = |more: &[&str]| {
        let arguments = ["GET", "/orders/1", "--token-file", "token"];
        folder.explain(&[&arguments, more].concat()).1
    };
    let owner = explain(&["--client-cert-file", "alice.pem"]);
    assert!(owner.contains("forwarded to orders"), "{owner}");
    for (more, shown, hint) in [
        (
            &["--client-cert-file", "mallory.pem"][..],
            format!(
                "the client's certificate, \"x5t#S256 {}\"",
                thumbprint(&mallory)
            ),
            false,
        ),
        (
            &[],
            "a client's certificate, and there is none".to_owned(),
            true,
        ),
    ] {
        let text = explain(more);
        assert!(text.contains("NO  binding"), "{text}");
        assert!(text.contains("(wrong_client_certificate)"), "{text}");
        let row = format!("cnf       \"x5t#S256 {bound}\"; wanted {shown}");
        assert!(text.contains(&row), "{row}: {text}");
        assert_eq!(text.contains("add --client-cert-file"), hint, "{text}");
    }
    let arguments = ["explain", "GET", "/orders/1", "--client-cert-file", "token"];
    let output = folder.run(&arguments, &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors.contains("\"token\" cannot be read: there is no certificate in PEM"),
        "{errors}"
    );
}

#[test]
fn what_was_found_stands_beside_what_is_accepted() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(folder.path("gateway.toml")).unwrap();
    let more = "audience = \"api\"\nclient_ids = [\"web\"]\n\
                required_claims = { tenant = \"acme\" }\n\
                algorithms = [\"RS256\"]\nscope_claims = [\"permissions\"]\n";
    folder.write("gateway.toml", &text.replace("audience = \"api\"\n", more));
    let good = |token: Token| {
        token
            .with("client_id", "web")
            .with("tenant", "acme")
            .with("permissions", json!(["orders.read"]))
    };
    let explained =
        |change: Change| folder.explain_token(&folder.token(|token| change(good(token))));
    let (code, text) = explained(|token| token);
    assert_eq!(code, Some(0), "{text}");
    for row in [
        "alg       \"RS256\"; wanted RS256\n",
        "kid       \"key\"; wanted \"key\"\n",
        "iss       \"https://idp.test\"; wanted \"https://idp.test\"\n",
        "aud       \"api\"; wanted \"api\"\n",
        "client    \"web\"; wanted \"web\"\n",
        "tenant    \"acme\"; wanted \"acme\"\n",
        "permissions \"orders.read\"\n",
        "ok  audience  \"api\" is accepted\n",
        "ok  binding   the token is bound to no key\n",
    ] {
        assert!(text.contains(row), "{row}: {text}");
    }
    for (change, step, says) in [
        (
            (|token| token.with("iss", "https://idp.test/")) as Change,
            "NO  issuer",
            "\"https://idp.test\"",
        ),
        (
            |token| token.with("aud", "urn:b"),
            "NO  audience",
            "\"api\"",
        ),
        (
            |token| token.with("client_id", "cli"),
            "NO  client",
            "\"web\"",
        ),
        (
            |token| token.with("tenant", Value::Null),
            "NO  claims",
            "\"acme\"",
        ),
        (|token| token.header("kid", "zz"), "NO  key", "\"key\""),
        (|token| token.header("typ", "JOSE"), "NO  kind", "\"JOSE\""),
        (
            |token| token.with("at_hash", "x").with("scope", Value::Null),
            "NO  kind",
            "\"at_hash\"",
        ),
        (
            |token| token.with("exp", Value::Null),
            "NO  form",
            "\"exp\"",
        ),
        (|token| token.with("exp", "soon"), "NO  form", "\"exp\""),
        (
            |token| token.header("crit", json!(["x"])),
            "NO  form",
            "crit",
        ),
        (
            |token| token.with("exp", 1000).header("kid", "zz"),
            "NO  time",
            "expired as well",
        ),
        (
            |token| token.with("permissions", json!(["orders.list"])),
            "NO  scopes",
            "orders.read",
        ),
    ] {
        let (code, text) = explained(change);
        assert_eq!(code, Some(4), "{text}");
        let line = text.lines().find(|line| line.starts_with(step));
        let line = line.unwrap_or_else(|| panic!("{step}: {text}"));
        assert!(line.contains(says), "{says}: {line}");
        assert!(text.contains("iss       \"https://idp.test"), "{text}");
    }
    let (_, lacking) = explained(|token| token.with("permissions", json!(["orders.list"])));
    assert!(
        lacking.contains("the token grants \"orders.list\""),
        "{lacking}"
    );
    let (_, object) = explained(|token| token.with("permissions", json!({ "orders.read": {} })));
    assert!(
        object.contains("permissions an object, which grants nothing"),
        "{object}"
    );
}

#[test]
fn a_near_miss_is_named() {
    let folder = Folder::new();
    for (call, says) in [
        (
            "GET /health/",
            "without the slash at the end: \"/health\" is for the route /health",
        ),
        (
            "GET /Health",
            "with these capital and small letters: \"/health\" is for the route /health",
        ),
        (
            "GET /tests",
            "below the prefix \"/dev\": \"/dev/tests\" is for the route /dev/tests",
        ),
        (
            "get /health",
            "with the method GET: \"/health\" is for the route /health",
        ),
    ] {
        let arguments: Vec<&str> = call.split(' ').collect();
        let (code, text) = folder.explain(&arguments);
        assert_eq!(code, Some(4), "{text}");
        assert!(text.contains(says), "{says}: {text}");
    }
}

#[test]
fn json_has_the_verdict_under_stable_names() {
    let folder = Folder::new();
    folder.write("good", &folder.token(|token| token));
    let forwarded = explain_json(&folder, &["GET", "/orders/1?a=b", "--token-file", "good"]);
    assert_eq!(forwarded["verdict"], "forwarded");
    assert_eq!(
        forwarded["request"],
        json!({
            "method": "GET", "host": "localhost", "path": "/orders/1", "query": "a",
        })
    );
    assert_eq!(forwarded["granted"], json!(["orders.read"]));
    assert_eq!(
        (
            &forwarded["route"],
            &forwarded["upstream"],
            &forwarded["issuer"]
        ),
        (&json!("/orders/{id}"), &json!("orders"), &json!("idp"))
    );
    let refused = explain_json(&folder, &["DELETE", "/orders/1", "--token-file", "good"]);
    assert_eq!(
        (&refused["verdict"], &refused["status"], &refused["reason"]),
        (&json!("refused"), &json!(403), &json!("insufficient_scope"))
    );
    let near = explain_json(&folder, &["GET", "/Health"]);
    assert_eq!(near["near"][0]["difference"], "case");
    assert_eq!(near["near"][0]["path"], "/health");
    // Both objects have the same members.
    let names =
        |object: &Value| -> Vec<String> { object.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(&forwarded), names(&refused));
    assert_eq!(names(&refused).len(), 14);
}

#[test]
fn a_function_is_named_with_its_event_and_route() {
    let folder = Folder::new();
    let routes = "[[groups]]\nprefix = \"/dev\"\nupstream = \"f\"\npublic = true\n\
                  [[groups.routes]]\npath = \"/tests/{id}\"\nmethods = [\"GET\"]\n\
                  [[groups.routes]]\npath = \"/files/**\"\nmethods = \"ANY\"\n\
                  [[groups.routes]]\npath = \"/own\"\nmethods = [\"GET\", \"ANY\"]\nhead = false\n";
    for (event, get, post, own) in [
        ("1.0", "/tests/{id}", "/files/{proxy+}", "/own"),
        ("2.0", "GET /tests/{id}", "ANY /files/{proxy+}", "ANY /own"),
    ] {
        let upstream = format!(
            "[upstreams.f]\nurl = \"http://127.0.0.1:9000\"\n\
             lambda = {{ function = \"shop\", event = \"{event}\" }}\n"
        );
        folder.write("gateway.toml", &format!("{upstream}{routes}"));
        for (request, route) in [
            (["GET", "/dev/tests/7"], get),
            (["POST", "/dev/files/a/b"], post),
            // With "head = false", "ANY" answers HEAD.
            (["HEAD", "/dev/own"], own),
        ] {
            let (code, text) = folder.explain(&request);
            assert_eq!(code, Some(0), "{text}");
            let says = format!(
                "forwarded as an event {event} of function \"shop\", for \"{route}\", to f"
            );
            assert!(text.contains(&says), "{text}");
        }
    }
}

#[test]
fn what_the_gateway_would_not_send_is_refused() {
    let folder = Folder::new();
    let toml = "[upstreams.u]\nurl = \"http://127.0.0.1:9000\"\n\
                [upstreams.f]\nurl = \"http://127.0.0.1:9001\"\n\
                lambda = { function = \"shop\", event_bytes = \"4 KiB\" }\n\
                [[routes]]\npath = \"/rw/{id}\"\nupstream = \"u\"\nmethods = [\"GET\"]\n\
                public = true\nrewrite = \"/x/${query:a}/{id}?z=${header:x-h}\"\n\
                [[routes]]\npath = \"/f\"\nupstream = \"f\"\nmethods = \"ANY\"\n\
                public = true\nbody_bytes = \"10 KiB\"\n";
    folder.write("gateway.toml", toml);
    for (target, reason) in [
        ("/rw/1", Some("unmappable_request")),
        ("/rw/1?a=a%2fb", Some("unmappable_request")),
        ("/rw/1?a=b", None),
    ] {
        let explained = explain_json(&folder, &["GET", target]);
        assert_eq!(explained["reason"], json!(reason), "{target}");
        assert_eq!(explained["route"], "/rw/{id}");
    }
    for (bytes, reason) in [
        (4096, None),
        (4097, Some("event_too_large")),
        (10_241, Some("body_too_large")),
    ] {
        let head =
            format!("POST /f HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
        folder.write("head", &head);
        let explained = explain_json(&folder, &["--request-file", "head"]);
        assert_eq!(explained["reason"], json!(reason), "{bytes}");
    }
    let (code, text) = folder.explain(&["GET", "/rw/1"]);
    assert_eq!(code, Some(4));
    assert!(text.contains("NO  rewrite"), "{text}");
    // The access log names the route of a 405, too.
    let explained = explain_json(&folder, &["POST", "/rw/1"]);
    assert_eq!(
        (&explained["status"], &explained["route"]),
        (&json!(405), &json!("/rw/{id}"))
    );
}
