//! A request for which no route speaks belongs to the group with its host and longest prefix: its
//! answers, header rules and CORS settings hold.

use crate::support::{Answer, Gateway, Request, Script, Upstream};

const FILE: &str = r#"
[[routes]]
path = "/top"
upstream = "orders"
public = true
methods = ["GET"]

[[groups]]
prefix   = "/dev"
upstream = "orders"
public   = true
errors   = { profile = "aws-rest" }
cors     = { origins = ["https://app.test"], headers = ["authorization"] }
response_headers = { set = { "x-stage" = "dev" } }
routes   = [{ path = "/tests", methods = ["GET"] }, { path = "/own", methods = ["GET"], cors = { origins = ["https://own.test"] } }]

[[groups]]
prefix   = "/dev/inner"
upstream = "orders"
public   = true
errors   = { profile = "aws-http" }
routes   = [{ path = "/tests", methods = ["GET"] }]

[[groups]]
host     = "api.test"
prefix   = "/dev"
upstream = "orders"
public   = true
routes   = [{ path = "/tests", methods = ["GET"] }]

[[groups]]
host     = "*.wild.test"
upstream = "orders"
public   = true
errors   = { profile = "aws-http" }
routes   = [{ path = "/tests", methods = ["GET"] }]

[[groups]]
prefix   = "/named"
upstream = "orders"
public   = true
errors   = { profile = "aws-http" }
routes   = [{ host = "only.test", path = "/tests", methods = ["GET"] }]
"#;

fn start() -> Gateway {
    let upstream = Upstream::start();
    Gateway::start(&format!("{}{FILE}", upstream.toml("orders")))
}

/// The profile by which a 404 was answered.
#[track_caller]
fn profile(answer: &Answer) -> &'static str {
    match (answer.status, answer.field("x-amzn-errortype")) {
        (403, Some("MissingAuthenticationTokenException")) => "aws-rest",
        (404, None) if answer.field("apigw-requestid").is_some() => "aws-http",
        (404, None) => {
            assert_eq!(answer.code(), "no_route");
            "rfc6750"
        }
        _ => panic!("{answer:?}"),
    }
}

#[test]
fn the_longest_prefix_of_the_host_answers() {
    let gateway = start();
    for (host, path, expected) in [
        ("x.test", "/none", "rfc6750"),
        ("x.test", "/top/none", "rfc6750"),
        ("x.test", "/dev", "aws-rest"),
        ("x.test", "/dev/", "aws-rest"),
        ("x.test", "/dev/none", "aws-rest"),
        ("x.test", "/dev/none/deeper", "aws-rest"),
        ("x.test", "/dev/inner/none", "aws-http"),
        ("x.test", "/dev/inner", "aws-http"),
        // Whole segments, each decoded once, with their case.
        ("x.test", "/development", "rfc6750"),
        ("x.test", "/dev/innermost", "aws-rest"),
        ("x.test", "/%64ev/none", "aws-rest"),
        ("x.test", "/Dev/none", "rfc6750"),
        // The first host that matches is final.
        ("api.test", "/dev/none", "rfc6750"),
        ("api.test", "/none", "rfc6750"),
        ("api.test:80", "/dev/inner/none", "rfc6750"),
        ("a.wild.test", "/none", "aws-http"),
        ("a.wild.test", "/dev/none", "aws-http"),
        ("A.WILD.test", "/dev/none", "aws-http"),
        ("a.b.wild.test", "/none", "rfc6750"),
        // A host that only a route of the group names, and the group's own.
        ("only.test", "/named/none", "aws-http"),
        ("only.test", "/none", "rfc6750"),
        ("only.test", "/dev/none", "rfc6750"),
        ("x.test", "/named/none", "aws-http"),
    ] {
        let answer = gateway.send(&Request::get(path).field("Host", host));
        assert_eq!(profile(&answer), expected, "{host}{path}: {answer:?}");
    }
}

#[test]
fn any_method_of_a_path_without_a_route_is_the_groups() {
    let gateway = start();
    for method in ["POST", "DELETE", "OPTIONS", "PROPFIND", "X-OWN"] {
        let answer = gateway.send(&Request::new(method, "/dev/none").field("Host", "x.test"));
        assert_eq!(profile(&answer), "aws-rest", "{method}");
    }
    // Another method of a path that is there is the route's, which has it from its group.
    let answer = gateway.send(&Request::new("POST", "/dev/tests").field("Host", "x.test"));
    assert_eq!(profile(&answer), "aws-rest");
    assert_eq!(answer.field("x-stage"), Some("dev"));
    let answer = gateway.send(&Request::new("POST", "/top").field("Host", "x.test"));
    assert_eq!(answer.code(), "method_not_allowed");
}

