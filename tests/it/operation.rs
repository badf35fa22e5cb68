//! The operator's view: metrics, health and policy on the admin listener.

use aws_lc_rs::digest;

use crate::support::{
    Gateway, Issuer, Jwks, Request, Upstream, raw, wait_until, wait_until_closed,
};

fn orders(issuer: &Issuer, upstream: &Upstream, server: &str) -> String {
    let routes = "[[routes]]\npath = \"/orders/{id}\"\nupstream = \"orders\"\n\
                  methods = { GET = \"orders.read\" }\n\
                  [[routes]]\npath = \"/health\"\nupstream = \"orders\"\nmethods = [\"GET\"]\n\
                  public = true\n";
    [server, &issuer.toml(), &upstream.toml("orders"), routes].concat()
}

#[test]
fn every_answer_is_counted_where_it_belongs() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let toml = orders(&issuer, &upstream, "");
    let gateway = Gateway::start(&toml);
    gateway.wait_until_ready();
    let (good, poor) = (issuer.token("orders.read"), issuer.token("orders.write"));
    let mut client = gateway.connect();
    for (request, status) in [
        (Request::get("/orders/1").bearer(&good), 200),
        (Request::get("/orders/2").bearer(&good), 200),
        (Request::new("HEAD", "/orders/3").bearer(&good), 200),
        (Request::get("/orders/4").bearer(&poor), 403),
        (Request::get("/orders/5"), 401),
        (Request::get("/orders/6").bearer("eyJ"), 401),
        (
            Request::new("POST", "/orders/7").bearer(&good).body("x"),
            405,
        ),
        (Request::get("/nowhere"), 404),
        (Request::get("/health"), 200),
    ] {
        assert_eq!(client.send(&request).status, status, "{request:?}");
    }
    let hash = digest::digest(&digest::SHA256, toml.as_bytes());
    let hash: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (series, value) in [
        (
            "scopegate_requests_total{method=\"GET\",route=\"/orders/{id}\",status=\"2xx\"}",
            2.0,
        ),
        (
            "scopegate_requests_total{method=\"HEAD\",route=\"/orders/{id}\",status=\"2xx\"}",
            1.0,
        ),
        (
            "scopegate_requests_total{method=\"GET\",route=\"/orders/{id}\",status=\"4xx\"}",
            3.0,
        ),
        (
            "scopegate_requests_total{method=\"POST\",route=\"/orders/{id}\",status=\"4xx\"}",
            1.0,
        ),
        (
            "scopegate_requests_total{method=\"GET\",route=\"none\",status=\"4xx\"}",
            1.0,
        ),
        (
            "scopegate_requests_total{method=\"GET\",route=\"/health\",status=\"2xx\"}",
            1.0,
        ),
        (
            "scopegate_request_duration_seconds_count{route=\"/orders/{id}\"}",
            7.0,
        ),
        (
            "scopegate_refusals_total{reason=\"insufficient_scope\",route=\"/orders/{id}\"}",
            1.0,
        ),
        (
            "scopegate_refusals_total{reason=\"missing_token\",route=\"/orders/{id}\"}",
            1.0,
        ),
        (
            "scopegate_refusals_total{reason=\"malformed_token\",route=\"/orders/{id}\"}",
            1.0,
        ),
        (
            "scopegate_refusals_total{reason=\"method_not_allowed\",route=\"/orders/{id}\"}",
            1.0,
        ),
        (
            "scopegate_refusals_total{reason=\"no_route\",route=\"none\"}",
            1.0,
        ),
        (
            "scopegate_token_verifications_total{issuer=\"idp\",result=\"valid\"}",
            4.0,
        ),
        ("scopegate_token_cache_lookups_total{result=\"miss\"}", 1.0),
        (
            "scopegate_token_cache_lookups_total{result=\"worker_hit\"}",
            2.0,
        ),
        ("scopegate_issuer_keys{issuer=\"idp\"}", 1.0),
        (
            "scopegate_issuer_refreshes_total{issuer=\"idp\",result=\"success\"}",
            1.0,
        ),
        (
            "scopegate_upstream_duration_seconds_count{upstream=\"orders\"}",
            4.0,
        ),
        (
            "scopegate_upstream_connections_opened_total{upstream=\"orders\"}",
            1.0,
        ),
        (
            "scopegate_upstream_connections_reused_total{upstream=\"orders\"}",
            3.0,
        ),
        (
            "scopegate_upstream_connections_open{upstream=\"orders\"}",
            1.0,
        ),
        ("scopegate_connections_open", 1.0),
        ("scopegate_config_last_reload_successful", 1.0),
        ("scopegate_panics_total", 0.0),
        ("scopegate_access_log_dropped_total", 0.0),
        (&format!("scopegate_config_info{{hash=\"{hash}\"}}"), 1.0),
    ] {
        assert!(
            gateway
                .ask_admin("/metrics")
                .1
                .contains(&format!("\n{series} ")),
            "no {series}"
        );
        // What ends with the last byte of an answer may come a moment after the client has read it.
        gateway.wait_for_metric(series, value);
    }
    let age = gateway.metric("scopegate_issuer_keys_age_seconds{issuer=\"idp\"}");
    assert!(age >= 0.0, "keys that were fetched have an age: {age}");
}

