//! The answers of the gateway itself, from a request to its response.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE,
};
use http::request::{Builder, Parts};
use http::{HeaderMap, HeaderValue, Request, Response};

use super::answer::{self, OwnAnswer, REQUEST_ID};
use super::*;
use crate::clock::UnixTime;
use crate::config::{Config, Handler};
use crate::lambda::AnswerError;
use crate::net::{DialError, Stage};
use crate::telemetry::{Label as _, Metrics};
use crate::upstream::{Fault, StreamError};

const FILE: &str = r#"
[server]
public_url = "https://api.test"

[[errors.responses]]
for     = "no_route"
status  = 410
headers = { "x-id" = "${request_id}", "x-why" = "${route}:${reason}" }
body    = '{"why": "${detail}"}'

[[errors.responses]]
for    = "method_not_allowed"
status = 204

[issuers.idp]
issuer   = "https://idp.test"
audience = "api"
jwks_uri = "https://idp.test/keys"

[upstreams.up]
url = "http://127.0.0.1:9"

[defaults]
upstream = "up"

[[routes]]
path    = "/open"
methods = ["GET"]
public  = true
cors    = { origins = ["https://app.test"] }

[[routes]]
path   = "/files/{name}"
public = true

[[routes]]
path   = "/files/secret"
scopes = "read"

[[routes]]
path   = "/deep/{rest+}"
public = true
allow  = ["encoded-slash"]

[[routes]]
path   = "/deep/a/secret"
scopes = "read"

[[routes]]
path    = "/moved/{rest+}"
public  = true
respond = { status = 308, headers = { location = "/new/{rest}" }, body = "gone" }

[[routes]]
path    = "/person"
public  = true
respond = { status = 302, headers = { location = "/people/${query:id}" } }

[[routes]]
path       = "/socket"
scopes     = "read"
websocket  = true
token_from = ["cookie:session"]
cookie_origins = ["https://app.test"]

[[routes]]
path       = "/form"
scopes     = "read"
token_from = ["cookie:session"]
cors       = { origins = ["https://cors.test", "https://*.wide.test"] }

[[routes]]
path           = "/from-anywhere"
scopes         = "read"
token_from     = ["cookie:session"]
cookie_origins = "any"
"#;

fn snapshot() -> Snapshot {
    let config = Config::parse(FILE, "gateway.toml").unwrap();
    let metrics = Metrics::new(Reason::NAMES).unwrap();
    Snapshot::compile(config, &metrics, None).unwrap()
}

fn id() -> HeaderValue {
    HeaderValue::from_static("id-1")
}

fn head(request: Builder) -> Parts {
    fixture::head(request.header("host", "api.test"))
}

/// Decides about a request that came over no connection.
fn decided<'s>(snapshot: &'s Snapshot, head: &mut Parts) -> Result<Verdict<'s>, Refusal<'s>> {
    let facts = admit(head, None, 32).unwrap();
    let decision = decide(snapshot, facts, None, RequestContext::at(UnixTime(0)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(decision)
}

fn refusal<'s>(snapshot: &'s Snapshot, request: Builder) -> Refusal<'s> {
    match decided(snapshot, &mut head(request)) {
        Err(refusal) => refusal,
        Ok(_) => panic!("it is not refused"),
    }
}

fn own_answer<'s>(snapshot: &'s Snapshot, request: Builder) -> OwnAnswer<'s> {
    match decided(snapshot, &mut head(request)) {
        Ok(Verdict::Answer(answer)) => answer,
        _ => panic!("it is no answer of the gateway itself"),
    }
}

fn text<B: AsRef<[u8]>>(response: &Response<B>) -> &str {
    std::str::from_utf8(response.body().as_ref()).unwrap()
}

#[test]
fn an_answer_of_the_operators_own_replaces_what_it_states() {
    let snapshot = snapshot();
    let none = refusal(&snapshot, Request::get("/none"));
    let response = answer::to(&snapshot, &none, &id(), None);
    assert_eq!(response.status(), 410);
    assert_eq!(response.headers()["x-id"], "id-1");
    assert_eq!(response.headers()["x-why"], ":no_route");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert!(body["why"].as_str().is_some_and(|why| !why.is_empty()));
    let errors = none.errors(&snapshot);
    assert_eq!(answer::status(errors, Reason::NoRoute), 410);
    assert_eq!(answer::status(errors, Reason::MissingToken), 401);

    // A status without content has neither a body nor its type. `Allow` stays.
    let method = refusal(&snapshot, Request::put("/open"));
    let response = answer::to(&snapshot, &method, &id(), None);
    assert_eq!((response.status().as_u16(), text(&response)), (204, ""));
    assert!(!response.headers().contains_key(CONTENT_TYPE));
    assert_eq!(response.headers()[ALLOW], "GET, HEAD");
}

