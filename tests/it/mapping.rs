//! Templates in header rules and `rewrite`: what a request's values become, and that no value
//! leaves its place.

use std::sync::LazyLock;

use serde_json::json;

use crate::support::{Answer, Arrival, Folder, Gateway, Issuer, Request, Script, Upstream};

/// A gateway in front of an upstream, with an issuer.
struct Stage {
    issuer: Issuer,
    upstream: Upstream,
    gateway: Gateway,
}

impl Stage {
    /// Starts a gateway with these routes. `orders` is the upstream.
    fn start(routes: &str) -> Self {
        let (issuer, upstream) = (Issuer::start(), Upstream::start());
        let toml = format!(
            "{}{}[defaults]\nupstream = \"orders\"\n{routes}",
            issuer.toml(),
            upstream.toml("orders")
        );
        let gateway = Gateway::start(&toml);
        Self {
            issuer,
            upstream,
            gateway,
        }
    }

    /// Returns the request as it arrived at the upstream.
    #[track_caller]
    fn arrival(&self, request: &Request) -> Arrival {
        let answer = self.gateway.send(request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.upstream.last()
    }

    #[track_caller]
    fn refused(&self, request: &Request) -> Answer {
        let before = self.upstream.arrivals().len();
        let answer = self.gateway.send(request);
        assert_eq!(self.upstream.arrivals().len(), before, "it was forwarded");
        answer
    }
}

const FIELDS: &str = r#"
[[routes]]
path   = "/tenants/{tenant}/files/{rest+}"
scopes = "read"
[routes.request_headers.set]
x-user   = "${claim:sub}"
x-groups = "${claim:realm.groups}"
x-level  = "level-${claim:level}"
x-tenant = "{tenant}"
x-rest   = "{rest+}"
x-trace  = "${request_id}/${header:x-client}"
x-page   = "page ${query:page}"
x-host   = "${header:host}"
x-json   = '{"a": {}} $${claim:sub}'
[routes.request_headers.add]
x-many   = "${query:many}"
[routes.response_headers.set]
x-for    = "${claim:sub}"
x-id     = "${request_id}"
location = "https://api.example.com/{tenant}/{rest+}"

[[routes]]
path    = "/open"
methods = ["GET", "POST"]
public  = true
"#;

#[test]
fn fields_of_the_request_take_the_values_of_their_sources() {
    let stage = Stage::start(FIELDS);
    let token = stage
        .issuer
        .claims("read")
        .with("realm", json!({ "groups": ["a,b", "c"] }))
        .with("level", 7)
        .signed(&stage.issuer.key);
    let request = Request::get("/tenants/Zo%C3%AB/files/a%20b/c?page=1&p%61ge=2+3&many=x%2Cy")
        .bearer(&token)
        .field("X-Client", "one")
        .field("X-Client", "two, 5%")
        .field("X-Request-Id", "id-1")
        .field("x_user", "mallory")
        .field("X-Many", "client's");
    let arrival = stage.arrival(&request);
    for (name, value) in [
        ("x-user", "alice"),
        ("x-groups", "a%2Cb,c"),
        ("x-level", "level-7"),
        ("x-tenant", "Zo%C3%AB"),
        ("x-rest", "a b/c"),
        ("x-trace", "id-1/two, 5%"),
        ("x-page", "page 2 3"),
        ("x-host", "api.test"),
        ("x-json", "{\"a\": {}} ${claim:sub}"),
    ] {
        assert_eq!(arrival.field(name), Some(value), "{name}");
    }
    assert_eq!(arrival.field("x_user"), None);
    let many: Vec<_> = arrival
        .fields
        .iter()
        .filter(|(name, _)| name == "x-many")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(many, ["client's", "x%2Cy"]);
    let answer = stage.gateway.send(&request);
    assert_eq!(answer.field("x-for"), Some("alice"));
    assert_eq!(answer.field("x-id"), Some("id-1"));
    let location = "https://api.example.com/Zo%C3%AB/a%20b/c";
    assert_eq!(answer.field("location"), Some(location));
    // An answer of the gateway itself knows the id alone.
    let refused = stage.refused(&Request::get("/tenants/a/files/b").field("X-Request-Id", "id-2"));
    assert_eq!((refused.status, refused.field("x-id")), (401, Some("id-2")));
    assert_eq!(
        (refused.field("x-for"), refused.field("location")),
        (None, None)
    );
}

// Also where no value takes its place, on other routes, as a twin, and in trailers.
#[test]
fn a_field_that_a_rule_sets_is_never_the_clients() {
    let stage = Stage::start(FIELDS);
    let token = stage.issuer.token("read");
    let spoofed = |request: Request| {
        request
            .field("X-Groups", "admin")
            .field("x.groups", "admin")
            .field("X-User", "mallory")
            .field("X-Page", "mallory")
    };
    let arrival = stage.arrival(&spoofed(Request::get("/tenants/a/files/b").bearer(&token)));
    assert_eq!(arrival.field("x-user"), Some("alice"));
    for name in ["x-groups", "x.groups", "x-level", "x-page"] {
        assert_eq!(arrival.field(name), None, "{name}");
    }
    // Fields with claims are removed on every route, others where they are set.
    let arrival = stage.arrival(&spoofed(Request::get("/open")));
    for name in ["x-groups", "x.groups", "x-user"] {
        assert_eq!(arrival.field(name), None, "{name}");
    }
    assert_eq!(arrival.field("x-page"), Some("mallory"));
    let chunked = "POST /open HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\
        Trailer: x-user\r\nConnection: close\r\n\r\n0\r\nX-User: mallory\r\nx_level: 9\r\n\
        x-sum: 1\r\n\r\n";
    let answer = crate::support::raw(stage.gateway.address(), chunked.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let trailers = stage.upstream.last().trailers;
    assert!(
        trailers.iter().all(|(name, _)| name == "x-sum"),
        "{trailers:?}"
    );
}

const LOOSE: &str = r#"
[[routes]]
path    = "/go/**"
methods = ["GET"]
public  = true
allow   = ["empty-segment", "backslash", "matrix"]
[routes.response_headers.set]
location     = "/{rest}"
refresh      = "0; url=/{rest}"
link         = "</{rest}>; rel=next"
"set-cookie" = "t={rest}"

[[routes]]
path    = "/own/**"
public  = true
allow   = ["empty-segment", "backslash", "matrix"]
respond = { headers = { refresh = "0; url=/{rest}" } }
"#;

// A route may let paths through that a browser reads as a host, or an application as two values.
#[test]
fn no_path_leaves_its_place_in_a_field() {
    let stage = Stage::start(LOOSE);
    let names = ["location", "refresh", "link", "set-cookie"];
    for (path, expected) in [
        (
            "/go/a;Domain=evil.test",
            [
                Some("/a;Domain=evil.test"),
                Some("0; url=/a%3BDomain=evil.test"),
                Some("</a%3BDomain=evil.test>; rel=next"),
                Some("t=a%3BDomain%3Devil.test"),
            ],
        ),
        ("/go//evil.test", [None, None, None, Some("t=%2Fevil.test")]),
        (
            "/go/\\evil.test",
            [None, None, None, Some("t=%5Cevil.test")],
        ),
    ] {
        let answer = stage.gateway.send(&Request::get(path));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(names.map(|name| answer.field(name)), expected, "{path}");
    }
    let answer = stage.refused(&Request::get("/own/a;b"));
    assert_eq!(answer.field("refresh"), Some("0; url=/a%3Bb"));
    for path in ["/own//evil.test", "/own/\\evil.test"] {
        let answer = stage.refused(&Request::get(path));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "unmappable_request")
        );
        assert_eq!(answer.field("refresh"), None);
    }
}

