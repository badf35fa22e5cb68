//! One credential is judged, and no other one reaches the upstream: not in another spelling, and
//! not in another field.

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, literal, request};
use crate::support::{Key, Pair, Request};

const ROUTES: &str = r#"
[[routes]]
path       = "/cookie"
scopes     = "read"
token_from = "cookie:session"

[[routes]]
path       = "/php-cookie"
scopes     = "read"
token_from = "cookie:access_token"

[[routes]]
path       = "/header"
scopes     = "read"
token_from = "header:x-token"

[[routes]]
path       = "/query"
scopes     = "read"
token_from = "query:access_token"

[[routes]]
path       = "/either"
scopes     = "read"
token_from = ["authorization:bearer", "cookie:session"]

[[routes]]
path          = "/raw"
scopes        = "read"
token_from    = ["authorization:raw", "cookie:session"]
forward_token = true

[[routes]]
path                  = "/both"
scopes                = "read"
token_from            = "cookie:session"
forward_authorization = true

[[routes]]
path                  = "/neither"
scopes                = "read"
token_from            = ["authorization:bearer", "cookie:session"]
forward_token         = false
forward_authorization = true

[[routes]]
path       = "/mixed"
methods    = { GET = { public = true }, POST = "read" }
token_from = "cookie:session"

[[groups]]
prefix        = "/kept"
strip         = false
forward_token = true
scopes        = "read"
routes        = [
    { path = "/cookie", token_from = "cookie:session" },
    { path = "/header", token_from = "header:x-token" },
    { path = "/query", token_from = "query:access_token" },
]
"#;

fn start() -> Pair {
    Pair::start(&Key::ed25519("key-1"), "", ROUTES)
}

fn with_cookie(path: &str, cookie: &str) -> Request {
    Request::get(path).field("Cookie", cookie)
}

/// Spellings of `session=VALUE` that some parser reads as that.
const SPELLINGS: [&str; 14] = [
    "session=VALUE",
    "session =VALUE",
    "session\t= VALUE",
    "\"session\"=VALUE",
    "Session=VALUE",
    "SESSION=VALUE",
    "=session=VALUE",
    "%73ession=VALUE",
    "session%20=VALUE",
    "session[=VALUE",
    "session[0]=VALUE",
    "a=b, session=VALUE",
    "a=b session=VALUE",
    "$Version=1; session=VALUE; $Path=/",
];

#[test]
fn two_cookies_that_could_be_the_token_are_several_in_either_order() {
    let pair = start();
    let token = pair.token("read");
    let good = format!("session={token}");
    for path in ["/cookie", "/kept/cookie"] {
        for spelling in SPELLINGS
            .iter()
            .map(|spelling| spelling.replace("VALUE", "FORGED"))
            .chain(["a=\"; session=FORGED; b=\"".to_owned()])
        {
            for cookie in [format!("{spelling}; {good}"), format!("{good}; {spelling}")] {
                pair.ask(&with_cookie(path, &cookie))
                    .refused("several_tokens");
            }
            let fields = with_cookie(path, &spelling).field("Cookie", &good);
            pair.ask(&fields).refused("several_tokens");
        }
        // An empty one alone is no token; of two, parsers read either.
        for empty in ["session", "session=", "Session =\"\""] {
            for cookie in [format!("{empty}; {good}"), format!("{good}; {empty}")] {
                pair.ask(&with_cookie(path, &cookie))
                    .refused("several_tokens");
            }
            pair.ask(&with_cookie(path, empty)).refused("missing_token");
        }
    }
    for name in [
        "access.token",
        "access token",
        "access[token",
        "access+token",
        "Access.Token",
    ] {
        let cookie = format!("{name}=FORGED; access_token={token}");
        pair.ask(&with_cookie("/php-cookie", &cookie))
            .refused("several_tokens");
    }
}

#[test]
fn a_lone_odd_spelling_is_judged_as_the_token() {
    let pair = start();
    let token = pair.token("read");
    for spelling in SPELLINGS {
        let arrival = pair
            .ask(&with_cookie("/cookie", &spelling.replace("VALUE", &token)))
            .forwarded();
        let rest = arrival.field("cookie").unwrap_or_default();
        assert!(!rest.contains("ession"), "{spelling}: {rest}");
        let arrival = pair
            .ask(&with_cookie(
                "/kept/cookie",
                &spelling.replace("VALUE", &token),
            ))
            .forwarded();
        assert_eq!(
            arrival.field("cookie"),
            Some(spelling.replace("VALUE", &token).as_str())
        );
        pair.ask(&with_cookie(
            "/cookie",
            &spelling.replace("VALUE", "FORGED"),
        ))
        .refused("opaque_token");
    }
    for name in ["access.token", "access token", "ACCESS[token"] {
        let arrival = pair
            .ask(&with_cookie("/php-cookie", &format!("{name}={token}; a=b")))
            .forwarded();
        assert_eq!(arrival.field("cookie"), Some("a=b"), "{name}");
    }
    // Where parsers disagree about the end of the value, it is no token.
    for end in [", a=b", ",a", " a"] {
        pair.ask(&with_cookie("/cookie", &format!("session={token}{end}")))
            .refused("malformed_token");
    }
    pair.ask(&with_cookie("/cookie", &format!("session=\"{token}\"")))
        .refused("malformed_token");
}

