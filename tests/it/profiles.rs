//! The profiles of answers: the exact statuses, fields and bodies that clients of Amazon API
//! Gateway know, and the ids of requests.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, literal, request};
use crate::support::{
    Answer, Gateway, Issuer, Jwks, Key, Process, Request, Script, Upstream, now, wait_until,
};

const UUID: &str = "8db3b4dd-ecd5-436d-9eeb-a544e39d3e12";

/// A gateway with one group for each profile, and the same routes in each.
struct Setting {
    gateway: Gateway,
    issuer: Issuer,
    upstream: Upstream,
}

fn start() -> Setting {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    // Nothing listens there once the listener is dropped.
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gateway = Gateway::start(&format!(
        "{}{}[upstreams.gone]\nurl = \"http://{gone}\"\nretries = 0\n{}",
        issuer.toml(),
        upstream.toml("orders"),
        groups()
    ));
    Setting {
        gateway,
        issuer,
        upstream,
    }
}

fn groups() -> String {
    let mut text = String::new();
    for (prefix, errors) in [
        ("/rest", "errors = { profile = \"aws-rest\" }"),
        ("/http", "errors = { profile = \"aws-http\" }"),
        (
            "/quiet",
            "errors = { profile = \"aws-http\", detail = \"minimal\" }",
        ),
        ("/plain", ""),
    ] {
        text += &format!(
            r#"
[[groups]]
prefix   = "{prefix}"
upstream = "orders"
{errors}
routes = [
    {{ path = "/tests", methods = {{ GET = {{ any = ["x/z", "x/y"] }} }} }},
    {{ path = "/page", authenticated = true, methods = ["GET"], cors = {{ origins = ["https://app.test"] }} }},
    {{ path = "/any", authenticated = true, methods = ["GET"] }},
    {{ path = "/open", public = true, methods = ["GET", "POST"], body_bytes = "10 B" }},
    {{ path = "/slow", public = true, methods = ["GET"], response_timeout = "50ms" }},
    {{ path = "/gone", public = true, methods = ["GET"], upstream = "gone" }},
]
"#
        );
    }
    text
}

/// The answer without its ids and its date, in the order of the names.
fn shown(answer: &Answer) -> (u16, Vec<(&str, &str)>, String) {
    let mut fields = Vec::new();
    for (name, value) in &answer.fields {
        let is_fixed = !matches!(
            name.as_str(),
            "date" | "x-request-id" | "x-amzn-requestid" | "x-amz-apigw-id" | "apigw-requestid"
        );
        if is_fixed {
            fields.push((name.as_str(), value.as_str()));
        }
    }
    fields.sort_unstable();
    (answer.status, fields, answer.text())
}

/// Asserts the whole answer of a REST API.
#[track_caller]
fn assert_rest(answer: &Answer, status: u16, error_type: &str, body: &str) {
    let length = body.len().to_string();
    let expected = vec![
        ("cache-control", "no-store"),
        ("content-length", length.as_str()),
        ("content-type", "application/json"),
        ("x-amzn-errortype", error_type),
    ];
    assert_eq!(shown(answer), (status, expected, body.to_owned()));
    let id = answer.field("x-amzn-requestid").unwrap();
    assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
    assert_eq!(answer.field("x-amz-apigw-id"), answer.field("x-request-id"));
}

/// Asserts the whole answer of an HTTP API.
#[track_caller]
fn assert_http(answer: &Answer, status: u16, challenge: Option<&str>, body: &str) {
    let length = body.len().to_string();
    let mut expected = vec![
        ("cache-control", "no-store"),
        ("content-length", length.as_str()),
        ("content-type", "application/json"),
    ];
    expected.extend(challenge.map(|challenge| ("www-authenticate", challenge)));
    assert_eq!(shown(answer), (status, expected, body.to_owned()));
    assert_eq!(
        answer.field("apigw-requestid"),
        answer.field("x-request-id")
    );
    assert_eq!(answer.field("x-amzn-requestid"), None);
}

const UNAUTHORIZED: &str = r#"{"message":"Unauthorized"}"#;
const FORBIDDEN: &str = r#"{"message":"Forbidden"}"#;

