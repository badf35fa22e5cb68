//! Tests of the sandbox over real sockets.

mod token_requests;
mod tokens;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::fixture::{cognito, config, route};
use super::{LocalUpstream, SERVER_NAME, Sandbox, SandboxError, SandboxSettings, keep_to_loopback};
use crate::clock;
use crate::config::{Config, DevClient, Issuer, Secret};
use crate::issuer::{Algorithm, KeySet, KeySource};
use crate::net::Url;
use crate::policy::Scope;
use crate::token::Audience;
use crate::upstream::Protocol;

const BASIC: &str = "Authorization: Basic ZGV2OmRldi1zZWNyZXQ=\r\n";
pub(super) const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        self.head
            .lines()
            .find(|l| line(l))
            .map(|line| &line[name.len() + 2..])
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(super) fn send(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Reply {
        status: head[9..12].parse().unwrap(),
        head: head.into(),
        body: body.into(),
    }
}

pub(super) fn get(address: SocketAddr, path: &str) -> Reply {
    send(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    )
}

#[test]
fn a_name_that_was_pointed_at_this_machine_gets_nothing() {
    let sandbox = wired();
    for (host, status) in [
        ("evil.test:9400", 421),
        ("localhost:9400", 200),
        ("[::1]:9400", 200),
    ] {
        let head = format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\
             Connection: close\r\nContent-Length: 29\r\n{BASIC}{FORM}\r\n\
             grant_type=client_credentials"
        );
        let reply = send(sandbox.issuer_address(), head.as_bytes());
        assert_eq!(reply.status, status, "{host}: {}", reply.body);
        assert_eq!(reply.body.contains("access_token"), status == 200);
        let allowed = reply.header("access-control-allow-origin");
        assert_eq!(allowed.is_some(), status == 200, "{host}");
    }
}

pub(super) fn post(sandbox: &Sandbox, path: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {length}\r\n"
    );
    let reply = send(
        sandbox.issuer_address(),
        format!("{head}{headers}\r\n{body}").as_bytes(),
    );
    assert_eq!(reply.header("server"), Some(SERVER_NAME));
    if path.contains("/token") {
        // No response of the token endpoint may be cached (RFC 6749 §5.1 and §5.2).
        assert_eq!(
            reply.header("cache-control"),
            Some("no-store"),
            "{}",
            reply.head
        );
        assert_eq!(reply.header("pragma"), Some("no-cache"), "{}", reply.head);
    }
    reply
}

