//! Tests of authorization codes, of clients that register themselves, and of pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::fixture::{cognito, config, route};
use super::tests::{FORM, Reply, claims, get, orders, post, sandbox, send, settings, wired};
use super::{LocalUpstream, Sandbox, SandboxSettings};
use crate::config::{Config, DevClient, Secret};
use crate::net::Url;
use crate::token::Audience;

/// A verifier and its challenge, from RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const REDIRECT: &str = "http://127.0.0.1:5555/callback?keep=1";

/// An authorization request, as parameters by name.
struct Ask(BTreeMap<&'static str, String>);

impl Ask {
    fn new() -> Self {
        let ask = Self(BTreeMap::new());
        ask.with("response_type", "code")
            .with("client_id", "dev")
            .with("redirect_uri", REDIRECT)
            .with("scope", "orders.read")
            .with("state", "a&b")
            .with("code_challenge", CHALLENGE)
            .with("code_challenge_method", "S256")
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.insert(name, value.to_owned());
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.0.remove(name);
        self
    }

    fn send(&self, sandbox: &Sandbox) -> Reply {
        let path = format!("/idp/oauth2/authorize?{}", form(&self.0));
        get(sandbox.issuer_address(), &path)
    }

    /// Returns the parameters with which the browser comes back.
    #[track_caller]
    fn back(&self, sandbox: &Sandbox) -> BTreeMap<String, String> {
        let reply = self.send(sandbox);
        assert_eq!(reply.status, 302, "{} {}", reply.head, reply.body);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let location = reply.header("location").unwrap();
        let (uri, query) = location.split_once('?').unwrap();
        assert_eq!(
            uri,
            self.0["redirect_uri"]
                .split_once('?')
                .unwrap_or((uri, ""))
                .0
        );
        query.split('&').map(parameter).collect()
    }

    #[track_caller]
    fn code(&self, sandbox: &Sandbox) -> String {
        self.back(sandbox).remove("code").expect("there is a code")
    }
}

fn parameter(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap();
    let value = percent_decode_str(value).decode_utf8().unwrap();
    (name.to_owned(), value.into_owned())
}

fn form(parameters: &BTreeMap<&'static str, String>) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A token request with a code of `dev`.
fn exchange(code: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.to_owned()),
        ("code_verifier", VERIFIER.to_owned()),
        ("redirect_uri", REDIRECT.to_owned()),
        ("client_id", "dev".to_owned()),
    ])
}

fn redeem(sandbox: &Sandbox, parameters: &BTreeMap<&'static str, String>) -> Reply {
    post(sandbox, "/idp/oauth2/token", FORM, &form(parameters))
}

#[test]
fn a_browser_comes_back_with_a_code_for_a_token() {
    let sandbox = wired();
    let back = Ask::new().with("login_hint", "alice").back(&sandbox);
    let names: Vec<_> = back.keys().map(String::as_str).collect();
    assert_eq!(names, ["code", "iss", "keep", "state"]);
    assert_eq!((&*back["state"], &*back["keep"]), ("a&b", "1"));
    assert_eq!(
        back["iss"],
        format!("http://{}/idp", sandbox.issuer_address())
    );
    let reply = redeem(&sandbox, &exchange(&back["code"]));
    assert_eq!(reply.status, 200, "{}", reply.body);
    let answer = reply.json();
    assert_eq!(
        (&answer["token_type"], &answer["scope"]),
        (&json!("Bearer"), &json!("orders.read"))
    );
    assert_eq!(answer.get("id_token"), None);
    let claims = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!("alice"), &json!("dev"))
    );
    assert_eq!(claims["scope"], "orders.read");
    assert!(
        claims["iss"]
            .as_str()
            .unwrap()
            .starts_with("https://cognito-idp.")
    );
}

#[test]
fn a_client_gets_the_scopes_that_there_are() {
    let sandbox = wired();
    let scope = |ask: Ask| {
        let answer = redeem(&sandbox, &exchange(&ask.code(&sandbox))).json();
        answer["scope"].as_str().map(str::to_owned)
    };
    let some = Ask::new().with("scope", "openid profile orders.write offline_access");
    assert_eq!(scope(some).as_deref(), Some("orders.write"));
    let all = "orders.read orders.write com.test.test/test.read";
    assert_eq!(scope(Ask::new().without("scope")).as_deref(), Some(all));
    assert_eq!(scope(Ask::new().with("scope", "openid")), None);
}