#[test]
fn header_rules_and_cors_of_the_group_hold() {
    let gateway = start();
    let ask = |path: &str, origin: &str| {
        let request = Request::get(path).field("Host", "x.test");
        gateway.send(&request.field("Origin", origin))
    };
    let allowed = |answer: &Answer| {
        let origin = answer.field("access-control-allow-origin");
        origin.map(str::to_owned)
    };
    let answer = ask("/dev/none", "https://app.test");
    assert_eq!(answer.field("x-stage"), Some("dev"));
    assert_eq!(allowed(&answer).as_deref(), Some("https://app.test"));
    let answer = ask("/dev/none", "https://evil.test");
    assert_eq!(allowed(&answer), None);
    // The inner group states neither.
    let answer = ask("/dev/inner/none", "https://app.test");
    assert_eq!((answer.field("x-stage"), allowed(&answer)), (None, None));
    let answer = ask("/none", "https://app.test");
    assert_eq!((answer.field("x-stage"), allowed(&answer)), (None, None));
    // A 405 is readable by the pages that may read the route.
    let post = Request::new("POST", "/dev/own").field("Host", "x.test");
    let answer = gateway.send(&post.field("Origin", "https://own.test"));
    assert_eq!(answer.status, 403);
    assert_eq!(allowed(&answer).as_deref(), Some("https://own.test"));
}

// A page that sends a token asks first, and could not read the 404 if it were refused.
#[test]
fn a_preflight_for_a_path_without_a_route_is_answered_by_the_group() {
    let gateway = start();
    let preflight = |path: &str, origin: &str| {
        let request = Request::new("OPTIONS", path)
            .field("Host", "x.test")
            .field("Origin", origin)
            .field("Access-Control-Request-Method", "POST")
            .field("Access-Control-Request-Headers", "authorization");
        gateway.send(&request)
    };
    let answer = preflight("/dev/none", "https://app.test");
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.test"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "authorization"),
        ("x-stage", "dev"),
    ] {
        assert_eq!(answer.field(name), Some(value), "{answer:?}");
    }
    assert!(answer.field("x-amzn-requestid").is_some());
    let answer = preflight("/dev/none", "https://evil.test");
    assert_eq!(answer.field("access-control-allow-origin"), None);
    let answer = preflight("/dev/inner/none", "https://app.test");
    assert_eq!(answer.status, 404, "the group has no CORS settings");
    let answer = preflight("/none", "https://app.test");
    assert_eq!(answer.status, 404);
}

#[test]
fn metrics_know_no_route() {
    let gateway = start();
    gateway.send(&Request::get("/dev/none").field("Host", "x.test"));
    let refusals = "scopegate_refusals_total{reason=\"no_route\",route=\"none\"}";
    assert_eq!(gateway.metric(refusals), 1.0);
}

#[test]
fn a_path_without_metadata_can_be_read_by_every_page() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&format!(
        "{}[[groups]]\nupstream = \"orders\"\npublic = true\n\
         cors = {{ origins = [\"https://app.test\"] }}\n\
         routes = [{{ path = \"/x\", methods = [\"GET\"] }}]\n",
        upstream.toml("orders")
    ));
    let get = |path: &str| gateway.send(&Request::get(path).field("Origin", "https://a.test"));
    let answer = get("/.well-known/oauth-protected-resource");
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    // A group without a prefix has every path of its hosts.
    let answer = get("/none");
    assert_eq!(answer.field("access-control-allow-origin"), None);
    assert_eq!(answer.field("vary"), Some("Origin"));
}

/// Asserts that an answer is in the form of the group of `/dev`, with its rules.
#[track_caller]
fn is_of_dev(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.field("x-amzn-requestid").is_some(), "{answer:?}");
    assert_eq!(answer.field("x-stage"), Some("dev"));
    let allowed = answer.field("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.test"), "{answer:?}");
}

#[test]
fn a_refusal_before_a_route_is_chosen_is_the_groups() {
    let gateway = start();
    let get = |path: &str| {
        let request = Request::get(path).field("Host", "x.test");
        gateway.send(&request.field("Origin", "https://app.test"))
    };
    // No route has these paths, so that none allows their spelling.
    for path in [
        "/dev/a%2Fb",
        "/dev/none//x",
        "/dev/../x",
        "/dev/a%00",
        "/dev/a;b",
    ] {
        is_of_dev(&get(path), 400);
    }
    let long = format!("/dev/{}", "a".repeat(9000));
    is_of_dev(&get(&long), 414);
    let framed = |path: &str| {
        let mut client = gateway.connect();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x.test\r\nOrigin: https://app.test\r\n\
             Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        );
        client.write(head.as_bytes());
        client.read("POST").unwrap()
    };
    is_of_dev(&framed("/dev/tests"), 400);
    // Outside of every group, they have the form of `[errors]`.
    assert_eq!(get("/a%2Fb").code(), "ambiguous_path");
    assert_eq!(framed("/top").code(), "invalid_framing");
    let long = format!("/{}", "a".repeat(9000));
    assert_eq!(get(&long).code(), "target_too_long");
    // A target without a host is of no group.
    let mut client = gateway.connect();
    client.write(b"GET /dev/none HTTP/1.1\r\nHost: a/b\r\n\r\n");
    assert_eq!(client.read("GET").unwrap().code(), "invalid_host");
}

#[test]
fn a_gateway_that_is_full_answers_in_the_form_of_the_group() {
    let upstream = Upstream::start();
    let limit = "[server.limits]\nrequests = 1\n";
    let gateway = Gateway::start(&format!("{limit}{}{FILE}", upstream.toml("orders")));
    upstream.play([Script::Hang]);
    let mut held = gateway.connect();
    held.write_request(&Request::get("/top").field("Host", "x.test"));
    upstream.wait_for(1);
    let request = Request::get("/dev/tests").field("Host", "x.test");
    let answer = gateway.send(&request.field("Origin", "https://app.test"));
    is_of_dev(&answer, 503);
}
