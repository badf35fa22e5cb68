//! Routes with `respond`: the gateway answers permitted requests itself.

use serde_json::{Value, json};

use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, literal, request};
use crate::support::{Answer, Folder, Gateway, Issuer, Process, Request, Upstream, wait_until};

const ROUTES: &str = r#"
[defaults]
upstream  = "u"
websocket = true

[[routes]]
path    = "/old/**"
public  = true
respond = { status = 308, headers = { location = "https://api.example.com/new/{rest}" } }
allow   = ["empty-segment", "backslash", "encoded-slash"]

[[routes]]
path    = "/here/{rest+}"
public  = true
respond = { status = 307, headers = { location = "/{rest+}?q=${query:q}" } }

[[routes]]
path    = "/secure/**"
public  = true
respond = { status = 301, headers = { location = "https://${header:host}/{rest}" } }

[[routes]]
path       = "/me"
methods    = { GET = "profile", POST = "profile", DELETE = { deny = true } }
token_from = ["authorization:bearer", "query:token"]
cors       = { origins = ["https://app.test"] }
response_headers = { set = { x-served-by = "gateway", x-own = "rule" } }
[routes.respond]
headers = { x-user = "u-${claim:sub}", x-none = "${claim:none}", x-own = "answer" }
body    = '{"sub": "${claim:sub}", "q": "${query:q}", "id": "${request_id}", "none": "${claim:none}"}'

[[routes]]
path    = "/tenant"
scopes  = "profile"
respond = { status = 302, headers = { location = "/tenants/${claim:tenant}/home" } }

[[routes]]
path    = "/page"
public  = true
respond = { status = 503, headers = { content-type = "text/html", retry-after = "60" }, body = "<p>${query:q}</p>" }

[[routes]]
path    = "/nothing"
public  = true
respond = { status = 204 }

[[routes]]
path   = "/**"
public = true
"#;

fn gateway(issuer: &Issuer, upstream: &Upstream) -> Gateway {
    let (issuer, upstream) = (issuer.toml(), upstream.toml("u"));
    Gateway::start(&format!("{issuer}{upstream}{ROUTES}"))
}

#[track_caller]
fn location(answer: &Answer) -> &str {
    assert_eq!(answer.text(), "");
    answer.field("location").expect("the answer is a redirect")
}

#[test]
fn a_redirect_has_the_path_of_its_request() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream);
    let new = "https://api.example.com/new";
    for (path, expected) in [
        ("/old", "/"),
        ("/old/", "/"),
        ("/old/a/b%20c/?x=y", "/a/b%20c/"),
        ("/old/a%2Fb", "/a%2Fb"),
        ("/old/%7B%24%7Bclaim:sub%7D%7D", "/%7B%24%7Bclaim:sub%7D%7D"),
        ("/old/${claim:sub}", "/${claim:sub}"),
    ] {
        let answer = gateway.send(&Request::get(path));
        assert_eq!(answer.status, 308, "{path}");
        assert_eq!(location(&answer), format!("{new}{expected}"), "{path}");
        assert_eq!(answer.field("content-length"), Some("0"));
        assert!(answer.field("date").is_some());
    }
    let post = Request::new("POST", "/old/a").body("a body that is not read");
    assert_eq!(location(&gateway.send(&post)), format!("{new}/a"));
    let here = |target: &str| gateway.send(&Request::get(target));
    assert_eq!(
        location(&here("/here/a?q=1+%26x%3D2&r=3")),
        "/a?q=1+%26x%3D2"
    );
    assert_eq!(location(&here("/here/a")), "/a?q=");
    let secure = Request::get("/secure/a").field("Host", "shop.example.com");
    assert_eq!(
        location(&gateway.send(&secure)),
        "https://shop.example.com/a"
    );
    for host in ["shop.example.com:8443", "[2001:db8::1]:8443"] {
        let secure = Request::get("/secure/a").field("Host", host);
        let expected = format!("https://{host}/a");
        assert_eq!(location(&gateway.send(&secure)), expected);
    }
    assert!(upstream.arrivals().is_empty());
}

// A path such as "/evil.test" behind the slash of the template would name a host.
#[test]
fn no_path_changes_the_structure_of_a_redirect() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream);
    for path in [
        "/old//evil.test",
        "/old/a//b",
        "/old/\\evil.test",
        "/old/a\\b",
    ] {
        let answer = gateway.send(&Request::get(path));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "unmappable_request"),
            "{path}"
        );
        assert_eq!(answer.field("location"), None);
    }
    for path in [
        "/old/../x",
        "/old/%2e%2e/x",
        "/old/%0d%0ax:%20y",
        "/here//evil.test",
    ] {
        let answer = gateway.send(&Request::get(path));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "ambiguous_path"),
            "{path}"
        );
    }
    gateway.wait_for_metric(
        "scopegate_refusals_total{reason=\"unmappable_request\",route=\"/old/**\"}",
        4.0,
    );
}