#[test]
fn a_call_of_grpc_gets_the_gateways_own_answer() {
    let snapshot = snapshot();
    let grpc = HeaderValue::from_static("application/grpc");
    let none = refusal(&snapshot, Request::post("/none"));
    let response = answer::to(&snapshot, &none, &id(), Some(&grpc));
    assert_eq!((response.status().as_u16(), text(&response)), (200, ""));
    assert_eq!(response.headers()["grpc-status"], "12");
    assert!(!response.headers().contains_key("x-why"));
    let token = refusal(&snapshot, Request::get("/files/secret"));
    let response = answer::to(&snapshot, &token, &id(), Some(&grpc));
    assert_eq!(response.headers()["grpc-status"], "16");
    assert!(response.headers().contains_key(WWW_AUTHENTICATE));
}

#[test]
fn a_page_reads_the_status_of_its_call_if_it_may_read_the_answer() {
    let mut headers = HeaderMap::new();
    grpc::expose(&mut headers);
    assert!(headers.is_empty());
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    grpc::expose(&mut headers);
    let exposed = &headers["access-control-expose-headers"];
    assert_eq!(exposed, "grpc-status, grpc-message");
}

#[test]
fn metadata_is_for_every_page() {
    let snapshot = snapshot();
    let path = "/.well-known/oauth-protected-resource";
    let answer = own_answer(&snapshot, Request::get(path));
    assert!(answer.route().is_none());
    let errors = &*snapshot.config.errors;
    assert!(std::ptr::eq(answer.errors(&snapshot), errors));
    let response = answer::own(answer, &id());
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    assert_eq!(headers[CACHE_CONTROL], "public, max-age=300");
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(headers[REQUEST_ID], "id-1");
    let body = response.body().as_ref().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(metadata["resource"], "https://api.test");

    // A page that looks where there is none reads that there is none.
    let none = refusal(&snapshot, Request::get(format!("{path}/none")));
    assert!(matches!(none.cause, Cause::NoMetadata));
    let response = answer::to(&snapshot, &none, &id(), None);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
}

#[test]
fn a_preflight_has_an_answer_without_a_body() {
    let snapshot = snapshot();
    let request = Request::options("/open")
        .header("origin", "https://app.test")
        .header("access-control-request-method", "GET");
    let answer = own_answer(&snapshot, request);
    assert_eq!(answer.route().map(|route| &*route.label), Some("/open"));
    let errors = &*answer.route().unwrap().config.errors;
    assert!(std::ptr::eq(answer.errors(&snapshot), errors));
    let response = answer::own(answer, &id());
    assert_eq!((response.status().as_u16(), response.body()), (204, &None));
    let headers = response.headers();
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.test");
    assert_eq!(headers[REQUEST_ID], "id-1");
}

#[test]
fn a_spelling_of_a_stricter_path_is_refused_with_its_name() {
    let snapshot = snapshot();
    let spelled = refusal(&snapshot, Request::get("/files/Secret"));
    assert_eq!(spelled.reason(), Reason::ShadowedPath);
    let explanation = spelled.cause.explanation();
    assert!(explanation.ends_with("\"/files/secret\""), "{explanation}");

    // Its route allows the ambiguity, and a stricter one is behind it.
    let slash = refusal(&snapshot, Request::get("/deep/a%2Fsecret"));
    assert_eq!(slash.reason(), Reason::AmbiguousPath);
    let explanation = slash.cause.explanation();
    let expected = "an application may take it for the stricter \"/deep/a/secret\"";
    assert!(explanation.ends_with(expected), "{explanation}");
    let response = answer::to(&snapshot, &slash, &id(), None);
    let body = text(&response);
    assert!(
        body.contains("and one of them is not allowed here"),
        "{body}"
    );

    let mut other = head(Request::get("/deep/a%2Fb"));
    assert!(matches!(
        decided(&snapshot, &mut other),
        Ok(Verdict::Forward(_))
    ));
}

#[test]
fn a_cookie_is_taken_from_pages_that_the_route_trusts() {
    let snapshot = snapshot();
    let get = || Request::get("/socket").header("upgrade", "websocket");
    let connect = |origin| (get().header("origin", origin), origin);
    let post = |path: &str| Request::post(path.to_owned());
    let site = |site: &'static str| post("/form").header("sec-fetch-site", site);
    let evil = "https://evil.test";
    for (request, is_refused) in [
        (connect("https://app.test").0, false),
        (connect("https://api.test").0, false),
        (connect(evil).0, true),
        (Request::get("/socket").header("origin", evil), false),
        (Request::head("/socket").header("origin", evil), false),
        (post("/form").header("origin", "https://cors.test"), false),
        (post("/form").header("origin", "https://a.wide.test"), true),
        (post("/form").header("origin", "https://api.test"), false),
        (post("/form").header("origin", evil), true),
        (post("/form").header("origin", "null"), true),
        (post("/form"), false),
        (site("same-origin").header("origin", evil), false),
        (site("none"), false),
        (site("cross-site"), true),
        (site("same-site"), true),
        // Two statements are none.
        (site("none").header("sec-fetch-site", "cross-site"), true),
        (post("/from-anywhere").header("origin", evil), false),
    ] {
        let shown = format!("{request:?}");
        let refusal = refusal(&snapshot, request.header("cookie", "session=a"));
        let expected = match is_refused {
            true => Reason::CrossSiteRequest,
            false => Reason::OpaqueToken,
        };
        assert_eq!(refusal.reason(), expected, "{shown}");
    }
}