const TARGETS: &str = r#"
[[routes]]
path    = "/orders/{id}"
rewrite = "/v2/${claim:tenant}/order-{id}?tenant=${claim:tenant}&note=${header:x-note}"
scopes  = "read"

[[routes]]
path    = "/q"
rewrite = "/q/${query:name}"
methods = ["GET"]
public  = true

[[routes]]
path    = "/slashes"
rewrite = "/q/${query:name}"
allow   = ["encoded-slash"]
methods = ["GET"]
public  = true

[[routes]]
path    = "/files/{rest+}"
rewrite = "/store/${request_id}/{rest+}"
methods = ["GET"]
public  = true
"#;

#[test]
fn a_rewrite_puts_values_into_the_path_and_the_query() {
    let stage = Stage::start(TARGETS);
    let token = stage
        .issuer
        .claims("read")
        .with("tenant", "a&b c")
        .signed(&stage.issuer.key);
    let order = |target: &str| Request::get(target).bearer(&token);
    let clients = "x=1&tenant=evil&Tenant[]=evil&t%65nant=evil&y=2;tenant=evil";
    let target = format!("/orders/7%2E1?{clients}");
    let arrival = stage.arrival(&order(&target).field("X-Note", "n=1&m"));
    assert_eq!(
        arrival.target,
        "/v2/a%26b%20c/order-7%2E1?x=1&y=2&tenant=a%26b+c&note=n%3D1%26m"
    );
    // A parameter without a value is left out, and the client's with it.
    let arrival = stage.arrival(&order("/orders/7?note=client"));
    assert_eq!(arrival.target, "/v2/a%26b%20c/order-7?tenant=a%26b+c");
    let request = Request::get("/files/a%20b//c".replace("//", "/").as_str());
    let arrival = stage.arrival(&request.field("X-Request-Id", "r-1"));
    assert_eq!(arrival.target, "/store/r-1/a%20b/c");
    let arrival = stage.arrival(&Request::get("/q?name=a%3Fb+c&z"));
    assert_eq!(arrival.target, "/q/a%3Fb%20c?name=a%3Fb+c&z");
    let arrival = stage.arrival(&Request::get("/slashes?name=a/b"));
    assert_eq!(arrival.target, "/q/a%2Fb?name=a/b");
}