#[test]
fn a_rest_api_answers_401_to_whatever_is_wrong_with_a_token() {
    let Setting {
        gateway, issuer, ..
    } = start();
    let get = || Request::get("/rest/tests");
    let stranger = Key::rsa("key-1", 1);
    let broken = issuer.claims("x/y").signed(&stranger);
    let tokens = [
        issuer.token("x/yy"),
        broken,
        issuer
            .claims("x/y")
            .with("aud", "other")
            .signed(&issuer.key),
        issuer
            .claims("x/y")
            .with("nonce", "n")
            .with("at_hash", "h")
            .signed(&issuer.key),
        "not-a-jwt".to_owned(),
        "a b".to_owned(),
        String::new(),
    ];
    assert_eq!(UNAUTHORIZED.len(), 26);
    let nothing = gateway.send(&get());
    assert_rest(&nothing, 401, "UnauthorizedException", UNAUTHORIZED);
    for request in [
        get().field("Authorization", "Basic eDp5"),
        get().field("Authorization", ""),
        get()
            .bearer(&issuer.token("x/y"))
            .bearer(&issuer.token("x/y")),
    ] {
        let answer = gateway.send(&request);
        assert_rest(&answer, 401, "UnauthorizedException", UNAUTHORIZED);
    }
    for token in tokens {
        let answer = gateway.send(&get().bearer(&token));
        assert_rest(&answer, 401, "UnauthorizedException", UNAUTHORIZED);
    }
    let expired = issuer.claims("x/y").with("exp", now() - 3600);
    let answer = gateway.send(&get().bearer(&expired.signed(&issuer.key)));
    let body = r#"{"message":"The incoming token has expired"}"#;
    assert_rest(&answer, 401, "UnauthorizedException", body);
    let admitted = gateway.send(&get().bearer(&issuer.token("x/y")));
    assert_eq!(admitted.status, 200);
}

#[test]
fn a_rest_api_has_403_for_what_it_has_no_route_for() {
    let Setting { gateway, .. } = start();
    let body = r#"{"message":"Missing Authentication Token"}"#;
    for request in [
        Request::new("DELETE", "/rest/open"),
        Request::new("OPTIONS", "/rest/open"),
    ] {
        let answer = gateway.send(&request);
        assert_rest(&answer, 403, "MissingAuthenticationTokenException", body);
    }
}

#[test]
fn a_rest_api_names_the_faults_of_its_endpoint() {
    let Setting {
        gateway, upstream, ..
    } = start();
    let faulty = "InternalServerErrorException";
    upstream.play([Script::Hang]);
    let timed_out = r#"{"message": "Endpoint request timed out"}"#;
    let answer = gateway.send(&Request::get("/rest/slow"));
    assert_rest(&answer, 504, faulty, timed_out);
    let network = r#"{"message": "Network error communicating with endpoint"}"#;
    let answer = gateway.send(&Request::get("/rest/gone"));
    assert_rest(&answer, 504, faulty, network);
    upstream.play([Script::Raw(b"no HTTP\r\n\r\n".to_vec(), false)]);
    let answer = gateway.send(&Request::get("/rest/open"));
    assert_rest(
        &answer,
        502,
        faulty,
        r#"{"message": "Internal server error"}"#,
    );
}

