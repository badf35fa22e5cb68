//! Who is believed about where a request came from, and what the upstream is told of it.

use crate::cast::{Arrival, Gateway, Process, Request, Upstream, wait_until};

const OPEN: &str = "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

fn gateway(upstream: &Upstream, server: &str) -> Gateway {
    Gateway::start(&format!("[server]\n{server}\n{}{OPEN}", upstream.toml("orders")))
}

/// What the upstream was told.
fn told(gateway: &Gateway, upstream: &Upstream, fields: &[(&str, &str)]) -> Arrival {
    let request = fields.iter().fold(Request::get("/a"), |request, (name, value)| request.field(name, value));
    assert_eq!(gateway.send(&request).status, 200);
    upstream.last()
}

const CLAIMED: [(&str, &str); 6] = [
    ("X-Forwarded-For", "203.0.113.7, 10.0.0.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example:8443"),
    ("X-Forwarded-Port", "8443"),
    ("Forwarded", "for=203.0.113.7;proto=https"),
    ("X-Real-IP", "203.0.113.7"),
];

// attacks.md row 9; H04: a proxy is believed and nobody else.
#[test]
fn a_trusted_proxy_is_believed_and_extended() {
    let upstream = Upstream::start();
    let trusting =
        gateway(&upstream, "trusted_proxies = [\"192.0.2.0/24\", \"127.0.0.0/8\"]\nforwarded = \"both\"");
    let arrival = told(&trusting, &upstream, &CLAIMED);
    assert_eq!(arrival.field("x-forwarded-for"), Some("203.0.113.7, 10.0.0.9, 127.0.0.1"));
    assert_eq!(arrival.field("x-forwarded-proto"), Some("https"));
    assert_eq!(arrival.field("x-forwarded-host"), Some("shop.example:8443"));
    assert_eq!(arrival.field("x-forwarded-port"), Some("8443"));
    let forwarded = "for=203.0.113.7;proto=https, for=127.0.0.1;host=\"api.test\";proto=http";
    assert_eq!(arrival.field("forwarded"), Some(forwarded));
    assert_eq!(arrival.field("x-real-ip"), None);
    // The twin: the same words of somebody else.
    let doubting = gateway(&upstream, "trusted_proxies = \"192.0.2.0/24\"\nforwarded = \"both\"");
    let arrival = told(&doubting, &upstream, &CLAIMED);
    let port = doubting.address().port().to_string();
    assert_eq!(arrival.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(arrival.field("x-forwarded-proto"), Some("http"));
    assert_eq!(arrival.field("x-forwarded-host"), Some("api.test"));
    assert_eq!(arrival.field("x-forwarded-port"), Some(port.as_str()));
    assert_eq!(arrival.field("forwarded"), Some("for=127.0.0.1;host=\"api.test\";proto=http"));
}

// H04: what is not of the one form is replaced, as if nothing had been said.
#[test]
fn what_a_trusted_proxy_garbles_is_replaced() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "trusted_proxies = \"127.0.0.1\"\nforwarded = \"both\"");
    let long = vec!["10.0.0.1"; 33].join(", ");
    for (name, value, expected) in [
        ("X-Forwarded-For", "203.0.113.7, <script>", "127.0.0.1"),
        ("X-Forwarded-For", "203.0.113.7,", "127.0.0.1"),
        ("X-Forwarded-For", long.as_str(), "127.0.0.1"),
        ("X-Forwarded-For", "[2001:db8::1]:80,unknown", "[2001:db8::1]:80, unknown, 127.0.0.1"),
        ("X-Forwarded-Proto", "https, http", "http"),
        ("X-Forwarded-Proto", "gopher", "http"),
        ("X-Forwarded-Host", "a.example, b.example", "api.test"),
        ("X-Forwarded-Host", "a@b", "api.test"),
        ("Forwarded", "for=a;secret=b", "for=127.0.0.1;host=\"api.test\";proto=http"),
        ("Forwarded", "for=\"a", "for=127.0.0.1;host=\"api.test\";proto=http"),
    ] {
        let arrival = told(&gateway, &upstream, &[(name, value)]);
        assert_eq!(arrival.field(&name.to_ascii_lowercase()), Some(expected), "{name}: {value}");
    }
    let twice = told(&gateway, &upstream, &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "https")]);
    assert_eq!(twice.field("x-forwarded-proto"), Some("http"));
    // Several lines of a list are one list.
    let lines =
        told(&gateway, &upstream, &[("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")]);
    assert_eq!(lines.field("x-forwarded-for"), Some("192.0.2.1, 192.0.2.2, 127.0.0.1"));
}

#[test]
fn the_upstream_is_told_in_the_fields_that_it_reads() {
    let upstream = Upstream::start();
    let common = gateway(&upstream, "trusted_proxies = \"127.0.0.1\"");
    assert_eq!(told(&common, &upstream, &CLAIMED).field("forwarded"), None);
}

// H06, D67: whatever form the target has.
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
            Some(if target == "/a" { "api.test" } else { "other.test" })
        );
    }
}

// H04: the client is the nearest address that is none of the proxies', whatever it wrote itself.
#[test]
fn the_access_log_has_the_client_behind_the_proxies() {
    let upstream = Upstream::start();
    let server = "[server]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n[log]\naccess = \"all\"\n";
    let process = Process::run(&format!("{server}{}{OPEN}", upstream.toml("orders")));
    for (path, chain) in [("/one", "198.51.100.66, 203.0.113.7, 10.0.0.9"), ("/two", "nonsense")] {
        assert_eq!(process.send(&Request::get(path).field("X-Forwarded-For", chain)).status, 200);
    }
    let line = |path: &str| {
        let out = process.out();
        out.lines().find(|line| line.contains(&format!("\"path\":\"{path}\""))).map(str::to_owned)
    };
    wait_until("both requests are logged", || line("/one").is_some() && line("/two").is_some());
    let one = line("/one").unwrap();
    assert!(one.contains("\"client\":\"203.0.113.7\"") && one.contains("\"peer\":\"127.0.0.1:"), "{one}");
    assert!(!line("/two").unwrap().contains("\"client\""));
}