fn token(sandbox: &Sandbox, parameters: &str) -> String {
    let body = format!("grant_type=client_credentials{parameters}");
    let reply = post(sandbox, "/oauth2/token", &format!("{BASIC}{FORM}"), &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["access_token"].as_str().unwrap().into()
}

pub(super) fn part(token: &str, index: usize) -> String {
    String::from_utf8(
        URL_SAFE_NO_PAD
            .decode(token.split('.').nth(index).unwrap())
            .unwrap(),
    )
    .unwrap()
}

pub(super) fn claims(token: &str) -> Value {
    serde_json::from_str(&part(token, 1)).unwrap()
}

fn names(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

pub(super) fn orders(issuers: Vec<Issuer>) -> Config {
    let orders = route(
        "/orders",
        &[("GET", "orders.read"), ("POST", "orders.write")],
    );
    let tests = route("/dev/tests", &[("GET", "com.test.test/test.read")]);
    config(
        issuers,
        vec![orders, tests, route("/healthz", &[("GET", "")])],
    )
}

pub(super) fn settings() -> SandboxSettings {
    SandboxSettings {
        issuer: "127.0.0.1:0".parse().unwrap(),
        redirect_uris: vec!["https://app.example.com/callback".into()],
        upstreams: Vec::new(),
    }
}

pub(super) fn sandbox() -> Sandbox {
    Sandbox::start(settings()).unwrap()
}

pub(super) fn wired() -> Sandbox {
    let sandbox = sandbox();
    let _ = sandbox.rewire(orders(vec![cognito("idp")]));
    sandbox
}

/// A sandbox with two algorithms, of which RS256 is the second.
fn wired_with_rsa() -> Sandbox {
    let sandbox = sandbox();
    let mut issuer = cognito("idp");
    issuer.entry.algorithms.push(Algorithm::RS256);
    let _ = sandbox.rewire(orders(vec![issuer]));
    sandbox
}

#[test]
fn the_metadata_leads_to_the_embedded_endpoints() {
    let sandbox = wired_with_rsa();
    let address = sandbox.issuer_address();
    let base = format!("http://{address}");
    // The URL of the issuer, and the places of its metadata (RFC 8414 §3.1).
    for (url, paths) in [
        (
            base.clone(),
            [
                "/.well-known/oauth-authorization-server",
                "/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/",
            ],
        ),
        (
            format!("{base}/idp"),
            [
                "/.well-known/oauth-authorization-server/idp",
                "/.well-known/openid-configuration/idp",
                "/idp/.well-known/openid-configuration",
            ],
        ),
    ] {
        for path in paths {
            let metadata = get(address, path).json();
            let expected = json!({
                "issuer": url,
                "authorization_endpoint": format!("{url}/oauth2/authorize"),
                "token_endpoint": format!("{url}/oauth2/token"),
                "registration_endpoint": format!("{url}/oauth2/register"),
                "jwks_uri": format!("{url}/.well-known/jwks.json"),
                "scopes_supported":
                    ["orders.read", "orders.write", "com.test.test/test.read", "openid"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "client_credentials"],
                "token_endpoint_auth_methods_supported":
                    ["client_secret_basic", "client_secret_post", "none"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            });
            assert_eq!(metadata, expected, "{path}");
        }
    }
    let jwks = get(address, "/idp/.well-known/jwks.json").json();
    let algorithms: Vec<_> = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["alg"])
        .collect();
    assert_eq!(algorithms, ["RS256", "ES256"]);
    for key in jwks["keys"].as_array().unwrap() {
        let expected: &[&str] = match key["kty"].as_str().unwrap() {
            "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
            _ => &["alg", "crv", "kid", "kty", "use", "x", "y"],
        };
        assert_eq!(names(key), expected, "no private member");
    }
}

#[test]
fn what_is_not_there_is_404_and_another_method_405() {
    let sandbox = wired();
    let address = sandbox.issuer_address();
    let missing = get(address, "/other/.well-known/jwks.json");
    assert_eq!(
        (missing.status, &missing.json()["error"]),
        (404, &json!("not_found"))
    );
    assert_eq!(
        missing.json()["token_endpoints"],
        json!(["/oauth2/token", "/idp/oauth2/token"])
    );
    let token = get(address, "/oauth2/token");
    assert_eq!((token.status, token.header("allow")), (405, Some("POST")));
    let jwks = post(&sandbox, "/.well-known/jwks.json", "", "");
    assert_eq!(
        (jwks.status, jwks.header("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[test]
fn several_issuers_have_paths_and_keys_of_their_own() {
    let sandbox = sandbox();
    let mut other = cognito("b c");
    other.entry.issuer = "https://idp.example.com/".into();
    let rewired = sandbox.rewire(orders(vec![cognito("a"), other]));
    let address = sandbox.issuer_address();
    assert_eq!(get(address, "/.well-known/jwks.json").status, 404);
    let (a, b) = (
        get(address, "/a/.well-known/jwks.json"),
        get(address, "/b%20c/.well-known/jwks.json"),
    );
    assert_eq!((a.status, b.status), (200, 200));
    assert_ne!(a.json(), b.json());
    let KeySource::Static(keys) = &rewired.issuers[1].entry.keys else {
        panic!("keys pass in process")
    };
    assert_eq!(serde_json::from_str::<Value>(keys).unwrap(), b.json());
}

#[test]
fn the_gateway_can_use_every_key() {
    let mut issuer = cognito("idp");
    issuer.entry.algorithms = Algorithm::ALL.to_vec();
    let rewired = sandbox().rewire(orders(vec![issuer]));
    let KeySource::Static(keys) = &rewired.issuers[0].entry.keys else {
        panic!("keys pass in process")
    };
    let set = KeySet::parse(keys.as_bytes(), 64).unwrap();
    assert_eq!((set.keys.len(), set.skips.total), (Algorithm::ALL.len(), 0));
    for algorithm in Algorithm::ALL {
        assert_eq!(
            set.keys.iter().filter(|key| key.allows(algorithm)).count(),
            1,
            "{algorithm}"
        );
    }
}

#[test]
fn everything_leads_to_this_machine() {
    let sandbox = sandbox();
    let config = keep_to_loopback(orders(vec![cognito("idp")]));
    let rewired = sandbox.rewire(config);
    assert_eq!(
        rewired.server.listeners[0].address.to_string(),
        "127.0.0.1:8080"
    );
    assert_eq!(
        rewired.server.admin,
        Some("127.0.0.1:9090".parse().unwrap())
    );
    let upstream = &rewired.upstreams[0];
    assert_eq!(
        upstream.url.to_string(),
        format!("http://{}/", sandbox.echo_address())
    );
    assert!(upstream.url.is_loopback() && upstream.terms.roots.is_none());
    let echoed = get(sandbox.echo_address(), "/orders?x=1");
    assert_eq!(
        (echoed.status, &echoed.json()["path"]),
        (200, &json!("/orders"))
    );
}

// As in production: a server of gRPC is asked by HTTP/2, one behind a limit by no more connections.
#[test]
fn an_upstream_that_the_command_line_names_keeps_its_settings() {
    let local = LocalUpstream {
        name: "orders".into(),
        url: Url::parse("http://127.0.0.1:3000").unwrap(),
    };
    let settings = SandboxSettings {
        upstreams: vec![local],
        ..settings()
    };
    let mut config = orders(vec![cognito("idp")]);
    config.upstreams[0].protocol = Protocol::Http2;
    config.upstreams[0].max_connections = 1;
    let rewired = Sandbox::start(settings).unwrap().rewire(config.clone());
    let upstream = &rewired.upstreams[0];
    assert_eq!(upstream.url.to_string(), "http://127.0.0.1:3000/");
    assert_eq!(
        (upstream.protocol, upstream.max_connections),
        (Protocol::Http2, 1)
    );
    let echoed = &sandbox().rewire(config).upstreams[0];
    assert_eq!(
        (echoed.protocol, echoed.max_connections),
        (Protocol::Http1, 1)
    );
}

#[test]
fn an_address_of_this_machine_is_kept() {
    let mut config = orders(vec![cognito("idp")]);
    config
        .server
        .replace_addresses(&["[::1]:80".parse().unwrap(), "127.0.0.2:80".parse().unwrap()]);
    config.server.admin = None;
    let rewired = keep_to_loopback(config.clone());
    assert_eq!(
        (rewired.server.listeners, rewired.server.admin),
        (config.server.listeners, None)
    );
}

#[test]
fn a_reload_keeps_the_keys_and_brings_new_scopes() {
    let sandbox = wired();
    let before = get(sandbox.issuer_address(), "/.well-known/jwks.json").json();
    let mut changed = orders(vec![cognito("idp")]);
    let more = route("/more", &[("GET", "more.read")]);
    changed.routes.push(Arc::new(more));
    let _ = sandbox.rewire(changed);
    assert_eq!(
        get(sandbox.issuer_address(), "/.well-known/jwks.json").json(),
        before
    );
    assert_eq!(
        claims(&token(&sandbox, "&scope=more.read"))["scope"],
        "more.read"
    );
}

#[test]
fn a_port_in_use_is_named() {
    let first = sandbox();
    let address = first.issuer_address();
    let settings = SandboxSettings {
        issuer: address,
        ..settings()
    };
    let Err(error) = Sandbox::start(settings) else {
        panic!("{address} is taken")
    };
    assert!(matches!(error, SandboxError::Issuer(..)));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn a_sandbox_ends_with_its_threads() {
    let sandbox = wired();
    let issuers = Arc::downgrade(&sandbox.issuers);
    assert_eq!(
        get(sandbox.issuer_address(), "/.well-known/jwks.json").status,
        200
    );
    drop(sandbox);
    assert_eq!(
        issuers.strong_count(),
        0,
        "the thread that answers holds the issuers, and is gone"
    );
}

#[test]
fn one_sandbox_serves_many_at_once() {
    let sandbox = Arc::new(wired());
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let sandbox = Arc::clone(&sandbox);
            std::thread::spawn(move || token(&sandbox, ""))
        })
        .collect();
    let mut ids: Vec<_> = clients
        .into_iter()
        .map(|client| claims(&client.join().unwrap())["jti"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}
