//! Facts of requests, and the verdicts about them.

use http::Request;
use http::request::Builder;

use super::*;
use crate::clock::UnixTime;
use crate::config::Config;
use crate::net::Peer;
use crate::policy::Requirement;
use crate::telemetry::{Label as _, Metrics};

const FILE: &str = r#"
[server]
public_url = "https://api.test"

[server.limits]
target_bytes = "64 B"
head_fields = 8

[issuers.idp]
issuer = "https://idp.test"
audience = "api"
jwks_uri = "https://idp.test/keys"

[upstreams.up]
url = "http://127.0.0.1:9"

[defaults]
upstream = "up"

[[routes]]
path = "/open"
methods = ["GET", "POST"]
public = true
cors = { origins = ["https://app.test"] }

[[routes]]
path = "/closed"
scopes = "read"

[[routes]]
path = "/cookie"
scopes = "write"
token_from = ["cookie:session"]
"#;

fn snapshot() -> Snapshot {
    let config = Config::parse(FILE, "gateway.toml").unwrap();
    let metrics = Metrics::new(Reason::NAMES).unwrap();
    Snapshot::compile(config, &metrics, None).unwrap()
}

/// Returns what a test can see of the decision: the reason of a refusal, or else what happens.
fn verdict(snapshot: &Snapshot, request: Builder, peer: Option<&Peer>) -> &'static str {
    let mut head = fixture::head(request);
    let facts = match admit(&mut head, peer, snapshot.config.server.limits.head_fields) {
        Ok(facts) => facts,
        Err(refusal) => return refusal.reason().name(),
    };
    let context = RequestContext::at(UnixTime(0));
    let decision = decide(snapshot, facts, None, context);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    match runtime.block_on(decision) {
        Ok(Verdict::Forward(decision)) => {
            assert_eq!(decision.verifier.is_some(), decision.cache.is_some());
            "forward"
        }
        Ok(Verdict::Answer(OwnAnswer::Metadata(_))) => "metadata",
        Ok(Verdict::Answer(OwnAnswer::Preflight { route, .. })) => match route {
            Some(route) => {
                assert_eq!(&*route.label, "/open");
                "preflight"
            }
            None => "metadata_preflight",
        },
        Err(refusal) => refusal.reason().name(),
    }
}

fn get(uri: &str) -> Builder {
    Request::get(uri).header("host", "a.test")
}

fn post(uri: &str) -> Builder {
    Request::post(uri).header("host", "a.test")
}

fn preflight(method: &str) -> Builder {
    preflight_of("/open", method)
}

fn preflight_of(path: &str, method: &str) -> Builder {
    Request::options(path)
        .header("host", "a.test")
        .header("origin", "https://app.test")
        .header("access-control-request-method", method)
}

#[test]
fn each_request_has_its_verdict() {
    let snapshot = snapshot();
    let long = format!("/{}", "a".repeat(64));
    let just = format!("/{}", "a".repeat(63));
    for (request, expected) in [
        (get("/open"), "forward"),
        (get("/open").header("authorization", "Basic x"), "forward"),
        (
            get("/open")
                .header("authorization", "Bearer a")
                .header("authorization", "Bearer b"),
            "several_tokens",
        ),
        (Request::get("/open"), "invalid_host"),
        (Request::connect("a.test:1"), "malformed_target"),
        (get(&long), "target_too_long"),
        // A target that is too long is not read any further.
        (Request::get(&long), "target_too_long"),
        (get(&just), "no_route"),
        (get("/a%2fb"), "ambiguous_path"),
        (get("/Closed"), "no_route"),
        (
            Request::put("/open").header("host", "a.test"),
            "method_not_allowed",
        ),
        (preflight("GET"), "preflight"),
        (preflight("PUT"), "preflight"),
        (
            Request::options("/open").header("host", "a.test"),
            "method_not_allowed",
        ),
        (get("/.well-known/oauth-protected-resource"), "metadata"),
        (
            preflight_of("/.well-known/oauth-protected-resource", "GET"),
            "metadata_preflight",
        ),
        // A page learns that there is no metadata by a 404, which needs a preflight, too.
        (
            preflight_of("/.well-known/oauth-protected-resource/none", "GET"),
            "metadata_preflight",
        ),
        (
            preflight_of("/.well-known/oauth-protected-resource", "POST"),
            "no_route",
        ),
        (
            preflight_of("/.well-known/oauth-protected-resources", "GET"),
            "no_route",
        ),
        (
            Request::options("/.well-known/oauth-protected-resource").header("host", "a.test"),
            "no_route",
        ),
        (get("/closed"), "missing_token"),
        (
            get("/closed").header("authorization", "Bearer a"),
            "opaque_token",
        ),
        (
            get("/closed").header("authorization", "Bearer undefined"),
            "placeholder_token",
        ),
        (
            get("/closed").header("authorization", "Basic a"),
            "wrong_scheme",
        ),
        (
            get("/closed").header("authorization", "Bearer eyJhbGciOiJub25lIn0.a"),
            "malformed_token",
        ),
        (
            post("/cookie").header("cookie", "session=a"),
            "opaque_token",
        ),
        (
            post("/cookie")
                .header("cookie", "session=a")
                .header("origin", "https://evil.test"),
            "cross_site_request",
        ),
        // Framing goes before everything that depends on the route.
        (
            get("/none").header("transfer-encoding", "gzip"),
            "invalid_framing",
        ),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(verdict(&snapshot, request, None), expected, "{shown}");
    }
}

#[test]
fn a_tls_connection_is_for_the_names_of_its_certificate() {
    let snapshot = snapshot();
    let peer = fixture::tls_peer(&["a.test", "b.test"], "a.test");
    let long = format!("/{}", "a".repeat(64));
    for (host, path, expected) in [
        ("a.test", "/open", "forward"),
        ("b.test", "/open", "forward"),
        ("c.test", "/open", "misdirected"),
        ("c.test", "/none", "misdirected"),
        ("c.test", &long, "misdirected"),
        ("a.test", &long, "target_too_long"),
        // A host that is not valid is no other host.
        ("c test", "/open", "invalid_host"),
    ] {
        let request = Request::get(path).header("host", host);
        let found = verdict(&snapshot, request, Some(&peer));
        assert_eq!(found, expected, "{host} {path}");
    }
    let plain = Peer::unix();
    let request = Request::get("/open").header("host", "c.test");
    assert_eq!(verdict(&snapshot, request, Some(&plain)), "forward");
}

#[test]
fn a_route_is_found_without_a_look_at_credentials() {
    let snapshot = snapshot();
    let mut head = fixture::head(get("/closed"));
    let facts = admit(&mut head, None, 8).unwrap();
    let Ok(Destination::Route(routed)) = route(&snapshot, facts) else {
        panic!("it has a route")
    };
    assert_eq!(&*routed.route().label, "/closed");
    assert_ne!(routed.entry().requirement, Requirement::Public);
}