#[test]
fn an_answer_with_a_token_is_authorized_as_ever() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream);
    let ask = |request: Request| gateway.send(&request);
    assert_eq!(ask(Request::get("/me")).code(), "missing_token");
    let other = Request::get("/me").bearer(&issuer.token("other"));
    assert_eq!(ask(other).code(), "insufficient_scope");
    assert_eq!(ask(Request::new("DELETE", "/me")).code(), "route_denied");
    let key = issuer.claims("profile").with("sub", "zo\"ë");
    let token = issuer.sign(&key);
    let good = Request::get("/me?q=%22%0d%0a")
        .bearer(&token)
        .field("X-Request-Id", "id-1");
    let answer = ask(good.field("Origin", "https://app.test"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        body,
        json!({ "sub": "zo\"ë", "q": "\"\r\n", "id": "id-1", "none": "" })
    );
    for (name, value) in [
        ("x-user", Some("u-zo\"%C3%AB")),
        ("x-none", None),
        ("x-own", Some("answer")),
        ("x-served-by", Some("gateway")),
        ("access-control-allow-origin", Some("https://app.test")),
        ("cache-control", None),
        ("via", None),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let in_query = ask(Request::get(&format!("/me?token={token}")));
    assert_eq!(
        (in_query.status, in_query.field("cache-control")),
        (200, Some("private"))
    );
    assert!(!in_query.text().contains(&token));
    // A value of the token that is a part of a path.
    let tenant = |value: Value| {
        let token = issuer.sign(&issuer.claims("profile").with("tenant", value));
        ask(Request::get("/tenant").bearer(&token))
    };
    assert_eq!(location(&tenant(json!("a b/c"))), "/tenants/a%20b%2Fc/home");
    for value in [json!(".."), json!(""), json!("a\nb"), Value::Null] {
        assert_eq!(tenant(value).code(), "unmappable_request");
    }
    assert!(upstream.arrivals().is_empty());
}

#[test]
fn values_in_a_page_are_text() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream);
    let answer = gateway.send(&Request::get("/page?q=%3Cscript%3E%22%27"));
    assert_eq!(answer.status, 503);
    assert_eq!(answer.text(), "<p>&lt;script&gt;&quot;&#39;</p>");
    assert_eq!(answer.field("retry-after"), Some("60"));
    let empty = gateway.send(&Request::get("/nothing"));
    assert_eq!((empty.status, empty.text().as_str()), (204, ""));
    assert_eq!(empty.field("content-length"), None);
    assert_eq!(empty.field("content-type"), None);
}

#[test]
fn head_has_the_head_alone() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream);
    let get = gateway.send(&Request::get("/page?q=abc"));
    let mut client = gateway.connect();
    for _ in 0..2 {
        // The second one fails if a body follows the first.
        let head = client.send(&Request::new("HEAD", "/page?q=abc"));
        assert_eq!((head.status, head.text().as_str()), (503, ""));
        assert_eq!(head.field("content-length"), get.field("content-length"));
        assert_eq!(head.field("content-type"), Some("text/html"));
    }
    let mut client = Frames::connect(gateway.address());
    client.send(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &request("HEAD", "/page?q=abc"),
    );
    assert_eq!(client.status(1), 503);
    assert!(client.is_alive());
    let sent = |frame: &&crate::support::frames::Frame| frame.stream == 1 && frame.kind == DATA;
    let bytes: usize = client
        .seen
        .iter()
        .filter(sent)
        .map(|frame| frame.payload.len())
        .sum();
    assert_eq!(bytes, 0);
    let mut client = Frames::connect(gateway.address());
    client.get(1, "/page?q=abc");
    assert_eq!(client.status(1), 503);
    assert_eq!(client.body(1), b"<p>abc</p>");
}

// A 200 to an extended CONNECT would open a tunnel.
#[test]
fn a_websocket_finds_no_answer() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = gateway(&issuer, &upstream);
    let mut client = Frames::connect(gateway.address());
    let connect = [
        literal(":method", "CONNECT"),
        literal(":protocol", "websocket"),
        literal(":scheme", "http"),
        literal(":path", "/page"),
        literal(":authority", "api.test"),
        literal("sec-websocket-version", "13"),
    ];
    client.send(HEADERS, END_HEADERS, 1, &connect.concat());
    assert_eq!(client.status(1), 501);
    let upgrade = Request::get("/page")
        .field("Connection", "upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
        .field("Sec-WebSocket-Version", "13");
    assert_eq!(gateway.send(&upgrade).status, 503);
}

#[test]
fn an_own_answer_is_recorded_with_its_route_and_as_no_refusal() {
    let process = Process::run(
        "[log]\naccess = \"all\"\n[[routes]]\npath = \"/old/**\"\npublic = true\n\
         respond = { status = 308, headers = { location = \"https://api.test/{rest}\" } }\n",
    );
    assert_eq!(process.send(&Request::get("/old/x")).status, 308);
    let find = || {
        let out = process.out();
        let mut lines = out
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["path"] == "/old/x")
    };
    wait_until("the request is logged", || find().is_some());
    let line = find().unwrap();
    assert_eq!(
        (&line["route"], &line["status"], line.get("reason")),
        (&json!("/old/**"), &json!(308), None)
    );
    process.wait_for_metric(
        "scopegate_requests_total{method=\"GET\",route=\"/old/**\",status=\"3xx\"}",
        1.0,
    );
    assert!(!process.metrics().contains("scopegate_refusals_total{"));
}

