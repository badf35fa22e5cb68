//! The sources of tokens: a token is read from those that the route names, and from no other.

use crate::support::{Key, Pair, Request, Script};

/// One route for each kind of source, and one for several.
const ROUTES: &str = r#"
[[routes]]
path   = "/default"
scopes = "read"

[[routes]]
path       = "/raw"
scopes     = "read"
token_from = ["authorization:raw", "authorization:bearer"]

[[routes]]
path       = "/only-raw"
scopes     = "read"
token_from = "authorization:raw"

[[routes]]
path       = "/header"
scopes     = "read"
token_from = "header:x-token"

[[routes]]
path       = "/cookie"
scopes     = "read"
token_from = "cookie:session"

[[routes]]
path       = "/query"
scopes     = "read"
token_from = "query:access_token"

[[routes]]
path       = "/several"
scopes     = "read"
token_from = ["authorization:bearer", "header:x-token", "cookie:session", "query:access_token"]

[[routes]]
path   = "/public"
public = true

[[groups]]
prefix        = "/kept"
forward_token = true
token_from    = ["header:x-token", "cookie:session", "query:access_token"]
scopes        = "read"
routes        = [{ path = "/all" }]

[[groups]]
prefix        = "/dropped"
forward_token = false
routes        = [
    { path = "/bearer", scopes = "read" },
    { path = "/header", scopes = "read", token_from = "header:x-token" },
    { path = "/public", public = true },
]
"#;

fn start() -> Pair {
    Pair::start(&Key::ed25519("key-1"), "", ROUTES)
}

// `Authorization: Bearer` alone, the scheme in any case.
#[test]
fn by_default_a_token_counts_in_authorization_alone() {
    let pair = start();
    let token = pair.token("read");
    for value in [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER   {token}"),
    ] {
        pair.ask(&Request::get("/default").field("Authorization", &value))
            .forwarded();
    }
    for value in [
        token.clone(),
        format!("Basic {token}"),
        format!("Token {token}"),
        format!("DPoP {token}"),
        format!("Bearer:{token}"),
        format!("Bearer\t{token}"),
        format!("Bearer,{token}"),
    ] {
        pair.ask(&Request::get("/default").field("Authorization", &value))
            .refused("wrong_scheme");
    }
    for value in ["Bearer", "Bearer undefined", "Bearer {{token}}"] {
        pair.ask(&Request::get("/default").field("Authorization", value))
            .refused("placeholder_token");
    }
    pair.ask(&Request::get("/default").field("Authorization", ""))
        .refused("missing_token");
    for value in [
        format!("Bearer {token} {token}"),
        format!("Bearer Bearer {token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer {token},Bearer {token}"),
    ] {
        pair.ask(&Request::get("/default").field("Authorization", &value))
            .refused("malformed_token");
    }
    for request in [
        Request::get("/default").field("X-Token", &token),
        Request::get("/default").field("X-Access-Token", &token),
        Request::get("/default").field("Proxy-Authorization", &format!("Bearer {token}")),
        Request::get("/default").field("X-Forwarded-Authorization", &format!("Bearer {token}")),
        Request::get("/default").field("X_Authorization", &format!("Bearer {token}")),
        Request::get("/default").field("Cookie", &format!("session={token}; access_token={token}")),
        Request::get(&format!("/default?access_token={token}")),
        Request::new("POST", "/default").body(format!("access_token={token}")),
    ] {
        pair.ask(&request).refused("missing_token");
    }
}

// Raw tokens, where the route says so.
#[test]
fn a_raw_token_counts_only_where_the_route_says_so() {
    let pair = start();
    let token = pair.token("read");
    let raw = |path: &str, value: &str| pair.ask(&Request::get(path).field("Authorization", value));
    raw("/raw", &token).forwarded();
    raw("/raw", &format!("Bearer {token}")).forwarded();
    raw("/only-raw", &token).forwarded();
    raw("/only-raw", &format!("Bearer {token}")).refused("wrong_scheme");
    raw("/default", &token).refused("wrong_scheme");
    for value in [
        format!("Basic {token}"),
        format!("{token} {token}"),
        "Basic x".to_owned(),
    ] {
        raw("/raw", &value).refused("wrong_scheme");
    }
    raw("/raw", "").refused("missing_token");
    raw("/raw", "x").refused("opaque_token");
}

