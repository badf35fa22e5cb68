//! A field that one route takes its token from does not reach the upstream unjudged by another
//! route: the application behind both routes reads it.

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, literal, request};
use crate::support::{Arrival, Key, Pair, Request, Script, Upstream};

/// Routes to one application that take their tokens from different places, and one to another.
const ROUTES: &str = r#"
[[groups]]
prefix     = "/browser"
strip      = false
token_from = "cookie:session"
scopes     = "read"
routes     = [{ path = "/cart" }, { path = "/header", token_from = "header:x-token" }]

[[routes]]
path       = "/download"
scopes     = "read"
token_from = "query:access_token"

[[routes]]
path      = "/api"
scopes    = "read"
websocket = true

[[routes]]
path          = "/kept"
scopes        = "read"
forward_token = true

[[routes]]
host          = "two.test"
path          = "/two"
scopes        = "read"
token_from    = ["authorization:bearer", "cookie:sid", "header:x_token"]
forward_token = true

[[routes]]
path    = "/mixed"
methods = { GET = { public = true }, POST = "read" }

[[routes]]
path    = "/methods"
methods = { GET = "read" }

[[routes]]
path       = "/methods"
methods    = { POST = "read" }
token_from = "cookie:session"

[[routes]]
path   = "/public"
public = true

[[groups]]
prefix     = "/login"
strip      = false
public     = true
token_from = "cookie:login"
routes     = [{ path = "/form" }]

[[routes]]
path     = "/other"
upstream = "other"
scopes   = "read"
"#;

/// The gateway, and the other application.
fn start() -> (Pair, Upstream) {
    let other = Upstream::start();
    let pair = Pair::start(
        &Key::ed25519("key-1"),
        "",
        &format!("{ROUTES}\n{}", other.toml("other")),
    );
    (pair, other)
}

/// Spellings of the cookie `session`, with what is left of the field.
const COOKIES: [(&str, Option<&str>); 13] = [
    ("session=FORGED", None),
    ("a=b; session=FORGED; c=d", Some("a=b; c=d")),
    ("session =FORGED", None),
    ("\"session\"=FORGED; a=b", Some("a=b")),
    ("SESSION=FORGED", None),
    ("=session=FORGED", None),
    ("%73ession=FORGED", None),
    ("session[0]=FORGED", None),
    ("session[=FORGED", None),
    ("a=b, session=FORGED", Some("a=b")),
    ("a=b session=FORGED; c=d", Some("c=d")),
    ("a=\"; session=FORGED; b=\"", Some("a=\"; b=\"")),
    ("session=FORGED; session=ALSO; a=b", Some("a=b")),
];

const FIELDS: [&str; 4] = ["X-Token", "x_token", "X.Token", "X~Token"];

/// Spellings of the parameter `access_token`, with what is left of the query.
const QUERIES: [(&str, &str); 6] = [
    ("?access_token=FORGED", ""),
    ("?a=1&access_token=FORGED&b=2", "?a=1&b=2"),
    ("?access.token=FORGED&a=1", "?a=1"),
    ("?ACCESS%5FTOKEN=FORGED&a=1", "?a=1"),
    ("?a=1;access_token=FORGED", "?a=1"),
    ("?access_token[]=FORGED", ""),
];

/// A request with forged credentials in each place that another route judges.
fn forged(method: &str, path: &str) -> Request {
    Request::new(method, &format!("{path}?a=1&access_token=FORGED"))
        .field("Cookie", "a=b; session=FORGED; login=kept")
        .field("X_Token", "FORGED")
}

#[track_caller]
fn has_none_of_it(arrival: &Arrival) {
    assert!(!format!("{arrival:?}").contains("FORGED"), "{arrival:?}");
    assert_eq!(arrival.field("cookie"), Some("a=b; login=kept"));
    assert!(arrival.target.ends_with("?a=1"), "{}", arrival.target);
}

