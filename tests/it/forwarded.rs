//! The origin of a request: the senders whose forwarding fields are trusted, and the fields that
//! the upstream receives.

use crate::support::{Arrival, Gateway, Process, Request, Upstream, wait_until};

const OPEN: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

fn gateway(upstream: &Upstream, server: &str) -> Gateway {
    Gateway::start(&format!(
        "[server]\n{server}\n{}{OPEN}",
        upstream.toml("orders")
    ))
}

/// What the upstream was told.
fn told(gateway: &Gateway, upstream: &Upstream, fields: &[(&str, &str)]) -> Arrival {
    let request = fields
        .iter()
        .fold(Request::get("/a"), |request, (name, value)| {
            request.field(name, value)
        });
    assert_eq!(gateway.send(&request).status, 200);
    upstream.last()
}

const CLAIMED: [(&str, &str); 6] = [
    ("X-Forwarded-For", "203.0.113.7, 10.0.0.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example:8443"),
    ("X-Forwarded-Port", "8443"),
    (
        "Forwarded",
        "for=203.0.113.7;proto=https;by=_edge, for=10.0.0.9",
    ),
    ("X-Real-IP", "203.0.113.7"),
];

// A proxy is believed and nobody else.
#[test]
fn a_trusted_proxy_is_believed_and_extended() {
    let upstream = Upstream::start();
    let trusting = gateway(
        &upstream,
        "trusted_proxies = [\"192.0.2.0/24\", \"127.0.0.0/8\"]\nforwarded = \"both\"",
    );
    let arrival = told(&trusting, &upstream, &CLAIMED);
    assert_eq!(
        arrival.field("x-forwarded-for"),
        Some("203.0.113.7, 10.0.0.9, 127.0.0.1")
    );
    assert_eq!(arrival.field("x-forwarded-proto"), Some("https"));
    assert_eq!(arrival.field("x-forwarded-host"), Some("shop.example:8443"));
    assert_eq!(arrival.field("x-forwarded-port"), Some("8443"));
    let forwarded = "for=203.0.113.7;proto=https;by=_edge, for=10.0.0.9, \
                     for=127.0.0.1;host=\"api.test\";proto=http";
    assert_eq!(arrival.field("forwarded"), Some(forwarded));
    assert_eq!(arrival.field("x-real-ip"), None);
    // The twin: the same words of somebody else.
    let doubting = gateway(
        &upstream,
        "trusted_proxies = \"192.0.2.0/24\"\nforwarded = \"both\"",
    );
    let arrival = told(&doubting, &upstream, &CLAIMED);
    assert_eq!(arrival.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(arrival.field("x-forwarded-proto"), Some("http"));
    assert_eq!(arrival.field("x-forwarded-host"), Some("api.test"));
    assert_eq!(arrival.field("x-forwarded-port"), Some("80"));
    assert_eq!(
        arrival.field("forwarded"),
        Some("for=127.0.0.1;host=\"api.test\";proto=http")
    );
}

// What is not of the one form is replaced, as if nothing had been said; of a list that is what
// stands in front of it, too, and nothing behind it.
#[test]
fn what_a_trusted_proxy_garbles_is_replaced() {
    let upstream = Upstream::start();
    let gateway = gateway(
        &upstream,
        "trusted_proxies = \"127.0.0.1\"\nforwarded = \"both\"",
    );
    let long = vec!["10.0.0.1"; 40].join(", ");
    let nearest = [vec!["10.0.0.1"; 32], vec!["127.0.0.1"]]
        .concat()
        .join(", ");
    for (name, value, expected) in [
        ("X-Forwarded-For", "203.0.113.7, <script>", "127.0.0.1"),
        ("X-Forwarded-For", "203.0.113.7,", "203.0.113.7, 127.0.0.1"),
        ("X-Forwarded-For", long.as_str(), nearest.as_str()),
        (
            "X-Forwarded-For",
            "<script>, 203.0.113.7",
            "203.0.113.7, 127.0.0.1",
        ),
        (
            "X-Forwarded-For",
            "198.51.100.1, evil, 203.0.113.7, 10.0.0.9",
            "203.0.113.7, 10.0.0.9, 127.0.0.1",
        ),
        (
            "X-Forwarded-For",
            "\u{e9}, 203.0.113.7",
            "203.0.113.7, 127.0.0.1",
        ),
        (
            "X-Forwarded-For",
            ",,, 203.0.113.7",
            "203.0.113.7, 127.0.0.1",
        ),
        (
            "X-Forwarded-For",
            "[2001:db8::1]:80,unknown",
            "[2001:db8::1]:80, unknown, 127.0.0.1",
        ),
        ("X-Forwarded-Proto", "HTTPS", "https"),
        ("X-Forwarded-Proto", "https, https", "https"),
        ("X-Forwarded-Proto", "https,http", "http"),
        ("X-Forwarded-Proto", "http,HTTPS", "https"),
        ("X-Forwarded-Proto", "wss", "https"),
        ("X-Forwarded-Proto", "gopher", "http"),
        ("X-Forwarded-Proto", "https, gopher", "http"),
        ("X-Forwarded-Port", "443,80", "80"),
        ("X-Forwarded-Port", "80, 8443", "8443"),
        ("X-Forwarded-Port", "+443", "80"),
        ("X-Forwarded-Port", "0", "80"),
        ("X-Forwarded-Host", "a.example, b.example", "b.example"),
        ("X-Forwarded-Host", "a@b", "api.test"),
        ("X-Forwarded-Host", "b.example, a@b", "api.test"),
        (
            "Forwarded",
            "for=a;secret=b",
            "for=127.0.0.1;host=\"api.test\";proto=http",
        ),
        (
            "Forwarded",
            "for=\"a",
            "for=127.0.0.1;host=\"api.test\";proto=http",
        ),
        (
            "Forwarded",
            "for=\"a, for=203.0.113.7;proto=https",
            "for=203.0.113.7;proto=https, for=127.0.0.1;host=\"api.test\";proto=http",
        ),
        (
            "Forwarded",
            "secret=1, for=203.0.113.7",
            "for=203.0.113.7, for=127.0.0.1;host=\"api.test\";proto=http",
        ),
    ] {
        let arrival = told(&gateway, &upstream, &[(name, value)]);
        assert_eq!(
            arrival.field(&name.to_ascii_lowercase()),
            Some(expected),
            "{name}: {value}"
        );
    }
    for (first, second) in [("https", "https"), ("http", "HTTPS"), ("gopher", "https")] {
        let twice = told(
            &gateway,
            &upstream,
            &[("X-Forwarded-Proto", first), ("X-Forwarded-Proto", second)],
        );
        assert_eq!(
            twice.field("x-forwarded-proto"),
            Some("https"),
            "{first} and {second}"
        );
    }
    // Several lines of a list are one list.
    let lines = told(
        &gateway,
        &upstream,
        &[
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-For", "192.0.2.2"),
        ],
    );
    assert_eq!(
        lines.field("x-forwarded-for"),
        Some("192.0.2.1, 192.0.2.2, 127.0.0.1")
    );
}

#[test]
fn the_upstream_is_told_in_the_fields_that_it_reads() {
    let upstream = Upstream::start();
    let common = gateway(&upstream, "trusted_proxies = \"127.0.0.1\"");
    assert_eq!(told(&common, &upstream, &CLAIMED).field("forwarded"), None);
}

// Whatever form the target has.
#[test]
fn the_upstream_may_be_given_a_name() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "host = \"orders.internal:81\"");
    for target in ["/a", "http://other.test/a"] {
        assert_eq!(gateway.send(&Request::get(target)).status, 200);
        let arrival = upstream.last();
        assert_eq!(arrival.field("host"), Some("orders.internal:81"));
        assert_eq!(
            arrival.field("x-forwarded-host"),
            Some(if target == "/a" {
                "api.test"
            } else {
                "other.test"
            })
        );
    }
}

