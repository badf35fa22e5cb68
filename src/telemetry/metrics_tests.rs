use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::label::labels;
use super::{
    CacheResult, ConnectionError, ConnectionProtocol, Departure, Ending, EndpointState, FaultKind,
    KeptLabels, Label as _, Metrics, Refresh, Reloaded, Verification,
};

labels! {
    /// Two reasons.
    enum Reason {
        Missing = "missing_token",
        Expired = "expired",
    }
}

fn metrics() -> Metrics {
    Metrics::new(Reason::NAMES).unwrap()
}

#[test]
fn a_route_is_counted_by_method_and_status_class() {
    let metrics = metrics();
    let route = metrics.route("/orders/{id}");
    route.record(
        &Method::GET,
        Ending::Answered(204),
        Duration::from_millis(3),
    );
    route.record(
        &Method::from_bytes(b"BREW").unwrap(),
        Ending::Answered(418),
        Duration::from_millis(3),
    );
    route.refused(Reason::Expired);
    let text = metrics.render().unwrap();
    for line in [
        r#"scopegate_requests_total{method="GET",route="/orders/{id}",status="2xx"} 1"#,
        r#"scopegate_requests_total{method="OTHER",route="/orders/{id}",status="4xx"} 1"#,
        r#"scopegate_refusals_total{reason="expired",route="/orders/{id}"} 1"#,
        r#"scopegate_request_duration_seconds_count{route="/orders/{id}"} 2"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn what_a_reload_takes_away_leaves_the_exposition() {
    let metrics = metrics();
    let kept = metrics.route("/kept");
    kept.record(&Method::GET, Ending::Answered(200), Duration::ZERO);
    metrics
        .route("/gone")
        .record(&Method::GET, Ending::Answered(200), Duration::ZERO);
    metrics.issuer("gone").set_keys(1, None);
    metrics
        .upstream("gone")
        .faults
        .increment(FaultKind::Connect);
    metrics.retain(&KeptLabels {
        routes: ["/kept"].into(),
        issuers: [].into(),
        upstreams: [].into(),
    });
    let text = metrics.render().unwrap();
    assert!(text.contains("/kept") && !text.contains("gone"), "{text}");
    assert!(Arc::ptr_eq(&kept, &metrics.route("/kept")));
}

#[test]
fn the_exposition_is_what_operators_know() {
    let metrics = metrics();
    let route = metrics.route("/orders/{id}");
    for (method, status, millis) in [
        (Method::GET, 204, 250),
        (Method::GET, 204, 0),
        (Method::POST, 201, 500),
        (Method::PUT, 502, 60_000),
    ] {
        route.record(
            &method,
            Ending::Answered(status),
            Duration::from_millis(millis),
        );
    }
    route.record(
        &Method::from_bytes(b"BREW").unwrap(),
        Ending::Answered(418),
        Duration::from_nanos(500_000),
    );
    route.record(
        &Method::from_bytes(b"BREW").unwrap(),
        Ending::Answered(99),
        Duration::from_nanos(500_001),
    );
    route.record(&Method::HEAD, Ending::Answered(999), Duration::ZERO);
    route.record(&Method::GET, Ending::Cut, Duration::ZERO);
    route.record(&Method::GET, Ending::Left, Duration::ZERO);
    route.refused(Reason::Expired);
    route.refused(Reason::Missing);
    route.refused(Reason::Expired);
    metrics
        .route("/idle \"quoted\" \\")
        .refused(Reason::Expired);
    let issuer = metrics.issuer("idp");
    issuer.verifications.increment(Verification::Valid);
    issuer.verifications.increment(Verification::Expired);
    issuer.refreshes.increment(Refresh::Failure);
    metrics
        .issuer("idle")
        .set_keys(2, Some(Duration::from_millis(1500)));
    issuer.set_keys(0, None);
    let upstream = metrics.upstream("api");
    upstream.duration.observe(Duration::from_millis(2500));
    upstream.reused.inc();
    upstream.faults.increment(FaultKind::Overloaded);
    upstream.opened.inc();
    upstream.open.inc();
    metrics.upstream("idle");
    let gateway = &metrics.gateway;
    gateway.requests.inc();
    gateway.requests.inc();
    gateway.requests.dec();
    for result in [CacheResult::Miss, CacheResult::Worker, CacheResult::Worker] {
        gateway.cache.increment(result);
    }
    gateway
        .connection_errors
        .increment(ConnectionError::ProxyHeaderMissing);
    gateway
        .refused_streams
        .increment(ConnectionError::Http2MalformedRequest);
    gateway.departures.increment(Departure::InBody);
    gateway.protocols.increment(ConnectionProtocol::Http2);
    gateway.reloads.increment(Reloaded::Swapped);
    gateway.connections.inc();
    gateway.accepted.inc();
    gateway.set_config("hash");
    metrics.show_endpoints(
        [EndpointState {
            upstream: "api".into(),
            endpoint: "http://a".into(),
            healthy: Some(true),
            ejected: None,
        }]
        .into_iter(),
    );
    let text = metrics
        .render()
        .unwrap()
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    assert_eq!(
        text,
        include_str!("../../tests/vectors/metrics/exposition.txt")
    );
}

#[test]
fn each_metric_is_explained_to_operators() {
    let metrics = metrics();
    let route = metrics.route("/");
    route.record(&Method::GET, Ending::Answered(200), Duration::ZERO);
    route.refused(Reason::Missing);
    let issuer = metrics.issuer("idp");
    issuer.verifications.increment(Verification::Valid);
    issuer.refreshes.increment(Refresh::Success);
    metrics.upstream("api").faults.increment(FaultKind::Connect);
    metrics
        .gateway
        .connection_errors
        .increment(ConnectionError::HeadField);
    let streams = &metrics.gateway.refused_streams;
    streams.increment(ConnectionError::Http2HeadTooLarge);
    metrics.gateway.departures.increment(Departure::InAnswer);
    metrics.gateway.cache.increment(CacheResult::Worker);
    metrics.gateway.reloads.increment(Reloaded::Swapped);
    metrics.gateway.set_config("hash");
    metrics
        .gateway
        .show_certificates([("tls/api.pem", 1)].into_iter());
    let text = metrics.render().unwrap();
    let page = include_str!("../../docs/metrics.md");
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(
            page.contains(&format!("\n| `{name}` | ")),
            "docs/metrics.md has no line for {name}"
        );
    }
}
