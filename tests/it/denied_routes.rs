//! Routes and methods with `deny = true`: refused before a token is looked at, and shown by the
//! commands.

use serde_json::Value;

use crate::support::{Answer, Folder, Gateway, Issuer, Request, Upstream};

const ROUTES: &str = r#"
[defaults]
upstream = "u"

[[routes]]
path    = "/orders"
methods = { GET = "read", POST = "write", PATCH = { deny = true } }
cors    = { origins = ["https://app.test"] }
response_headers = { set = { x-served-by = "gateway" } }

[[routes]]
path = "/closed/**"
deny = true

[[routes]]
path   = "/**"
public = true
"#;

fn gateway(issuer: &Issuer, upstream: &Upstream, more: &str) -> Gateway {
    Gateway::start(&format!(
        "[server]\npublic_url = \"https://api.test\"\n{}{}{ROUTES}{more}",
        issuer.toml(),
        upstream.toml("u"),
    ))
}

#[track_caller]
fn check_denied(answer: &Answer) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.code(), "route_denied");
    assert_eq!(answer.field("www-authenticate"), None);
}

#[test]
fn no_token_is_looked_at_on_a_denied_route() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, "");
    let patch = Request::new("PATCH", "/orders").body("{}");
    check_denied(&gateway.send(&patch));
    check_denied(&gateway.send(&patch.clone().bearer("no.token.at-all")));
    check_denied(&gateway.send(&patch.clone().bearer(&issuer.token("read write"))));
    // Two tokens are an error wherever a token is looked for, and on public routes.
    let two = patch.clone().bearer("a").bearer("b");
    check_denied(&gateway.send(&two));
    let public = Request::get("/open").bearer("a").bearer("b");
    assert_eq!(gateway.send(&public).status, 400);
    check_denied(&gateway.send(&Request::get("/closed/x").bearer(&issuer.token("read"))));
    assert!(upstream.arrivals().is_empty());
    let allowed = Request::get("/orders").bearer(&issuer.token("read"));
    assert_eq!(gateway.send(&allowed).status, 200);
    gateway.wait_for_metric(
        "scopegate_refusals_total{reason=\"route_denied\",route=\"/orders\"}",
        4.0,
    );
    gateway.wait_for_metric(
        "scopegate_refusals_total{reason=\"route_denied\",route=\"/closed/**\"}",
        1.0,
    );
}

#[test]
fn a_preflight_permits_no_denied_method() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let more = "[[routes]]\npath = \"/no-preflight\"\n\
                methods = { GET = { public = true }, OPTIONS = { deny = true } }\n\
                cors = { origins = [\"https://app.test\"] }\n\
                [[routes]]\npath = \"/all\"\ndeny = true\n\
                cors = { origins = [\"https://app.test\"] }\n";
    let gateway = gateway(&issuer, &upstream, more);
    let preflight = |path: &str, method: &str| {
        gateway.send(
            &Request::new("OPTIONS", path)
                .field("Origin", "https://app.test")
                .field("Access-Control-Request-Method", method),
        )
    };
    let permitted = |answer: &Answer| {
        assert_eq!(answer.status, 204);
        answer.field("access-control-allow-origin").is_some()
    };
    assert!(permitted(&preflight("/orders", "POST")));
    assert!(!permitted(&preflight("/orders", "PATCH")));
    assert!(!permitted(&preflight("/orders", "DELETE")));
    assert!(!permitted(&preflight("/all", "GET")));
    assert!(!permitted(&preflight("/all", "BREW")));
    check_denied(&preflight("/no-preflight", "GET"));
    check_denied(&gateway.send(&Request::new("OPTIONS", "/all")));
    // A page may read the refusal, which has the fields of the route.
    let page = Request::new("PATCH", "/orders").field("Origin", "https://app.test");
    let refused = gateway.send(&page);
    check_denied(&refused);
    assert_eq!(
        refused.field("access-control-allow-origin"),
        Some("https://app.test")
    );
    assert_eq!(refused.field("x-served-by"), Some("gateway"));
}