#[test]
fn commands_show_own_answers() {
    let folder = Folder::new();
    let keys = json!({ "keys": [folder.key.jwk()] });
    folder.write(
        "gateway.toml",
        &format!(
            "[issuers.idp]\nissuer = \"https://idp.test\"\naudience = \"api\"\njwks = '{keys}'\n\
             [[routes]]\npath = \"/old/**\"\npublic = true\n\
             respond = {{ status = 308, headers = {{ location = \"https://api.test/{{rest}}\" }} \
             }}\n\
             [[routes]]\npath = \"/tenant\"\nscopes = \"orders.read\"\n\
             respond = {{ status = 302, headers = {{ location = \"/t/${{claim:tenant}}\" }} }}\n"
        ),
    );
    assert_eq!(
        folder.print(&["routes"]),
        "METHOD  PATH     REQUIRES     UPSTREAM\n\
         ANY     /old/**  public       answer 308 with location\n\
         ANY     /tenant  orders.read  answer 302 with location\n"
    );
    let check = folder.print(&["check"]);
    assert!(
        check.contains("public       no token  -> answer 308 with location\n"),
        "{check}"
    );
    let (code, text) = folder.explain(&["GET", "/old/a"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("308 Permanent Redirect, the answer of the route itself\n"),
        "{text}"
    );
    assert!(text.contains("location: https://api.test/a\n"), "{text}");
    folder.write("acme", &folder.token(|token| token.with("tenant", "acme")));
    let (code, text) = folder.explain(&["GET", "/tenant", "--token-file", "acme"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("location: /t/acme\n"), "{text}");
    folder.write("none", &folder.token(|token| token));
    let (code, text) = folder.explain(&["GET", "/tenant", "--token-file", "none"]);
    assert_eq!(code, Some(4), "{text}");
    let says = "the value of ${claim:tenant} is absent, or no part of a path (unmappable_request)";
    assert!(text.contains(says), "{text}");
}

#[test]
fn dev_serves_own_answers() {
    let process = Process::dev(
        "[issuers.idp]\nissuer = \"https://idp.example.com/\"\naudience = \"api\"\n\
         [upstreams.u]\nurl = \"http://u.example.com\"\n\
         [[routes]]\npath = \"/old\"\npublic = true\n\
         respond = { status = 308, headers = { location = \"/new\" } }\n\
         [[routes]]\npath = \"/me\"\nscopes = \"read\"\nrespond = { body = \"me\" }\n",
    );
    let redirect = process.send(&Request::get("/old"));
    assert_eq!(
        (redirect.status, redirect.field("location")),
        (308, Some("/new"))
    );
    assert_eq!(process.send(&Request::get("/me")).status, 401);
    let welcome = process.out();
    assert!(welcome.contains("/me"), "{welcome}");
    assert!(
        !welcome.contains("because the route is public"),
        "{welcome}"
    );
}

// docs/variables.md#the-port-of-plain-http
#[test]
fn a_redirect_keeps_the_whole_query_as_it_came() {
    let location = r#"location = "https://${header:host}/{rest}?${query}""#;
    let more = r#"location = "/next?from=${query:a}&${query}""#;
    let gateway = Gateway::start(&format!(
        "[[routes]]\npath = \"/**\"\npublic = true\n\
         respond = {{ status = 308, headers = {{ {location} }} }}\n\
         [[routes]]\npath = \"/more\"\npublic = true\n\
         respond = {{ status = 302, headers = {{ {more} }} }}\n"
    ));
    for (target, expected) in [
        ("/a/b?x=1&y=%20+;%2F", "https://api.test/a/b?x=1&y=%20+;%2F"),
        ("/a/b", "https://api.test/a/b"),
        ("/?", "https://api.test/"),
        ("/?a=//evil.test/&?b", "https://api.test/?a=//evil.test/&?b"),
        (
            "/a?b=${claim:x}%0d%0aSet-Cookie:x",
            "https://api.test/a?b=$%7Bclaim:x%7D%0d%0aSet-Cookie:x",
        ),
        ("/a?|^`\\", "https://api.test/a?%7C%5E%60%5C"),
        ("/more?a=b%26c&d", "/next?from=b%26c&a=b%26c&d"),
        ("/more", "/next?from=&"),
    ] {
        let mut client = gateway.connect();
        let head = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n");
        client.write(head.as_bytes());
        let answer = client.read("GET").unwrap();
        assert_eq!(location_of(&answer), expected, "{target}");
        assert_eq!(answer.field("set-cookie"), None);
    }
}

fn location_of(answer: &Answer) -> &str {
    answer.field("location").unwrap_or_default()
}
