//! Protected-resource metadata: a client finds the issuer of its token from a 401 (RFC 9728).

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Issuer, Request, Upstream};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

fn gateway(issuer: &Issuer, upstream: &Upstream, more: &str) -> Gateway {
    Gateway::start(&format!(
        "[server]\npublic_url = \"https://api.example.com/\"\n{}{}\n\
         [defaults]\nupstream = \"u\"\n\
         [[routes]]\npath = \"/orders\"\nmethods = {{ GET = \"orders.read\" }}\n\
         [[routes]]\npath = \"/**\"\nmethods = [\"GET\", \"POST\"]\npublic = true\n\
         [[groups]]\nprefix = \"/mcp\"\n[[groups.routes]]\npath = \"/**\"\nscopes = \"mcp\"\n\
         {more}",
        issuer.toml(),
        upstream.toml("u"),
    ))
}

fn told(answer: &Answer) -> Value {
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_401_leads_to_the_metadata_and_that_to_the_issuer() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, "");
    for (path, resource, scope) in [
        ("/orders", "", "orders.read"),
        // A client that is given the URL of the group itself finds it as the resource (RFC 9728
        // §3.3).
        ("/mcp", "/mcp", "mcp"),
        ("/mcp/tools", "/mcp", "mcp"),
    ] {
        let refused = gateway.send(&Request::get(path));
        assert_eq!(refused.status, 401);
        let url = refused
            .challenge("resource_metadata")
            .expect("the challenge says where");
        assert_eq!(
            url,
            format!("https://api.example.com{WELL_KNOWN}{resource}")
        );
        let answer = gateway.send(&Request::get(
            url.strip_prefix("https://api.example.com").unwrap(),
        ));
        assert_eq!(answer.status, 200);
        let expected = json!({
            "resource": format!("https://api.example.com{resource}"),
            "authorization_servers": [issuer.url()],
            "scopes_supported": [scope],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(told(&answer), expected);
    }
    let denied = gateway.send(&Request::get("/orders").bearer(&issuer.token("other")));
    assert_eq!(denied.status, 403);
    assert!(denied.challenge("resource_metadata").is_some());
    assert!(
        upstream.arrivals().is_empty(),
        "even though a public route takes every path"
    );
}

#[test]
fn the_host_of_a_request_says_nothing_in_the_metadata() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, "");
    let honest = gateway.send(&Request::get(WELL_KNOWN).field("Host", "api.example.com"));
    let forged = gateway.send(
        &Request::get(WELL_KNOWN)
            .field("Host", "evil.example.com")
            .field("X-Forwarded-Host", "evil.example.com"),
    );
    assert_eq!(told(&honest), told(&forged));
    assert!(!forged.text().contains("evil"));
}

#[test]
fn what_is_not_metadata_goes_its_ordinary_way() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let own =
        format!("[[routes]]\npath = \"{WELL_KNOWN}/mcp\"\nmethods = [\"GET\"]\npublic = true\n");
    let gateway = gateway(&issuer, &upstream, &own);
    assert_eq!(gateway.send(&Request::new("HEAD", WELL_KNOWN)).status, 200);
    assert!(upstream.arrivals().is_empty());
    for request in [
        Request::new("POST", WELL_KNOWN).body("x"),
        Request::get(&format!("{WELL_KNOWN}/other")),
        Request::get(&format!("{WELL_KNOWN}/mcp")),
    ] {
        assert_eq!(gateway.send(&request).text(), "ok", "it is forwarded");
    }
    assert_eq!(upstream.arrivals().len(), 3);
}

const PAGE: &str = "http://localhost:6274";

/// A preflight of a page for a GET that sends fields of its own.
fn preflight(path: &str) -> Request {
    Request::new("OPTIONS", path)
        .field("Origin", PAGE)
        .field("Access-Control-Request-Method", "GET")
        .field(
            "Access-Control-Request-Headers",
            "mcp-protocol-version,x-own",
        )
}

#[track_caller]
fn assert_permits_all(answer: &Answer) {
    assert_eq!(answer.status, 204, "{answer:?}");
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD"),
        ("access-control-allow-headers", "*, Authorization"),
        ("access-control-max-age", "300"),
    ] {
        assert_eq!(answer.field(name), Some(value), "{answer:?}");
    }
}