#[test]
fn a_token_counts_in_the_place_that_the_route_names_and_nowhere_else() {
    let pair = start();
    let token = pair.token("read");
    let header = |path: &str| Request::get(path).field("X-Token", &token);
    let bearer_header =
        |path: &str| Request::get(path).field("x-token", &format!("Bearer {token}"));
    let cookie =
        |path: &str| Request::get(path).field("Cookie", &format!("a=b; session={token}; c"));
    let query = |path: &str| Request::get(&format!("{path}?a=b&access_token={token}&c"));
    let bearer = |path: &str| Request::get(path).bearer(&token);
    for (path, right, wrong) in [
        (
            "/header",
            vec![header("/header"), bearer_header("/header")],
            vec![cookie("/header"), query("/header")],
        ),
        (
            "/cookie",
            vec![cookie("/cookie")],
            vec![header("/cookie"), query("/cookie")],
        ),
        (
            "/query",
            vec![query("/query")],
            vec![header("/query"), cookie("/query")],
        ),
        (
            "/several",
            vec![
                header("/several"),
                cookie("/several"),
                query("/several"),
                bearer("/several"),
            ],
            vec![],
        ),
    ] {
        for request in right {
            let arrival = pair.ask(&request).forwarded();
            let elsewhere = format!(
                "{} {:?}",
                arrival.target,
                arrival
                    .field("cookie")
                    .into_iter()
                    .chain(arrival.field("x-token"))
                    .collect::<Vec<_>>()
            );
            assert!(
                !elsewhere.contains(&token),
                "the token went further than Authorization: {elsewhere}"
            );
            assert!(arrival.target.starts_with(path));
        }
        if !wrong.is_empty() {
            pair.ask(&bearer(path)).refused("wrong_scheme");
        }
        for request in wrong {
            pair.ask(&request).refused("missing_token");
        }
    }
    let arrival = pair.ask(&query("/query")).forwarded();
    assert_eq!(arrival.target, "/query?a=b&c");
    assert_eq!(
        pair.ask(&cookie("/cookie")).forwarded().field("cookie"),
        Some("a=b; c")
    );
    // An upstream decodes the names of parameters.
    let spelt = Request::get(&format!("/query?access%5Ftoken={token}&c"));
    assert_eq!(pair.ask(&spelt).forwarded().target, "/query?c");
    for request in [
        Request::get("/cookie").field("Cookie", &format!("__Host-session={token}")),
        Request::get("/cookie").field("Cookie", &format!("session-={token}; a=session={token}")),
        Request::get(&format!(
            "/query?access-token={token}&a=access_token={token}"
        )),
        Request::get("/header").field("XToken", &token),
    ] {
        pair.ask(&request).refused("missing_token");
    }
}

