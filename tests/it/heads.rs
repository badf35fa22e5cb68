//! The keys of a route that change heads: rules for fields, rewritten paths, CORS, answers to gRPC.

use crate::support::{Gateway, Issuer, Request, Script, Upstream};

/// A gateway with one upstream, and routes that ask for tokens of one issuer.
fn gateway(issuer: &Issuer, upstream: &Upstream, routes: &str) -> Gateway {
    Gateway::start(&format!(
        "{}{}{routes}",
        issuer.toml(),
        upstream.toml("orders")
    ))
}

fn answer_with(lines: &str) -> Script {
    Script::Raw(
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{lines}\r\nok").into_bytes(),
        true,
    )
}

const RULES: &str = r#"
[[routes]]
path     = "/ruled"
upstream = "orders"
scopes   = "read"

[routes.request_headers]
remove = "x-debug"
set    = { "x-env" = "prod" }
add    = { "x-hop" = "gateway" }

[routes.response_headers]
remove = ["server", "x-powered-by"]
set    = { "strict-transport-security" = "max-age=63072000", "content-type" = "text/plain" }

[[routes]]
path     = "/plain"
upstream = "orders"
scopes   = "read"
"#;

// What is set is said by nobody else, in no spelling and not in trailers.
#[test]
fn rules_change_what_the_upstream_gets() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, RULES);
    let request = |path: &str| {
        Request::new("POST", path)
            .bearer(&issuer.token("read"))
            .field("X-Env", "dev")
            .field("x_env", "dev")
            .field("X-Debug", "1")
            .field("X-Hop", "client")
            .field("Trailer", "x-env, x-trailer")
            .field("Transfer-Encoding", "chunked")
            .body("2\r\nhi\r\n0\r\nx-env: dev\r\nx-trailer: kept\r\n\r\n")
    };
    assert_eq!(gateway.send(&request("/ruled")).status, 200);
    let arrival = upstream.last();
    let all = |name: &str| -> Vec<&str> {
        let named = arrival
            .fields
            .iter()
            .filter(|(field, _)| field.replace('_', "-") == name);
        named.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(all("x-env"), ["prod"]);
    assert_eq!(all("x-hop"), ["client", "gateway"]);
    assert_eq!(arrival.field("x-debug"), None);
    assert_eq!(
        arrival.trailers,
        [("x-trailer".to_owned(), "kept".to_owned())]
    );
    // The twin: another route's rules are not this one's.
    assert_eq!(gateway.send(&request("/plain")).status, 200);
    assert_eq!(upstream.last().field("x-debug"), Some("1"));
}

#[test]
fn rules_change_every_answer_of_the_route() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, RULES);
    upstream.play([answer_with(
        "server: a\r\nx-powered-by: b\r\ncontent-type: text/html\r\n",
    )]);
    let answer = gateway.send(&Request::get("/ruled").bearer(&issuer.token("read")));
    assert_eq!(
        (answer.field("server"), answer.field("x-powered-by")),
        (None, None)
    );
    assert_eq!(answer.field("content-type"), Some("text/plain"));
    assert_eq!(
        answer.field("strict-transport-security"),
        Some("max-age=63072000")
    );
    // Our own keep what they say of themselves.
    for (request, status) in [
        (Request::get("/ruled"), 401),
        (Request::get("/ruled/none"), 404),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.field("strict-transport-security").is_some(),
            status == 401,
            "{answer:?}"
        );
        assert_eq!(
            answer.field("content-type"),
            Some("application/problem+json")
        );
    }
    assert_eq!(
        gateway
            .send(&Request::get("/plain"))
            .field("strict-transport-security"),
        None
    );
}

const REWRITES: &str = r#"
[[routes]]
path     = "/orders/{id}"
upstream = "orders"
public   = true
rewrite  = "/v2/orders/{id}/"

[[routes]]
path     = "/files/**"
upstream = "orders"
public   = true
rewrite  = "/**"

