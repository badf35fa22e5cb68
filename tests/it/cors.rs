//! CORS rules with wide values: request and response fields without a list, and the pages of a
//! whole scheme.

use crate::support::{Answer, Gateway, Issuer, Request, Script, Upstream};

const APP: &str = "https://app.example.com";

const ROUTES: &str = r#"
[[routes]]
path     = "/named"
upstream = "up"
methods  = { GET = "read", PUT = "write" }
cors     = { origins = ["https://app.example.com"], headers = "any", expose = "any", credentials = true }

[[routes]]
path     = "/scheme"
upstream = "up"
scopes   = "read"
cors     = { origins = ["https://*", "http://localhost:3000"], headers = "any", expose = "any" }

[[routes]]
path     = "/everyone"
upstream = "up"
scopes   = "read"
cors     = { origins = "any", headers = "any", expose = "any" }
"#;

fn start() -> (Issuer, Upstream, Gateway) {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!("{}{}{ROUTES}", issuer.toml(), upstream.toml("up")));
    gateway.wait_until_ready();
    (issuer, upstream, gateway)
}

/// Sends a preflight for a `GET` with these fields.
#[track_caller]
fn preflight(gateway: &Gateway, path: &str, origin: &str, fields: &[&str]) -> Answer {
    let mut request = Request::new("OPTIONS", path)
        .field("Origin", origin)
        .field("Access-Control-Request-Method", "GET");
    for names in fields {
        request = request.field("Access-Control-Request-Headers", names);
    }
    let answer = gateway.send(&request);
    assert_eq!(answer.status, 204, "{answer:?}");
    let vary = answer.field("vary").unwrap_or_default();
    assert!(
        vary.contains("Access-Control-Request-Headers"),
        "{answer:?}"
    );
    answer
}

// An asterisk would not stand for Authorization.
#[test]
fn a_preflight_is_told_the_fields_that_it_asked_for() {
    let (_issuer, upstream, gateway) = start();
    let long = "x".repeat(8193);
    for path in ["/named", "/scheme", "/everyone"] {
        for (fields, expected) in [
            (
                &["authorization,x-tenant"][..],
                Some("authorization, x-tenant"),
            ),
            (&["x-a", "x-b"], Some("x-a, x-b")),
            (&[], None),
            (&["x-a, b c"], None),
            (&["*"], None),
            (&[&long], None),
        ] {
            let answer = preflight(&gateway, path, APP, fields);
            let allowed = answer.field("access-control-allow-headers");
            assert_eq!(allowed, expected, "{path} {fields:.40?}");
            assert!(
                answer.field("access-control-allow-origin").is_some(),
                "{path}"
            );
        }
    }
    // No field is allowed to a page that may not ask.
    let answer = preflight(&gateway, "/named", "https://evil.test", &["x-a"]);
    assert_eq!(answer.field("access-control-allow-headers"), None);
    assert_eq!(upstream.arrivals().len(), 0);
}

#[test]
fn an_origin_of_a_scheme_stands_for_every_host_and_port() {
    let (issuer, _upstream, gateway) = start();
    let token = issuer.token("read");
    for (origin, is_allowed) in [
        ("https://app.example.com", true),
        ("https://localhost:8443", true),
        ("http://localhost:3000", true),
        ("http://localhost:3001", false),
        ("http://app.example.com", false),
        ("https://", false),
        ("https://*", false),
        ("null", false),
    ] {
        let expected = is_allowed.then_some(origin);
        let answer = preflight(&gateway, "/scheme", origin, &["x-a"]);
        assert_eq!(answer.field("access-control-allow-origin"), expected);
        let get = Request::get("/scheme").field("Origin", origin);
        for request in [get.clone(), get.bearer(&token)] {
            let answer = gateway.send(&request);
            assert_eq!(answer.field("access-control-allow-origin"), expected);
            assert_eq!(answer.field("vary"), Some("Origin"), "{origin}");
        }
    }
}

// With credentials an asterisk would be the name of a field.
#[test]
fn every_field_of_an_answer_can_be_read() {
    let (issuer, upstream, gateway) = start();
    let fields = "x-total: 7\r\nset-cookie: a=b\r\naccess-control-expose-headers: x-upstream\r\n";
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n");
    upstream.play([
        Script::Raw(answer.clone().into(), true),
        Script::Raw(answer.into(), true),
    ]);
    let token = issuer.token("read");
    let ask = |path: &str| gateway.send(&Request::get(path).field("Origin", APP).bearer(&token));
    let exposed = |answer: &Answer| {
        answer
            .field("access-control-expose-headers")
            .unwrap()
            .to_owned()
    };
    let listed = exposed(&ask("/named"));
    let names: Vec<_> = listed.split(", ").collect();
    for name in [
        "x-total",
        "x-request-id",
        "www-authenticate",
        "content-length",
    ] {
        let count = names.iter().filter(|one| **one == name).count();
        assert_eq!(count, 1, "{name} in {listed}");
    }
    for name in [
        "*",
        "set-cookie",
        "x-upstream",
        "access-control-allow-origin",
    ] {
        assert!(!names.contains(&name), "{name} in {listed}");
    }
    assert_eq!(exposed(&ask("/everyone")), "*");
    // A refusal, and one of gRPC-Web, whose status a page reads in the head.
    let refused = gateway.send(&Request::get("/named").field("Origin", APP));
    assert!(
        exposed(&refused).contains("www-authenticate"),
        "{refused:?}"
    );
    for path in ["/named", "/everyone"] {
        let call = Request::new("POST", path).field("Origin", APP);
        let call = call.field("Content-Type", "application/grpc-web+proto");
        let refused = gateway.send(&call);
        let all: Vec<_> = refused
            .fields
            .iter()
            .filter(|(name, _)| name == "access-control-expose-headers")
            .map(|(_, value)| value.as_str())
            .collect();
        assert!(all.join(", ").contains("grpc-status"), "{refused:?}");
    }
}
