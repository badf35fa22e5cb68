//! Claims that the upstream receives about the caller: those that the route names, from the token
//! only.

use serde_json::json;

use crate::support::{Key, Pair, Request, Token};

const ROUTES: &str = r#"
[[routes]]
path    = "/claims"
scopes  = "read"
[routes.forward]
x-user-id = "sub"
x-scopes  = "scope"
x-groups  = "cognito:groups"
x-role    = "realm.role"
x-level   = "level"
x_tenant  = "tenant"

[[routes]]
path          = "/none"
authenticated = true

[[routes]]
path   = "/public"
public = true
"#;

fn start() -> Pair {
    Pair::start(&Key::ed25519("key-1"), "", ROUTES)
}

fn with(pair: &Pair, token: &Token) -> Request {
    Request::get("/claims").bearer(&token.signed(&pair.key))
}

// docs/design/requirements.md#g12.
#[test]
fn claims_reach_the_upstream_as_headers() {
    let pair = start();
    let token = Pair::claims("read write")
        .with("cognito:groups", json!(["admin", "power,user"]))
        .with("realm", json!({"role": "clerk"}))
        .with("level", 1.50)
        .with("tenant", true);
    let arrival = pair.ask(&with(&pair, &token)).forwarded();
    for (name, value) in [
        ("x-user-id", "alice"),
        ("x-scopes", "read write"),
        ("x-groups", "admin,power%2Cuser"),
        ("x-role", "clerk"),
        ("x-level", "1.5"),
        ("x_tenant", "true"),
    ] {
        assert_eq!(arrival.field(name), Some(value), "{name}");
    }
    // What the token does not say, or says in a shape that no header has, is left out.
    let token = Pair::claims("read")
        .with("sub", json!(null))
        .with("realm", json!({"role": {"a": 1}}));
    let arrival = pair.ask(&with(&pair, &token)).forwarded();
    for name in ["x-user-id", "x-groups", "x-role", "x-level", "x_tenant"] {
        assert_eq!(arrival.field(name), None, "{name}");
    }
}

// No claim ends its field or becomes another.
#[test]
fn a_claim_cannot_write_headers_of_its_own() {
    let pair = start();
    for (subject, value) in [
        ("a\r\nx-role: admin", "a%0D%0Ax-role: admin"),
        ("a\nb", "a%0Ab"),
        ("a\u{0}b", "a%00b"),
        ("a\u{1b}[31m\u{7f}", "a%1B[31m%7F"),
        ("zoë", "zo%C3%AB"),
        ("100%41", "100%2541"),
        ("\u{2028}", "%E2%80%A8"),
        ("Doe, John", "Doe%2C John"),
        (" alice", "%20alice"),
        ("alice  ", "alice%20%20"),
        ("a  b", "a  b"),
        ("", ""),
    ] {
        let arrival = pair
            .ask(&with(&pair, &Pair::claims("read").with("sub", subject)))
            .forwarded();
        assert_eq!(arrival.field("x-user-id"), Some(value), "{subject:?}");
        assert_eq!(arrival.field("x-role"), None);
    }
    let token = Pair::claims("read").with("cognito:groups", json!(["a,b\r\nx-role: admin", "c"]));
    let arrival = pair.ask(&with(&pair, &token)).forwarded();
    assert_eq!(
        arrival.field("x-groups"),
        Some("a%2Cb%0D%0Ax-role: admin,c")
    );
    assert_eq!(arrival.field("x-role"), None);
}

