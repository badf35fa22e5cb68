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
         [[groups]]\nprefix = \"/mcp\"\n[[groups.routes]]\npath = \"/**\"\nscopes = \"mcp\"\n{more}",
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
