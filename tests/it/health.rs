//! The state of an upstream: its limit on concurrent requests, and the results of its probes.

use super::http2_upstreams::{Identity, over_tls};
use crate::support::{Cable, Gateway, Multiplexed, Request, Script, Upstream, wait_until};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
const PROBED: &str = "ejection = { failures = 0 }\n\
                      health = { path = \"/healthz?full\", interval = \"20ms\", \
                      healthy_after = 2, unhealthy_after = 2 }";

fn pieces(pieces: &[&[u8]]) -> Script {
    Script::Pieces(pieces.iter().map(|piece| piece.to_vec()).collect())
}

// A request is under way until the last byte of its response, and then makes room for another.
#[test]
fn beyond_max_requests_the_answer_is_503_at_once() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "max_requests = 1\n");
    upstream.play([pieces(&[
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no",
        b"k",
    ])]);
    let mut first = gateway.connect();
    first.write_request(&Request::get("/held"));
    upstream.wait_for(1);
    let refused = |when: &str| {
        let answer = gateway.send(&Request::get("/next"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "upstream_overloaded"),
            "{when}"
        );
        assert_eq!(answer.field("retry-after"), Some("1"));
    };
    refused("before the head");
    upstream.go_on();
    first.read_head_only();
    refused("before the end of the body");
    upstream.go_on();
    first.read_exact(2);
    wait_until("there is room again", || {
        gateway.send(&Request::get("/next")).status == 200
    });
    for _ in 0..4 {
        assert_eq!(
            gateway.connect().send(&Request::get("/one-by-one")).status,
            200
        );
    }
}

#[test]
fn within_max_requests_nobody_is_refused() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "max_requests = 2\n");
    upstream.play([Script::Hang]);
    let mut first = gateway.connect();
    first.write_request(&Request::get("/held"));
    upstream.wait_for(1);
    assert_eq!(gateway.send(&Request::get("/next")).status, 200);
}

// What is under way stays under way when the configuration changes.
#[test]
fn a_reload_does_not_forget_the_requests_under_way() {
    let upstream = Upstream::start();
    let toml = |more: &str| format!("{}max_requests = 1\n{more}{ROUTE}", upstream.toml("orders"));
    let gateway = Gateway::start(&toml(""));
    upstream.play([Script::Hang]);
    let mut first = gateway.connect();
    first.write_request(&Request::get("/held"));
    upstream.wait_for(1);
    gateway.rewrite(&toml("retries = 2\n"));
    gateway.reload();
    gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", 1.0);
    assert_eq!(gateway.send(&Request::get("/next")).status, 503);
}

fn toml(endpoints: &[&Upstream], more: &str) -> String {
    let urls: Vec<_> = endpoints
        .iter()
        .map(|upstream| format!("\"{}\"", upstream.url()))
        .collect();
    format!(
        "[upstreams.orders]\nendpoints = [{}]\n{more}\n{ROUTE}",
        urls.join(", ")
    )
}

fn gauge(endpoint: &Upstream) -> String {
    let url = endpoint.url();
    format!("scopegate_upstream_endpoint_healthy{{endpoint=\"{url}/\",upstream=\"orders\"}}")
}

/// Requests that are no probes.
fn requests(upstream: &Upstream) -> usize {
    upstream
        .arrivals()
        .iter()
        .filter(|arrival| arrival.target == "/x")
        .count()
}

fn answers(status: &str) -> Script {
    Script::Raw(
        format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes(),
        true,
    )
}