#[test]
fn a_place_that_another_route_judges_is_removed_in_every_spelling() {
    let (pair, _) = start();
    let token = pair.token("read");
    for path in ["/api", "/kept"] {
        for (cookie, left) in COOKIES {
            let arrival = pair
                .ask(&Request::get(path).bearer(&token).field("Cookie", cookie))
                .forwarded();
            assert_eq!(arrival.field("cookie"), left, "{path} {cookie}");
            assert_eq!(
                arrival.field("authorization"),
                Some(format!("Bearer {token}").as_str())
            );
        }
        let two = Request::get(path)
            .bearer(&token)
            .field("Cookie", "a=b")
            .field("Cookie", "session=FORGED");
        assert_eq!(pair.ask(&two).forwarded().field("cookie"), Some("a=b"));
        for name in FIELDS {
            let arrival = pair
                .ask(&Request::get(path).bearer(&token).field(name, "FORGED"))
                .forwarded();
            assert!(!format!("{arrival:?}").contains("FORGED"), "{path} {name}");
        }
        for (query, left) in QUERIES {
            let verdict = pair.ask(&Request::get(&format!("{path}{query}")).bearer(&token));
            assert_eq!(
                verdict.answer.field("cache-control"),
                Some("private"),
                "the URI held a credential"
            );
            assert_eq!(
                verdict.forwarded().target,
                format!("{path}{left}"),
                "{query}"
            );
        }
    }
    // A good token of somebody else is not judged either.
    let arrival = pair
        .ask(
            &Request::get("/api")
                .bearer(&token)
                .field("Cookie", &format!("session={token}")),
        )
        .forwarded();
    assert_eq!(arrival.field("cookie"), None);
}

#[test]
fn each_route_judges_its_own_place_and_removes_those_of_the_others() {
    let (pair, _) = start();
    let token = pair.token("read");
    let cookies = format!("a=b; session={token}; login=kept");
    let with_cookie = |path: &str, method: &str| {
        Request::new(method, &format!("{path}?a=1&access_token=FORGED"))
            .field("Cookie", &cookies)
            .field("X-Token", "FORGED")
    };
    has_none_of_it(&pair.ask(&with_cookie("/browser/cart", "GET")).forwarded());
    has_none_of_it(&pair.ask(&with_cookie("/methods", "POST")).forwarded());
    for (method, path) in [
        ("GET", "/api"),
        ("GET", "/kept"),
        ("POST", "/mixed"),
        ("GET", "/methods"),
    ] {
        has_none_of_it(&pair.ask(&forged(method, path).bearer(&token)).forwarded());
    }
    let header = Request::get("/browser/header?a=1&Access_Token=FORGED")
        .field("X-Token", &token)
        .field("Cookie", "a=b; Session=FORGED; login=kept");
    has_none_of_it(&pair.ask(&header).forwarded());
    let query = Request::get(&format!("/download?a=1&access_token={token}"))
        .field("X-Token", "FORGED")
        .field("Cookie", "a=b; Session=FORGED; login=kept");
    has_none_of_it(&pair.ask(&query).forwarded());
}

// `forward_token` is about the token that was judged, also where the route looks in several places.
#[test]
fn a_token_that_was_judged_goes_on_beside_what_is_removed() {
    let (pair, _) = start();
    let token = pair.token("read");
    let ask = |request: Request| pair.ask(&request.field("Host", "two.test")).forwarded();
    let target = "/two?access_token=FORGED";
    let bearer = ask(Request::get(target)
        .bearer(&token)
        .field("Cookie", "session=FORGED; a=b"));
    assert_eq!(bearer.field("cookie"), Some("a=b"));
    assert_eq!(
        bearer.field("authorization"),
        Some(format!("Bearer {token}").as_str())
    );
    let cookie = ask(Request::get(target).field("Cookie", &format!("session=FORGED; sid={token}")));
    assert_eq!(
        cookie.field("cookie"),
        Some(format!("sid={token}").as_str())
    );
    // `x_token` is judged here, and is the `X-Token` of the other route.
    let header = ask(Request::get(target)
        .field("X-Token", &token)
        .field("Cookie", "session=FORGED"));
    assert_eq!(
        (header.field("x-token"), header.field("cookie")),
        (Some(token.as_str()), None)
    );
    for arrival in [bearer, cookie, header] {
        assert_eq!(arrival.target, "/two");
    }
    // Two of its own places are still two tokens.
    let two = Request::get("/two")
        .bearer(&token)
        .field("Cookie", "sid=FORGED")
        .field("Host", "two.test");
    pair.ask(&two).refused("several_tokens");
}