#[test]
fn a_value_that_is_no_segment_is_refused() {
    let stage = Stage::start(TARGETS);
    for query in [
        "",
        "?name=",
        "?name",
        "?name=.",
        "?name=%2e%2e",
        "?name=..%20",
        "?name=a%0Ab",
        "?name=a%00",
        "?name=%7F",
        "?name=a/b",
        "?name=a%5Cb",
        "?name=%252F",
        "?name=a;b",
        "?name=%FF",
        "?Name=a",
    ] {
        let answer = stage.refused(&Request::get(&format!("/q{query}")));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "unmappable_request"),
            "{query}"
        );
    }
    let token = stage.issuer.token("read");
    let answer = stage.refused(&Request::get("/orders/7").bearer(&token));
    assert_eq!(answer.code(), "unmappable_request");
    let answer = stage.refused(&Request::get("/slashes?name=a%5Cb"));
    assert_eq!(answer.code(), "unmappable_request");
}

#[test]
fn the_upstreams_method_decides_nothing() {
    let stage = Stage::start(
        "[[routes]]\npath = \"/a\"\nupstream_method = \"POST\"\n\
         methods = { GET = \"read\", DELETE = \"write\" }\n",
    );
    let token = stage.issuer.token("read");
    let arrival = stage.arrival(&Request::get("/a").bearer(&token));
    assert_eq!(
        (arrival.method.as_str(), arrival.field("content-length")),
        ("POST", Some("0"))
    );
    let answer = stage.refused(&Request::new("DELETE", "/a").bearer(&token));
    assert_eq!(answer.code(), "insufficient_scope");
    assert_eq!(
        stage
            .refused(&Request::new("POST", "/a").bearer(&token))
            .status,
        405
    );
    // HEAD has the answer of GET without its body, over one connection.
    let mut client = stage.gateway.connect();
    for _ in 0..2 {
        let answer = client.send(&Request::new("HEAD", "/a").bearer(&token));
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(stage.upstream.last().method, "POST");
    }
    stage.upstream.always(Script::Echo);
    let posted = Request::get("/a").bearer(&token).body("hello");
    assert_eq!(stage.gateway.send(&posted).status, 200);
    assert_eq!(stage.upstream.last().body, b"hello");
}

