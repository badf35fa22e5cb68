//! The fields that pass through the gateway, in both directions, and those that do not.

use crate::support::{Arrival, Gateway, Issuer, Request, Script, Upstream, raw};

fn values<'a>(arrival: &'a Arrival, name: &str) -> Vec<&'a str> {
    arrival
        .fields
        .iter()
        .filter(|(field, _)| field == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

/// A response of the upstream with these lines in its head and the body `ok`.
fn answer_with(lines: &str) -> Script {
    Script::Raw(
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{lines}\r\nok").into_bytes(),
        true,
    )
}

#[test]
fn fields_of_one_connection_go_no_further() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let request = Request::get("/a")
        .field("Connection", "X-One, keep-alive")
        .field("Connection", "x-two")
        .field("X-One", "1")
        .field("X-Two", "2")
        .field("X-Three", "3")
        .field("Keep-Alive", "timeout=5")
        .field("Proxy-Connection", "keep-alive")
        .field("Proxy-Authorization", "Basic eA==")
        .field("Proxy-Authenticate", "Basic")
        .field("TE", "gzip");
    assert_eq!(gateway.send(&request).status, 200);
    let arrival = upstream.last();
    for name in ["x-one", "x-two", "te", "proxy-authenticate"] {
        assert_eq!(arrival.field(name), None, "{name}");
    }
    // The twin: a field that nobody named.
    assert_eq!(arrival.field("x-three"), Some("3"));
}

// What a client nominates is what the client sent, never what the gateway
// says.
#[test]
fn connection_cannot_take_away_what_the_gateway_says() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nmethods = {{ POST = \"write\" }}\n\
         forward = {{ x-user-id = \"sub\" }}\n",
        issuer.toml(),
        upstream.toml("orders")
    ));
    let request = Request::new("POST", "/a")
        .bearer(&issuer.token("write"))
        .field("X-User-Id", "mallory")
        .field(
            "Connection",
            "x-user-id, host, content-length, via, x-request-id, x-forwarded-for, x-forwarded-host",
        )
        .body("body");
    assert_eq!(gateway.send(&request).status, 200);
    let arrival = upstream.last();
    assert_eq!(arrival.field("x-user-id"), Some("alice"));
    assert_eq!(arrival.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(arrival.field("x-forwarded-host"), Some("api.test"));
    assert_eq!(arrival.field("via"), Some("1.1 scopegate"));
    assert!(arrival.field("x-request-id").is_some());
    assert_eq!(arrival.field("host"), Some(upstream.authority().as_str()));
    assert_eq!(arrival.body, b"body");
}

// The token is judged where it stands, and a nomination does not hide it from
// that.
#[test]
fn connection_cannot_hide_the_token_from_the_decision() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nscopes = \"read\"\n",
        issuer.toml(),
        upstream.toml("orders")
    ));
    let poor = Request::get("/a")
        .bearer(&issuer.token("other"))
        .field("Connection", "authorization");
    assert_eq!(gateway.send(&poor).status, 403);
    let rich = Request::get("/a")
        .bearer(&issuer.token("read"))
        .field("Connection", "authorization");
    assert_eq!(gateway.send(&rich).status, 200);
    assert_eq!(upstream.last().field("authorization"), None);
}

// The other way.
#[test]
fn the_upstreams_hop_by_hop_fields_do_not_reach_the_client() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    upstream.play([answer_with(
        "connection: x-one, keep-alive\r\nx-one: 1\r\nx-two: 2\r\nkeep-alive: timeout=5\r\n\
         proxy-authenticate: Basic\r\nproxy-connection: close\r\nupgrade: h2c\r\nte: trailers\r\n",
    )]);
    let mut client = gateway.connect();
    let answer = client.send(&Request::get("/a"));
    for name in [
        "x-one",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert_eq!(answer.field("x-two"), Some("2"));
    // What the upstream's connection says is not about the client's.
    assert_eq!(client.send(&Request::get("/b")).status, 200);
}

// `Connection: close` of either side is about that side alone.
#[test]
fn a_close_of_one_side_is_not_passed_to_the_other() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".to_vec();
    upstream.play([Script::Raw(close, false)]);
    let mut client = gateway.connect();
    let first = client.send(&Request::get("/a"));
    assert_eq!((first.status, first.field("connection")), (200, None));
    assert_eq!(client.send(&Request::get("/b")).status, 200);
    let last = client.send(&Request::get("/c").field("Connection", "close"));
    assert_eq!(
        (last.status, last.field("connection")),
        (200, Some("close"))
    );
    assert!(client.is_closed());
    // /b and /c shared a connection, of which the client's `close` said nothing.
    assert_eq!(gateway.send(&Request::get("/d")).status, 200);
    assert_eq!(
        upstream.arrivals()[1].connection,
        upstream.arrivals()[2].connection
    );
}

