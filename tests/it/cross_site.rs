//! A page of another site cannot use the token in its visitor's cookie.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use crate::support::{Gateway, Issuer, Key, PATIENCE, Pair, Request, Script, Upstream};

const ROUTES: &str = r#"
[[routes]]
path       = "/cookie"
scopes     = "read"
token_from = ["authorization:bearer", "header:x-token", "cookie:session", "query:token"]
websocket  = true

[[routes]]
path       = "/plain"
scopes     = "read"
token_from = "cookie:session"

[[routes]]
path       = "/cors"
scopes     = "read"
token_from = "cookie:session"
cors       = { origins = ["https://app.test", "https://*.apps.test"], credentials = true }

[[routes]]
path       = "/cors-any"
scopes     = "read"
token_from = "cookie:session"
cors       = { origins = "any" }

[[routes]]
path           = "/named"
scopes         = "read"
token_from     = "cookie:session"
cookie_origins = ["https://app.test", "http://localhost:3000"]
cors           = { origins = "https://other.test" }

[[routes]]
path           = "/any"
scopes         = "read"
token_from     = "cookie:session"
cookie_origins = "any"
websocket      = true

[[routes]]
path   = "/public"
public = true
"#;

fn start() -> Pair {
    Pair::start(&Key::ed25519("key-1"), "", ROUTES)
}

/// A request with a token in a cookie, and these fields.
fn asked(method: &str, path: &str, token: &str, fields: &[(&str, &str)]) -> Request {
    let request = Request::new(method, path).field("Cookie", &format!("session={token}"));
    fields
        .iter()
        .fold(request, |request, (name, value)| request.field(name, value))
}