#[test]
fn a_page_that_signs_people_in_gets_an_id_token() {
    let sandbox = wired();
    let ask = Ask::new()
        .with("scope", "openid orders.read")
        .with("nonce", "n1");
    let answer = redeem(&sandbox, &exchange(&ask.code(&sandbox))).json();
    let id = claims(answer["id_token"].as_str().unwrap());
    let base = format!("http://{}/idp", sandbox.issuer_address());
    // A client compares `iss` with that of the metadata (OpenID Connect Core §3.1.3.7).
    let metadata = get(
        sandbox.issuer_address(),
        "/idp/.well-known/openid-configuration",
    )
    .json();
    assert_eq!(
        (&id["iss"], &metadata["issuer"]),
        (&json!(base), &json!(base))
    );
    assert_eq!(
        (&id["aud"], &id["nonce"], &id["sub"]),
        (&json!("dev"), &json!("n1"), &json!("dev-user"))
    );
    assert_eq!(id.get("scope"), None);
    assert_eq!(
        claims(answer["access_token"].as_str().unwrap()).get("nonce"),
        None
    );
}

#[test]
fn a_code_is_good_once_and_for_its_own_client() {
    let sandbox = wired();
    let good = exchange(&Ask::new().code(&sandbox));
    assert_eq!(redeem(&sandbox, &good).status, 200);
    let again = redeem(&sandbox, &good);
    assert_eq!(
        (again.status, &again.json()["error"]),
        (400, &json!("invalid_grant"))
    );
    for (name, value, status, error) in [
        ("code", "other", 400, "invalid_grant"),
        ("code_verifier", CHALLENGE, 400, "invalid_grant"),
        (
            "redirect_uri",
            "http://127.0.0.1:5555/",
            400,
            "invalid_grant",
        ),
        ("client_id", "nobody", 401, "invalid_client"),
        ("client_secret", "wrong", 401, "invalid_client"),
        (
            "resource",
            "https://other.example.com",
            400,
            "invalid_target",
        ),
    ] {
        let mut wrong = exchange(&Ask::new().code(&sandbox));
        wrong.insert(name, value.to_owned());
        let reply = redeem(&sandbox, &wrong);
        assert_eq!(
            (reply.status, &reply.json()["error"]),
            (status, &json!(error)),
            "{name}"
        );
        // A code that was presented wrongly is gone; one that was not presented is not.
        let is_gone = redeem(&sandbox, &exchange(&wrong["code"])).status == 400;
        assert_eq!(is_gone, status == 400, "{name}");
    }
    // OAuth 2.1 leaves the redirect URI out.
    let mut short = exchange(&Ask::new().code(&sandbox));
    short.remove("redirect_uri");
    assert_eq!(redeem(&sandbox, &short).status, 200);
}

// RFC 6749 §4.1.2.1: an open redirector otherwise.
#[test]
fn a_browser_is_sent_nowhere_else() {
    let sandbox = wired();
    for ask in [
        Ask::new().with("redirect_uri", "https://example.com/callback"),
        Ask::new().with("redirect_uri", "http://127.0.0.1@example.com/"),
        Ask::new().with("redirect_uri", "https://app.example.com/callback/"),
        Ask::new().without("redirect_uri"),
        Ask::new().without("client_id"),
        Ask::new().with("client_id", "nobody"),
    ] {
        let reply = ask.send(&sandbox);
        assert_eq!(
            (reply.status, reply.header("location")),
            (400, None),
            "{}",
            reply.head
        );
        assert_eq!(reply.json()["error"], "invalid_request");
    }
    let twice = format!("/oauth2/authorize?{}&client_id=dev", form(&Ask::new().0));
    assert_eq!(get(sandbox.issuer_address(), &twice).status, 400);
    let named = Ask::new().with("redirect_uri", "https://app.example.com/callback");
    let reply = named.send(&sandbox);
    let location = reply.header("location").unwrap();
    assert!(
        location.starts_with("https://app.example.com/callback?code="),
        "{location}"
    );
}

#[test]
fn a_client_learns_what_is_wrong_with_its_request() {
    let sandbox = wired();
    for (ask, error) in [
        (
            Ask::new().with("response_type", "token"),
            "unsupported_response_type",
        ),
        (
            Ask::new().without("response_type"),
            "unsupported_response_type",
        ),
        (
            Ask::new().with("response_mode", "fragment"),
            "invalid_request",
        ),
        (Ask::new().without("code_challenge"), "invalid_request"),
        (
            Ask::new().with("code_challenge", "short"),
            "invalid_request",
        ),
        (
            Ask::new().with("code_challenge_method", "plain"),
            "invalid_request",
        ),
        (
            Ask::new().without("code_challenge_method"),
            "invalid_request",
        ),
        (Ask::new().with("scope", "orders.delete"), "invalid_scope"),
        (Ask::new().with("scope", "a\"b"), "invalid_scope"),
        (
            Ask::new().with("resource", "https://other.example.com"),
            "invalid_target",
        ),
    ] {
        let back = ask.back(&sandbox);
        assert_eq!(back["error"], error);
        assert_eq!(
            (&*back["state"], back.get("code")),
            ("a&b", None),
            "{error}"
        );
        assert!(!back["error_description"].is_empty());
    }
}

