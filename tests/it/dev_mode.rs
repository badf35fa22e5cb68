//! `scopegate dev` as a process: any configuration on one machine, tried with the command lines
//! that it prints.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::support::{Process, Request, Shell, raw, wait_until};

/// The configuration that the first command of the README reads.
fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.toml")).unwrap()
}

/// Issuers as they are found in production, each with something that its tokens have to satisfy:
/// none of what is named here is on this machine.
const PRODUCTION: &str = r#"
[server]
listen = ["0.0.0.0:0", "[::]:0"]
admin  = "0.0.0.0:0"

[issuers.cognito]
issuer     = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abcdefghi"
audience   = "any"
client_ids = ["1example2345678901234abcde", "other"]
token_use  = "access"
algorithms = ["RS256"]

[issuers.auth0]
issuer       = "https://tenant.eu.auth0.com/"
audience     = ["https://api.example.com", "https://old.example.com"]
scope_claims = ["permissions", "scope"]

[issuers.keycloak]
issuer    = "https://sso.example.com/realms/main"
audience  = "account"
jwks_file = "keys/keycloak.json"

[issuers.fapi]
issuer     = "https://fapi.example.com"
audience   = "urn:api"
jwks_uri   = "https://fapi.example.com/keys"
algorithms = ["PS256"]

[issuers.small]
issuer     = "https://small.example.com"
audience   = "small"
jwks_uri   = "https://small.example.com/keys"
algorithms = ["EdDSA", "ES384"]

[upstreams.internal]
url = "https://internal.example.com:8443"

[[routes]]
path = "/cognito"
upstream = "internal"
issuer = "cognito"
methods = { GET = "pool/read" }

[[routes]]
path = "/auth0/{id}"
upstream = "internal"
issuer = "auth0"
methods = { GET = ["read:items", "list:items"], DELETE = "delete:items" }

[[routes]]
path = "/keycloak"
upstream = "internal"
issuer = "keycloak"
token_from = ["cookie:session"]
methods = { GET = { any = ["profile", "email"] } }

[[routes]]
host = "fapi.example.com"
path = "/fapi/**"
upstream = "internal"
issuer = "fapi"
methods = { GET = "accounts" }

[[routes]]
path = "/small"
upstream = "internal"
issuer = "small"
token_from = ["header:x-token"]
methods = { GET = "small.read" }
"#;

/// The headings and lines that the welcome says to paste.
fn lines(process: &Process) -> Vec<(String, String)> {
    let welcome = process.out();
    let (_, rest) = welcome
        .split_once("To paste into another terminal")
        .expect("there are lines to paste");
    let blocks: Vec<&str> = rest.split("\n\n").collect();
    let lines = blocks.windows(2).filter_map(|pair| {
        let line = pair[1].strip_prefix("  ")?;
        Some((pair[0].strip_suffix(':')?.to_owned(), line.to_owned()))
    });
    lines.collect()
}

/// Runs every line and holds it against its heading; the headings' first words.
#[track_caller]
fn paste(process: &Process) -> Vec<String> {
    let mut shell = Shell::default();
    let mut heads = Vec::new();
    for (heading, line) in lines(process) {
        let head = heading.split([' ', ',']).next().unwrap().to_owned();
        match shell.run(&line) {
            Some(answer) => assert_eq!(
                answer.status.to_string(),
                head,
                "{heading}: {line}\n{answer:?}"
            ),
            None => {
                assert_eq!(head, "a", "{heading}");
                assert_eq!(
                    shell.token.split('.').count(),
                    3,
                    "{heading}: {line}\n{}",
                    shell.token
                );
            }
        }
        heads.push(head);
    }
    heads
}

fn claims(token: &str) -> (Value, Value) {
    let parts: Vec<&str> = token.split('.').collect();
    let part =
        |n: usize| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[n]).unwrap()).unwrap();
    (part(0), part(1))
}