[[groups]]
prefix   = "/dev"
upstream = "orders"
public   = true
routes   = [{ path = "/{rest+}", rewrite = "/stage/{rest+}" }, { path = "/plain" }]
"#;

// What was matched is what is forwarded, byte for byte.
#[test]
fn a_rewrite_takes_the_bytes_that_were_matched() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&format!("{}{REWRITES}", upstream.toml("orders")));
    for (path, expected) in [
        ("/orders/7", "/v2/orders/7/"),
        ("/orders/a%20b?x=%2F&y", "/v2/orders/a%20b/?x=%2F&y"),
        ("/%6frders/%37", "/v2/orders/%37/"),
        ("/files", "/"),
        ("/files/", "/"),
        ("/files/a/b", "/a/b"),
        ("/dev/a/b/", "/stage/a/b/"),
        ("/dev/plain", "/plain"),
    ] {
        assert_eq!(gateway.send(&Request::get(path)).status, 200, "{path}");
        assert_eq!(upstream.last().target, expected, "{path}");
    }
    let before = upstream.arrivals().len();
    for path in [
        "/orders/..",
        "/orders/%2e%2e",
        "/orders/a%2Fb",
        "/orders/a;b",
        "/files/../x",
        "/files//evil.test/x",
        "/dev/a/%2e%2e/b",
        "/dev/a%5Cb",
        "/orders/%252e%252e",
        "/files/%00",
    ] {
        let answer = gateway.send(&Request::get(path));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "ambiguous_path"),
            "{path}"
        );
    }
    assert_eq!(upstream.arrivals().len(), before);
}

const CORS: &str = r#"
[[routes]]
path     = "/api/{id}"
upstream = "orders"
methods  = { GET = "read", POST = "write" }

[routes.cors]
origins     = ["https://app.example.com", "https://*.example.org"]
expose      = ["x-total-count"]
credentials = true

[[routes]]
path     = "/any"
upstream = "orders"
public   = true
cors     = { origins = "any", methods = ["GET"] }

[[routes]]
path     = "/own"
upstream = "orders"
methods  = { OPTIONS = { public = true }, GET = "read" }
cors     = { origins = "any" }

[[routes]]
path     = "/none"
upstream = "orders"
methods  = "ANY"
public   = true
"#;

const APP: &str = "https://app.example.com";

fn preflight(path: &str, origin: &str, method: &str) -> Request {
    Request::new("OPTIONS", path)
        .field("Origin", origin)
        .field("Access-Control-Request-Method", method)
        .field("Access-Control-Request-Headers", "authorization")
}

#[test]
fn a_preflight_is_answered_before_authorization() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, CORS);
    for origin in [APP, "https://a.example.org"] {
        let answer = gateway.send(&preflight("/api/1", origin, "POST"));
        assert_eq!(
            (answer.status, answer.field("access-control-allow-origin")),
            (204, Some(origin))
        );
        assert_eq!(answer.field("access-control-allow-methods"), Some("POST"));
        assert_eq!(
            answer.field("access-control-allow-headers"),
            Some("authorization, content-type")
        );
        assert_eq!(
            answer.field("access-control-allow-credentials"),
            Some("true")
        );
        assert_eq!(answer.field("access-control-max-age"), Some("600"));
        assert!(
            answer
                .field("vary")
                .is_some_and(|vary| vary.starts_with("Origin, ")),
            "{answer:?}"
        );
        assert_eq!(answer.field("content-length"), None);
    }
    assert_eq!(
        gateway
            .send(&preflight("/any", "null", "GET"))
            .field("access-control-allow-origin"),
        Some("*")
    );
    // Nothing is permitted to another origin or for another method; the path is not told of either.
    for (path, origin, method) in [
        ("/api/1", "https://evil.test", "GET"),
        ("/api/1", "https://a.b.example.org", "GET"),
        ("/api/1", "http://app.example.com", "GET"),
        ("/api/1", "null", "GET"),
        ("/api/1", APP, "DELETE"),
        ("/any", APP, "POST"),
    ] {
        let answer = gateway.send(&preflight(path, origin, method));
        assert_eq!(
            (answer.status, answer.field("access-control-allow-origin")),
            (204, None),
            "{origin} {method}"
        );
        assert_eq!(answer.field("access-control-allow-methods"), None);
    }
    assert_eq!(
        upstream.arrivals().len(),
        0,
        "a preflight went to the upstream"
    );
}