#[test]
fn a_denied_call_of_grpc_has_a_grpc_status() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, "");
    let call = Request::new("POST", "/closed/shop.Orders/Get")
        .field("Content-Type", "application/grpc-web+proto")
        .body("\0\0\0\0\0");
    let answer = gateway.send(&call);
    assert_eq!(
        (answer.status, answer.field("grpc-status")),
        (200, Some("7"))
    );
    let head = gateway.send(&Request::new("HEAD", "/closed/x"));
    assert_eq!((head.status, head.text().as_str()), (403, ""));
}

#[test]
fn metadata_has_nothing_of_denied_routes() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let well_known = "/.well-known/oauth-protected-resource";
    let denied = format!("[[routes]]\npath = \"{well_known}\"\ndeny = true\n");
    let open = gateway(&issuer, &upstream, "");
    let metadata = open.send(&Request::get(well_known));
    let metadata: Value = serde_json::from_slice(&metadata.body).unwrap();
    assert_eq!(
        metadata["scopes_supported"],
        serde_json::json!(["read", "write"])
    );
    let closed = gateway(&issuer, &upstream, &denied);
    check_denied(&closed.send(&Request::get(well_known)));
}

// A file that only keeps paths closed needs no issuer, and a group may state the denial.
#[test]
fn a_denied_route_needs_no_upstream_and_no_issuer() {
    let gateway = Gateway::start(
        "[[groups]]\nprefix = \"/dev\"\ndeny = true\n\
         routes = [{ path = \"\" }, { path = \"/**\" }]\n\
         [[routes]]\npath = \"/x\"\ndeny = true\n",
    );
    for path in ["/dev", "/dev/", "/dev/a/b", "/x", "/dev?a=b"] {
        check_denied(&gateway.send(&Request::get(path)));
    }
    assert_eq!(gateway.send(&Request::get("/y")).status, 404);
    let (_, policy) = gateway.ask_admin("/policy");
    assert!(
        policy.contains("ANY  *  /x       denied  no token  -> nobody\n"),
        "{policy}"
    );
}

// An incident: a route is closed while clients have verified tokens.
#[test]
fn a_reload_that_denies_a_route_holds_for_tokens_that_are_cached() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let text = |authorization: &str| {
        format!(
            "{}{}[[routes]]\npath = \"/orders\"\nupstream = \"u\"\n{authorization}\n",
            issuer.toml(),
            upstream.toml("u"),
        )
    };
    let gateway = Gateway::start(&text("scopes = \"read\""));
    let request = Request::get("/orders").bearer(&issuer.token("read"));
    assert_eq!(gateway.send(&request).status, 200);
    gateway.rewrite(&text("deny = true"));
    gateway.reload();
    gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", 1.0);
    check_denied(&gateway.send(&request));
    assert_eq!(upstream.arrivals().len(), 1);
}

#[test]
fn commands_show_denied_routes() {
    let folder = Folder::new();
    folder.write(
        "gateway.toml",
        "[upstreams.u]\nurl = \"http://u:8080\"\n\
         [[routes]]\npath = \"/orders\"\nupstream = \"u\"\n\
         methods = { GET = { public = true }, PATCH = { deny = true } }\n\
         [[routes]]\npath = \"/closed/**\"\ndeny = true\n",
    );
    assert_eq!(
        folder.print(&["routes"]),
        "METHOD  PATH        REQUIRES  UPSTREAM\n\
         ANY     /closed/**  denied    nobody\n\
         GET     /orders     public    u\n\
         PATCH   /orders     denied    u\n"
    );
    let check = folder.print(&["check"]);
    assert!(
        check.contains("PATCH  *  /orders     denied  no token  -> u\n"),
        "{check}"
    );
    let (code, text) = folder.explain(&["PATCH", "/orders"]);
    assert_eq!(code, Some(4));
    assert!(text.contains("ok  route     /orders is denied\n"), "{text}");
    assert!(
        text.contains("NO  denied    the route, or its method, has deny = true (route_denied)\n"),
        "{text}"
    );
    assert!(text.contains("NO  verdict   403 Forbidden\n"), "{text}");
    let (_, text) = folder.explain(&["GET", "/Closed"]);
    let near = "\"/closed\" is for the route /closed/**, which is denied";
    assert!(text.contains(near), "{text}");
    let (_, text) = folder.explain(&["BREW", "/closed/x"]);
    assert!(text.contains("route_denied"), "{text}");
}