/// What a page of another site, or one that is none, makes its visitor's browser say.
const FOREIGN: [&[(&str, &str)]; 18] = [
    &[
        ("Origin", "https://evil.test"),
        ("Sec-Fetch-Site", "cross-site"),
    ],
    &[("Origin", "https://evil.test")],
    &[("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "same-site")],
    &[("Sec-Fetch-Site", "")],
    &[("Sec-Fetch-Site", "Same-Origin")],
    &[("Sec-Fetch-Site", "same-origin, none")],
    &[
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "cross-site"),
    ],
    &[("Origin", "null")],
    &[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
    &[("Origin", "")],
    &[
        ("Origin", "https://shop.api.test"),
        ("Sec-Fetch-Site", "same-site"),
    ],
    &[
        ("Origin", "https://api.test:8443"),
        ("Sec-Fetch-Site", "same-site"),
    ],
    &[("Origin", "https://api.test.evil.test")],
    &[
        ("Origin", "https://api.test"),
        ("Origin", "https://evil.test"),
    ],
    &[("Origin", "https://api.test, https://evil.test")],
    &[
        ("Origin", "https://evil.test"),
        ("Sec-Fetch-Site", "same-site"),
    ],
    &[("Origin", "api.test")],
];

/// What the application's own pages make browsers say, and what programs say.
const OWN: [&[(&str, &str)]; 9] = [
    &[],
    &[
        ("Origin", "https://api.test"),
        ("Sec-Fetch-Site", "same-origin"),
    ],
    &[("Sec-Fetch-Site", "same-origin")],
    &[("Sec-Fetch-Site", "none")],
    // A proxy that is not trusted has put another name into `Host`.
    &[
        ("Origin", "https://public.test"),
        ("Sec-Fetch-Site", "same-origin"),
    ],
    &[("Origin", "https://api.test")],
    &[("Origin", "http://api.test")],
    &[("Origin", "https://api.test:443")],
    &[("Origin", "http://api.test:80")],
];

const UNSAFE: [&str; 5] = ["POST", "PUT", "PATCH", "DELETE", "PURGE"];

#[test]
fn a_page_of_another_site_changes_nothing_with_a_cookie() {
    let pair = Pair::start(
        &Key::ed25519("key-1"),
        "",
        &format!(
            "{ROUTES}\n[[routes]]\npath = \"/every\"\nmethods = [\"ANY\", \"PURGE\"]\n\
             scopes = \"read\"\ntoken_from = \"cookie:session\"\n"
        ),
    );
    let token = pair.token("read");
    for method in UNSAFE {
        for fields in FOREIGN {
            let answer = pair
                .ask(&asked(method, "/every", &token, fields))
                .refused("cross_site_request");
            assert_eq!(answer.status, 403, "{method} {fields:?}");
        }
    }
    for fields in OWN {
        pair.ask(&asked("POST", "/every", &token, fields))
            .forwarded();
    }
    // Safe methods: the same-origin policy keeps the answer from the page.
    for method in ["GET", "HEAD"] {
        for fields in FOREIGN {
            pair.ask(&asked(method, "/plain", &token, fields))
                .forwarded();
        }
    }
    pair.check_counts();
}

// It comes before the token is verified, and after the question whether there is exactly one.
#[test]
fn a_foreign_page_learns_nothing_about_the_token() {
    let pair = start();
    let foreign = FOREIGN[0];
    for token in ["FORGED", &pair.token("other"), &pair.token("read")] {
        pair.ask(&asked("POST", "/plain", token, foreign))
            .refused("cross_site_request");
    }
    let two = asked("POST", "/plain", "a", foreign).field("Cookie", "session=b");
    pair.ask(&two).refused("several_tokens");
    let none = Request::new("POST", "/plain").field("Origin", "https://evil.test");
    pair.ask(&none).refused("missing_token");
}

// A token in another place is put there by a page that has it.
#[test]
fn only_a_token_that_came_from_a_cookie_is_asked_where_from() {
    let pair = start();
    let token = pair.token("read");
    for request in [
        Request::new("POST", "/cookie").bearer(&token),
        Request::new("POST", "/cookie").field("X-Token", &token),
        Request::new("POST", &format!("/cookie?token={token}")),
        Request::new("POST", "/public"),
    ] {
        let request = request
            .field("Origin", "https://evil.test")
            .field("Sec-Fetch-Site", "cross-site");
        pair.ask(&request.field("Cookie", "a=b")).forwarded();
    }
    pair.ask(&asked("POST", "/cookie", &token, FOREIGN[0]))
        .refused("cross_site_request");
}

#[test]
fn origins_that_are_named_one_by_one_are_let_in() {
    let pair = start();
    let token = pair.token("read");
    let from = |path: &str, origin: &str| {
        pair.ask(&asked(
            "POST",
            path,
            &token,
            &[("Origin", origin), ("Sec-Fetch-Site", "same-site")],
        ))
    };
    for (path, origin) in [
        ("/cors", "https://app.test"),
        ("/named", "https://app.test"),
        ("/named", "http://localhost:3000"),
        ("/named", "https://other.test"),
        ("/named", "https://api.test"),
        ("/any", "https://evil.test"),
        ("/any", "null"),
    ] {
        from(path, origin).forwarded();
    }
    for (path, origin) in [
        ("/cors", "http://app.test"),
        ("/cors", "https://app.test:8443"),
        ("/cors", "https://apps.test"),
        // A pattern names no origin.
        ("/cors", "https://shop.apps.test"),
        ("/cors-any", "https://app.test"),
        ("/cors-any", "null"),
        ("/named", "https://evil.test"),
        ("/named", "null"),
        ("/named", "http://localhost"),
    ] {
        from(path, origin).refused("cross_site_request");
    }
    // A page that may read answers can read why.
    let answer = from("/cors-any", "https://app.test").refused("cross_site_request");
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
}

fn handshake(path: &str, token: &str, fields: &[(&str, &str)]) -> Request {
    asked("GET", path, token, fields)
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

// Cross-site WebSocket hijacking: a page reads what comes over a WebSocket, whatever its origin.
#[test]
fn a_page_of_another_site_opens_no_websocket_with_a_cookie() {
    let pair = start();
    let token = pair.token("read");
    for fields in FOREIGN {
        pair.ask(&handshake("/cookie", &token, fields))
            .refused("cross_site_request");
    }
    for fields in OWN {
        let arrival = pair.ask(&handshake("/cookie", &token, fields)).forwarded();
        assert_eq!(arrival.field("upgrade"), Some("websocket"));
    }
    pair.ask(&handshake("/any", &token, FOREIGN[0])).forwarded();
    // Without `websocket` it is a GET like any other.
    let arrival = pair
        .ask(&handshake("/plain", &token, FOREIGN[0]))
        .forwarded();
    assert_eq!(arrival.field("upgrade"), None);
}

// RFC 8441.
#[test]
fn nor_one_over_http_2() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/socket\"\nupstream = \"chat\"\nscopes = \"chat\"\n\
         token_from = \"cookie:session\"\nwebsocket = true\n",
        issuer.toml(),
        upstream.toml("chat")
    ));
    upstream.always(Script::Raw(
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        true,
    ));
    let address = gateway.address();
    let cookie = format!("session={}", issuer.token("chat"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let talk = async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut client, mut connection) = h2::client::handshake(tcp).await.unwrap();
        while !client.is_extended_connect_protocol_enabled() {
            poll_fn(|cx| {
                assert!(Pin::new(&mut connection).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
        tokio::spawn(connection);
        let mut statuses = Vec::new();
        for origin in ["https://evil.test", "null", "https://api.test"] {
            let mut request = http::Request::builder()
                .method("CONNECT")
                .uri("https://api.test/socket")
                .header("sec-websocket-version", "13")
                .header("cookie", &cookie)
                .header("origin", origin)
                .body(())
                .unwrap();
            request
                .extensions_mut()
                .insert(h2::ext::Protocol::from_static("websocket"));
            let (answer, _) = client.send_request(request, false).unwrap();
            statuses.push(answer.await.unwrap().status().as_u16());
        }
        statuses
    };
    let statuses = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, talk).await })
        .expect("in time");
    assert_eq!(statuses, [403, 403, 404]);
    assert_eq!(upstream.arrivals().len(), 1);
}

// Who ends TLS in front of the gateway knows what was asked for.
#[test]
fn the_requested_host_is_the_one_that_trusted_proxies_tell() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let start = |server: &str| {
        Gateway::start(&format!(
            "{server}\n{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nscopes = \"read\"\n\
             token_from = \"cookie:session\"\n",
            issuer.toml(),
            upstream.toml("orders")
        ))
    };
    let trusting = start("[server]\ntrusted_proxies = \"127.0.0.1\"");
    let doubting = start("");
    let token = issuer.token("read");
    let status = |gateway: &Gateway, fields: &[(&str, &str)]| {
        let answer = gateway.send(&asked("POST", "/a", &token, fields));
        assert!(
            answer.status == 200 || answer.code() == "cross_site_request",
            "{answer:?}"
        );
        answer.status
    };
    let host = ("X-Forwarded-Host", "shop.test");
    let proto = ("X-Forwarded-Proto", "https");
    let origin = ("Origin", "https://shop.test");
    assert_eq!(status(&trusting, &[host, proto, origin]), 200);
    assert_eq!(status(&trusting, &[host, origin]), 200);
    assert_eq!(status(&doubting, &[host, proto, origin]), 403);
    assert_eq!(
        status(&trusting, &[host, proto, ("Origin", "https://api.test")]),
        403
    );
    assert_eq!(
        status(&doubting, &[host, proto, ("Origin", "https://api.test")]),
        200
    );
    let port = ("X-Forwarded-Port", "8443");
    assert_eq!(
        status(
            &trusting,
            &[host, port, ("Origin", "https://shop.test:8443")]
        ),
        200
    );
    assert_eq!(status(&trusting, &[host, port, origin]), 403);
    assert_eq!(
        status(&trusting, &[host, ("Origin", "https://shop.test:8443")]),
        403
    );
    // A page that came in the clear is none of a host that is asked over TLS.
    assert_eq!(
        status(&trusting, &[host, proto, ("Origin", "http://shop.test")]),
        403
    );
}
