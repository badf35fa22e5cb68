//! Answers of the operator's own (`[[errors.responses]]`): which entry answers, and what it may
//! say.

use crate::support::{Answer, Gateway, Issuer, Key, Request, Upstream, now};

const FILE: &str = r#"
[variables]
login = "https://login.test"

[errors]
profile = "aws-rest"

[[errors.responses]]
for     = "4xx"
headers = { "x-entry" = "4xx" }

[[errors.responses]]
for     = ["missing_token", "invalid_token"]
body    = '{"message": "${detail}", "code": "${reason}", "id": "${request_id}", "route": "${route}"}'
headers = { "x-entry" = "list", "x-id" = "${request_id}" }

[[errors.responses]]
for     = "no_route"
status  = 404
headers = { "content-type" = "text/html; charset=utf-8", "x-entry" = "one" }
body    = "<p title='${request_id}'>$$5 ${detail}</p>"

[[errors.responses]]
for     = "insufficient_scope"
status  = 302
headers = { location = "${login}/?id=${request_id}" }

[[groups]]
prefix   = "/rest"
upstream = "orders"
routes   = [{ path = "/read", methods = { GET = "read" } }, { path = "/gone", public = true, methods = ["GET"], upstream = "gone" }]

[[groups]]
prefix   = "/own"
upstream = "orders"
routes   = [{ path = "/read", methods = { GET = "read" } }]

[groups.errors]
profile = "rfc6750"

[[groups.errors.responses]]
for     = "4xx"
body    = "${detail}"
headers = { "x-detail" = "${detail}" }

[[groups.errors.responses]]
for    = "token_expired"
status = 403

[[groups.errors.responses]]
for    = "method_not_allowed"
status = 204
"#;

struct Setting {
    gateway: Gateway,
    issuer: Issuer,
}

fn start() -> Setting {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[upstreams.gone]\nurl = \"http://127.0.0.1:1\"\n{FILE}",
        issuer.toml(),
        upstream.toml("orders")
    ));
    Setting { gateway, issuer }
}

fn get(path: &str) -> Request {
    Request::get(path).field("X-Request-Id", "id-1")
}

#[test]
fn an_entry_that_names_the_reason_goes_before_one_for_its_class() {
    let Setting { gateway, issuer } = start();
    let entry = |answer: &Answer| answer.field("x-entry").map(str::to_owned);
    let answer = gateway.send(&get("/rest/read"));
    assert_eq!(
        (answer.status, entry(&answer).as_deref()),
        (401, Some("list"))
    );
    assert_eq!(
        answer.text(),
        r#"{"message": "Unauthorized", "code": "missing_token", "id": "id-1", "route": "/rest/read"}"#
    );
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("x-id"), Some("id-1"));
    // What the entry does not state is that of the profile.
    assert_eq!(
        answer.field("x-amzn-errortype"),
        Some("UnauthorizedException")
    );
    let expired = issuer.claims("read").with("exp", now() - 3600);
    let answer = gateway.send(&get("/rest/read").bearer(&expired.signed(&issuer.key)));
    assert_eq!(
        (answer.status, entry(&answer).as_deref()),
        (401, Some("4xx"))
    );
    assert_eq!(
        answer.text(),
        r#"{"message":"The incoming token has expired"}"#
    );
    // Nothing of an entry for the class is merged into another one.
    let answer = gateway.send(&get("/none"));
    assert_eq!(
        (answer.status, entry(&answer).as_deref()),
        (404, Some("one"))
    );
    assert_eq!(
        answer.text(),
        "<p title='id-1'>$5 Missing Authentication Token</p>"
    );
    assert_eq!(
        answer.field("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        answer.field("x-amzn-errortype"),
        Some("MissingAuthenticationTokenException")
    );
    // No entry is for 5xx.
    let answer = gateway.send(&get("/rest/gone"));
    assert_eq!((answer.status, entry(&answer)), (504, None));
    let admitted = gateway.send(&get("/rest/read").bearer(&issuer.token("read")));
    assert_eq!((admitted.status, entry(&admitted)), (200, None));
}

#[test]
fn an_entry_of_the_group_goes_before_those_of_the_file() {
    let Setting { gateway, issuer } = start();
    // A class of the group before a reason of the file.
    let answer = gateway.send(&get("/own/read"));
    assert_eq!((answer.status, answer.field("x-entry")), (401, None));
    assert_eq!(
        answer.text(),
        "This needs an access token, and the request has none."
    );
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    // The gateway's own sentence is no value of a client.
    assert_eq!(
        answer.field("x-detail"),
        Some("This needs an access token, and the request has none.")
    );
    // The challenge of a 401 stays, whatever an entry says.
    assert_eq!(answer.challenge("scope").as_deref(), Some("read"));
    let answer = gateway.send(&get("/own/none"));
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (404, "There is nothing at this path.")
    );
    // The problem tells the status that was sent.
    let expired = issuer.claims("read").with("exp", now() - 3600);
    let answer = gateway.send(&get("/own/read").bearer(&expired.signed(&issuer.key)));
    assert_eq!(answer.status, 403);
    assert_eq!(answer.problem()["status"], 403);
    assert_eq!(answer.code(), "token_expired");
    let answer = gateway.send(&Request::new("DELETE", "/own/read"));
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    assert_eq!(answer.field("content-type"), None);
}

#[test]
fn a_refusal_may_be_a_redirect() {
    let Setting { gateway, issuer } = start();
    let answer = gateway.send(&get("/rest/read").bearer(&issuer.token("write")));
    assert_eq!(answer.status, 302);
    assert_eq!(
        answer.field("location"),
        Some("https://login.test/?id=id-1")
    );
}

// Neither the reason of the log nor its detail is among the references.
#[test]
fn an_entry_tells_no_more_than_the_answer_of_the_profile() {
    let Setting { gateway, issuer } = start();
    let ask = |token: &str| gateway.send(&get("/rest/read").bearer(token));
    let first = ask(&issuer.claims("read").signed(&Key::rsa("key-1", 1)));
    assert_eq!(
        first.text(),
        r#"{"message": "Unauthorized", "code": "invalid_token", "id": "id-1", "route": "/rest/read"}"#
    );
    for token in [
        issuer.claims("read").signed(&Key::rsa("other", 1)),
        issuer
            .claims("read")
            .with("iss", "https://b.test")
            .signed(&issuer.key),
        "not-a-jwt".to_owned(),
        "undefined".to_owned(),
    ] {
        let answer = ask(&token);
        assert_eq!((answer.status, answer.text()), (first.status, first.text()));
    }
}

#[test]
fn head_and_grpc_have_their_own_forms() {
    let Setting { gateway, .. } = start();
    let answer = gateway.send(&Request::new("HEAD", "/none").field("X-Request-Id", "id-1"));
    assert_eq!((answer.status, answer.text().as_str()), (404, ""));
    assert_eq!(answer.field("x-entry"), Some("one"));
    let call = Request::new("POST", "/none").field("Content-Type", "application/grpc-web");
    let answer = gateway.send(&call.body(""));
    assert_eq!((answer.status, answer.field("x-entry")), (200, None));
    assert_eq!(answer.field("grpc-status"), Some("12"));
}

#[test]
fn metrics_count_the_reason() {
    let Setting { gateway, .. } = start();
    gateway.send(&get("/none"));
    let refusals = "scopegate_refusals_total{reason=\"no_route\",route=\"none\"}";
    assert_eq!(gateway.metric(refusals), 1.0);
}