// Nobody is trusted to say where a request came from.
#[test]
fn forwarding_fields_of_the_client_are_replaced() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut request = Request::get("/a").field("X-Kept", "1");
    for name in [
        "X-Forwarded-For",
        "x_forwarded_for",
        "X-Forwarded_Host",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-User",
        "X-Forwarded-Uri",
        "x_forwarded_method",
        "Forwarded",
        "X-Real-IP",
    ] {
        request = request.field(name, "marker").field(name, "marker");
    }
    assert_eq!(gateway.send(&request).status, 200);
    let arrival = upstream.last();
    assert!(
        !format!("{:?}", arrival.fields).contains("marker"),
        "{arrival:?}"
    );
    assert_eq!(arrival.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(arrival.field("x-forwarded-proto"), Some("http"));
    assert_eq!(arrival.field("x-forwarded-host"), Some("api.test"));
    assert_eq!(arrival.field("x-kept"), Some("1"));
}

// Via tells the way in both directions, after what was there.
#[test]
fn via_is_added_in_both_directions() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    upstream.play([answer_with("via: 1.1 origin\r\n")]);
    let answer = gateway.send(&Request::get("/a").field("Via", "1.0 outer"));
    assert_eq!(
        values(&upstream.last(), "via"),
        ["1.0 outer", "1.1 scopegate"]
    );
    let via: Vec<_> = answer
        .fields
        .iter()
        .filter(|(name, _)| name == "via")
        .collect();
    assert_eq!(
        via.iter()
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>(),
        ["1.1 origin", "1.1 scopegate"]
    );
}

#[test]
fn the_upstream_sees_its_own_host_unless_the_clients_is_preserved() {
    let upstream = Upstream::start();
    let own = Gateway::open(&upstream, "");
    let preserving = Gateway::open(&upstream, "host = \"preserve\"");
    for (target, host, asked) in [
        ("/a", "api.test", "api.test"),
        ("/a", "api.test:8080", "api.test:8080"),
        ("http://abs.test/a", "other.test", "abs.test"),
        ("http://abs.test:81/a?b=c", "other.test", "abs.test:81"),
    ] {
        let request = Request::get(target).field("Host", host);
        assert_eq!(own.send(&request).status, 200);
        let arrival = upstream.last();
        assert_eq!(
            arrival.field("host"),
            Some(upstream.authority().as_str()),
            "{target}"
        );
        assert_eq!(arrival.field("x-forwarded-host"), Some(asked), "{target}");
        assert_eq!(preserving.send(&request).status, 200);
        let arrival = upstream.last();
        assert_eq!(arrival.field("host"), Some(asked), "{target}");
        assert!(arrival.target.starts_with("/a"), "{arrival:?}");
    }
}

// The answer to HEAD has the length of the upstream's, and hyper ends the connection over two.
#[test]
fn a_length_that_an_upstream_states_twice_is_passed_on_once() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    upstream.always(answer_with("Content-Length: 2\r\n"));
    assert_eq!(gateway.send(&Request::get("/a")).text(), "ok");
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\n";
    upstream.always(Script::Raw(head.as_bytes().to_vec(), true));
    let answer = gateway.send(&Request::new("HEAD", "/a"));
    assert_eq!(
        (answer.status, answer.field("content-length")),
        (200, Some("2"))
    );
}

// A request of HTTP/1.1 without `Host` is malformed, and the upstream's is always of HTTP/1.1.
#[test]
fn a_client_of_http_1_0_without_a_host_asks_for_the_upstreams() {
    let upstream = Upstream::start();
    let preserving = Gateway::open(&upstream, "host = \"preserve\"");
    let answer = raw(preserving.address(), b"GET /a HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    let arrival = upstream.last();
    assert_eq!(arrival.field("host"), Some(upstream.authority().as_str()));
    assert_eq!(arrival.field("x-forwarded-host"), None);
}

#[test]
fn a_request_id_is_made_or_taken_and_told_to_both_sides() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let taken = gateway.send(&Request::get("/a").field("X-Request-Id", "abc-1_2.3~"));
    assert_eq!(taken.field("x-request-id"), Some("abc-1_2.3~"));
    assert_eq!(upstream.last().field("x-request-id"), Some("abc-1_2.3~"));

    let mut made = Vec::new();
    for bad in ["", "two words", "quote\"", "<script>", &"a".repeat(129)] {
        let answer = gateway.send(&Request::get("/a").field("X-Request-Id", bad));
        let id = answer.field("x-request-id").unwrap().to_owned();
        assert_ne!(id, bad);
        assert_eq!(upstream.last().field("x-request-id"), Some(id.as_str()));
        made.push(id);
    }
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 5, "an id was made twice: {made:?}");
}