#[test]
fn an_endpoint_whose_probes_fail_gets_nothing_until_they_succeed() {
    let (ill, well) = (Upstream::start(), Upstream::start());
    let gateway = Gateway::start(&toml(&[&ill, &well], PROBED));
    let mut client = gateway.connect();
    // One that was not asked yet is believed to be well.
    assert_eq!(gateway.metric(&gauge(&ill)), 1.0);
    ill.wait_for(1);
    let probe = ill
        .arrivals()
        .into_iter()
        .find(|arrival| arrival.target == "/healthz?full");
    assert_eq!(
        probe.expect("a probe").field("host"),
        Some(&*ill.authority())
    );
    ill.always(answers("500 No"));
    wait_until("it is unhealthy", || {
        gateway
            .ask_admin("/metrics")
            .1
            .contains(&format!("{} 0", gauge(&ill)))
    });
    gateway.wait_for_metric(&gauge(&well), 1.0);
    let before = requests(&ill);
    for _ in 0..6 {
        assert_eq!(client.send(&Request::get("/x")).status, 200);
    }
    assert_eq!((requests(&ill), requests(&well)), (before, 6));
    ill.always(Script::Ok);
    gateway.wait_for_metric(&gauge(&ill), 1.0);
    for _ in 0..2 {
        assert_eq!(client.send(&Request::get("/x")).status, 200);
    }
    assert_eq!(requests(&ill), before + 1, "it has its turn again");
}

#[test]
fn when_all_are_unhealthy_all_are_tried() {
    let both = [Upstream::start(), Upstream::start()];
    both.iter()
        .for_each(|upstream| upstream.always(answers("404 Nothing Here")));
    let gateway = Gateway::start(&toml(&[&both[0], &both[1]], PROBED));
    for upstream in &both {
        wait_until("it is unhealthy", || {
            gateway
                .ask_admin("/metrics")
                .1
                .contains(&format!("{} 0", gauge(upstream)))
        });
    }
    let mut client = gateway.connect();
    for _ in 0..4 {
        assert_eq!(client.send(&Request::get("/x")).status, 404);
    }
    assert_eq!((requests(&both[0]), requests(&both[1])), (2, 2));
}

#[test]
fn without_probes_an_endpoint_is_healthy_again_and_nobody_asks() {
    let (ill, well) = (Upstream::start(), Upstream::start());
    ill.always(answers("500 No"));
    let gateway = Gateway::start(&toml(&[&ill, &well], PROBED));
    let shown = |what: &str| gateway.ask_admin("/metrics").1.contains(what);
    wait_until("it is unhealthy", || shown(&format!("{} 0", gauge(&ill))));
    gateway.rewrite(&toml(&[&ill, &well], "ejection = { failures = 0 }"));
    gateway.reload();
    wait_until("the gauges are gone", || {
        !shown("scopegate_upstream_endpoint_healthy{")
    });
    let mut client = gateway.connect();
    wait_until("it is asked", || {
        client.send(&Request::get("/x"));
        requests(&ill) > 0
    });
}

#[test]
fn the_status_of_a_good_answer_may_be_named() {
    let (other, named) = (Upstream::start(), Upstream::start());
    named.always(answers("204 Well"));
    let probed = PROBED.replace("interval", "status = 204, interval");
    let gateway = Gateway::start(&toml(&[&other, &named], &probed));
    let shown = |what: &str| gateway.ask_admin("/metrics").1.contains(what);
    wait_until("200 is not it", || shown(&format!("{} 0", gauge(&other))));
    assert!(shown(&format!("{} 1", gauge(&named))));
}

#[test]
fn probes_speak_the_protocol_of_the_upstream() {
    let upstream = Multiplexed::start(100);
    let gateway = Gateway::start(&format!("{}{PROBED}\n{ROUTE}", upstream.toml("orders")));
    upstream.wait_for(1);
    let address = upstream.address();
    assert_eq!(
        upstream.opened()[0].head.uri().to_string(),
        format!("http://{address}/healthz?full")
    );
    gateway.wait_for_metric(
        &format!("scopegate_upstream_endpoint_healthy{{endpoint=\"http://{address}/\",upstream=\"orders\"}}"),
        1.0,
    );
}

