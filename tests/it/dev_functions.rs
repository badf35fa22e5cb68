//! `scopegate dev` with functions: the echo that shows their events, and a function that is kept.

use serde_json::{Value, json};

use crate::support::{Answer, Process, Request, Script, Upstream, scopegate};

const FILE: &str = r#"
[issuers.idp]
issuer   = "https://idp.example.com/"
audience = "https://api.example.com"

[upstreams.rest]
url             = "http://functions.internal:8080"
max_connections = 1
lambda          = { function = "orders:live", event = "1.0" }

[upstreams.http]
url    = "http://functions.internal:8080"
lambda = { function = "orders", event = "2.0", stage = "prod" }

[upstreams.plain]
url = "http://plain.internal:8080"

[[routes]]
path     = "/rest/{id}"
upstream = "rest"
methods  = { GET = "orders.read", POST = "orders.read" }

[[routes]]
path     = "/http/{id}"
upstream = "http"
methods  = { GET = "orders.read" }

[[routes]]
path     = "/plain/**"
upstream = "plain"
public   = true
"#;

/// Returns a token of the process.
#[track_caller]
fn token(process: &Process) -> String {
    let url = format!("http://{}", process.place("issuer"));
    let line = ["token", "--url", &url, "--scope", "orders.read"];
    let output = scopegate(&line).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[track_caller]
fn seen(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    serde_json::from_str(&answer.text()).unwrap()
}

#[test]
fn the_echo_shows_the_event_that_a_function_gets() {
    let process = Process::dev(FILE);
    let token = token(&process);
    let seen_by = |target: &str| seen(&process.send(&Request::get(target).bearer(&token)));
    let rest = seen_by("/rest/7?a=1&a=2");
    assert_eq!(rest["function"], "orders:live");
    let event = &rest["event"];
    assert_eq!(event["httpMethod"], "GET");
    assert_eq!(event["pathParameters"], json!({ "id": "7" }));
    assert_eq!(
        event["multiValueQueryStringParameters"],
        json!({ "a": ["1", "2"] })
    );
    let claims = &event["requestContext"]["authorizer"]["claims"];
    assert_eq!(
        (&claims["client_id"], &claims["scope"]),
        (&"dev".into(), &"orders.read".into())
    );
    let http = seen_by("/http/7");
    assert_eq!(http["function"], "orders");
    assert_eq!(http["event"]["version"], "2.0");
    assert_eq!(http["event"]["requestContext"]["stage"], "prod");
    for shown in [rest, http] {
        assert!(!shown.to_string().contains(&token), "a token is shown");
    }
}

#[test]
fn the_echo_of_a_function_shows_bodies_as_the_event_has_them() {
    let process = Process::dev(FILE);
    let token = token(&process);
    for (body, shown, is_base64) in [
        (b"text".to_vec(), json!("text"), false),
        (vec![0xff, 0], json!("/wA="), true),
    ] {
        let request = Request::new("POST", "/rest/7").bearer(&token).body(body);
        let event = seen(&process.send(&request))["event"].clone();
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&shown, &is_base64.into())
        );
    }
}

#[test]
fn a_path_like_that_of_an_invocation_is_one_like_any_other_for_the_echo() {
    let process = Process::dev(FILE);
    let path = "/plain/2015-03-31/functions/orders/invocations";
    let answer = process.send(&Request::new("POST", path).body("{}"));
    assert_eq!(seen(&answer)["path"], path);
}

#[test]
fn a_function_on_this_machine_is_invoked_as_the_file_says() {
    let function = Upstream::start();
    let answer = br#"{"statusCode":201,"headers":{"X-From":"function"},"body":"hello"}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    );
    function.always(Script::Raw([head.as_bytes(), answer].concat(), true));
    let upstream = format!("rest={}", function.url());
    let process = Process::dev_with(&["--upstream", &upstream], FILE);
    let token = token(&process);
    let answer = process.send(&Request::get("/rest/7").bearer(&token));
    assert_eq!((answer.status, answer.text().as_str()), (201, "hello"));
    assert_eq!(answer.field("x-from"), Some("function"));
    let arrival = function.last();
    assert_eq!(
        arrival.target,
        "/2015-03-31/functions/orders%3Alive/invocations"
    );
    let event: Value = serde_json::from_slice(&arrival.body).unwrap();
    assert_eq!(
        (&event["path"], &event["resource"]),
        (&"/rest/7".into(), &"/rest/{id}".into())
    );
    let headers = &event["headers"];
    assert_eq!(
        headers["Authorization"],
        format!("Bearer {token}"),
        "as in production"
    );
    // The other function is still the echo, and refused requests reach neither.
    let other = process.send(&Request::get("/http/7").bearer(&token));
    assert_eq!(seen(&other)["function"], "orders");
    assert_eq!(process.send(&Request::get("/rest/7")).status, 401);
    assert_eq!(function.arrivals().len(), 1);
}

#[test]
fn a_name_that_the_file_does_not_have_is_told_from_one_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, FILE).unwrap();
    let url = "http://127.0.0.1:1";
    for (names, says) in [
        (&["orders"][..], "has no upstream \"orders\"\n"),
        (
            &["rset"],
            "has no upstream \"rset\"; did you mean \"rest\"?\n",
        ),
        (
            &["Plain"],
            "has no upstream \"Plain\"; did you mean \"plain\"?\n",
        ),
        (
            &["rest", "plain", "rest"],
            "the upstream \"rest\" has two URLs\n",
        ),
    ] {
        let mut line = vec![
            "dev".to_owned(),
            "-c".to_owned(),
            file.to_str().unwrap().to_owned(),
        ];
        for name in names {
            line.extend(["--upstream".to_owned(), format!("{name}={url}")]);
        }
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let output = scopegate(&line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{names:?}: {output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(says), "{errors}");
    }
}
