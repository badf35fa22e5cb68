//! Fields that an upstream trusts as the gateway's: none of them reaches it from a client, in any
//! spelling that an upstream may read as the name.

use crate::support::{Key, Pair, Request};

const ROUTES: &str = r#"
[[routes]]
path    = "/claims"
scopes  = "read"
forward = { "x-auth-subject" = "sub", "x-auth-tenant" = "tenant", "x-forwarded-user" = "email" }

[[routes]]
path   = "/public"
public = true

[[routes]]
path   = "/ruled"
public = true

[routes.request_headers]
remove = ["remote-user", "x-amzn-oidc-*", "x-ssl-client-cn"]
set    = { "x-env" = "prod" }
"#;

/// The bytes of a name that are no letters and no digits (RFC 9110 §5.6.2).
const SEPARATORS: &str = "!#$%&'*+-.^_`|~";

/// No value of the gateway's: one of these words alone would be an id that is kept.
const SPOOFED: &str = "spoofed by a client";

/// Names that are removed on every route.
const NAMES: &[&str] = &[
    "X-Auth-Subject",
    "X-Auth-Tenant",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-User",
    "X-Forwarded-Anything",
    "X-Forwarded-Client-Cert",
    "X-Real-IP",
    "X-Request-Id",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-Anything",
    "X-Rewrite-URL",
    "X-Rewrite-Uri",
    "X-Envoy-Original-Path",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "Script-Name",
    "X-Script-Name",
    "X-Accel-Mapping",
    "SSL-Client-Cert",
    "SSL-Client-Verify",
    "SSL-Client-Subject-DN",
    "X-SSL-Client-CN",
    "X-SSL-Client-S-DN",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Client-Cert",
    "X-Client-Certificate",
    "Proxy",
];

fn start() -> Pair {
    Pair::start(&Key::ed25519("key-1"), "", ROUTES)
}

/// A name with each of the separators in the place of all hyphens, and with another in the place of
/// each.
fn spellings(name: &str) -> Vec<String> {
    let one_by_one = name.match_indices('-').map(|(at, _)| {
        let (before, after) = name.split_at(at);
        format!("{before}.{}", &after[1..])
    });
    let mut all: Vec<String> = SEPARATORS
        .chars()
        .map(|separator| name.replace('-', &separator.to_string()))
        .chain(one_by_one)
        .collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn no_spelling_of_a_name_of_the_gateways_reaches_an_upstream() {
    let pair = start();
    // A token without the claims `tenant` and `email`: what is not said by the gateway is said by
    // nobody.
    let token = pair.token("read");
    for name in NAMES {
        for path in ["/public", "/claims"] {
            let mut request = Request::get(path).field("X-Kept.Field", "kept");
            if path == "/claims" {
                request = request.bearer(&token);
            }
            for spelling in spellings(name) {
                request = request
                    .field(&spelling, SPOOFED)
                    .field(&spelling.to_uppercase(), SPOOFED);
            }
            let arrival = pair.ask(&request).forwarded();
            let spoofed: Vec<_> = arrival
                .fields
                .iter()
                .filter(|(_, value)| value == SPOOFED)
                .collect();
            assert!(spoofed.is_empty(), "{path} {name}: {spoofed:?}");
            assert_eq!(arrival.field("x-kept.field"), Some("kept"));
            assert_eq!(
                arrival.field("x-auth-subject"),
                (path == "/claims").then_some("alice")
            );
            assert_eq!(arrival.field("x-auth-tenant"), None);
        }
    }
}

#[test]
fn no_spelling_of_a_name_of_the_gateways_is_a_trailer() {
    let pair = start();
    for name in NAMES.iter().chain(&[
        "Content-Type",
        "Host",
        "Authorization",
        "X-Env",
        "Remote-User",
        "X-Amzn-Oidc-Data",
    ]) {
        let trailers: String = spellings(name)
            .iter()
            .map(|spelling| format!("{spelling}: {SPOOFED}\r\n"))
            .collect();
        let request = Request::new("POST", "/public")
            .field("Transfer-Encoding", "chunked")
            .field("Trailer", "x-sum")
            .body(format!("1\r\na\r\n0\r\n{trailers}X-Sum: kept\r\n\r\n"));
        let arrival = pair.ask(&request).forwarded();
        assert_eq!(
            arrival.trailers,
            [("x-sum".to_owned(), "kept".to_owned())],
            "{name}"
        );
    }
}

// The gateway has judged these under their own names, or answers for them itself.
#[test]
fn what_frames_or_describes_a_message_has_one_spelling() {
    let pair = start();
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "Content-Type",
        "Proxy-Authorization",
        "Keep-Alive",
    ] {
        let mut request = Request::get("/public");
        for spelling in spellings(name).iter().filter(|spelling| *spelling != name) {
            request = request.field(spelling, SPOOFED);
        }
        let arrival = pair.ask(&request).forwarded();
        assert!(
            !format!("{:?}", arrival.fields).contains(SPOOFED),
            "{name}: {arrival:?}"
        );
    }
    let arrival = pair
        .ask(&Request::get("/public").field("Content-Type", "text/plain"))
        .forwarded();
    assert_eq!(arrival.field("content-type"), Some("text/plain"));
}

#[test]
fn a_rule_removes_and_sets_in_every_spelling() {
    let pair = start();
    for name in [
        "Remote-User",
        "X-Amzn-Oidc-Data",
        "X-Amzn-Oidc-Accesstoken",
        "X-Amzn-Oidc-",
        "X-Env",
    ] {
        let mut request = Request::get("/ruled");
        for spelling in spellings(name) {
            request = request.field(&spelling, SPOOFED);
        }
        let arrival = pair.ask(&request).forwarded();
        assert!(
            !format!("{:?}", arrival.fields).contains(SPOOFED),
            "{name}: {arrival:?}"
        );
        assert_eq!(arrival.field("x-env"), Some("prod"));
    }
    // The twins: other names, and the same on a route without the rule.
    let request = Request::get("/ruled")
        .field("X-Amzn-Oidc", "kept")
        .field("X-Amzn-Oidcdata", "kept");
    let arrival = pair.ask(&request).forwarded();
    assert_eq!(
        (
            arrival.field("x-amzn-oidc"),
            arrival.field("x-amzn-oidcdata")
        ),
        (Some("kept"), Some("kept"))
    );
    let arrival = pair
        .ask(&Request::get("/public").field("X-Amzn-Oidc-Data", "kept"))
        .forwarded();
    assert_eq!(arrival.field("x-amzn-oidc-data"), Some("kept"));
}

// CGI servers keep the length of a name, so that these are names of their own.
#[test]
fn a_name_that_is_longer_or_shorter_is_another() {
    let pair = start();
    for name in [
        "X-Auth-Subject-",
        "-X-Auth-Subject",
        "X--Auth-Subject",
        "XAuthSubject",
        "X-Forwarded",
        "X-Originals",
    ] {
        let arrival = pair
            .ask(&Request::get("/public").field(name, "kept"))
            .forwarded();
        assert_eq!(arrival.field(&name.to_lowercase()), Some("kept"), "{name}");
    }
}