// The client is the nearest address that is none of the proxies', whatever it wrote itself.
#[test]
fn the_access_log_has_the_client_behind_the_proxies() {
    let upstream = Upstream::start();
    let server =
        "[server]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n[log]\naccess = \"all\"\n";
    let process = Process::run(&format!("{server}{}{OPEN}", upstream.toml("orders")));
    for (path, chain) in [
        ("/one", "198.51.100.66, 203.0.113.7, 10.0.0.9"),
        ("/two", "nonsense"),
        ("/three", "\u{fc}nsinn, <script>, 203.0.113.7, 10.0.0.9"),
    ] {
        assert_eq!(
            process
                .send(&Request::get(path).field("X-Forwarded-For", chain))
                .status,
            200
        );
    }
    let line = |path: &str| {
        let out = process.out();
        out.lines()
            .find(|line| line.contains(&format!("\"path\":\"{path}\"")))
            .map(str::to_owned)
    };
    wait_until("all requests are logged", || {
        ["/one", "/two", "/three"]
            .iter()
            .all(|path| line(path).is_some())
    });
    for path in ["/one", "/three"] {
        let line = line(path).unwrap();
        assert!(
            line.contains("\"client\":\"203.0.113.7\"") && line.contains("\"peer\":\"127.0.0.1:"),
            "{line}"
        );
    }
    assert!(!line("/two").unwrap().contains("\"client\""));
}