#[test]
fn a_public_route_forwards_them_as_they_came() {
    let (pair, _) = start();
    for path in ["/public", "/mixed"] {
        let arrival = pair.ask(&forged("GET", path)).forwarded();
        assert_eq!(
            arrival.field("cookie"),
            Some("a=b; session=FORGED; login=kept"),
            "{path}"
        );
        assert_eq!(arrival.field("x_token"), Some("FORGED"));
        assert_eq!(arrival.target, format!("{path}?a=1&access_token=FORGED"));
    }
}

#[test]
fn a_place_of_routes_to_another_upstream_is_an_ordinary_one() {
    let (pair, other) = start();
    let answer = pair
        .gateway
        .send(&forged("GET", "/other").bearer(&pair.token("read")));
    assert_eq!(answer.status, 200);
    let arrival = other.last();
    assert_eq!(
        arrival.field("cookie"),
        Some("a=b; session=FORGED; login=kept")
    );
    assert_eq!(arrival.field("x_token"), Some("FORGED"));
    assert_eq!(arrival.target, "/other?a=1&access_token=FORGED");
}

#[test]
fn a_handshake_and_trailers_hold_none_of_them() {
    let (pair, _) = start();
    let token = pair.token("read");
    let handshake = forged("GET", "/api")
        .bearer(&token)
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let arrival = pair.ask(&handshake).forwarded();
    assert_eq!(arrival.field("upgrade"), Some("websocket"));
    has_none_of_it(&arrival);
    let trailers =
        "X-Token: FORGED\r\nx_token: FORGED\r\nCookie: session=FORGED\r\nX-Fine: kept\r\n";
    let request = forged("POST", "/api")
        .bearer(&token)
        .field("Trailer", "X-Token, x_token, Cookie, X-Fine")
        .field("Transfer-Encoding", "chunked")
        .body(format!("1\r\na\r\n0\r\n{trailers}\r\n"));
    let arrival = pair.ask(&request).forwarded();
    assert_eq!(arrival.trailers, [("x-fine".to_owned(), "kept".to_owned())]);
    has_none_of_it(&arrival);
}

// RFC 9113 §8.2.3, RFC 8441.
#[test]
fn nor_do_requests_of_http_2() {
    let (pair, _) = start();
    let bearer = literal("authorization", &format!("Bearer {}", pair.token("read")));
    let fields = [
        bearer,
        literal("cookie", "a=b"),
        literal("cookie", "session =FORGED"),
        literal("cookie", "login=kept"),
        literal("x_token", "FORGED"),
    ]
    .concat();
    let mut client = Frames::connect(pair.gateway.address());
    let head = [
        request("GET", "/api?a=1&access_token=FORGED"),
        fields.clone(),
    ]
    .concat();
    client.send(HEADERS, END_STREAM | END_HEADERS, 1, &head);
    assert_eq!(client.status(1), 200);
    has_none_of_it(&pair.upstream.last());
    let connect = [
        request("CONNECT", "/api?a=1&access_token=FORGED"),
        literal(":protocol", "websocket"),
    ]
    .concat();
    pair.upstream.play([Script::Raw(
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        true,
    )]);
    client.send(HEADERS, END_HEADERS, 3, &[connect, fields].concat());
    assert_eq!(client.status(3), 404);
    let arrival = pair.upstream.last();
    assert_eq!(arrival.field("upgrade"), Some("websocket"));
    has_none_of_it(&arrival);
}
