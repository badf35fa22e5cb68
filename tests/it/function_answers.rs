//! The answers of a Lambda function: what becomes a response, and what is no answer.

use crate::support::frames::Frames;
use crate::support::{Function, Request, Script, wait_until};

/// The most bytes of an answer.
const MOST: usize = 6_291_556;

/// Asserts that a payload is answered with 502 for this reason, and that the client learns nothing
/// of it.
#[track_caller]
fn is_refused(function: &Function, payload: &str, reason: &str) {
    let before = refusals(function, reason);
    function.returns(payload);
    let answer = function.gateway.send(&Request::get("/"));
    let shown: String = payload.chars().take(100).collect();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_failed"),
        "{shown}"
    );
    assert_eq!(
        answer.problem()["detail"],
        "The upstream did not answer.",
        "{shown}"
    );
    assert!(!answer.text().contains("hidden"), "{}", answer.text());
    wait_until("the refusal is counted", || {
        refusals(function, reason) > before
    });
}

fn refusals(function: &Function, reason: &str) -> f64 {
    let series = format!("scopegate_refusals_total{{reason=\"{reason}\",route=\"/**\"}}");
    function.gateway.metric(&series)
}

#[test]
fn an_answer_becomes_the_clients_response() {
    for format in ["1.0", "2.0"] {
        let function = Function::open(format);
        function.always(
            r#"{"statusCode": "201", "headers": {"Content-Type": "text/plain", "X-A": "b"},
                "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
                "body": "aGVsbG8=", "isBase64Encoded": true}"#,
        );
        let answer = function.gateway.send(&Request::get("/"));
        assert_eq!((answer.status, answer.text().as_str()), (201, "hello"));
        assert_eq!(answer.field("content-length"), Some("5"));
        assert_eq!(answer.field("content-type"), Some("text/plain"));
        assert_eq!(answer.field("x-a"), Some("b"));
        assert_eq!(answer.field("via"), Some("1.1 scopegate"));
        assert!(answer.field("date").is_some());
        let cookies = answer
            .fields
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
    }
}