/// A configuration with one protected route and one public route, both with these keys.
fn problems(keys: &str) -> String {
    let folder = Folder::new();
    folder.write(
        "gateway.toml",
        &format!(
            "[issuers.idp]\nissuer = \"https://idp.test\"\naudience = \"api\"\n\
             [upstreams.orders]\nurl = \"http://orders\"\n[defaults]\nupstream = \"orders\"\n\
             [[routes]]\npath = \"/other\"\nscopes = \"a\"\n\
             token_from = [\"header:x-token\", \"query:t\", \"cookie:c\"]\n\
             [[routes]]\npath = \"/a/{{id}}/{{rest+}}\"\n{keys}\n"
        ),
    );
    let output = folder.run(&["check"], &[]);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_reference_that_can_have_no_value_is_an_error() {
    let set = |value: &str| {
        format!("scopes = \"a\"\nrequest_headers = {{ set = {{ x-a = '{value}' }} }}")
    };
    let answer = |keys: &str| format!("public = true\nrespond = {{ {keys} }}");
    for (keys, words) in [
        (set("{name}"), "\"{name}\" is not in the route's path"),
        (set("{id+}"), "\"{id+}\" is not in the route's path"),
        (set("${reason}"), "\"${reason}\" cannot stand here"),
        (set("${pool}"), "\"${pool}\": there is no such variable"),
        (set("${header:Authorization}"), "may hold a token"),
        (set("${header:x_token}"), "may hold a token"),
        (set("${header:cookie}"), "may hold a token"),
        (set("${header:proxy-authorization}"), "may hold a token"),
        (set("${query:t}"), "may hold a token"),
        (set("${query:T}"), "may hold a token"),
        (set("é${claim:sub}"), "printable ASCII"),
        (set("${claim:sub} "), "printable ASCII"),
        (
            "scopes = \"a\"\nresponse_headers = { set = { x-a = \"${header:x-b}\" } }".into(),
            "\"${header:x-b}\" cannot stand here",
        ),
        (
            "scopes = \"a\"\nrequest_headers = { set = { content-type = \"${claim:t}\" } }".into(),
            "is not for claims",
        ),
        (
            "scopes = \"a\"\nrequest_headers = { set = { host = \"${claim:t}\" } }".into(),
            "a rule cannot name \"host\"",
        ),
        (
            "scopes = \"a\"\nrewrite = \"/x?t=${query:t}\"".into(),
            "may hold a token",
        ),
        // In an answer as well, on a route that looks for no token.
        (
            answer("headers = { x-a = \"${header:x-token}\" }"),
            "must not be in an answer",
        ),
        (
            answer("headers = { x-a = \"${header:x_token}\" }"),
            "must not be in an answer",
        ),
        (
            answer("headers = { location = \"/${query:T}\" }"),
            "must not be in an answer",
        ),
        (
            answer("headers = { location = \"/?a=${query:t}\" }"),
            "must not be in an answer",
        ),
        (
            answer("headers = { x-a = \"${header:cookie}\" }"),
            "must not be in an answer",
        ),
        (answer("body = \"${query:t}\""), "must not be in an answer"),
        (
            "scopes = \"a\"\nrewrite = \"/x/{name}\"".into(),
            "\"{name}\" is not in the route's path",
        ),
        (
            "scopes = \"a\"\nrewrite = \"/x?a\"".into(),
            "is not \"name=value\"",
        ),
        (
            "public = true\nmethods = [\"GET\"]\nrewrite = \"/x/${claim:sub}\"".into(),
            "the route reads no token",
        ),
        (
            "public = true\nmethods = [\"GET\"]\n\
             response_headers = { set = { x-a = \"${claim:sub}\" } }"
                .into(),
            "the route reads no token",
        ),
        (
            "scopes = \"a\"\nupstream_method = \"CONNECT\"".into(),
            "\"upstream_method\" \
                                                                  is \"CONNECT\"",
        ),
        (
            "scopes = \"a\"\nupstream_method = \"HEAD\"".into(),
            "write another method",
        ),
        (
            "scopes = \"a\"\nupstream_method = \"ANY\"".into(),
            "write another method",
        ),
        (
            "scopes = \"a\"\nupstream_method = \"post\"".into(),
            "\"upstream_method\" is \"post\"",
        ),
        (
            "scopes = \"a\"\nwebsocket = true\nupstream_method = \"POST\"".into(),
            "a WebSocket \
                                                                                 begins with GET",
        ),
    ] {
        let found = problems(&keys);
        assert!(found.contains(words), "{keys}: {found}");
    }
    // The nearest rules that are valid.
    for keys in [
        answer("headers = { x-a = \"${header:x-tokens}\" }, body = \"${query:tt}\""),
        set("{id} {rest+} {rest} ${claim:a.b} ${header:x-b} ${query:tt} ${request_id} {\"a\": 1}"),
        "scopes = \"a\"\nrewrite = \"/x/{id}-${claim:sub}?t=${claim:t}\"\n\
         upstream_method = \"PUT\""
            .into(),
    ] {
        assert_eq!(problems(&keys), "", "{keys}");
    }
}

/// Pieces of which random values are made: what ends a place, and what begins a reference.
static PIECES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let text = include_str!("../vectors/template_pieces.json");
    serde_json::from_str(text).unwrap()
});

/// Random numbers from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn text(&mut self) -> String {
        let count = 1 + self.below(4);
        (0..count)
            .map(|_| PIECES[self.below(PIECES.len())].as_str())
            .collect()
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