/// A request with these fields, and what the upstream is told by `X-Forwarded-Proto`, `-Port` and
/// `-Host`.
fn told_of_port(
    gateway: &Gateway,
    upstream: &Upstream,
    fields: &[(&str, &str)],
) -> [Option<String>; 3] {
    let arrival = told(gateway, upstream, fields);
    ["x-forwarded-proto", "x-forwarded-port", "x-forwarded-host"]
        .map(|name| arrival.field(name).map(str::to_owned))
}

// The port is the one that the client used, as far as anybody knows, and never the listener's.
#[test]
fn the_port_agrees_with_scheme_and_host() {
    let upstream = Upstream::start();
    let trusting = gateway(&upstream, "trusted_proxies = \"127.0.0.1\"");
    let doubting = gateway(&upstream, "");
    let host = ("Host", "api.example.com");
    let elsewhere = ("Host", "api.example.com:8080");
    let https = ("X-Forwarded-Proto", "https");
    let outside = ("X-Forwarded-Host", "api.example.com:8443");
    let port = ("X-Forwarded-Port", "9443");
    for (gateway, fields, expected) in [
        (
            &trusting,
            &[host, https][..],
            ["https", "443", "api.example.com"],
        ),
        (
            &trusting,
            &[host, https, outside],
            ["https", "8443", "api.example.com:8443"],
        ),
        (
            &trusting,
            &[host, https, outside, port],
            ["https", "9443", "api.example.com:8443"],
        ),
        (&trusting, &[host], ["http", "80", "api.example.com"]),
        (
            &trusting,
            &[elsewhere],
            ["http", "8080", "api.example.com:8080"],
        ),
        (
            &trusting,
            &[elsewhere, https],
            ["https", "8080", "api.example.com:8080"],
        ),
        (
            &trusting,
            &[("Host", "[2001:db8::1]"), https],
            ["https", "443", "[2001:db8::1]"],
        ),
        (
            &trusting,
            &[("Host", "[2001:db8::1]:81")],
            ["http", "81", "[2001:db8::1]:81"],
        ),
        (
            &trusting,
            &[host, https, ("X-Forwarded-Port", "nonsense")],
            ["https", "443", "api.example.com"],
        ),
        // The twins: the same words of somebody else.
        (
            &doubting,
            &[host, https, outside, port],
            ["http", "80", "api.example.com"],
        ),
        (
            &doubting,
            &[elsewhere, https],
            ["http", "8080", "api.example.com:8080"],
        ),
    ] {
        let expected = expected.map(|text| Some(text.to_owned()));
        assert_eq!(
            told_of_port(gateway, &upstream, fields),
            expected,
            "{fields:?}"
        );
    }
}