#[test]
fn other_cookies_are_others() {
    let pair = start();
    let token = pair.token("read");
    for other in [
        "a=session",
        "xsession=x",
        "session-=x",
        "__Host-session=x",
        "a=b=session=c",
        "session_id=x",
        "a;b;",
    ] {
        let arrival = pair
            .ask(&with_cookie(
                "/cookie",
                &format!("{other}; session={token}"),
            ))
            .forwarded();
        assert_eq!(
            arrival.field("cookie"),
            Some(other.trim_end_matches(';').replace(";b", "; b").as_str())
        );
        pair.ask(&with_cookie("/cookie", other))
            .refused("missing_token");
    }
    // Bytes beyond ASCII are nothing to the token, and hide none.
    let foreign = with_cookie("/cookie", &format!("name=Zoë; session={token}"));
    assert_eq!(pair.gateway.send(&foreign).status, 200);
    assert_eq!(pair.upstream.last().field("cookie"), Some("name=Zoë"));
    for blank in ["\u{a0}", "\u{85}", "\u{2003}"] {
        let two = with_cookie(
            "/cookie",
            &format!("session{blank}=FORGED; session={token}"),
        );
        assert_eq!(pair.gateway.send(&two).code(), "invalid_request");
    }
}

// A public method of a route whose other methods have a token does not forward what could be one.
#[test]
fn a_public_route_forwards_no_cookie_that_could_be_a_token() {
    let pair = start();
    let cookie = "a=b; session =FORGED; Session=FORGED, c=d; =session=FORGED; e=f";
    let arrival = pair.ask(&with_cookie("/mixed", cookie)).forwarded();
    assert_eq!(arrival.field("cookie"), Some("a=b; c=d; e=f"));
}

// RFC 9113 §8.2.3: a client may send each cookie in a field of its own.
#[test]
fn cookies_one_by_one_over_http_2_are_counted_together() {
    let pair = start();
    let token = pair.token("read");
    let mut client = Frames::connect(pair.gateway.address());
    for (stream, first, status) in [
        (1, "a=b", 200),
        (3, "session =FORGED", 400),
        (5, "=Session=FORGED", 400),
    ] {
        let cookies = [
            literal("cookie", first),
            literal("cookie", &format!("session={token}")),
        ]
        .concat();
        let head = [request("GET", "/cookie"), cookies].concat();
        client.send(HEADERS, END_STREAM | END_HEADERS, stream, &head);
        assert_eq!(client.status(stream), status, "{first}");
    }
    assert_eq!(pair.upstream.arrivals().len(), 1);
    assert_eq!(pair.upstream.last().field("cookie"), Some("a=b"));
}

#[test]
fn twins_of_a_tokens_field_count_as_one() {
    let pair = start();
    let token = pair.token("read");
    for path in ["/header", "/kept/header"] {
        for (first, second) in [
            ("X-Token", "X_Token"),
            ("X.Token", "X-Token"),
            ("x_token", "X~TOKEN"),
        ] {
            let two = Request::get(path)
                .field(first, &token)
                .field(second, "FORGED");
            pair.ask(&two).refused("several_tokens");
            let two = Request::get(path)
                .field(first, "FORGED")
                .field(second, &token);
            pair.ask(&two).refused("several_tokens");
        }
        pair.ask(&Request::get(path).field("X_Token", &token))
            .forwarded();
        pair.ask(&Request::get(path).field("X_Token", "FORGED"))
            .refused("opaque_token");
    }
    let arrival = pair
        .ask(&Request::get("/header").field("X_Token", &token))
        .forwarded();
    assert!(!format!("{arrival:?}").contains(&token), "{arrival:?}");
}

#[test]
fn a_trailer_is_no_place_for_a_token() {
    let pair = start();
    let trailers =
        "X-Token: FORGED\r\nx_token: FORGED\r\nCookie: session=FORGED\r\nX-Fine: kept\r\n";
    for path in ["/header", "/kept/header"] {
        let request = Request::new("POST", path)
            .field("X-Token", &pair.token("read"))
            .field("Trailer", "X-Token, x_token, Cookie, X-Fine")
            .field("Transfer-Encoding", "chunked")
            .body(format!("1\r\na\r\n0\r\n{trailers}\r\n"));
        let arrival = pair.ask(&request).forwarded();
        assert_eq!(
            arrival.trailers,
            [("x-fine".to_owned(), "kept".to_owned())],
            "{path}"
        );
    }
}

