//! A Lambda function as upstream: the event that it gets, and the way to it.

use serde_json::{Value, json};

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, literal, request};
use crate::support::{Client, Function, Gateway, Issuer, Request, Script, Upstream, wait_until};

/// A REST API as in API Gateway: a stage, a scope, and a token without a scheme.
fn rest_api(issuer: &Issuer) -> Function {
    let routes = format!(
        "{}[[groups]]\nprefix = \"/dev\"\nupstream = \"f\"\n\
         token_from = [\"authorization:raw\", \"authorization:bearer\"]\n\
         [[groups.routes]]\npath = \"/tests/{{id}}\"\nmethods = {{ GET = \"test.read\" }}\n\
         forward = {{ \"x-user\" = \"sub\" }}\n",
        issuer.toml()
    );
    Function::behind("1.0", "", &routes)
}

#[test]
fn a_request_with_a_token_becomes_an_event() {
    let issuer = Issuer::start();
    let function = rest_api(&issuer);
    let token = issuer.token("test.read other");
    let request = Request::get("/dev/tests/a%20b?x=1&x=2")
        .field("Authorization", &token)
        .field("X-User", "forged")
        .field("X-Amz-Invocation-Type", "Event")
        .field("X-Amz-Client-Context", "e30=")
        .field("X-Amz-Log-Type", "Tail")
        .field("Cookie", "a=1")
        .field("X-Request-Id", "id-1");
    let answer = function.gateway.send(&request);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("x-request-id"), Some("id-1"));
    let event = function.event();
    assert_eq!(event["resource"], "/tests/{id}");
    assert_eq!(event["path"], "/tests/a%20b");
    assert_eq!(event["pathParameters"], json!({ "id": "a%20b" }));
    assert_eq!(
        event["multiValueQueryStringParameters"],
        json!({ "x": ["1", "2"] })
    );
    let headers = &event["headers"];
    assert_eq!(headers["Authorization"], token);
    assert_eq!(headers["Cookie"], "a=1");
    assert_eq!(headers["Host"], "api.test");
    assert_eq!(headers["X-Forwarded-For"], "127.0.0.1");
    assert_eq!(headers["X-Forwarded-Proto"], "http");
    assert_eq!(headers["X-Request-Id"], "id-1");
    let context = &event["requestContext"];
    assert_eq!(headers["x-user"], context["authorizer"]["claims"]["sub"]);
    assert_eq!(context["authorizer"]["claims"]["scope"], "test.read other");
    assert_eq!(context["identity"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["domainName"], "api.test");
    assert_eq!(context["requestId"], "id-1");
    assert_eq!(context["path"], "/dev/tests/a%20b");
    assert_eq!(context["stage"], "dev");
    for name in [
        "Content-Length",
        "Connection",
        "content-length",
        "connection",
    ] {
        assert_eq!(headers.get(name), None);
    }
    let refused = Request::get("/dev/tests/1").field("Authorization", &issuer.token("other"));
    assert_eq!(function.gateway.send(&refused).status, 403);
    assert_eq!(
        function.gateway.send(&Request::get("/dev/tests/1")).status,
        401
    );
    assert_eq!(function.invocations(), 1);
}

#[test]
fn a_token_in_the_query_and_a_withheld_one_are_not_in_the_event() {
    let issuer = Issuer::start();
    let routes = format!(
        "{}[[routes]]\npath = \"/q\"\nupstream = \"f\"\nmethods = {{ GET = \"a\" }}\n\
         token_from = [\"query:token\"]\n\
         [[routes]]\npath = \"/h\"\nupstream = \"f\"\nmethods = {{ GET = \"a\" }}\n\
         forward_token = false\n",
        issuer.toml()
    );
    for format in ["1.0", "2.0"] {
        let function = Function::behind(format, "", &routes);
        let token = issuer.token("a");
        let query = Request::get(&format!("/q?a=1&token={token}&b=2"));
        let answer = function.gateway.send(&query);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("cache-control"), Some("private"));
        let in_query = function.event();
        assert_eq!(
            in_query["queryStringParameters"],
            json!({ "a": "1", "b": "2" })
        );
        let field = Request::get("/h").bearer(&token);
        assert_eq!(function.gateway.send(&field).status, 200);
        let in_field = function.event();
        for event in [in_query, in_field] {
            assert!(!event.to_string().contains(&token), "{event}");
        }
    }
}