// No other OPTIONS slips through.
#[test]
fn only_a_preflight_of_a_route_with_cors_is_ours() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, CORS);
    // A route that names OPTIONS answers it itself, and so does one without CORS.
    for path in ["/own", "/none"] {
        assert_eq!(
            gateway.send(&preflight(path, APP, "GET")).status,
            200,
            "{path}"
        );
    }
    assert_eq!(upstream.arrivals().len(), 2);
    assert_eq!(gateway.send(&preflight("/nowhere", APP, "GET")).status, 404);
    // OPTIONS alone is no preflight.
    assert_eq!(gateway.send(&Request::new("OPTIONS", "/api/1")).status, 405);
    assert_eq!(
        gateway.send(&preflight("/api/%2e%2e", APP, "GET")).status,
        400
    );
}

// A browser client reads the challenge.
#[test]
fn every_answer_of_a_route_with_cors_says_who_may_read_it() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, CORS);
    upstream.play([answer_with(
        "access-control-allow-origin: *\r\naccess-control-max-age: 9\r\nvary: accept\r\n",
    )]);
    let exposed = "www-authenticate, x-request-id, retry-after, x-total-count";
    for (request, status) in [
        (Request::get("/api/1").bearer(&issuer.token("read")), 200),
        (Request::get("/api/1"), 401),
        (Request::get("/api/1").bearer(&issuer.token("other")), 403),
        (Request::new("PUT", "/api/1"), 405),
        (Request::get("/api/a%2Fb"), 400),
    ] {
        let answer = gateway.send(&request.field("Origin", APP));
        assert_eq!(
            (answer.status, answer.field("access-control-allow-origin")),
            (status, Some(APP))
        );
        assert_eq!(answer.field("access-control-expose-headers"), Some(exposed));
        assert_eq!(answer.field("access-control-max-age"), None);
        let varies = answer
            .fields
            .iter()
            .any(|(name, value)| name == "vary" && value == "Origin");
        assert!(varies, "{answer:?}");
    }
    let answer = gateway.send(&Request::get("/api/1").field("Origin", "https://evil.test"));
    assert_eq!(
        (answer.status, answer.field("access-control-allow-origin")),
        (401, None)
    );
    assert_eq!(
        answer.field("vary"),
        Some("Origin"),
        "caches must not give this answer to the others"
    );
}

// The mapping of gRPC; metrics keep the status and the reason of the refusal.
#[test]
fn a_refusal_of_grpc_is_read_by_its_clients() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let routes = "[[routes]]\npath = \"/shop.Orders/{method}\"\nupstream = \"orders\"\n\
                  methods = { POST = \"read\" }\n\
                  body_bytes = \"4 B\"\n";
    let gateway = gateway(&issuer, &upstream, routes);
    let call = |kind: &str| {
        Request::new("POST", "/shop.Orders/Get")
            .field("Content-Type", kind)
            .body("hi")
    };
    let good = issuer.token("read");
    upstream.play([Script::Close]);
    // Over HTTP/1.1 there is gRPC-Web alone; what gRPC gets over HTTP/2 is in `grpc`.
    for (request, status) in [
        (call("application/grpc-web"), "16"),
        (
            call("application/grpc-web+proto").bearer(&issuer.token("other")),
            "7",
        ),
        (call("application/grpc-web-text").bearer(&good), "14"),
        (
            call("application/grpc-web").bearer(&good).body("too much"),
            "8",
        ),
        (
            Request::new("POST", "/none").field("Content-Type", "application/grpc-web"),
            "12",
        ),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, answer.field("grpc-status")),
            (200, Some(status)),
            "{answer:?}"
        );
        assert!(
            answer
                .field("content-type")
                .is_some_and(|kind| kind.starts_with("application/grpc"))
        );
        assert!(answer.field("grpc-message").is_some() && answer.body.is_empty());
        assert_eq!(
            answer.field("www-authenticate").is_some(),
            matches!(status, "16" | "7")
        );
    }
    let refusals =
        r#"scopegate_refusals_total{reason="missing_token",route="/shop.Orders/{method}"}"#;
    gateway.wait_for_metric(refusals, 1.0);
    // The twin: the same call without gRPC.
    assert_eq!(gateway.send(&call("application/json")).status, 401);
    assert_eq!(
        gateway
            .send(&call("application/grpc-web").bearer(&good))
            .field("grpc-status"),
        None
    );
    // Whoever only says so hears what everybody hears.
    let get = |kind: &str| Request::get("/shop.Orders/Get").field("Content-Type", kind);
    for (request, status) in [
        (call("application/grpc"), 401),
        (
            call("application/grpc+proto").bearer(&issuer.token("other")),
            403,
        ),
        (get("application/grpc"), 405),
        (get("application/grpc-web"), 405),
        (
            Request::new("PUT", "/none").field("Content-Type", "application/grpc-web"),
            404,
        ),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, answer.field("grpc-status")),
            (status, None),
            "{answer:?}"
        );
    }
}