#[test]
fn parameters_that_could_be_the_token_count_as_one() {
    let pair = start();
    let token = pair.token("read");
    for name in [
        "access.token",
        "access+token",
        "access%20token",
        "access[token",
        "access_token[]",
        "access_token[0]",
        "[access_token]",
        "ACCESS_TOKEN",
        "access%5Ftoken",
        "access%2etoken",
        "+access_token",
        "access_token%00",
        "access_token%00x",
        "%u0061ccess_token",
        "a;access_token",
        "a=b;access_token",
        "?access_token",
    ] {
        for path in ["/query", "/kept/query"] {
            for query in [
                format!("{name}=FORGED&access_token={token}"),
                format!("access_token={token}&{name}=FORGED"),
                format!("access_token={token};{name}=FORGED"),
            ] {
                pair.ask(&Request::get(&format!("{path}?{query}")))
                    .refused("several_tokens");
            }
            let arrival = pair
                .ask(&Request::get(&format!("{path}?x=1&{name}={token}&y")))
                .forwarded();
            assert!(
                !arrival.target.contains("token"),
                "{name}: {}",
                arrival.target
            );
            assert!(
                arrival.target.contains("?x=1&") && arrival.target.ends_with("&y"),
                "{}",
                arrival.target
            );
        }
        let forged = Request::get(&format!("/query?{name}=FORGED"));
        pair.ask(&forged).refused("opaque_token");
    }
    pair.ask(&Request::get(&format!("/query?access_token={token};x=1")))
        .refused("malformed_token");
    pair.ask(&Request::get(&format!(
        "/query?access_token&access_token={token}"
    )))
    .refused("several_tokens");
    let others =
        format!("/query?accesstoken=1&x_access_token=2&access_token={token}&a=access_token");
    let arrival = pair.ask(&Request::get(&others)).forwarded();
    assert_eq!(
        arrival.target,
        "/query?accesstoken=1&x_access_token=2&a=access_token"
    );
}

/// Values of `Authorization` that no route here judges.
const UNJUDGED: [&str; 5] = [
    "Bearer FORGED",
    "Basic bWFsbG9yeTpzZWNyZXQ=",
    "DPoP FORGED",
    "Digest username=\"admin\"",
    "FORGED",
];

#[test]
fn an_authorization_that_was_not_judged_does_not_reach_the_upstream() {
    let pair = start();
    let token = pair.token("read");
    let cookie = format!("session={token}");
    for value in UNJUDGED {
        let ask = |request: Request| pair.ask(&request.field("Authorization", value)).forwarded();
        for request in [
            with_cookie("/cookie", &cookie),
            with_cookie("/kept/cookie", &cookie),
            Request::get("/header").field("X-Token", &token),
            Request::get("/kept/header").field("X-Token", &token),
            Request::get(&format!("/query?access_token={token}")),
            Request::get(&format!("/kept/query?access_token={token}")),
            Request::new("POST", "/mixed").field("Cookie", &cookie),
        ] {
            assert_eq!(
                ask(request.clone()).field("authorization"),
                None,
                "{value} {request:?}"
            );
        }
        assert_eq!(
            ask(with_cookie("/both", &cookie)).field("authorization"),
            Some(value)
        );
        assert_eq!(
            ask(Request::get("/mixed")).field("authorization"),
            Some(value),
            "public, as it came"
        );
    }
    // Where both places are looked at, another scheme is no token and was not judged.
    let basic = "Basic bWFsbG9yeTpzZWNyZXQ=";
    for (path, value, arrives) in [
        ("/either", basic, None),
        ("/raw", "Bearer FORGED", None),
        ("/raw", basic, None),
        ("/neither", basic, Some(basic)),
    ] {
        let arrival = pair
            .ask(&with_cookie(path, &cookie).field("Authorization", value))
            .forwarded();
        assert_eq!(arrival.field("authorization"), arrives, "{path} {value}");
    }
    // The twins: one that was judged.
    let bearer = pair
        .ask(&Request::get("/either").bearer(&token))
        .forwarded();
    assert_eq!(
        bearer.field("authorization"),
        Some(format!("Bearer {token}").as_str())
    );
    let raw = pair
        .ask(&Request::get("/raw").field("Authorization", &token))
        .forwarded();
    assert_eq!(raw.field("authorization"), Some(token.as_str()));
    assert_eq!(
        pair.ask(&Request::get("/neither").bearer(&token))
            .forwarded()
            .field("authorization"),
        None
    );
}