/// The answer of the token endpoint at a path, as a status and JSON.
fn grant(process: &Process, path: &str, client: &str, form: &str) -> (u16, Value) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {}\r\n\
         Connection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        STANDARD.encode(client),
        form.len()
    );
    let answer = raw(process.place("issuer"), request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("there is an answer");
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        serde_json::from_str(body).unwrap(),
    )
}

#[track_caller]
fn token(process: &Process, path: &str, scope: &str) -> String {
    let form = format!(
        "grant_type=client_credentials&scope={}",
        scope.replace(' ', "+")
    );
    let (status, answer) = grant(process, path, "dev:dev-secret", &form);
    assert_eq!(status, 200, "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn each_line_of_the_welcome_does_what_its_heading_says() {
    let process = Process::dev(&example());
    assert_eq!(
        paste(&process),
        ["a", "200", "403", "401", "200", "a", "200"]
    );
}

#[test]
fn each_line_of_a_production_configurations_welcome_does_what_its_heading_says() {
    let process = Process::dev(PRODUCTION);
    assert_eq!(paste(&process), ["a", "200", "403", "401"]);
}

// Each issuer's token passes its own route, whatever its entry asks for, and no other's.
#[test]
fn each_issuers_token_passes_its_own_routes_alone() {
    let process = Process::dev(PRODUCTION);
    let bearer = |request: Request, token: &str| request.bearer(token);
    let cookie =
        |request: Request, token: &str| request.field("Cookie", &format!("session={token}"));
    let header = |request: Request, token: &str| request.field("X-Token", token);
    type Put = fn(Request, &str) -> Request;
    let cases: [(&str, &str, &str, &str, Put); 5] = [
        ("cognito", "pool/read", "/cognito", "RS256", bearer),
        (
            "auth0",
            "read:items list:items",
            "/auth0/1",
            "RS256",
            bearer,
        ),
        ("keycloak", "email", "/keycloak", "RS256", cookie),
        ("fapi", "accounts", "/fapi/a/b", "PS256", bearer),
        ("small", "small.read", "/small", "EdDSA", header),
    ];
    for (name, scope, _, algorithm, _) in cases {
        let token = token(&process, &format!("/{name}/oauth2/token"), scope);
        assert_eq!(claims(&token).0["alg"], algorithm, "{name}");
        for (other, _, path, _, put) in cases {
            let host = if other == "fapi" {
                "fapi.example.com"
            } else {
                "localhost"
            };
            let answer = process.send(&put(Request::get(path).field("Host", host), &token));
            let expected = if other == name { 200 } else { 401 };
            assert_eq!(
                answer.status, expected,
                "a token of {name} on a route of {other}: {answer:?}"
            );
        }
    }
    let (status, answer) = grant(
        &process,
        "/oauth2/token",
        "dev:dev-secret",
        "grant_type=client_credentials",
    );
    assert_eq!(
        status, 404,
        "with several issuers none is at the root: {answer}"
    );
}

#[test]
fn it_listens_on_this_machine_alone_whatever_the_file_says() {
    let process = Process::start(&["dev", "--issuer-listen", "127.0.0.1:0"], PRODUCTION);
    wait_until("dev has said its welcome", || {
        process.out().contains("Ctrl-C")
    });
    for name in ["gateway", "admin", "issuer", "echo"] {
        assert!(
            process.place(name).ip().is_loopback(),
            "{name}: {}",
            process.out()
        );
    }
    // The notes are about the file.
    let all = process.out();
    let lines = all.lines().filter(|line| !line.starts_with("note: "));
    let welcome = lines.collect::<Vec<_>>().join("\n");
    assert!(
        !welcome.contains("0.0.0.0") && !welcome.contains("[::]"),
        "{welcome}"
    );
}

// docs/design/requirements.md#g02.
#[test]
fn a_token_is_shaped_like_cognitos() {
    let pool = "https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_EXAMPLE01";
    let text = example()
        .replace("\"https://idp.example.com/\"", &format!("\"{pool}\""))
        .replace("\"https://api.example.com\"", "\"any\"");
    let process = Process::dev(&text);
    let token = token(&process, "/oauth2/token", "com.test.test/test.read");
    let (header, claims) = claims(&token);
    assert_eq!(header["alg"], "RS256");
    assert!(
        header["kid"].is_string() && header.get("typ").is_none(),
        "{header}"
    );
    let names: Vec<&str> = claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "auth_time",
        "client_id",
        "exp",
        "iat",
        "iss",
        "jti",
        "scope",
        "sub",
        "token_use",
        "version",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&"dev".into(), &"dev".into())
    );
    assert_eq!(
        (&claims["token_use"], &claims["version"]),
        (&"access".into(), &2.into())
    );
    assert_eq!(claims["scope"], "com.test.test/test.read");
    assert_eq!(claims["iss"], pool);
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );
}