// RFC 7239 §7.4: what a proxy says in one dialect is carried over to the other, so that the two
// never contradict each other.
#[test]
fn both_dialects_tell_the_same() {
    let upstream = Upstream::start();
    let gateway = gateway(
        &upstream,
        "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\nforwarded = \"both\"",
    );
    let own = "for=127.0.0.1;host=\"api.test\";proto=http";
    for (fields, hops, proto, host, forwarded) in [
        (
            &[
                ("X-Forwarded-For", "203.0.113.7"),
                ("X-Forwarded-Proto", "https"),
            ][..],
            "203.0.113.7, 127.0.0.1",
            "https",
            "api.test",
            format!("for=203.0.113.7;proto=https, {own}"),
        ),
        (
            &[
                ("X-Forwarded-For", "2001:db8::1, 192.0.2.1:99, unknown"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "shop.example:8443"),
            ],
            "2001:db8::1, 192.0.2.1:99, unknown, 127.0.0.1",
            "https",
            "shop.example:8443",
            format!(
                "for=\"[2001:db8::1]\";host=\"shop.example:8443\";proto=https, \
                 for=\"192.0.2.1:99\", for=unknown, {own}"
            ),
        ),
        // A proxy that says nothing of its client speaks of the request as it came here.
        (
            &[("X-Forwarded-Proto", "https")],
            "127.0.0.1",
            "https",
            "api.test",
            "for=127.0.0.1;host=\"api.test\";proto=https".to_owned(),
        ),
        // The client's scheme is what the first of the trusted proxies saw.
        (
            &[(
                "Forwarded",
                "for=\"[2001:db8::1]:80\";proto=https;host=shop.example, for=10.0.0.9;proto=http",
            )],
            "[2001:db8::1]:80, 10.0.0.9, 127.0.0.1",
            "https",
            "shop.example",
            format!(
                "for=\"[2001:db8::1]:80\";proto=https;host=shop.example, for=10.0.0.9;proto=http, \
                 {own}"
            ),
        ),
        (
            &[(
                "Forwarded",
                "for=198.51.100.1;proto=https;host=evil.example, for=203.0.113.7;proto=http",
            )],
            "198.51.100.1, 203.0.113.7, 127.0.0.1",
            "http",
            "api.test",
            format!(
                "for=198.51.100.1;proto=https;host=evil.example, for=203.0.113.7;proto=http, {own}"
            ),
        ),
        (
            &[("Forwarded", "for=_hidden;proto=HTTPS")],
            "unknown, 127.0.0.1",
            "https",
            "api.test",
            format!("for=_hidden;proto=HTTPS, {own}"),
        ),
        (
            &[
                ("X-Forwarded-Proto", "https"),
                ("Forwarded", "for=203.0.113.7;proto=https;by=_edge"),
            ],
            "203.0.113.7, 127.0.0.1",
            "https",
            "api.test",
            format!("for=203.0.113.7;proto=https;by=_edge, {own}"),
        ),
        // A host that only one of them names is nobody's.
        (
            &[
                ("X-Forwarded-For", "203.0.113.7"),
                ("Forwarded", "for=203.0.113.7;host=evil.example"),
            ],
            "203.0.113.7, 127.0.0.1",
            "http",
            "api.test",
            format!("for=203.0.113.7, {own}"),
        ),
        // Where they contradict each other the one counts that fewer proxies let through.
        (
            &[
                ("X-Forwarded-For", "203.0.113.7"),
                ("Forwarded", "for=198.51.100.1;proto=https"),
            ],
            "203.0.113.7, 127.0.0.1",
            "http",
            "api.test",
            format!("for=203.0.113.7, {own}"),
        ),
        (
            &[
                ("X-Forwarded-For", "203.0.113.7"),
                ("X-Forwarded-Proto", "https"),
                ("Forwarded", "for=203.0.113.7;proto=http"),
            ],
            "203.0.113.7, 127.0.0.1",
            "https",
            "api.test",
            format!("for=203.0.113.7;proto=https, {own}"),
        ),
    ] {
        let arrival = told(&gateway, &upstream, fields);
        assert_eq!(arrival.field("x-forwarded-for"), Some(hops), "{fields:?}");
        assert_eq!(
            arrival.field("x-forwarded-proto"),
            Some(proto),
            "{fields:?}"
        );
        assert_eq!(arrival.field("x-forwarded-host"), Some(host), "{fields:?}");
        assert_eq!(
            arrival.field("forwarded"),
            Some(forwarded.as_str()),
            "{fields:?}"
        );
    }
}

// A field that is not told is not heard either, but where the other one is silent.
#[test]
fn one_dialect_alone_is_heard_for_itself() {
    let upstream = Upstream::start();
    let common = gateway(&upstream, "trusted_proxies = \"127.0.0.1\"");
    let arrival = told(
        &common,
        &upstream,
        &[("Forwarded", "for=203.0.113.7;proto=https;host=evil.example")],
    );
    assert_eq!(arrival.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(arrival.field("x-forwarded-proto"), Some("http"));
    assert_eq!(arrival.field("x-forwarded-host"), Some("api.test"));
    let standard = gateway(
        &upstream,
        "trusted_proxies = \"127.0.0.1\"\nforwarded = \"forwarded\"",
    );
    let common = ("X-Forwarded-For", "198.51.100.1");
    let own = "for=127.0.0.1;host=\"api.test\";proto=http";
    for (fields, expected) in [
        (
            &[common, ("Forwarded", "for=203.0.113.7")][..],
            "for=203.0.113.7, ",
        ),
        (&[common], "for=198.51.100.1, "),
        // The proxy may have passed on the client's field of the other dialect.
        (&[common, ("Forwarded", "nonsense")], ""),
    ] {
        let arrival = told(&standard, &upstream, fields);
        assert_eq!(
            arrival.field("forwarded"),
            Some(format!("{expected}{own}").as_str()),
            "{fields:?}"
        );
        assert_eq!(arrival.field("x-forwarded-for"), None);
    }
}