// A page reads how its call ended in fields, and browsers show it those that are exposed.
#[test]
fn a_refusal_of_grpc_web_can_be_read_by_a_page() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream, CORS);
    let call = Request::new("POST", "/api/1")
        .field("Content-Type", "application/grpc-web+proto")
        .body("hi");
    let exposed = |origin: &str| {
        let answer = gateway.send(&call.clone().field("Origin", origin));
        assert_eq!(
            (answer.status, answer.field("grpc-status")),
            (200, Some("16"))
        );
        let values = answer
            .fields
            .iter()
            .filter(|(name, _)| name == "access-control-expose-headers");
        values
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert!(exposed(APP).ends_with("grpc-status, grpc-message"));
    assert_eq!(exposed("https://evil.test"), "");
}

// Events reach the client one by one, and a stream may be silent and last for longer than
// other answers.
#[test]
fn deadlines_may_differ_by_route() {
    let upstream = Upstream::start();
    let route = |path: &str, more: &str| {
        format!("[[routes]]\npath = \"{path}\"\nupstream = \"orders\"\npublic = true\n{more}\n")
    };
    let gateway = Gateway::start(&format!(
        "[server.timeouts]\nidle_body = \"500ms\"\nrequest = \"1s\"\n{}{}{}{}",
        upstream.toml("orders"),
        route("/events", "idle_body = \"1m\"\nrequest_timeout = \"0\""),
        route("/short", ""),
        route("/shorter", "request_timeout = \"50ms\""),
    ));
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let pieces = [
        head,
        "9\r\ndata: 1\n\n\r\n",
        "9\r\ndata: 2\n\n\r\n",
        "0\r\n\r\n",
    ];
    upstream.play([Script::Pieces(
        pieces
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .collect(),
    )]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/events"));
    upstream.go_on();
    assert_eq!(
        client.read_head_only().field("content-type"),
        Some("text/event-stream")
    );
    upstream.go_on();
    assert_eq!(client.read_exact(14), b"9\r\ndata: 1\n\n\r\n");
    // The twins, which begin later and are over before the stream goes on.
    upstream.play([Script::Raw(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nx".to_vec(),
        true,
    )]);
    assert!(!gateway.send(&Request::get("/short")).complete);
    for path in ["/short", "/shorter"] {
        upstream.play([Script::Hang]);
        assert_eq!(
            gateway.send(&Request::get(path)).code(),
            "request_timeout",
            "{path}"
        );
    }
    upstream.go_on();
    assert_eq!(client.read_exact(14), b"9\r\ndata: 2\n\n\r\n");
    upstream.go_on();
    assert_eq!(client.read_exact(5), b"0\r\n\r\n");
}