/// Returns what a route with `respond` answers.
fn responded<'s>(snapshot: &'s Snapshot, uri: &str) -> Result<Response<bytes::Bytes>, Refusal<'s>> {
    let mut head = head(Request::get(uri));
    let Ok(Verdict::Forward(decision)) = decided(snapshot, &mut head) else {
        panic!("{uri} is not permitted")
    };
    let Handler::Respond(answer) = &decision.route.config.handler else {
        panic!("{uri} has an upstream")
    };
    let id = id();
    let pattern = &decision.route.config.pattern;
    let values = RequestValues::of_client(pattern, &head, None, &id);
    respond(decision.route, answer, &values)
}

#[test]
fn a_route_without_an_upstream_answers_with_values_of_the_request() {
    let snapshot = snapshot();
    let response = responded(&snapshot, "/moved/a/b").unwrap();
    assert_eq!(response.status(), 308);
    assert_eq!(response.headers()[LOCATION], "/new/a/b");
    assert_eq!(text(&response), "gone");
    let response = responded(&snapshot, "/person?id=7").unwrap();
    assert_eq!(response.headers()[LOCATION], "/people/7");
    for uri in ["/person", "/person?id=.."] {
        let refusal = responded(&snapshot, uri).unwrap_err();
        assert_eq!(refusal.reason(), Reason::UnmappableRequest, "{uri}");
        let explanation = refusal.cause.explanation();
        assert!(
            explanation.ends_with("is absent, or no part of a path"),
            "{explanation}"
        );
    }
}

#[test]
fn each_cause_has_its_reason_and_its_values() {
    let timeout = |stage| DialError::Timeout {
        authority: "up.test:80".into(),
        stage,
    };
    let second = Duration::from_secs(1);
    let failed = AnswerError::Failed {
        kind: None,
        message: None,
    };
    let refused = "it answered with status 404";
    for (cause, reason, end) in [
        (
            Cause::Unmappable("why".into()),
            Reason::UnmappableRequest,
            " why",
        ),
        (
            Cause::Denied(Denial::Anonymous),
            Reason::MissingToken,
            "the caller is anonymous",
        ),
        (Cause::BodyMalformed, Reason::MalformedBody, ""),
        (
            Cause::BodyCut,
            Reason::MalformedBody,
            "in the middle of the request body",
        ),
        (Cause::BodyStalled, Reason::BodyTimeout, ""),
        (Cause::Deadline(second), Reason::RequestTimeout, " 1s"),
        (Cause::Upgrade, Reason::UpgradeNotAllowed, ""),
        (Cause::EventTooLarge, Reason::EventTooLarge, ""),
        (Cause::Function(failed), Reason::FunctionError, ""),
        (
            Cause::Function(AnswerError::Throttled),
            Reason::FunctionThrottled,
            "(429)",
        ),
        (
            Cause::Function(AnswerError::Refused(404)),
            Reason::InvocationRefused,
            refused,
        ),
        (
            Cause::Function(AnswerError::NotJson),
            Reason::FunctionAnswer,
            "",
        ),
        (
            Cause::Upstream(Fault::Connect(timeout(Stage::Resolving))),
            Reason::UpstreamUnreachable,
            "",
        ),
        (
            Cause::Upstream(Fault::ConnectTimeout(timeout(Stage::Connecting))),
            Reason::UpstreamConnectTimeout,
            "",
        ),
        (
            Cause::Upstream(Fault::ResponseTimeout(second)),
            Reason::UpstreamTimeout,
            "",
        ),
        (
            Cause::Upstream(Fault::AnswerTimeout(second)),
            Reason::UpstreamTimeout,
            "",
        ),
        (
            Cause::Upstream(Fault::Closed(StreamError::Ended)),
            Reason::UpstreamClosed,
            "the upstream closed it",
        ),
        (Cause::Upstream(Fault::Request), Reason::UpstreamClosed, ""),
        (
            Cause::Upstream(Fault::Protocol("why".into())),
            Reason::UpstreamProtocolError,
            "why",
        ),
        (
            Cause::Upstream(Fault::Overloaded),
            Reason::UpstreamOverloaded,
            "",
        ),
        (Cause::Upstream(Fault::Full), Reason::UpstreamOverloaded, ""),
    ] {
        assert_eq!(cause.reason(), reason, "{cause:?}");
        let explanation = cause.explanation();
        assert!(
            !explanation.is_empty() && explanation.ends_with(end),
            "{explanation}"
        );
    }
}
