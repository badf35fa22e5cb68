//! The parity with Amazon API Gateway, by the ids of its test matrix: keys, CORS, and what passes
//! between the client and the backend.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::api_gateway::{Api, MISSING, SCOPE, TESTS, UNAUTHORIZED, assert_rest};
use crate::support::{Jwks, Key, Request, Script};

const UUID: &str = "8db3b4dd-ecd5-436d-9eeb-a544e39d3e12";

#[test]
fn p21_a_flood_of_unknown_keys_is_one_fetch() {
    // Longer than the test may take: it is 10 s by default.
    let api = Api::with("aws-rest", "access", "cooldown = \"10m\"", TESTS);
    let mut client = api.gateway.connect();
    for number in 0..1000 {
        let unknown = api.pool.key.named(&format!("unknown-{number}"));
        let token = api.access(SCOPE).signed(&unknown);
        let request = Request::get("/dev/tests").field("Authorization", &token);
        assert_eq!(client.send(&request).status, 401, "{number}");
    }
    // The first fetch was that of the start.
    assert_eq!(api.pool.fetches(), 2);
    assert_eq!(api.ask("/dev/tests", &api.access(SCOPE)).status, 200);
}

#[test]
fn p22_a_token_of_a_new_key_is_taken_after_one_fetch() {
    let api = Api::rest(TESTS);
    let new = Key::rsa("rotated", 1);
    let keys = vec![new.clone(), api.pool.key.clone()];
    api.pool.serve(Jwks::Keys(keys));
    let token = api.access(SCOPE).signed(&new);
    for _ in 0..3 {
        assert_eq!(api.ask_with("/dev/tests", &token).status, 200);
    }
    assert_eq!(api.ask("/dev/tests", &api.access(SCOPE)).status, 200);
    assert_eq!(api.pool.fetches(), 2);
}

// Our choice: API Gateway has 500 or 401 for keys that it cannot fetch.
#[test]
fn p23_keys_that_are_known_outlive_their_server() {
    for profile in ["aws-rest", "rfc6750"] {
        let api = Api::with(profile, "access", "", TESTS);
        api.pool.serve(Jwks::Reset);
        assert_eq!(api.ask("/dev/tests", &api.access(SCOPE)).status, 200);
        let unknown = api.access(SCOPE).signed(&Key::rsa("unknown", 1));
        let answer = api.ask_with("/dev/tests", &unknown);
        assert_eq!(answer.status, 503, "{profile}: {answer:?}");
        assert!(answer.field("retry-after").is_some(), "{answer:?}");
    }
}

/// A route that a page of another origin may use.
const PAGES: &str = r#"
[[groups.routes]]
path    = "/tests"
methods = { GET = "com.test.test/test.read" }
cors    = { origins = ["https://app.example.com"], headers = "any" }
"#;
const PAGE: &str = "https://app.example.com";

#[test]
fn p24_a_preflight_needs_no_token() {
    let api = Api::rest(PAGES);
    let preflight = Request::new("OPTIONS", "/dev/tests")
        .field("Origin", PAGE)
        .field("Access-Control-Request-Method", "GET")
        .field("Access-Control-Request-Headers", "authorization");
    let answer = api.gateway.send(&preflight);
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-methods", "GET"),
        ("access-control-allow-headers", "authorization"),
    ] {
        assert_eq!(answer.field(name), Some(value));
    }
    assert_eq!(api.backend.arrivals().len(), 0);
}

// Unlike API Gateway, whose pages see a network error.
#[test]
fn p25_a_page_can_read_why_it_is_refused() {
    let api = Api::rest(PAGES);
    let answer = api
        .gateway
        .send(&Request::get("/dev/tests").field("Origin", PAGE));
    assert_rest(&answer, 401, "UnauthorizedException", UNAUTHORIZED);
    assert_eq!(answer.field("access-control-allow-origin"), Some(PAGE));
}

/// A field for every 4xx, and an answer of its own for requests without a token.
const ANSWERS: &str = r#"
[[errors.responses]]
for     = "4xx"
headers = { "x-default" = "4xx" }

[[errors.responses]]
for  = ["missing_token", "wrong_scheme"]
body = '{"message": "log in"}'
"#;

#[test]
fn p26_the_answer_to_a_reason_goes_before_that_to_its_class() {
    let api = Api::rest(&format!("{TESTS}{ANSWERS}"));
    let answer = api.gateway.send(&Request::get("/dev/tests"));
    let own = r#"{"message": "log in"}"#;
    assert_rest(&answer, 401, "UnauthorizedException", own);
    assert_eq!(answer.field("x-default"), None);
    let answer = api.ask("/dev/tests", &api.access("other"));
    assert_rest(&answer, 401, "UnauthorizedException", UNAUTHORIZED);
    assert_eq!(answer.field("x-default"), Some("4xx"));
    let answer = api.ask("/dev/none", &api.access(SCOPE));
    assert_rest(&answer, 403, "MissingAuthenticationTokenException", MISSING);
    assert_eq!(answer.field("x-default"), Some("4xx"));
    let answer = api.ask("/dev/tests", &api.access(SCOPE));
    assert_eq!((answer.status, answer.field("x-default")), (200, None));
}