#[test]
fn the_event_of_version_2_has_lower_case_names_and_cookies() {
    let function = Function::open("2.0");
    let request = Request::new("POST", "/a/b?x=1&x=2")
        .field("Cookie", "a=1; b=2")
        .field("X-Many", "1")
        .field("X-Many", "2")
        .field("Content-Type", "text/plain")
        .body("body");
    assert_eq!(function.gateway.send(&request).status, 200);
    let event = function.event();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "$default");
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(event["headers"]["x-many"], "1,2");
    assert_eq!(event["headers"]["host"], "api.test");
    assert_eq!(event["headers"].get("cookie"), None);
    assert_eq!(event["queryStringParameters"]["x"], "1,2");
    assert_eq!(event["rawQueryString"], "x=1&x=2");
    assert_eq!(event["body"], "body");
    assert_eq!(event["requestContext"].get("authorizer"), None);
}

#[test]
fn a_body_arrives_whole_whatever_its_framing() {
    let function = Function::open("1.0");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let whole = Request::new("PUT", "/a").body(bytes.clone());
    assert_eq!(function.gateway.send(&whole).status, 200);
    let event = function.event();
    assert_eq!(event["isBase64Encoded"], true);
    let body = event["body"].as_str().unwrap();
    assert_eq!(body, base64_of(&bytes));

    let mut client = function.gateway.connect();
    client.write(
        b"POST /a HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\
          Trailer: x-sum\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 1\r\n\r\n",
    );
    assert_eq!(client.read("POST").unwrap().status, 200);
    let event = function.event();
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&json!("abc"), &json!(false))
    );
    for name in [
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "te",
        "trailer",
        "transfer-encoding",
    ] {
        assert_eq!(event["headers"].get(name), None, "{name}");
    }
    let empty = Request::new("POST", "/a").body("");
    assert_eq!(function.gateway.send(&empty).status, 200);
    assert_eq!(function.event()["body"], Value::Null);
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[test]
fn a_client_that_expects_100_is_told_to_continue() {
    let function = Function::open("1.0");
    let mut client = function.gateway.connect();
    client.write(
        b"POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(client.read_exact(interim.len()), interim);
    client.write(b"body");
    assert_eq!(client.read("POST").unwrap().status, 200);
    let event = function.event();
    assert_eq!(event["body"], "body");
    assert_eq!(event["headers"].get("expect"), None);
    assert_eq!(event["headers"].get("Expect"), None);
}

#[test]
fn an_event_beyond_its_limit_is_refused_and_not_invoked() {
    let upstream = "";
    let routes = "[[routes]]\npath = \"/**\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n";
    let function = Function::behind("1.0", upstream, routes);
    let most = 6_291_556;
    // A body that announces more is refused before it is read.
    let mut client = function.gateway.connect();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        most + 1
    );
    client.write(head.as_bytes());
    let answer = client.read("POST").unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    // One that fits is too long in base64, and one of text with the rest of the event.
    for body in [vec![0xff; most / 4 * 3], vec![b'a'; most]] {
        let answer = function.gateway.send(&Request::new("POST", "/").body(body));
        assert_eq!(answer.status, 413);
    }
    assert_eq!(function.invocations(), 0);
    let series = "scopegate_refusals_total{reason=\"event_too_large\",route=\"/**\"}";
    function.gateway.wait_for_metric(series, 3.0);
    let fits = Request::new("POST", "/").body(vec![b'a'; most - 10_000]);
    assert_eq!(function.gateway.send(&fits).status, 200);
    assert_eq!(function.invocations(), 1);
}

#[test]
fn the_limit_of_the_route_goes_before_that_of_the_event() {
    let function = Function::with("1.0", "", "body_bytes = \"3 B\"\n");
    let long = Request::new("POST", "/").body("abcd");
    assert_eq!(function.gateway.send(&long).code(), "body_too_large");
    let mut client = function.gateway.connect();
    client.write(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    );
    assert_eq!(client.read("POST").unwrap().status, 413);
    let series = "scopegate_refusals_total{reason=\"body_too_large\",route=\"/**\"}";
    function.gateway.wait_for_metric(series, 2.0);
    let fits = Request::new("POST", "/").body("abc");
    assert_eq!(function.gateway.send(&fits).status, 200);
    assert_eq!(function.invocations(), 1);
}

#[test]
fn a_body_that_breaks_its_framing_invokes_nothing() {
    let function = Function::open("1.0");
    let mut client = function.gateway.connect();
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n");
    let answer = client.read("POST").unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "malformed_body")
    );
    let mut client = function.gateway.connect();
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    client.half_close();
    assert_eq!(client.read("POST").unwrap().status, 400);
    assert_eq!(function.invocations(), 0);
}