// Who knows the URI has the token, so that no cache on the way may keep what it led to for
// others.
#[test]
fn what_a_token_in_the_query_led_to_is_kept_from_shared_caches() {
    let pair = start();
    let token = pair.token("read");
    let in_query = Request::get(&format!("/several?access_token={token}"));
    let cacheable =
        "HTTP/1.1 200 OK\r\ncache-control: public, max-age=60\r\ncontent-length: 0\r\n\r\n";
    let asked = |request: &Request| {
        pair.upstream.play([Script::Raw(cacheable.into(), true)]);
        let answer = pair.gateway.send(request);
        assert_eq!(answer.status, 200);
        let fields = answer
            .fields
            .into_iter()
            .filter(|(name, _)| name == "cache-control");
        fields
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(asked(&in_query), "public, max-age=60, private");
    assert_eq!(
        asked(&Request::get("/several?a=b").bearer(&token)),
        "public, max-age=60"
    );
    assert_eq!(
        pair.ask(&in_query).answer.field("cache-control"),
        Some("private")
    );
}

#[test]
fn two_tokens_are_refused_wherever_they_are() {
    let pair = start();
    let token = pair.token("read");
    let bearer = format!("Bearer {token}");
    let query = format!("/several?access_token={token}");
    let cookie = format!("session={token}");
    for request in [
        Request::get("/default")
            .field("Authorization", &bearer)
            .field("Authorization", &bearer),
        Request::get("/default")
            .field("Authorization", &bearer)
            .field("authorization", "Basic eDp5"),
        Request::get("/default")
            .field("Authorization", "Basic eDp5")
            .field("Authorization", &bearer),
        Request::get("/default")
            .field("Authorization", &bearer)
            .field("Authorization", ""),
        Request::get("/raw")
            .field("Authorization", &token)
            .field("Authorization", &bearer),
        Request::get("/several")
            .bearer(&token)
            .field("X-Token", &token),
        Request::get("/several")
            .bearer(&token)
            .field("Cookie", &cookie),
        Request::get(&query).bearer(&token),
        Request::get(&query).field("X-Token", "x"),
        Request::get(&query).field("Cookie", &cookie),
        Request::get(&format!("{query}&access_token={token}")),
        Request::get(&format!("/query?access_token={token}&access_token=x")),
        Request::get(&format!(
            "/query?access_token={token}&access%5ftoken={token}"
        )),
        Request::get("/header")
            .field("X-Token", &token)
            .field("X-Token", &token),
        Request::get("/cookie")
            .field("Cookie", &cookie)
            .field("Cookie", &cookie),
        Request::get("/cookie").field("Cookie", &format!("{cookie}; session=x")),
    ] {
        pair.ask(&request).refused("several_tokens");
    }
    // A second token where the route does not look is none.
    for request in [
        Request::get(&format!("/default?access_token={token}")).bearer(&token),
        Request::get("/header")
            .field("X-Token", &token)
            .bearer(&token),
        Request::get("/several").bearer(&token),
    ] {
        pair.ask(&request).forwarded();
    }
}

// Bytes beyond ASCII make no match, neither open nor by
// chance.
#[test]
fn bytes_beyond_ascii_are_no_token() {
    let pair = start();
    let token = pair.token("read");
    for value in [
        format!("Bearer {token}é"),
        format!("Bearer é{token}"),
        "Bearer é".to_owned(),
        "é".to_owned(),
    ] {
        let answer = pair
            .gateway
            .send(&Request::get("/default").field("Authorization", &value));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "invalid_token"),
            "{value}"
        );
    }
    assert!(pair.upstream.arrivals().is_empty());
    pair.ask(&Request::get("/default").bearer(&token))
        .forwarded();
}

// The credential that upstreams expect is passed on; a public route looks at none.
#[test]
fn authorization_is_forwarded_as_it_came() {
    let pair = start();
    let token = pair.token("read");
    let arrival = pair
        .ask(&Request::get("/default").field("Authorization", &format!("bearer  {token}")))
        .forwarded();
    assert_eq!(
        arrival.field("authorization"),
        Some(format!("bearer  {token}").as_str())
    );
    let arrival = pair
        .ask(&Request::get("/public").bearer("not.a.token"))
        .forwarded();
    assert_eq!(arrival.field("authorization"), Some("Bearer not.a.token"));
}

// The token goes on where the route says so, and from nowhere to the upstream where it says
// that.
#[test]
fn a_route_says_whether_its_upstream_gets_the_token() {
    let pair = start();
    let good = pair.token("read");
    let all = pair
        .ask(&Request::get("/kept/all").field("X-Token", &good))
        .forwarded();
    assert_eq!(all.field("x-token"), Some(good.as_str()));
    let cookie = pair
        .ask(&Request::get("/kept/all").field("Cookie", &format!("a=b; session={good}")))
        .forwarded();
    assert_eq!(
        cookie.field("cookie"),
        Some(format!("a=b; session={good}").as_str())
    );
    let query = pair
        .ask(&Request::get(&format!("/kept/all?access_token={good}&b=c")))
        .forwarded();
    assert_eq!(query.target, "/all?b=c", "one in a query never goes on");

    let bearer = pair
        .ask(&Request::get("/dropped/bearer").bearer(&good))
        .forwarded();
    assert_eq!(bearer.field("authorization"), None);
    let elsewhere = Request::get("/dropped/header")
        .field("X-Token", &good)
        .field("Authorization", "Basic YTpi");
    let elsewhere = pair.ask(&elsewhere).forwarded();
    assert_eq!(
        (elsewhere.field("authorization"), elsewhere.field("x-token")),
        (None, None)
    );
    let public = pair
        .ask(&Request::get("/dropped/public").bearer(&good))
        .forwarded();
    assert_eq!(public.field("authorization"), None);
}