// A list and a string, and numbers that a float cannot tell apart, are different users.
#[test]
fn two_claims_that_differ_are_two_values() {
    let pair = start();
    let ask = |members: &str| {
        let claims = Pair::claims("read")
            .with("sub", json!(null))
            .claims
            .to_string();
        let claims = format!("{},{members}}}", claims.trim_end_matches('}'));
        let header = json!({"alg": pair.key.algorithm(), "kid": pair.key.kid}).to_string();
        let token = Token::signed_text(&header, &claims, &pair.key);
        pair.ask(&Request::get("/claims").bearer(&token))
            .forwarded()
    };
    for (claim, value) in [
        (r#""x,admin""#, Some("x%2Cadmin")),
        (r#"["x","admin"]"#, Some("x,admin")),
        (r#"["x"," admin "]"#, Some("x,%20admin%20")),
        (r#"["x,admin"]"#, Some("x%2Cadmin")),
        (r#"["x%2Cadmin"]"#, Some("x%252Cadmin")),
        (r#"["",""]"#, Some(",")),
        (r#"[""]"#, Some("")),
        ("[]", None),
        ("[[]]", None),
        (
            "[1.0,18446744073709551616]",
            Some("1.0,18446744073709551616"),
        ),
        ("9007199254740993", Some("9007199254740993")),
        ("18446744073709551616", Some("18446744073709551616")),
        ("18446744073709551617", Some("18446744073709551617")),
        (
            "-123456789012345678901234567890",
            Some("-123456789012345678901234567890"),
        ),
        ("-0", Some("-0")),
        ("1.50", Some("1.50")),
        ("1E5", Some("1E5")),
        // What a library would take for a number is an object, and no value.
        (r#"{"$serde_json::private::Number":"1"}"#, None),
    ] {
        let arrival = ask(&format!("\"cognito:groups\":{claim}"));
        assert_eq!(arrival.field("x-groups"), value, "{claim}");
    }
    // Alike, as docs/traffic.md says.
    for (one, other) in [("1", "\"1\""), ("true", "\"true\""), ("[\"x\"]", "\"x\"")] {
        let value = |claim: &str| {
            ask(&format!("\"level\":{claim}"))
                .field("x-level")
                .map(str::to_owned)
        };
        assert_eq!(value(one), value(other));
    }
}

// docs/design/attacks.md#row-9 (Caddy CVE-2026-30851, Traefik CVE-2026-33433, oauth2-proxy
// CVE-2025-64484).
#[test]
fn a_clients_own_copy_of_a_claim_is_removed_on_every_route() {
    let pair = start();
    let token = pair.token("read");
    for name in [
        "X-User-Id",
        "x-user-id",
        "X-USER-ID",
        "X_User_Id",
        "x-user_id",
        "x_user-id",
        "X_Tenant",
        "x-tenant",
        "X-Tenant",
        "x-groups",
        "X_GROUPS",
        "x-role",
    ] {
        for path in ["/public", "/none", "/claims"] {
            let request = Request::get(path)
                .bearer(&token)
                .field(name, "admin")
                .field(name, "root")
                .field("X-User", "kept");
            let arrival = pair.ask(&request).forwarded();
            let spoofed: Vec<_> = arrival
                .fields
                .iter()
                .filter(|(_, value)| value == "admin" || value == "root")
                .collect();
            assert!(spoofed.is_empty(), "{path}: {spoofed:?}");
            assert_eq!(arrival.field("x-user"), Some("kept"), "{path}");
            let subject = (path == "/claims").then_some("alice");
            assert_eq!(arrival.field("x-user-id"), subject, "{path}");
        }
    }
    // A name with blanks is not a field name (docs/design/requirements.md#d60).
    let answer = pair
        .gateway
        .send(&Request::get("/public").field("X-User-Id ", "admin"));
    assert_eq!(answer.status, 400);
}

// What the client names in
// Connection goes before anything of ours comes.
#[test]
fn connection_cannot_take_away_what_the_gateway_says() {
    let pair = start();
    let token = pair.token("read");
    for named in [
        "x-user-id",
        "X-User-Id, x-scopes",
        "close, x-user-id",
        "x-forwarded-for, x-request-id, via, host, x-forwarded-host",
    ] {
        let request = Request::get("/claims")
            .bearer(&token)
            .field("Connection", named)
            .field("x-user-id", "admin");
        let arrival = pair.ask(&request).forwarded();
        assert_eq!(arrival.field("x-user-id"), Some("alice"), "{named}");
        assert_eq!(arrival.field("x-scopes"), Some("read"), "{named}");
        assert_eq!(
            arrival.field("x-forwarded-for"),
            Some("127.0.0.1"),
            "{named}"
        );
        assert_eq!(
            arrival.field("host"),
            Some(pair.upstream.authority().as_str()),
            "{named}"
        );
    }
}

// Whoever shares a connection, each request carries its own subject.
#[test]
fn each_request_carries_its_own_subject() {
    let pair = start();
    let tokens: Vec<_> = (0..8)
        .map(|n| {
            (
                format!("user-{n}"),
                Pair::claims("read")
                    .with("sub", format!("user-{n}"))
                    .signed(&pair.key),
            )
        })
        .collect();
    let address = pair.gateway.address();
    std::thread::scope(|scope| {
        for shift in 0..4 {
            let tokens = &tokens;
            scope.spawn(move || {
                let mut client = crate::support::Client::connect(address);
                for round in 0..40 {
                    let (subject, token) = &tokens[(round * 3 + shift) % tokens.len()];
                    let id = format!("{subject}.{shift}.{round}");
                    let answer = client.send(
                        &Request::get("/claims")
                            .bearer(token)
                            .field("x-request-id", &id),
                    );
                    assert_eq!(answer.status, 200);
                }
            });
        }
    });
    let arrivals = pair.upstream.arrivals();
    assert_eq!(arrivals.len(), 160);
    for arrival in arrivals {
        let id = arrival.field("x-request-id").unwrap();
        assert_eq!(arrival.field("x-user-id"), id.split('.').next(), "{id}");
    }
}

// An upstream may add trailers to its headers, so that none of them may say who the
// caller is.
#[test]
fn no_trailer_says_who_the_caller_is() {
    let pair = start();
    for path in ["/public", "/claims"] {
        let trailers =
            "X-User-Id: admin\r\nx_user_id: admin\r\nX-Tenant: admin\r\nX-Fine: kept\r\n";
        let request = Request::new("POST", path)
            .bearer(&pair.token("read"))
            .field("Trailer", "X-User-Id, x_user_id, X-Tenant, X-Fine")
            .field("Transfer-Encoding", "chunked")
            .body(format!("1\r\na\r\n0\r\n{trailers}\r\n"));
        let arrival = pair.ask(&request).forwarded();
        assert_eq!(
            arrival.trailers,
            [("x-fine".to_owned(), "kept".to_owned())],
            "{path}"
        );
        assert_eq!(
            arrival.field("x-user-id"),
            (path == "/claims").then_some("alice")
        );
    }
}