fn register(sandbox: &Sandbox, client: &Value) -> Reply {
    let json = "Content-Type: application/json\r\n";
    post(sandbox, "/idp/oauth2/register", json, &client.to_string())
}

#[test]
fn a_client_registers_itself_and_gets_a_token() {
    let sandbox = wired();
    let client = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let reply = register(&sandbox, &client);
    assert_eq!(reply.status, 201, "{}", reply.body);
    let id = reply.json()["client_id"].as_str().unwrap().to_owned();
    // Another port of this machine is the same client (RFC 8252 §7.3).
    let other_port = REDIRECT.replace(":5555", ":6666");
    let ask = Ask::new()
        .with("client_id", &id)
        .with("redirect_uri", &other_port);
    let mut wanted = exchange(&ask.code(&sandbox));
    wanted.insert("client_id", id.clone());
    wanted.insert("redirect_uri", other_port);
    let answer = redeem(&sandbox, &wanted).json();
    assert_eq!(
        claims(answer["access_token"].as_str().unwrap())["client_id"],
        json!(id)
    );
    let elsewhere = Ask::new()
        .with("client_id", &id)
        .with("redirect_uri", "http://127.0.0.1/x");
    assert_eq!(elsewhere.send(&sandbox).status, 400);
    // A reload keeps it.
    let _ = sandbox.rewire(orders(vec![cognito("idp")]));
    let _ = Ask::new().with("client_id", &id).code(&sandbox);
    let refused = register(
        &sandbox,
        &json!({ "redirect_uris": ["https://example.com/"] }),
    );
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &json!("invalid_redirect_uri"))
    );
}

#[test]
fn a_client_with_a_secret_needs_it() {
    let sandbox = sandbox();
    let mut config = orders(vec![cognito("idp")]);
    config.dev.clients.push(DevClient {
        id: "server".into(),
        secret: Secret::new("s"),
        scopes: None,
    });
    let _ = sandbox.rewire(config);
    let ask = || {
        let code = Ask::new().with("client_id", "server").code(&sandbox);
        let mut wanted = exchange(&code);
        wanted.insert("client_id", "server".to_owned());
        wanted
    };
    let reply = redeem(&sandbox, &ask());
    assert_eq!(
        (reply.status, &reply.json()["error"]),
        (401, &json!("invalid_client"))
    );
    let mut wanted = ask();
    wanted.insert("client_secret", "s".to_owned());
    assert_eq!(redeem(&sandbox, &wanted).status, 200);
}

/// Asks as a page of this origin does.
fn page(sandbox: &Sandbox, line: &str, origin: &str) -> Reply {
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: authorization, mcp-protocol-version\r\n\r\n"
    );
    send(sandbox.issuer_address(), request.as_bytes())
}

#[test]
fn a_page_of_this_machine_may_use_every_endpoint() {
    let sandbox = wired();
    let local = "http://localhost:5173";
    for origin in [local, "https://app.example.com"] {
        for path in ["/oauth2/token", "/idp/oauth2/register", "/none"] {
            let reply = page(&sandbox, &format!("OPTIONS {path}"), origin);
            assert_eq!(reply.status, 204, "{path}");
            for (name, value) in [
                ("access-control-allow-origin", origin),
                ("access-control-allow-methods", "GET, POST"),
                ("access-control-allow-headers", "*, Authorization"),
                ("vary", "Origin"),
            ] {
                assert_eq!(reply.header(name), Some(value), "{path}");
            }
            let get = page(&sandbox, &format!("GET {path}"), origin);
            assert_eq!(get.header("access-control-allow-origin"), Some(origin));
        }
    }
}