#[test]
fn in_version_2_a_value_is_an_answer_of_its_own() {
    let function = Function::open("2.0");
    for value in ["null", "\"text\"", "5", "[1,2]", "{\"a\": {\"b\": 1}}"] {
        function.returns(value);
        let answer = function.gateway.send(&Request::get("/"));
        assert_eq!((answer.status, answer.text().as_str()), (200, value));
        assert_eq!(answer.field("content-type"), Some("application/json"));
    }
    function.returns(r#"{"statusCode": 200, "cookies": ["a=1; Path=/"], "unknown": 1}"#);
    let answer = function.gateway.send(&Request::get("/"));
    assert_eq!(answer.field("set-cookie"), Some("a=1; Path=/"));
}

#[test]
fn head_204_and_304_have_no_body() {
    let function = Function::open("1.0");
    function.always(r#"{"statusCode": 200, "body": "body", "headers": {"content-length": "9"}}"#);
    let mut client = function.gateway.connect();
    for _ in 0..2 {
        let answer = client.send(&Request::new("HEAD", "/"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("content-length"), Some("4"));
        assert_eq!(function.event()["httpMethod"], "HEAD");
    }
    for status in [204, 304] {
        function.always(&format!("{{\"statusCode\": {status}, \"body\": \"body\"}}"));
        for _ in 0..2 {
            let answer = client.send(&Request::get("/"));
            assert_eq!(
                (answer.status, answer.field("content-type")),
                (status, None)
            );
            assert_eq!(answer.field("transfer-encoding"), None);
        }
    }
    let mut frames = Frames::connect(function.gateway.address());
    frames.get(1, "/");
    assert_eq!(frames.status(1), 304);
}

#[test]
fn the_framing_of_an_answer_is_the_gateways() {
    let function = Function::open("1.0");
    function.always(
        r#"{"statusCode": 426, "body": "body", "headers": {
            "Content-Length": "9000", "Transfer-Encoding": "chunked", "Connection": "close, x-hop",
            "Keep-Alive": "timeout=1", "Upgrade": "h2c", "Trailer": "x", "X-Hop": "1",
            "Proxy-Authenticate": "Basic", "TE": "gzip", "X-Request-Id": "other"}}"#,
    );
    let mut client = function.gateway.connect();
    for _ in 0..2 {
        let answer = client.send(&Request::get("/").field("X-Request-Id", "mine"));
        assert_eq!((answer.status, answer.text().as_str()), (426, "body"));
        assert_eq!(answer.field("content-length"), Some("4"));
        assert_eq!(answer.field("x-request-id"), Some("mine"));
        for name in ["x-hop", "trailer", "connection", "upgrade"] {
            assert_eq!(answer.field(name), None, "{name}");
        }
    }
}

#[test]
fn a_status_without_content_has_none() {
    let function = Function::open("2.0");
    let mut client = function.gateway.connect();
    for status in [204, 205, 304] {
        for method in ["GET", "HEAD"] {
            function.returns(&format!(r#"{{"statusCode": {status}, "body": "body"}}"#));
            let answer = client.send(&Request::new(method, "/"));
            assert_eq!((answer.status, answer.text().as_str()), (status, ""));
            assert_ne!(answer.field("content-length"), Some("4"), "{method}");
        }
    }
    function.returns(r#"{"statusCode": 200, "body": "body"}"#);
    assert_eq!(client.send(&Request::get("/")).text(), "body");
}

#[test]
fn a_function_that_failed_tells_the_client_nothing() {
    let error = r#"{"errorType": "hidden.Error", "errorMessage": "hidden", "stackTrace": []}"#;
    for format in ["1.0", "2.0"] {
        let function = Function::open(format);
        // The runtime emulator answers with the error alone.
        is_refused(&function, error, "function_error");
        for payload in [
            error,
            "",
            "null",
            "{\"statusCode\": 200, \"body\": \"hidden\"}",
        ] {
            let fields = "X-Amz-Function-Error: Unhandled\r\n";
            let script = Function::returning(fields, payload.as_bytes());
            function.invoke_api.play([script]);
            let answer = function.gateway.send(&Request::get("/"));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (502, "upstream_failed")
            );
            assert!(!answer.text().contains("hidden"), "{}", answer.text());
        }
        function.gateway.wait_for_metric(
            "scopegate_refusals_total{reason=\"function_error\",route=\"/**\"}",
            5.0,
        );
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    let function = Function::open("1.0");
    let many: Vec<String> = (0..101)
        .map(|number| format!("\"x-{number}\":\"hidden\""))
        .collect();
    let many = format!("{{\"statusCode\":200,\"headers\":{{{}}}}}", many.join(","));
    for payload in [
        "",
        "null",
        "\"hidden\"",
        "5",
        "[]",
        "hidden",
        "{\"statusCode\":200,\"hidden\":1}",
        "{\"statusCode\":200,\"body\":{\"hidden\":1}}",
        "{\"statusCode\":200,\"body\":\"hidden\",\"isBase64Encoded\":true}",
        "{\"statusCode\":100,\"body\":\"hidden\"}",
        "{\"statusCode\":101,\"body\":\"hidden\"}",
        "{\"statusCode\":600,\"body\":\"hidden\"}",
        "{\"statusCode\":200,\"headers\":{\"a\":\"b\\r\\nx-hidden: 1\"}}",
        "{\"statusCode\":200,\"headers\":{\"a\":\"b\\nhidden\"}}",
        "{\"statusCode\":200,\"headers\":{\"a\":\"hidden\\r\\n\"}}",
        "{\"statusCode\":200,\"headers\":{\"Hidden\":\"a\",\"hidden\":\"b\"}}",
        "{\"statusCode\":200,\"headers\":{\"a\\r\\nhidden\":\"b\"}}",
        "{\"statusCode\":200,\"multiValueHeaders\":{\"a\":[\"hidden\\u0000\"]}}",
        &many,
    ] {
        is_refused(&function, payload, "function_answer");
    }
    let answer = function.gateway.send(&Request::get("/"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    function.always("{\"statusCode\":200,\"headers\":{\"__proto__\":\"a\"}}");
    let answer = function.gateway.send(&Request::get("/"));
    assert_eq!(answer.field("__proto__"), Some("a"));
}

#[test]
fn an_answer_that_is_too_long_is_refused() {
    let function = Function::open("1.0");
    let longest = format!(
        "{{\"statusCode\":200,\"body\":\"{}\"}}",
        "a".repeat(MOST - 28)
    );
    assert_eq!(longest.len(), MOST);
    function.returns(&longest);
    let answer = function.gateway.send(&Request::get("/"));
    assert_eq!((answer.status, answer.body.len()), (200, MOST - 28));
    is_refused(&function, &format!("{longest} "), "function_answer");
    // Without a length it is read no further than the limit.
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = [&b"10000\r\n"[..], &[b'a'; 0x10000], b"\r\n"].concat();
    function.invoke_api.play([Script::Flood(head, chunk)]);
    let answer = function.gateway.send(&Request::get("/"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_failed")
    );
}

#[test]
fn an_invoke_api_that_refuses_is_told_apart() {
    let function = Function::open("1.0");
    for (status, expected, code) in [
        ("429 Too Many Requests", 503, "upstream_overloaded"),
        ("404 Not Found", 502, "upstream_failed"),
        ("500 Internal Server Error", 502, "upstream_failed"),
        ("202 Accepted", 502, "upstream_failed"),
        ("302 Found", 502, "upstream_failed"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 6\r\n\r\nhidden");
        function
            .invoke_api
            .play([Script::Raw(answer.into_bytes(), true)]);
        let answer = function.gateway.send(&Request::get("/"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (expected, code),
            "{status}"
        );
        assert!(!answer.text().contains("hidden"));
    }
    function.gateway.wait_for_metric(
        "scopegate_refusals_total{reason=\"function_throttled\",route=\"/**\"}",
        1.0,
    );
    function.gateway.wait_for_metric(
        "scopegate_refusals_total{reason=\"invocation_refused\",route=\"/**\"}",
        4.0,
    );
}

#[test]
fn a_function_that_hangs_is_given_up() {
    let function = Function::with(
        "1.0",
        "",
        "response_timeout = \"100ms\"\nidle_body = \"100ms\"\n",
    );
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"statusCode\"";
    for script in [
        Script::Hang,
        Script::Pieces(vec![Vec::new(), head.as_bytes().to_vec(), Vec::new()]),
    ] {
        (0..2).for_each(|_| function.invoke_api.go_on());
        function.invoke_api.play([script]);
        let answer = function.gateway.send(&Request::get("/"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (504, "upstream_timeout")
        );
    }
    function.invoke_api.go_on();
}

#[test]
fn a_function_that_dies_has_no_answer() {
    let function = Function::open("1.0");
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"statusCode\": 200}";
    for script in [
        Script::Close,
        Script::Raw(b"HTTP/1.1 200 OK\r\n".to_vec(), false),
        Script::Raw(cut.to_vec(), false),
        Script::RawThenReset(cut.to_vec()),
        Script::Raw(b"not HTTP\r\n\r\n".to_vec(), false),
    ] {
        function.invoke_api.play([script]);
        let answer = function.gateway.send(&Request::get("/"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, "upstream_failed")
        );
    }
}

#[test]
fn bytes_beyond_an_answer_belong_to_no_request() {
    let function = Function::open("1.0");
    let one = "HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\n{\"statusCode\":200,\"body\":\"one\"}";
    let twice = one.repeat(2);
    function
        .invoke_api
        .play([Script::Raw(twice.into_bytes(), true)]);
    let mut client = function.gateway.connect();
    let answer = client.send(&Request::get("/"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "one"));
    let answer = client.send(&Request::get("/"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(function.invoke_api.last().connection, 1);
    // A length that is too short cuts the JSON.
    let short =
        "HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n{\"statusCode\":200,\"body\":\"one\"}";
    function
        .invoke_api
        .play([Script::Raw(short.as_bytes().to_vec(), true)]);
    assert_eq!(client.send(&Request::get("/")).status, 502);
    assert_eq!(client.send(&Request::get("/")).text(), "ok");
}
