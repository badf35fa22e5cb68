//! The parity with Amazon API Gateway, by the ids of its test matrix: routing.

use crate::api_gateway::{Api, MISSING, SCOPE, TESTS, assert_rest};
use crate::support::{Answer, Request};

/// Returns public routes, each of which tells the backend its own name: the methods and the path.
fn routes(names: &[&str]) -> String {
    let mut text = String::new();
    for name in names {
        let (method, path) = name.split_once(' ').unwrap();
        text += &format!(
            "[[groups.routes]]\npath = \"{path}\"\nmethods = \"{method}\"\npublic = true\n\
             request_headers = {{ set = {{ \"x-route\" = \"{}\" }} }}\n",
            label(name)
        );
    }
    text
}

/// Returns the name of a route as a header value, in which braces would be parameters of its path.
fn label(name: &str) -> String {
    name.replace(['{', '}'], "|")
}

/// Asserts which of the routes a request has, by its method and its path in the stage.
#[track_caller]
fn assert_route(api: &Api, request: &str, expected: &str) {
    let answer = ask(api, request);
    assert_eq!(answer.status, 200, "{request}: {answer:?}");
    assert_eq!(
        api.backend.last().field("x-route"),
        Some(&*label(expected)),
        "{request}"
    );
}

fn ask(api: &Api, request: &str) -> Answer {
    let (method, path) = request.split_once(' ').unwrap();
    api.gateway
        .send(&Request::new(method, &format!("/dev{path}")))
}

#[track_caller]
fn assert_missing(answer: &Answer) {
    assert_rest(answer, 403, "MissingAuthenticationTokenException", MISSING);
    assert_eq!(answer.field("allow"), None);
}

#[test]
fn p13_an_unknown_path_and_a_wrong_method_are_the_same_403() {
    let api = Api::rest(TESTS);
    let token = api.access(SCOPE).signed(&api.pool.key);
    for (method, path) in [
        ("GET", "/dev/unknown"),
        ("POST", "/dev/tests"),
        // GET does not answer HEAD, and a stage has its own paths only.
        ("OPTIONS", "/dev/tests"),
        ("GET", "/tests"),
        ("GET", "/dev"),
    ] {
        let request = Request::new(method, path);
        assert_missing(&api.gateway.send(&request));
        assert_missing(&api.gateway.send(&request.field("Authorization", &token)));
    }
    let head = api.gateway.send(&Request::new("HEAD", "/dev/tests"));
    assert_eq!(head.status, 403);
}

#[test]
fn p14_a_path_for_other_methods_gives_way_to_a_greedy_one() {
    let api = Api::rest(&routes(&[
        "POST /test",
        "ANY /test/any",
        "OPTIONS /{proxy+}",
    ]));
    assert_route(&api, "OPTIONS /test", "OPTIONS /{proxy+}");
    assert_route(&api, "POST /test", "POST /test");
    assert_route(&api, "OPTIONS /test/any", "ANY /test/any");
    let api = Api::rest(&routes(&[
        "GET /part1",
        "GET /part1/hardcoded-value",
        "GET /{param+}",
    ]));
    assert_route(&api, "GET /part1/random-value", "GET /{param+}");
    assert_route(
        &api,
        "GET /part1/hardcoded-value",
        "GET /part1/hardcoded-value",
    );
    assert_route(&api, "GET /part1", "GET /part1");
}

#[test]
fn p15_an_http_api_chooses_the_most_specific_route() {
    // `/**` is the route `$default`.
    let api = Api::http(&routes(&[
        "GET /pets/dog/1",
        "GET /pets/dog/{id}",
        "GET /pets/{proxy+}",
        "ANY /{proxy+}",
        "ANY /**",
    ]));
    assert_route(&api, "GET /pets/dog/1", "GET /pets/dog/1");
    assert_route(&api, "GET /pets/dog/2", "GET /pets/dog/{id}");
    assert_route(&api, "GET /pets/cat/1", "GET /pets/{proxy+}");
    assert_route(&api, "POST /test/5", "ANY /{proxy+}");
    // `{proxy+}` takes one segment at least.
    assert_route(&api, "GET /", "ANY /**");
}

#[test]
fn p16_a_greedy_parameter_is_never_empty() {
    let api = Api::rest(&routes(&["GET /files/{proxy+}"]));
    assert_missing(&ask(&api, "GET /files"));
    assert_route(&api, "GET /files/a", "GET /files/{proxy+}");
    assert_route(&api, "GET /files/a/b", "GET /files/{proxy+}");
}