#[test]
fn any_page_may_read_metadata_with_any_field() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    // The rules of a route that takes every path are for other paths.
    let cors = "cors = { origins = [\"https://app.example.com\"] }\n";
    let gateway = gateway(&issuer, &upstream, cors);
    for resource in ["", "/mcp"] {
        assert_permits_all(&gateway.send(&preflight(&format!("{WELL_KNOWN}{resource}"))));
    }
    assert!(upstream.arrivals().is_empty());
    // The public route takes what is no metadata, and a POST at the path of metadata.
    let other = preflight(&format!("{WELL_KNOWN}/other"));
    let post = Request::new("OPTIONS", WELL_KNOWN)
        .field("Origin", PAGE)
        .field("Access-Control-Request-Method", "POST");
    for request in [other, post] {
        let answer = gateway.send(&request);
        assert_eq!(
            answer.field("access-control-allow-origin"),
            None,
            "{answer:?}"
        );
        assert_eq!(answer.status, 405);
    }
}

#[test]
fn a_page_sees_that_there_is_no_metadata() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    for server in ["", "[server]\npublic_url = \"https://api.example.com\"\n"] {
        let gateway = Gateway::start(&format!(
            "{server}{}{}\n[[routes]]\npath = \"/orders\"\nupstream = \"u\"\nscopes = \"a\"\n",
            issuer.toml(),
            upstream.toml("u"),
        ));
        let path = format!("{WELL_KNOWN}/other");
        assert_permits_all(&gateway.send(&preflight(&path)));
        let missing = gateway.send(&Request::get(&path).field("Origin", PAGE));
        assert_eq!(missing.code(), "no_route");
        assert_eq!(missing.field("access-control-allow-origin"), Some("*"));
        let elsewhere = gateway.send(&Request::get("/other").field("Origin", PAGE));
        assert_eq!(elsewhere.code(), "no_route");
        assert_eq!(elsewhere.field("access-control-allow-origin"), None);
        assert_eq!(gateway.send(&preflight("/other")).code(), "no_route");
    }
}

// The configuration of a browser's MCP client: a whole subtree asks for a token.
#[test]
fn a_route_for_every_path_does_not_hide_the_preflight() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "[server]\npublic_url = \"https://mcp.example.com\"\n{}{}\n\
         [[routes]]\npath = \"/**\"\nupstream = \"u\"\nauthenticated = true\n\
         cors = {{ origins = [\"https://app.example.com\"] }}\n",
        issuer.toml(),
        upstream.toml("u"),
    ));
    assert_permits_all(&gateway.send(&preflight(WELL_KNOWN)));
    // What is no metadata has the rules of its route.
    let other = gateway.send(&preflight(&format!("{WELL_KNOWN}/other")));
    assert_eq!(other.status, 204);
    assert_eq!(other.field("access-control-allow-origin"), None);
}

#[test]
fn without_a_public_url_nothing_is_told() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}\n[[routes]]\npath = \"/orders\"\nupstream = \"u\"\nscopes = \"a\"\n",
        issuer.toml(),
        upstream.toml("u"),
    ));
    assert_eq!(
        gateway
            .send(&Request::get("/orders"))
            .challenge("resource_metadata"),
        None
    );
    assert_eq!(gateway.send(&Request::get(WELL_KNOWN)).code(), "no_route");
}

#[test]
fn the_url_of_metadata_is_percent_encoded() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let group = |prefix: &str| {
        format!(
            "[[groups]]\nprefix = '{prefix}'\nupstream = \"u\"\n\
             [[groups.routes]]\npath = \"/**\"\nscopes = \"a\"\n"
        )
    };
    let gateway = Gateway::start(&format!(
        "[server]\npublic_url = \"https://api.example.com/ü\"\n{}{}\n{}{}{}\
         [[routes]]\npath = \"{WELL_KNOWN}/ü/routed-é\"\nupstream = \"u\"\npublic = true\n",
        issuer.toml(),
        upstream.toml("u"),
        group("/x\"y"),
        group("/ä"),
        group("/routed-%c3%a9"),
    ));
    for path in ["/x%22y", "/%C3%A4"] {
        let refused = gateway.send(&Request::get(path));
        assert_eq!(refused.status, 401);
        let url = refused.challenge("resource_metadata").unwrap();
        let metadata = format!("{WELL_KNOWN}/%C3%BC{path}");
        assert_eq!(url, format!("https://api.example.com{metadata}"));
        let answer = gateway.send(&Request::get(&metadata));
        let resource = format!("https://api.example.com/%C3%BC{path}");
        assert_eq!(told(&answer)["resource"], resource);
    }
    // A route with the path of metadata is served instead of it, however the two are spelled.
    let routed = format!("{WELL_KNOWN}/%C3%BC/routed-%c3%a9");
    let arrival = gateway.send(&Request::get(&routed));
    assert_eq!(arrival.field("content-type"), None);
}