#[test]
fn nothing_that_a_client_sent_is_a_label() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&orders(&issuer, &upstream, ""));
    let token = issuer
        .claims("orders.read")
        .with("sub", "mallory")
        .signed(&issuer.key);
    let mut client = gateway.connect();
    for n in 0..20 {
        let target = format!("/orders/id-{n}-chosen?q=chosen");
        assert_eq!(
            client.send(&Request::get(&target).bearer(&token)).status,
            200
        );
        assert_eq!(
            client.send(&Request::get(&format!("/chosen/{n}"))).status,
            404
        );
        assert_eq!(
            client
                .send(&Request::new(&format!("CHOSEN{n}"), "/health"))
                .status,
            405
        );
        let forged = issuer
            .claims("chosen")
            .header("kid", format!("chosen-{n}"))
            .signed(&issuer.key);
        assert_eq!(
            client
                .send(&Request::get("/orders/1").bearer(&forged))
                .status,
            401
        );
    }
    let (_, exposition) = gateway.ask_admin("/metrics");
    let parts: Vec<&str> = token.split('.').collect();
    for secret in [&["chosen", "CHOSEN", "mallory"], &parts[..]].concat() {
        assert!(!exposition.contains(secret), "{secret} is in the metrics");
    }
    gateway.wait_for_metric(
        "scopegate_requests_total{method=\"OTHER\",route=\"/health\",status=\"4xx\"}",
        20.0,
    );
}

#[test]
fn the_exposition_is_well_formed() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&orders(&issuer, &upstream, ""));
    assert_eq!(gateway.send(&Request::get("/health")).status, 200);
    let (_, exposition) = gateway.ask_admin("/metrics");
    let mut types = Vec::new();
    let mut series = Vec::new();
    for line in exposition.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            types.push(rest.split(' ').next().unwrap());
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let family = name.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| {
                    family
                        .strip_suffix(suffix)
                        .filter(|family| types.contains(family))
                })
                .unwrap_or(family);
            assert_eq!(
                types.last(),
                Some(&family),
                "a sample stands below its family: {line}"
            );
            series.push(name);
        }
    }
    assert!(series.len() > 30, "{exposition}");
    let count = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), count, "a series occurs twice");
}

// An issuer that hangs is "tried" when its fetch has timed out.
#[test]
fn it_is_ready_when_each_issuer_was_tried_and_live_from_the_start() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    issuer.serve(Jwks::Hang);
    let toml = orders(&issuer, &upstream, "");
    let entry = issuer.toml();
    let gateway =
        Gateway::start(&toml.replace(&entry, &format!("{entry}fetch_timeout = \"1s\"\n")));
    let (status, text) = gateway.ask_admin("/readyz");
    assert_eq!((status, text.as_str()), (503, "no keys yet: idp\n"));
    assert_eq!(gateway.ask_admin("/livez"), (200, "live\n".to_owned()));
    gateway.wait_until_ready();
    assert_eq!(
        gateway.send(&Request::get("/health")).status,
        200,
        "what needs no issuer is served"
    );
}

#[test]
fn where_keys_are_asked_for_it_is_ready_when_they_are_there() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    issuer.serve(Jwks::Reset);
    let toml = orders(&issuer, &upstream, "[server]\nready = \"keys\"\n");
    let entry = issuer.toml();
    let gateway = Gateway::start(&toml.replace(
        &entry,
        &format!("{entry}cooldown = \"50ms\"\nrefresh_min = \"50ms\"\nrefresh = \"50ms\"\n"),
    ));
    gateway.wait_for_metric("scopegate_issuer_keys{issuer=\"idp\"}", 0.0);
    wait_until("the issuer was tried", || {
        gateway.metric("scopegate_issuer_refreshes_total{issuer=\"idp\",result=\"failure\"}") >= 1.0
    });
    assert_eq!(gateway.ask_admin("/readyz").0, 503);
    let request = Request::get("/orders/1").bearer(&issuer.token("orders.read"));
    assert_eq!(gateway.send(&request).status, 503, "no keys, no verdict");
    issuer.serve(Jwks::Keys(vec![issuer.key.clone()]));
    gateway.wait_until_ready();
    assert_eq!(gateway.send(&request).status, 200);
}