// An id that the upstream makes up is not the request's, and two ids of a client are none.
#[test]
fn there_is_one_request_id() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    upstream.play([answer_with(
        "x-request-id: forged\r\nx-request-id: forged\r\n",
    )]);
    let answer = gateway.send(
        &Request::get("/a")
            .field("X-Request-Id", "mine")
            .field("X_Request_Id", "marker"),
    );
    assert_eq!(answer.field("x-request-id"), Some("mine"));
    assert_eq!(values(&upstream.last(), "x_request_id"), Vec::<&str>::new());
}

// Upstreams expect the bearer token in Authorization; elsewhere it is the gateway's alone.
#[test]
fn a_token_is_forwarded_in_authorization_alone() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nscopes = \"read\"\n\
         token_from = \
         [\"authorization:bearer\", \"header:x-token\", \"cookie:session\", \"query:token\"]\n",
        issuer.toml(),
        upstream.toml("orders")
    ));
    let token = issuer.token("read");
    assert_eq!(
        gateway.send(&Request::get("/a?x=1").bearer(&token)).status,
        200
    );
    assert_eq!(
        upstream.last().field("authorization"),
        Some(format!("Bearer {token}").as_str())
    );

    let elsewhere = [
        Request::get("/a?x=1").field("X-Token", &token),
        Request::get("/a?x=1").field("Cookie", &format!("a=b; session={token}; c=d")),
        Request::get(&format!("/a?token={token}&x=1")),
        Request::get(&format!("/a?x=1&token={token}")),
    ];
    for request in elsewhere {
        assert_eq!(gateway.send(&request).status, 200);
        let arrival = upstream.last();
        assert!(
            !format!("{arrival:?}").contains(&token),
            "the token went further: {arrival:?}"
        );
        assert_eq!(arrival.target, "/a?x=1");
    }
    assert_eq!(
        gateway
            .send(&Request::get(&format!("/a?token={token}")))
            .status,
        200
    );
    assert_eq!(upstream.last().target, "/a");
    let cookies = Request::get("/a").field("Cookie", &format!("a=b; session={token}; c=d"));
    assert_eq!(gateway.send(&cookies).status, 200);
    assert_eq!(upstream.last().field("cookie"), Some("a=b; c=d"));
}

// An upstream may send trailers only to those who say that they take them.
#[test]
fn te_is_forwarded_for_trailers_alone() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for (te, forwarded) in [
        (&["trailers"][..], Some("trailers")),
        (&["gzip, Trailers"], Some("trailers")),
        (&["gzip", "trailers"], Some("trailers")),
        (&["gzip"], None),
        (&["trailers-not"], None),
        (&[], None),
    ] {
        let request = te.iter().fold(Request::get("/a"), |request, value| {
            request.field("TE", value)
        });
        assert_eq!(gateway.send(&request).status, 200);
        assert_eq!(upstream.last().field("te"), forwarded, "{te:?}");
    }
}

#[test]
fn fields_that_name_another_method_or_path_are_removed() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut request = Request::get("/a");
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "x_http_method_override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-URI",
        "X-Original-Method",
        "X-Original-Host",
        "X-Envoy-Original-Path",
    ] {
        request = request.field(name, "marker");
    }
    assert_eq!(gateway.send(&request).status, 200);
    let arrival = upstream.last();
    assert_eq!(
        (arrival.method.as_str(), arrival.target.as_str()),
        ("GET", "/a")
    );
    assert!(
        !format!("{:?}", arrival.fields).contains("marker"),
        "{arrival:?}"
    );
}

// What is nobody's business crosses as it is, repeated fields in their order; traces are
// others' business.
#[test]
fn all_other_fields_cross_unchanged_in_both_directions() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    upstream.play([answer_with(
        "set-cookie: a=1\r\nset-cookie: b=2\r\nserver: origin\r\netag: \"x\"\r\n",
    )]);
    let request = Request::get("/a")
        .field("X-List", "1")
        .field("X-List", "2, 3")
        .field("Accept-Encoding", "gzip")
        .field("X-Latin", "caf\u{e9}")
        .field("X-Empty", "")
        .field(
            "Traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    let answer = gateway.send(&request);
    let arrival = upstream.last();
    assert_eq!(values(&arrival, "x-list"), ["1", "2, 3"]);
    assert_eq!(arrival.field("accept-encoding"), Some("gzip"));
    assert_eq!(arrival.field("x-latin"), Some("caf\u{e9}"));
    assert_eq!(arrival.field("x-empty"), Some(""));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(arrival.field("traceparent"), Some(trace));
    let cookies: Vec<_> = answer
        .fields
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .collect();
    assert_eq!(
        cookies
            .iter()
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
    assert_eq!(
        (answer.field("server"), answer.field("etag")),
        (Some("origin"), Some("\"x\""))
    );
}