#[test]
fn header_rules_change_the_event_and_the_answer() {
    let rules = "request_headers = { set = { \"x-tenant\" = \"acme\" }, remove = [\"x-secret\"] }\n\
                 response_headers = { set = { \"x-by\" = \"gateway\" }, remove = [\"x-inner\"] }\n\
                 cors = { origins = [\"https://app.test\"] }\n";
    let function = Function::with("1.0", "", rules);
    function.always(r#"{"statusCode":200,"headers":{"x-inner":"1","x-by":"function"}}"#);
    let request = Request::get("/")
        .field("X-Secret", "1")
        .field("X-Tenant", "other")
        .field("Origin", "https://app.test");
    let answer = function.gateway.send(&request);
    assert_eq!(answer.field("x-by"), Some("gateway"));
    assert_eq!(answer.field("x-inner"), None);
    let allowed = answer.field("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.test"));
    let headers = &function.event()["headers"];
    assert_eq!(headers["x-tenant"], "acme");
    assert_eq!(headers.get("x-secret"), None);
}

#[test]
fn one_connection_serves_an_emulator_that_takes_one_request_at_a_time() {
    let function = Function::with("1.0", "max_connections = 1\n", "");
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n".to_vec();
    let answer = Script::Pieces(vec![head, b"{\"statusCode\": 20".to_vec(), b"0}".to_vec()]);
    function.invoke_api.always(answer.clone());
    let mut clients: Vec<Client> = (0..5).map(|_| function.gateway.connect()).collect();
    for client in &mut clients {
        client.write_request(&Request::get("/"));
    }
    for count in 1..=5 {
        function.invoke_api.wait_for(count);
        assert_eq!(function.invocations(), count, "one at a time");
        (0..3).for_each(|_| function.invoke_api.go_on());
    }
    for client in &mut clients {
        assert_eq!(client.read("GET").unwrap().status, 200);
    }
}

#[test]
fn requests_count_from_their_heads_on() {
    let function = Function::with("1.0", "max_requests = 1\n", "");
    let mut slow = function.gateway.connect();
    slow.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    // The body is being read.
    slow.read_exact(b"HTTP/1.1 100 Continue\r\n\r\n".len());
    let answer = function.gateway.send(&Request::get("/"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "upstream_overloaded")
    );
    slow.write(b"ab");
    assert_eq!(slow.read("POST").unwrap().status, 200);
    wait_until("the permit is free", || {
        function.gateway.send(&Request::get("/")).status == 200
    });
}

#[test]
fn an_invocation_that_was_sent_is_not_sent_again() {
    let function = Function::open("1.0");
    assert_eq!(function.gateway.send(&Request::get("/")).status, 200);
    // A GET that is forwarded would be sent on another connection.
    function.invoke_api.play([Script::Close]);
    let answer = function.gateway.send(&Request::get("/"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_failed")
    );
    assert_eq!(function.invocations(), 2);
    // With a second endpoint it is not sent to that one, either.
    let (one, other) = (Upstream::start(), Upstream::start());
    let toml = format!(
        "[upstreams.f]\nendpoints = [\"{}\", \"{}\"]\nlambda = {{ function = \"function\" }}\n\
         [[routes]]\npath = \"/**\"\nupstream = \"f\"\nmethods = \"ANY\"\npublic = true\n",
        one.url(),
        other.url()
    );
    let gateway = Gateway::start(&toml);
    one.always(Script::Close);
    other.always(Script::Close);
    assert_eq!(gateway.send(&Request::get("/")).status, 502);
    assert_eq!(one.arrivals().len() + other.arrivals().len(), 1);
}

#[test]
fn a_websocket_is_an_ordinary_request_to_a_function() {
    let function = Function::open("1.0");
    let request = Request::get("/")
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(function.gateway.send(&request).status, 200);
    let event = function.event();
    assert_eq!(event["headers"].get("upgrade"), None);
    assert_eq!(event["headers"].get("Upgrade"), None);
}

#[test]
fn a_request_over_http_2_becomes_the_same_event() {
    let function = Function::open("1.0");
    let mut frames = Frames::connect(function.gateway.address());
    let block = [
        request("GET", "/a?b=c"),
        literal("cookie", "a=1"),
        literal("cookie", "b=2"),
        literal("accept", "*/*"),
    ]
    .concat();
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    assert_eq!(frames.status(1), 200);
    let event = function.event();
    assert_eq!(event["headers"]["Cookie"], "a=1; b=2");
    assert_eq!(event["headers"]["Accept"], "*/*");
    assert_eq!(event["requestContext"]["protocol"], "HTTP/2.0");
    assert_eq!(event["queryStringParameters"]["b"], "c");
}