// A page that a person happens to visit must not have a token, by which it could use a local
// upstream.
#[test]
fn another_page_reads_what_is_the_same_for_everybody() {
    let sandbox = wired();
    let origin = "https://example.com";
    for path in [
        "/oauth2/token",
        "/idp/oauth2/register",
        "/idp/oauth2/authorize",
        "/none",
    ] {
        for method in ["OPTIONS", "GET"] {
            let reply = page(&sandbox, &format!("{method} {path}"), origin);
            assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
        }
    }
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server/idp",
    ] {
        for method in ["OPTIONS", "GET"] {
            let reply = page(&sandbox, &format!("{method} {path}"), origin);
            assert_eq!(
                reply.header("access-control-allow-origin"),
                Some("*"),
                "{path}"
            );
        }
    }
}

/// A configuration with a resource at `https://mcp.example.com/mcp`, and one of a host.
fn resources(audience: &[&str]) -> Config {
    let mut issuer = cognito("idp");
    issuer.rules.audience = match audience {
        [] => Audience::Any,
        listed => Audience::OneOf(listed.iter().map(|text| (*text).into()).collect()),
    };
    let url = |text: &str| Some(Url::parse(text).unwrap());
    let mut mcp = route("/mcp/**", &[("POST", "orders.read")]);
    mcp.resource = url("https://mcp.example.com/mcp");
    let mut other = route("/other", &[("GET", "orders.read")]);
    other.host = Some(crate::route::HostPattern::parse("other.example.com").unwrap());
    other.resource = url("https://other.example.com/");
    let mut config = config(vec![issuer], vec![mcp, other]);
    let listen = "127.0.0.1:8765".parse().unwrap();
    config.server.replace_addresses(&[listen]);
    config
}

#[test]
fn a_client_that_follows_the_metadata_stays_on_this_machine() {
    let sandbox = sandbox();
    let rewired = sandbox.rewire(resources(&["https://mcp.example.com/mcp"]));
    let url = |index: usize| rewired.routes[index].resource.as_ref().unwrap().to_string();
    assert_eq!(url(0), "http://127.0.0.1:8765/mcp");
    assert_eq!(
        url(1),
        "https://other.example.com/",
        "it is reached by its host"
    );
    let issuer = &rewired.dev.issuer_urls[&Arc::from("idp")];
    assert_eq!(**issuer, format!("http://{}/idp", sandbox.issuer_address()));
}

#[test]
fn a_token_is_for_the_resource_that_was_asked_for() {
    let here = "http://127.0.0.1:8765/mcp";
    let there = "https://mcp.example.com/mcp";
    let slash = "https://mcp.example.com/mcp/";
    for (configured, asked, audience) in [
        (&[there][..], here, Some(there)),
        (&[there], "http://127.0.0.1:8765/mcp/", Some(there)),
        (&[there], there, Some(there)),
        // The token has the spelling that the entry accepts.
        (&[slash], here, Some(slash)),
        (&["api", slash], here, Some(slash)),
        // An issuer that does not know resources gives its own audience.
        (&["api"], here, Some("api")),
        (&["api"], "api", Some("api")),
        (&[], here, Some(there)),
        (&["api"], "https://other.example.com", Some("api")),
        (&["api"], "https://none.example.com", None),
        (&["api"], "http://127.0.0.1:8765/other", None),
        (&[], "https://none.example.com", None),
    ] {
        let sandbox = sandbox();
        let _ = sandbox.rewire(resources(configured));
        let back = Ask::new().with("resource", asked).back(&sandbox);
        let Some(code) = back.get("code") else {
            assert_eq!(
                (audience, &*back["error"]),
                (None, "invalid_target"),
                "{asked}"
            );
            continue;
        };
        let mut wanted = exchange(code);
        wanted.insert("resource", asked.to_owned());
        let answer = redeem(&sandbox, &wanted).json();
        let claims = claims(answer["access_token"].as_str().unwrap());
        assert_eq!(
            claims.get("aud"),
            audience.map(Value::from).as_ref(),
            "{asked}"
        );
    }
}

#[test]
fn a_server_on_this_machine_may_be_an_upstream() {
    let mut config = orders(vec![cognito("idp")]);
    let mut second = config.upstreams[0].clone();
    second.name = "second".into();
    config.upstreams.push(second);
    let sandbox = Sandbox::start(SandboxSettings {
        upstreams: vec![LocalUpstream {
            name: "second".into(),
            url: Url::parse("http://127.0.0.1:3000").unwrap(),
        }],
        ..settings()
    })
    .unwrap();
    let rewired = sandbox.rewire(config);
    let urls: Vec<_> = rewired
        .upstreams
        .iter()
        .map(|upstream| upstream.url.to_string())
        .collect();
    let echo = format!("http://{}/", sandbox.echo_address());
    assert_eq!(urls, [echo.as_str(), "http://127.0.0.1:3000/"]);
}