#[test]
fn p27_a_uuid_of_the_client_is_the_id_of_the_request() {
    let api = Api::rest(TESTS);
    let ask = |id: &str| {
        let token = api.access(SCOPE).signed(&api.pool.key);
        let request = Request::get("/dev/tests").field("x-amzn-RequestId", id);
        let refused = api.gateway.send(&request.clone());
        let passed = api.gateway.send(&request.field("Authorization", &token));
        assert_eq!((refused.status, passed.status), (401, 200));
        [refused, passed].map(|answer| answer.field("x-amzn-requestid").unwrap().to_owned())
    };
    assert_eq!(ask(UUID), [UUID, UUID]);
    for id in ask("not-a-uuid") {
        assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
    }
}

/// Everything below the stage, for everybody.
const OPEN: &str = r#"
[[groups.routes]]
path    = "/{proxy+}"
methods = "ANY"
public  = true
"#;

#[test]
fn p28_end_to_end_fields_pass_under_their_own_names() {
    let api = Api::rest(OPEN);
    let fields = "server: backend\r\nwww-authenticate: Basic\r\n\
                  date: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
                  content-encoding: identity\r\nconnection: x-hop\r\nx-hop: 1\r\n\
                  keep-alive: timeout=5\r\n\
                  proxy-authenticate: Basic\r\n";
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n");
    api.backend.play([Script::Raw(answer.into(), true)]);
    let request = Request::get("/dev/a")
        .field("User-Agent", "client/1.0")
        .field("Content-MD5", "x")
        .field("Pragma", "no-cache")
        .field("X-Hop", "1")
        .field("Connection", "x-hop")
        .field("TE", "gzip")
        .field("Proxy-Authorization", "Basic eDp5");
    let answer = api.gateway.send(&request);
    let arrival = api.backend.last();
    let authority = api.backend.authority();
    for (name, value) in [
        ("host", Some(authority.as_str())),
        ("user-agent", Some("client/1.0")),
        ("content-md5", Some("x")),
        ("pragma", Some("no-cache")),
        ("x-hop", None),
        ("te", None),
        ("proxy-authorization", None),
    ] {
        assert_eq!(arrival.field(name), value, "{name}");
    }
    for (name, value) in [
        ("server", Some("backend")),
        ("www-authenticate", Some("Basic")),
        ("date", Some("Mon, 01 Jan 2024 00:00:00 GMT")),
        ("content-encoding", Some("identity")),
        ("x-hop", None),
        ("keep-alive", None),
        ("proxy-authenticate", None),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let remapped = answer
        .fields
        .iter()
        .any(|(name, _)| name.contains("remapped"));
    assert!(!remapped, "{answer:?}");
}

#[test]
fn p29_the_backend_gets_claims_and_no_forged_ones() {
    let claims = r#"
forward = { x-sub = "sub", x-groups = "cognito:groups", x-nested = "a.b", x-missing = "email" }
"#;
    let api = Api::rest(&format!("{TESTS}{claims}"));
    let token = api
        .access(SCOPE)
        .with("cognito:groups", json!(["admin", "dev team"]))
        .with("a", json!({ "b": 7 }))
        .with("email", Value::Null);
    let request = Request::get("/dev/tests")
        .field("Authorization", &token.signed(&api.pool.key))
        .field("X-Groups", "root")
        .field("X-Missing", "root@example.com")
        .field("X_Sub", "root");
    assert_eq!(api.gateway.send(&request).status, 200);
    let arrival = api.backend.last();
    for (name, value) in [
        ("x-sub", token.claims["sub"].as_str()),
        ("x-groups", Some("admin,dev team")),
        ("x-nested", Some("7")),
        ("x-missing", None),
        ("x_sub", None),
    ] {
        assert_eq!(arrival.field(name), value, "{name}");
    }
}

#[test]
fn p30_a_body_beyond_the_limit_is_413_in_plain_text() {
    let api = Api::rest(&format!("{OPEN}body_bytes = \"10 MiB\"\n"));
    let mut client = api.gateway.connect();
    client.write(b"POST /dev/a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10485761\r\n\r\n");
    let answer = client.read("POST").unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.text(),
        "HTTP content length exceeded 10485760 bytes."
    );
    assert_eq!(answer.field("content-type"), Some("text/plain"));
    assert_eq!(api.backend.arrivals().len(), 0);
}

// What API Gateway answers for a closed port is not settled; ours is the answer for a failed
// integration (R-504F), since the configuration is not at fault.
#[test]
fn p31_a_slow_backend_and_a_closed_port_are_504() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let routes = format!(
        "{OPEN}response_timeout = \"50ms\"\n[[groups.routes]]\npath = \"/gone\"\n\
         upstream = \"gone\"\n\
         methods = [\"GET\"]\npublic = true\n[upstreams.gone]\nurl = \"http://{gone}\"\n"
    );
    let api = Api::rest(&routes);
    api.backend.play([Script::Hang]);
    let kind = "InternalServerErrorException";
    let answer = api.gateway.send(&Request::get("/dev/slow"));
    let timed_out = r#"{"message": "Endpoint request timed out"}"#;
    assert_rest(&answer, 504, kind, timed_out);
    let answer = api.gateway.send(&Request::get("/dev/gone"));
    let network = r#"{"message": "Network error communicating with endpoint"}"#;
    assert_rest(&answer, 504, kind, network);
}