// A page in a browser sends an Origin, or a request that is no GET.
#[test]
fn the_admin_listener_answers_get_and_no_browser() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&orders(&issuer, &upstream, ""));
    let ask = |line: &str, fields: &str| {
        let request =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
        raw(gateway.admin(), request.as_bytes())
    };
    for path in ["/metrics", "/livez", "/policy", "/"] {
        let good = ask(&format!("GET {path}"), "");
        assert!(good.starts_with("HTTP/1.1 200 "), "{path}: {good}");
        assert!(
            ask(&format!("HEAD {path}"), "").starts_with("HTTP/1.1 200 "),
            "{path}"
        );
        let browser = ask(&format!("GET {path}"), "Origin: http://evil.test\r\n");
        assert!(browser.starts_with("HTTP/1.1 403 "), "{path}: {browser}");
        assert!(!browser.contains("access-control"), "{browser}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = ask(&format!("{method} {path}"), "Content-Length: 0\r\n");
            assert!(
                answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD\r\n"),
                "{answer}"
            );
        }
    }
}

// DNS rebinding. A name of the page's own leads here, and the browser takes the answer for the
// page's own.
#[test]
fn the_admin_listener_answers_for_addresses_localhost_and_listed_names_alone() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let toml = |server: &str| orders(&issuer, &upstream, server);
    let gateway = Gateway::start(&toml(
        "[server]\nadmin_hosts = [\"gateway\"]\n[reload]\nwatch = false\n",
    ));
    let status = |line: &str, fields: &str| {
        let answer = raw(
            gateway.admin(),
            format!("{line}\r\nConnection: close\r\n{fields}\r\n").as_bytes(),
        );
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let own = gateway.admin().to_string();
    let ask = |path: &str, host: &str| {
        status(
            &format!("GET {path} HTTP/1.1"),
            &format!("Host: {host}\r\n"),
        )
    };
    for path in ["/", "/metrics", "/livez", "/policy"] {
        for host in [
            own.as_str(),
            "127.0.0.1",
            "[::1]:9090",
            "10.1.2.3:31000",
            "localhost",
            "gateway:9090",
        ] {
            assert_eq!(ask(path, host), 200, "{path} {host}");
        }
        for host in [
            "evil.test",
            "evil.test:9090",
            "127.0.0.1.evil.test",
            "127.1",
            "2130706433",
            "other",
        ] {
            assert_eq!(ask(path, host), 421, "{path} {host}");
        }
    }
    assert_eq!(
        status(
            "GET http://evil.test/metrics HTTP/1.1",
            "Host: localhost\r\n"
        ),
        421
    );
    assert_eq!(status("GET /metrics HTTP/1.1", ""), 400);
    assert_eq!(
        status(
            "GET /metrics HTTP/1.1",
            "Host: localhost\r\nHost: evil.test\r\n"
        ),
        400
    );
    assert_eq!(
        status("GET /livez HTTP/1.0", ""),
        200,
        "an old health check"
    );
    gateway.rewrite(&toml(
        "[server]\nadmin_hosts = [\"other\"]\n[reload]\nwatch = false\n",
    ));
    gateway.reload();
    gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", 1.0);
    assert_eq!(
        (ask("/livez", "other"), ask("/livez", "gateway")),
        (200, 421),
        "the list follows a reload"
    );
}

#[test]
fn the_admin_and_the_public_listener_share_no_path() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&orders(&issuer, &upstream, ""));
    for path in ["/metrics", "/livez", "/readyz", "/policy", "/"] {
        let answer = gateway.send(&Request::get(path));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "no_route"),
            "{path}"
        );
        assert_ne!(gateway.ask_admin(path).0, 404, "{path}");
    }
    assert_eq!(gateway.ask_admin("/health").0, 404);
    assert_eq!(gateway.send(&Request::get("/health")).status, 200);
}

// An end leaves nothing behind that another gateway, or an upstream, would wait for.
#[test]
fn a_gateway_that_was_shut_down_has_left_its_ports() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let toml = orders(&issuer, &upstream, "");
    let gateway = Gateway::start(&toml);
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/health")).status, 200);
    let address = gateway.address();
    gateway.shutdown();
    assert!(client.is_closed(), "an idle connection is closed");
    wait_until_closed(address);
    let again =
        Gateway::start_on_its_own_addresses(&format!("[server]\nlisten = \"{address}\"\n{toml}"));
    assert_eq!(again.send(&Request::get("/health")).status, 200);
}

#[test]
fn the_policy_names_routes_and_no_secret() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let dev = "[dev.clients.reader]\nsecret = \"not-for-others\"\nscopes = [\"orders.read\"]\n";
    let gateway = Gateway::start(&(orders(&issuer, &upstream, "") + dev));
    let (status, policy) = gateway.ask_admin("/policy");
    assert_eq!(status, 200);
    assert!(
        policy.contains("/orders/{id}") && policy.contains("orders.read"),
        "{policy}"
    );
    for path in ["/policy", "/metrics", "/"] {
        assert!(
            !gateway.ask_admin(path).1.contains("not-for-others"),
            "{path}"
        );
    }
}