#[test]
fn a_client_gets_what_it_may_have_and_no_more() {
    let process = Process::dev(&example());
    let ask = |client: &str, form: &str| grant(&process, "/oauth2/token", client, form);
    let form = "grant_type=client_credentials";
    let (status, all) = ask("reader:reader-secret", form);
    assert_eq!(status, 200);
    let (_, claims) = claims(all["access_token"].as_str().unwrap());
    assert_eq!(
        claims["scope"], "orders.read",
        "an absent scope grants all that it may have"
    );
    for (client, form, status, error) in [
        (
            "reader:reader-secret",
            format!("{form}&scope=orders.write"),
            400,
            "invalid_scope",
        ),
        ("reader:wrong", form.to_owned(), 401, "invalid_client"),
        ("nobody:dev-secret", form.to_owned(), 401, "invalid_client"),
        (
            "dev:dev-secret",
            "grant_type=password".to_owned(),
            400,
            "unsupported_grant_type",
        ),
        (
            "dev:dev-secret",
            "scope=orders.read".to_owned(),
            400,
            "invalid_request",
        ),
    ] {
        let (found, answer) = ask(client, &form);
        assert_eq!(
            (found, answer["error"].as_str()),
            (status, Some(error)),
            "{client} {form}"
        );
    }
    assert_eq!(
        ask("dev:dev-secret", &format!("{form}&scope=orders.write")).0,
        200
    );
}

#[test]
fn a_changed_file_brings_its_routes_and_their_scopes() {
    let process = Process::dev(&example());
    let before = token(&process, "/oauth2/token", "orders.read");
    let call = |path: &str, token: &str| process.send(&Request::get(path).bearer(token));
    assert_eq!(call("/orders", &before).status, 200);
    let route =
        "\n[[routes]]\npath = \"/new\"\nupstream = \"orders\"\nmethods = { GET = \"new.read\" }\n";
    fs::write(process.file(), example() + route).unwrap();
    wait_until("the new route is in force", || {
        call("/new", &before).status == 403
    });
    assert_eq!(
        call("/new", &token(&process, "/oauth2/token", "new.read")).status,
        200
    );
    assert_eq!(
        call("/orders", &before).status,
        200,
        "the keys of before are the keys of now"
    );
    fs::write(process.file(), "nothing = 1\n").unwrap();
    process.wait_for_log("the changed configuration is not in force");
    assert_eq!(call("/orders", &before).status, 200);
}

#[cfg(unix)]
#[test]
fn it_ends_as_run_does() {
    let mut process = Process::dev(&example());
    let token = token(&process, "/oauth2/token", "orders.read");
    assert_eq!(
        process.send(&Request::get("/orders").bearer(&token)).status,
        200
    );
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(0));
    for part in token.split('.').skip(1) {
        assert!(
            !(process.out() + &process.errors()).contains(part),
            "a token was written"
        );
    }
}