#[test]
fn a_body_that_is_too_large_is_answered_in_plain_text() {
    let Setting { gateway, .. } = start();
    let post = |prefix: &str| {
        gateway.send(&Request::new("POST", &format!("{prefix}/open")).body("12345678901"))
    };
    let answer = post("/rest");
    assert_eq!(answer.status, 413);
    assert_eq!(answer.field("content-type"), Some("text/plain"));
    assert_eq!(answer.field("x-amzn-errortype"), None);
    assert_eq!(answer.text(), "HTTP content length exceeded 10 bytes.");
    // The end of the request is in doubt in every profile.
    assert_eq!(answer.field("connection"), Some("close"));
    let answer = post("/http");
    assert_eq!(answer.status, 413);
    assert_eq!(answer.text(), r#"{"message":"Request Entity Too Large"}"#);
    assert_eq!(post("/plain").code(), "body_too_large");
}

#[test]
fn an_http_api_has_challenges_without_commas() {
    let Setting {
        gateway, issuer, ..
    } = start();
    let get = || Request::get("/http/tests");
    let invalid = |description: &str| {
        format!(r#"Bearer scope="" error="invalid_token" error_description="{description}""#)
    };
    let answer = gateway.send(&get());
    assert_http(&answer, 401, Some("Bearer"), UNAUTHORIZED);
    let segments = invalid("token contains an invalid number of segments");
    for text in ["not-a-jwt", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0"] {
        let answer = gateway.send(&get().bearer(text));
        assert_http(&answer, 401, Some(&segments), UNAUTHORIZED);
    }
    let claims = || issuer.claims("x/y");
    // No client learns which check before that of the signature failed.
    let unverified = invalid("The access token is not valid.");
    for token in [
        claims().signed(&Key::rsa("key-1", 1)),
        claims().signed(&Key::rsa("another", 1)),
        claims()
            .with("iss", "https://other.test")
            .signed(&issuer.key),
    ] {
        let answer = gateway.send(&get().bearer(&token));
        assert_http(&answer, 401, Some(&unverified), UNAUTHORIZED);
    }
    for (token, description) in [
        (
            claims().with("aud", "other"),
            "the token does not have a valid audience",
        ),
        (
            claims().with("exp", now() - 3600),
            "The access token has expired.",
        ),
    ] {
        let answer = gateway.send(&get().bearer(&token.signed(&issuer.key)));
        assert_http(&answer, 401, Some(&invalid(description)), UNAUTHORIZED);
    }
    let scopes = r#"Bearer scope="x/z x/y" error="insufficient_scope" error_description="expected scopes: [x/z x/y]""#;
    let answer = gateway.send(&get().bearer(&issuer.token("x/yy")));
    assert_http(&answer, 403, Some(scopes), FORBIDDEN);
    // An ID token lacks the scopes, too; where none are asked for it is another kind of token.
    let id_token = claims()
        .with("nonce", "n")
        .with("at_hash", "h")
        .signed(&issuer.key);
    let answer = gateway.send(&get().bearer(&id_token));
    assert_http(&answer, 403, Some(scopes), FORBIDDEN);
    let answer = gateway.send(&Request::get("/http/any").bearer(&id_token));
    assert_http(
        &answer,
        401,
        Some(&invalid("The token is not an access token.")),
        UNAUTHORIZED,
    );
}

#[test]
fn with_minimal_detail_a_challenge_has_the_error_alone() {
    let Setting {
        gateway, issuer, ..
    } = start();
    let get = || Request::get("/quiet/tests");
    let expired = issuer.claims("x/y").with("exp", now() - 3600);
    for token in [expired.signed(&issuer.key), "not-a-jwt".to_owned()] {
        let answer = gateway.send(&get().bearer(&token));
        let challenge = r#"Bearer scope="" error="invalid_token""#;
        assert_http(&answer, 401, Some(challenge), UNAUTHORIZED);
    }
    let answer = gateway.send(&get().bearer(&issuer.token("x/yy")));
    let challenge = r#"Bearer scope="x/z x/y" error="insufficient_scope""#;
    assert_http(&answer, 403, Some(challenge), FORBIDDEN);
}

#[test]
fn an_http_api_has_404_for_what_it_has_no_route_for() {
    let Setting {
        gateway, upstream, ..
    } = start();
    let answer = gateway.send(&Request::new("DELETE", "/http/open"));
    assert_http(&answer, 404, None, r#"{"message":"Not Found"}"#);
    let answer = gateway.send(&Request::get("/http/gone"));
    assert_http(&answer, 503, None, r#"{"message":"Service Unavailable"}"#);
    upstream.play([Script::Hang]);
    let answer = gateway.send(&Request::get("/http/slow"));
    assert_http(&answer, 504, None, r#"{"message":"Gateway Timeout"}"#);
}

// The token may be valid, whatever the profile.
#[test]
fn without_keys_there_is_a_503_with_its_delay_in_every_profile() {
    let issuer = Issuer::start();
    issuer.serve(Jwks::Reset);
    let upstream = Upstream::start();
    let gateway = Gateway::start(&format!(
        "{}{}[upstreams.gone]\nurl = \"http://127.0.0.1:1\"\n{}",
        issuer.toml(),
        upstream.toml("orders"),
        groups()
    ));
    for (prefix, body) in [
        ("/rest", r#"{"message": "Service Unavailable"}"#),
        ("/http", r#"{"message":"Service Unavailable"}"#),
    ] {
        let request = Request::get(&format!("{prefix}/tests")).bearer(&issuer.token("x/y"));
        let answer = gateway.send(&request);
        assert_eq!((answer.status, answer.text().as_str()), (503, body));
        assert!(answer.field("retry-after").is_some(), "{answer:?}");
        assert_eq!(answer.field("www-authenticate"), None, "{answer:?}");
    }
}

#[test]
fn the_profile_of_the_file_answers_where_no_group_does() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&format!(
        "[errors]\nprofile = \"aws-rest\"\n{}[[routes]]\npath = \"/open\"\nupstream = \"orders\"\n\
         public = true\nmethods = [\"GET\"]\n",
        upstream.toml("orders")
    ));
    let missing = r#"{"message":"Missing Authentication Token"}"#;
    let answer = gateway.send(&Request::get("/none"));
    assert_rest(&answer, 403, "MissingAuthenticationTokenException", missing);
    // Before the path is known.
    let answer = gateway.send(&Request::get("/open").field("Host", "a b"));
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, r#"{"message": "Bad Request"}"#)
    );
    // The path can be read in two ways, and no route allows that.
    let answer = gateway.send(&Request::get("/open%2fx"));
    assert_rest(
        &answer,
        400,
        "BadRequestException",
        r#"{"message": "Bad Request"}"#,
    );
}

#[test]
fn a_client_of_a_rest_api_may_choose_a_uuid() {
    let Setting {
        gateway, upstream, ..
    } = start();
    let get = |path: &str| Request::get(path).field("X-Amzn-RequestId", UUID);
    // In refusals and in forwarded answers, and it is the id of the request everywhere.
    for path in ["/rest/open", "/rest/tests"] {
        let answer = gateway.send(&get(path));
        for name in ["x-amzn-requestid", "x-amz-apigw-id", "x-request-id"] {
            assert_eq!(answer.field(name), Some(UUID), "{path} {name}");
        }
    }
    assert_eq!(upstream.last().field("x-request-id"), Some(UUID));
    // An id of its own stays.
    let answer = gateway.send(&get("/rest/open").field("X-Request-Id", "mine"));
    assert_eq!(answer.field("x-amzn-requestid"), Some(UUID));
    assert_eq!(answer.field("x-amz-apigw-id"), Some("mine"));
    assert_eq!(answer.field("x-request-id"), Some("mine"));
    assert_eq!(upstream.last().field("x-request-id"), Some("mine"));
}

#[test]
fn any_other_text_is_replaced() {
    let Setting { gateway, .. } = start();
    for (name, value) in [
        ("X-Amzn-RequestId", "not-a-uuid"),
        ("X-Amzn-RequestId", "8db3b4ddecd5436d9eeba544e39d3e12"),
        ("X-Request-Id", "mine"),
        ("X-Amz-Apigw-Id", UUID),
    ] {
        for path in ["/rest/open", "/rest/none", "/rest/tests"] {
            let answer = gateway.send(&Request::get(path).field(name, value));
            let id = answer.field("x-amzn-requestid");
            let Some(id) = id else {
                // A path without a route is not of the group here.
                assert_eq!(path, "/rest/none");
                continue;
            };
            assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
            assert_ne!(id, value);
        }
    }
    let twice = Request::get("/rest/open")
        .field("X-Amzn-RequestId", UUID)
        .field("X-Amzn-RequestId", UUID);
    assert_ne!(gateway.send(&twice).field("x-amzn-requestid"), Some(UUID));
}

#[test]
fn the_ids_are_those_of_the_profile_alone() {
    let Setting {
        gateway, upstream, ..
    } = start();
    let of_upstream = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Amzn-RequestId: theirs\r\n\
                        Apigw-RequestId: theirs\r\nX-Amz-Apigw-Id: theirs\r\n\r\n";
    upstream.always(Script::Raw(of_upstream.to_vec(), true));
    let get = |prefix: &str| {
        let path = format!("{prefix}/open");
        gateway.send(&Request::get(&path).field("X-Amzn-RequestId", UUID))
    };
    let (rest, http, plain) = (get("/rest"), get("/http"), get("/plain"));
    assert_eq!(rest.field("x-amzn-requestid"), Some(UUID));
    assert_eq!(rest.field("apigw-requestid"), Some("theirs"));
    let id = http.field("x-request-id");
    assert_ne!(id, Some(UUID), "an HTTP API has no ids of clients");
    assert_eq!(http.field("apigw-requestid"), id);
    assert_eq!(http.field("x-amzn-requestid"), Some("theirs"));
    for name in ["x-amzn-requestid", "x-amz-apigw-id", "apigw-requestid"] {
        assert_eq!(plain.field(name), Some("theirs"), "{name}");
    }
    assert_ne!(plain.field("x-request-id"), Some(UUID));
}

#[test]
fn a_refusal_has_the_rules_of_its_route_and_no_body_for_head() {
    let Setting { gateway, .. } = start();
    for (path, length) in [("/rest/page", "26"), ("/http/page", "26")] {
        let request = Request::get(path).field("Origin", "https://app.test");
        let answer = gateway.send(&request);
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.field("access-control-allow-origin"),
            Some("https://app.test")
        );
        let answer = gateway.send(&Request::new("HEAD", path));
        assert_eq!((answer.status, answer.text().as_str()), (401, ""));
        assert_eq!(answer.field("content-length"), Some(length));
    }
}

#[test]
fn http_2_has_the_same_answers() {
    let Setting { gateway, .. } = start();
    let mut client = Frames::connect(gateway.address());
    client.get(1, "/rest/tests");
    assert_eq!(client.status(1), 401);
    assert_eq!(client.body(1), UNAUTHORIZED.as_bytes());
    client.get(3, "/http/open/none");
    assert_eq!(client.status(3), 404);
}

// A client of gRPC knows no profile.
#[test]
fn calls_of_grpc_do_not_change() {
    let Setting { gateway, .. } = start();
    let mut answers = Vec::new();
    for path in ["/rest/tests", "/http/tests", "/plain/tests"] {
        let request = Request::new("POST", path)
            .field("Content-Type", "application/grpc-web+proto")
            .body("");
        let answer = gateway.send(&request);
        assert_eq!(answer.status, 200);
        let mut fields = answer.fields.clone();
        fields.retain(|(name, _)| name.starts_with("grpc-") || name.starts_with("www-"));
        assert_eq!(answer.field("grpc-status"), Some("12"), "{answer:?}");
        answers.push(fields);
    }
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[1], answers[2]);
    let mut client = Frames::connect(gateway.address());
    let fields = [
        request("POST", "/rest/open"),
        literal("content-type", "application/grpc"),
        literal("authorization", "Bearer a"),
        literal("authorization", "Bearer b"),
    ];
    let flags = END_HEADERS | END_STREAM;
    client.send(HEADERS, flags, 1, &fields.concat());
    assert_eq!(client.status(1), 200);
}

#[test]
fn the_log_has_the_status_that_was_sent_and_the_reason_of_ever() {
    let upstream = Upstream::start();
    let process = Process::run(&format!(
        "[errors]\nprofile = \"aws-rest\"\n{}[[routes]]\npath = \"/open\"\nupstream = \"orders\"\n\
         public = true\nmethods = [\"GET\"]\n",
        upstream.toml("orders")
    ));
    let request = Request::get("/none").field("X-Amzn-RequestId", UUID);
    assert_eq!(process.send(&request).status, 403);
    let line = || -> Option<Value> {
        let out = process.out();
        out.lines().find_map(|line| serde_json::from_str(line).ok())
    };
    wait_until("it is logged", || line().is_some());
    let line = line().unwrap();
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&403.into(), &"no_route".into())
    );
    assert_eq!(line["request_id"], UUID);
    let refusals = "scopegate_refusals_total{reason=\"no_route\",route=\"none\"}";
    assert_eq!(process.metric(refusals), 1.0);
}