const EVERYWHERE: &str = r#"
[[routes]]
path    = "/p/{id}"
rewrite = "/r/${query:q}/end?q=${query:q}&c=${claim:c}&h=${header:x-h}"
allow   = ["encoded-slash", "encoded-backslash", "double-encoding", "matrix"]
scopes  = "read"
[routes.request_headers.set]
x-q = "<${query:q}>"
x-c = "<${claim:c}>"
x-i = "<{id}>"
x-f = "<${header:x-h}>"
[routes.response_headers.set]
x-c = "<${claim:c}>"
"#;

#[test]
fn no_value_of_a_client_leaves_its_place() {
    let seed = std::env::var("SCOPEGATE_TEST_SEED").ok();
    let seed = seed.map_or_else(
        || u64::from(std::process::id()),
        |text| text.parse().unwrap(),
    );
    println!("SCOPEGATE_TEST_SEED={seed}");
    let mut chance = Chance(seed);
    let stage = Stage::start(EVERYWHERE);
    let mut forwarded = 0;
    for _ in 0..150 {
        let (query, claim, id) = (chance.text(), chance.text(), chance.text());
        let header: String = chance
            .text()
            .chars()
            .filter(|c| matches!(c, ' '..='~'))
            .collect();
        let token = stage.issuer.claims("read").with("c", claim.as_str());
        let request = Request::get(&format!("/p/{}?q={}&k", encoded(&id), encoded(&query)))
            .bearer(&token.signed(&stage.issuer.key))
            .field("x-h", header.trim());
        let answer = stage.gateway.send(&request);
        if answer.status == 400 {
            continue;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        forwarded += 1;
        let arrival = stage.upstream.last();
        let said = format!("{query:?} {claim:?} {id:?} {header:?}: {arrival:?}");
        let (path, parameters) = arrival.target.split_once('?').unwrap();
        assert_eq!(path, format!("/r/{}/end", segment(&query)), "{said}");
        let parameters: Vec<_> = parameters.split('&').collect();
        let expected = [
            "k".to_owned(),
            form("q", &query),
            form("c", &claim),
            form("h", header.trim()),
        ];
        assert_eq!(parameters, expected, "{said}");
        for (name, value) in [("x-q", &query), ("x-c", &claim), ("x-i", &id)] {
            let field = arrival.field(name).unwrap();
            let inside = field.strip_prefix('<').unwrap().strip_suffix('>').unwrap();
            let decoded = percent_encoding::percent_decode_str(inside);
            assert_eq!(decoded.decode_utf8().unwrap(), **value, "{said}");
            assert!(!inside.contains(',') && inside.bytes().all(|b| matches!(b, b' '..=b'~')));
        }
        assert_eq!(
            arrival.field("x-f"),
            Some(format!("<{}>", header.trim()).as_str()),
            "{said}"
        );
        assert_eq!(answer.field("x-c"), arrival.field("x-c"), "{said}");
    }
    assert!(forwarded > 20, "{forwarded}");
}

/// What a form's value does not encode, beside letters and digits; a blank becomes `+`.
const FORM: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b' ');

/// What is unreserved in a path.
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, SEGMENT).to_string()
}

/// A parameter as HTML forms write it.
fn form(name: &str, value: &str) -> String {
    let value = percent_encoding::utf8_percent_encode(value, FORM).to_string();
    format!("{name}={}", value.replace(' ', "+"))
}

#[test]
fn no_rule_carries_a_field_of_the_connection_further() {
    let stage = Stage::start(
        "[[routes]]\npath = \"/**\"\npublic = true\nmethods = \"ANY\"\n\
         [routes.request_headers.set]\nx-te = \"${header:te}\"\nx-list = \"${header:connection}\"\n\
         x-upgrade = \"${header:upgrade}\"\nx-named = \"${header:x-hop}\"\n\
         x-kept = \"${header:x-own}\"\n",
    );
    let request = Request::get("/")
        .field("Connection", "x-hop, TE, upgrade")
        .field("TE", "trailers, deflate")
        .field("Upgrade", "h2c")
        .field("X-Hop", "1")
        .field("X-Own", "2");
    let arrival = stage.arrival(&request);
    for name in ["x-te", "x-list", "x-upgrade", "x-named", "x-hop"] {
        assert_eq!(arrival.field(name), None, "{name}");
    }
    assert_eq!(arrival.field("x-kept"), Some("2"));
    // The gateway forwards trailers itself, and nothing else that the client's field lists.
    assert_eq!(arrival.field("te"), Some("trailers"));
}