// A probe trusts whom a request would.
#[test]
fn probes_are_by_the_terms_of_the_upstream() {
    let (named, other, client) = (
        Identity::new("localhost"),
        Identity::new("localhost"),
        Identity::new("gateway"),
    );
    let shown = "client_cert_file = \"client.pem\"\nclient_key_file = \"client.key\"\n";
    for (what, server, more, healthy) in [
        ("trusted", &named, shown, true),
        ("another root", &other, shown, false),
        ("without our certificate", &named, "", false),
    ] {
        let upstream = Multiplexed::start_tls(named.server(&["h2"], Some(&client)));
        let terms = format!("protocol = \"http2\"\nca_file = \"ca.pem\"\n{more}{PROBED}");
        let gateway = over_tls(&upstream, server, &client, &terms);
        let gauge = format!(
            "scopegate_upstream_endpoint_healthy{{endpoint=\"https://localhost:{}/\",upstream=\"orders\"}}",
            upstream.address().port()
        );
        if healthy {
            upstream.wait_for(4);
        }
        let value = format!("{gauge} {}", u8::from(healthy));
        wait_until(what, || gateway.ask_admin("/metrics").1.contains(&value));
        assert_eq!(upstream.opened().is_empty(), !healthy, "{what}");
    }
}

// Both protocols, for probes and for requests.
#[test]
fn an_upstream_on_a_unix_socket_is_probed_there() {
    let directory = tempfile::tempdir().unwrap();
    let (plain, multiplexed) = (Upstream::start(), Multiplexed::start(100));
    let socket = |name: &str| directory.path().join(name);
    let _plain = Cable::start_unix(&socket("plain"), plain.authority().parse().unwrap());
    let _multiplexed = Cable::start_unix(&socket("multiplexed"), multiplexed.address());
    let upstream = |name: &str, protocol: &str| {
        format!(
            "[upstreams.{name}]\nurl = \"unix:{}\"\nprotocol = \"{protocol}\"\n{PROBED}\n\
             [[routes]]\npath = \"/{name}\"\nupstream = \"{name}\"\npublic = true\n",
            socket(name).display()
        )
    };
    let all = [
        ("plain", "http1"),
        ("multiplexed", "http2"),
        ("gone", "http1"),
    ];
    let gateway = Gateway::start(
        &all.map(|(name, protocol)| upstream(name, protocol))
            .concat(),
    );
    plain.wait_for(2);
    multiplexed.wait_for(2);
    assert_eq!(plain.arrivals()[0].field("host"), Some("localhost"));
    assert_eq!(
        multiplexed.opened()[0].head.uri().to_string(),
        "http://localhost/healthz?full"
    );
    for (name, status, healthy) in [("plain", 200, 1), ("multiplexed", 200, 1), ("gone", 502, 0)] {
        let gauge = format!(
            "scopegate_upstream_endpoint_healthy{{endpoint=\"unix:{}\",upstream=\"{name}\"}} \
             {healthy}",
            socket(name).display()
        );
        wait_until(&gauge, || gateway.ask_admin("/metrics").1.contains(&gauge));
        assert_eq!(
            gateway.send(&Request::get(&format!("/{name}"))).status,
            status,
            "{name}"
        );
    }
}

// Whoever looks at the gauges during a reload sees each of them.
#[test]
fn a_reload_hides_no_endpoint() {
    let upstream = Upstream::start();
    let probed = PROBED.replace("20ms", "1h");
    let gateway = Gateway::start(&toml(&[&upstream], &probed));
    upstream.wait_for(1);
    upstream.always(Script::Hang);
    gateway.rewrite(&toml(&[&upstream], &format!("retries = 2\n{probed}")));
    gateway.reload();
    gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", 1.0);
    assert_eq!(
        gateway.metric(&gauge(&upstream)),
        1.0,
        "its probe has no answer yet"
    );
}

// A connection by name is used again while its address is one of the name's.
#[test]
fn a_connection_to_an_address_of_the_name_is_kept() {
    let upstream = Upstream::start();
    let url = upstream.url().replace("127.0.0.1", "localhost");
    let gateway = Gateway::start(&format!(
        "[upstreams.orders]\nurl = \"{url}\"\ndns_refresh = \"1ms\"\n{ROUTE}"
    ));
    let mut client = gateway.connect();
    for _ in 0..20 {
        assert_eq!(client.send(&Request::get("/x")).status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}
