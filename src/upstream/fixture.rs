//! Upstreams for tests.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{
    EndpointSettings, HeadLimits, HostHeader, OutlierDetection, Protocol, Retry, Settings,
    Strategy, Upstream,
};
use crate::net::{DialTimeouts, Url};
use crate::telemetry::Metrics;
use crate::tls::TlsSettings;

/// A deadline that no test reaches unless it fails.
const LONG: Duration = Duration::from_secs(20);

/// Settings with one endpoint, without retries, whose connections are kept.
pub(super) fn settings(url: &str) -> Settings {
    let url = Url::parse(url).unwrap();
    Settings {
        name: "orders".into(),
        url: url.clone(),
        endpoints: EndpointSettings::alone(url),
        balance: Strategy::RoundRobin,
        retry: Retry {
            attempts: 0,
            percent: 0,
            floor: 0,
        },
        ejection: OutlierDetection {
            failures: 0,
            time: LONG,
            max_percent: 0,
        },
        health: None,
        host: HostHeader::Upstream,
        protocol: Protocol::Http1,
        dial_timeouts: DialTimeouts::each(LONG),
        queue_timeout: LONG,
        dns_refresh: LONG,
        response_timeout: LONG,
        idle_timeout: LONG,
        max_idle: 100_000,
        connection_age: LONG * 100,
        max_connections: 100_000,
        max_pending: 8,
        max_requests: None,
        resend_bytes: 64 << 10,
        response_head: HeadLimits {
            bytes: 64 << 10,
            fields: 100,
        },
        lambda: None,
        terms: TlsSettings::default(),
    }
}

pub(super) fn upstream(settings: Settings) -> Arc<Upstream> {
    let metrics = Metrics::new(&[]).unwrap().upstream("orders");
    Arc::new(Upstream::new(settings, metrics, None).unwrap())
}

pub(super) async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, wait)
        .await
        .unwrap_or_else(|_| panic!("still not so: {what}"));
}
