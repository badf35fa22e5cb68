//! The Prometheus metrics, all defined here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use prometheus::{Gauge, Histogram, IntCounter, IntGauge, IntGaugeVec, Registry, TextEncoder};

use super::Counters;
use super::families::{Families, counter, counters, int_gauge, int_gauges};

/// Methods that get a label of their own; a client can invent others without end.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Every metric of the process. Handles for a route, an issuer or an upstream are resolved when a snapshot is compiled
/// and are the same across reloads.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    reasons: &'static [&'static str],
    verdicts: &'static [&'static str],
    handles: Mutex<Handles>,
    /// What belongs to no route, issuer or upstream.
    pub gateway: GatewayMetrics,
}

#[derive(Debug, Default)]
struct Handles {
    routes: BTreeMap<String, Arc<RouteMetrics>>,
    issuers: BTreeMap<String, Arc<IssuerMetrics>>,
    upstreams: BTreeMap<String, Arc<UpstreamMetrics>>,
}

/// Metrics of the process as a whole.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// Open client connections.
    pub connections: IntGauge,
    /// WebSockets that are open.
    pub tunnels: IntGauge,
    /// Accepted client connections.
    pub accepted: IntCounter,
    /// Client connections that ended in an error, by [`GatewayMetrics::CONNECTION_ERRORS`].
    pub connection_errors: Counters,
    /// Client connections by what is spoken on them, [`GatewayMetrics::PROTOCOLS`].
    pub protocols: Counters,
    /// Streams of HTTP/2 that were given up because the client took nothing of the answer.
    pub stalled_streams: IntCounter,
    /// Requests that are being answered.
    pub requests: IntGauge,
    /// Token cache look-ups, by [`GatewayMetrics::CACHE_RESULTS`].
    pub cache: Counters,
    /// Reloads, by [`GatewayMetrics::RELOAD_RESULTS`].
    pub reloads: Counters,
    /// Whether the last reload took effect.
    pub reload_ok: IntGauge,
    /// Panics that were caught and answered.
    pub panics: IntCounter,
    config: IntGaugeVec,
    certificates: IntGaugeVec,
    log_dropped: IntCounter,
}

impl GatewayMetrics {
    /// The label values of `connection_errors`, in the order of their indices.
    pub const CONNECTION_ERRORS: [&'static str; 8] =
        ["parse", "too_large", "timeout", "aborted", "other", "flood", "tls", "proxy_protocol"];
    /// The label values of `protocols`.
    pub const PROTOCOLS: [&'static str; 2] = ["http1", "http2"];
    /// The label values of `cache`: found by this worker, found by another, found by none.
    pub const CACHE_RESULTS: [&'static str; 3] = ["worker_hit", "shared_hit", "miss"];
    /// The label values of `reloads`.
    pub const RELOAD_RESULTS: [&'static str; 3] = ["success", "unchanged", "failure"];

    /// Shows `hash` as the configuration that is in force.
    pub fn set_config(&self, hash: &str) {
        self.config.reset();
        self.config.with_label_values(&[hash]).set(1);
    }

    /// Shows when certificates end, each by its file, and forgets the others.
    pub fn show_certificates<'f>(&self, ends: impl Iterator<Item = (&'f str, u64)>) {
        self.certificates.reset();
        for (file, end) in ends {
            self.certificates.with_label_values(&[file]).set(i64::try_from(end).unwrap_or(i64::MAX));
        }
    }

    /// Counts a line that the access log had no room for.
    pub fn count_dropped_line(&self) {
        self.log_dropped.inc();
    }
}

/// Metrics of one route pattern.
#[derive(Debug)]
pub struct RouteMetrics {
    requests: [Counters; METHODS.len()],
    duration: Histogram,
    refusals: Counters,
}

impl RouteMetrics {
    /// Records a finished exchange.
    pub fn record(&self, method: &Method, status: u16, took: Duration) {
        let class = usize::from(status / 100).saturating_sub(1).min(CLASSES.len() - 1);
        if let Some(row) = self.requests.get(method_index(method)) {
            row.increment(class);
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a refusal by the index of its reason.
    pub fn refused(&self, reason: usize) {
        self.refusals.increment(reason);
    }
}

/// Metrics of one issuer.
#[derive(Debug)]
pub struct IssuerMetrics {
    /// Token verifications by the index of their verdict; a cached token's counts as well.
    pub verifications: Counters,
    /// Key fetches, by [`IssuerMetrics::REFRESH_RESULTS`].
    pub refreshes: Counters,
    keys: IntGauge,
    age: Gauge,
}

impl IssuerMetrics {
    /// The label values of `refreshes`.
    pub const REFRESH_RESULTS: [&'static str; 2] = ["success", "failure"];

    /// Shows the state of the key set: usable keys, and the time since they were last fetched.
    pub fn set_keys(&self, keys: usize, age: Option<Duration>) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.age.set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
    }
}

/// Metrics of one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// From the request's departure to the head of its response.
    pub duration: Histogram,
    /// Connections that are open now, idle ones included.
    pub open: IntGauge,
    /// Connections that were dialled.
    pub opened: IntCounter,
    /// Requests that went over a connection that was already there.
    pub reused: IntCounter,
    /// Requests the upstream did not answer, by [`UpstreamMetrics::FAULTS`].
    pub faults: Counters,
    /// Requests that were sent to another endpoint after one had failed.
    pub retries: IntCounter,
    /// Endpoints that were left alone for a while.
    pub ejections: IntCounter,
}

/// How an endpoint of an upstream does.
#[derive(Clone, Debug)]
pub struct EndpointState {
    /// The upstream's name in the configuration.
    pub upstream: Arc<str>,
    /// The endpoint's URL.
    pub endpoint: String,
    /// What its probes say, if there are any.
    pub healthy: Option<bool>,
    /// Whether it failed so often that it is left alone, or may prove itself with one request at a time, if that can be.
    pub ejected: Option<bool>,
}

impl UpstreamMetrics {
    /// The label values of `faults`.
    pub const FAULTS: [&'static str; 6] =
        ["connect", "timeout", "closed", "protocol", "refused", "overloaded"];
}

impl Metrics {
    /// All metrics, with the closed lists of refusal reasons and of token verdicts.
    ///
    /// # Errors
    /// When a metric is defined twice, which a test would show.
    pub fn new(
        reasons: &'static [&'static str],
        verdicts: &'static [&'static str],
    ) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let families = Families::register(r)?;
        let gateway = GatewayMetrics::register(r)?;
        let build = int_gauges(r, "scopegate_build_info", "The version that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let handles = Mutex::default();
        Ok(Self { registry, families, reasons, verdicts, handles, gateway })
    }

    /// The handles of a route pattern.
    pub fn route(&self, pattern: &str) -> Arc<RouteMetrics> {
        let make = || RouteMetrics {
            requests: METHODS.map(|m| Counters::new(&self.families.requests, &[pattern, m], &CLASSES)),
            duration: self.families.duration.with_label_values(&[pattern]),
            refusals: Counters::new(&self.families.refusals, &[pattern], self.reasons),
        };
        entry(&mut self.lock().routes, pattern, make)
    }

    /// The handles of an issuer, by its name in the configuration.
    pub fn issuer(&self, name: &str) -> Arc<IssuerMetrics> {
        let make = || IssuerMetrics {
            verifications: Counters::new(&self.families.verifications, &[name], self.verdicts),
            refreshes: Counters::new(&self.families.refreshes, &[name], &IssuerMetrics::REFRESH_RESULTS),
            keys: self.families.keys.with_label_values(&[name]),
            age: self.families.key_age.with_label_values(&[name]),
        };
        entry(&mut self.lock().issuers, name, make)
    }

    /// The handles of an upstream, by its name in the configuration.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        let make = || UpstreamMetrics {
            duration: self.families.upstream_duration.with_label_values(&[name]),
            open: self.families.upstream_open.with_label_values(&[name]),
            opened: self.families.upstream_opened.with_label_values(&[name]),
            reused: self.families.upstream_reused.with_label_values(&[name]),
            faults: Counters::new(&self.families.upstream_faults, &[name], &UpstreamMetrics::FAULTS),
            retries: self.families.upstream_retries.with_label_values(&[name]),
            ejections: self.families.upstream_ejections.with_label_values(&[name]),
        };
        entry(&mut self.lock().upstreams, name, make)
    }

    /// Forgets what a reload took away, so that a thousand reloads do not grow the exposition.
    pub fn retain(
        &self,
        route: impl Fn(&str) -> bool,
        issuer: impl Fn(&str) -> bool,
        upstream: impl Fn(&str) -> bool,
    ) {
        let mut handles = self.lock();
        let families = &self.families;
        handles.routes.retain(|pattern, metrics| {
            let keep = route(pattern);
            if !keep {
                metrics.requests.iter().for_each(Counters::remove);
                metrics.refusals.remove();
                let _ = families.duration.remove_label_values(&[pattern]);
            }
            keep
        });
        handles.issuers.retain(|name, metrics| {
            let keep = issuer(name);
            if !keep {
                metrics.verifications.remove();
                metrics.refreshes.remove();
                let _ = families.keys.remove_label_values(&[name]);
                let _ = families.key_age.remove_label_values(&[name]);
            }
            keep
        });
        handles.upstreams.retain(|name, metrics| {
            let keep = upstream(name);
            if !keep {
                metrics.faults.remove();
                let _ = families.upstream_duration.remove_label_values(&[name]);
                let _ = families.upstream_open.remove_label_values(&[name]);
                let _ = families.upstream_opened.remove_label_values(&[name]);
                let _ = families.upstream_reused.remove_label_values(&[name]);
                let _ = families.upstream_retries.remove_label_values(&[name]);
                let _ = families.upstream_ejections.remove_label_values(&[name]);
            }
            keep
        });
    }

    /// Shows how endpoints do, these and no others. Their state changes by itself, so whoever renders the metrics calls this
    /// first, and from one thread alone.
    pub fn show_endpoints(&self, endpoints: impl Iterator<Item = EndpointState>) {
        let Families { upstream_healthy, upstream_ejected, .. } = &self.families;
        upstream_healthy.reset();
        upstream_ejected.reset();
        for EndpointState { upstream, endpoint, healthy, ejected } in endpoints {
            for (family, value) in [(upstream_healthy, healthy), (upstream_ejected, ejected)] {
                if let Some(value) = value {
                    family.with_label_values(&[&*upstream, &endpoint]).set(value.into());
                }
            }
        }
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// When the encoder fails, which it does for a metric family without metrics alone.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GatewayMetrics {
    fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        let errors = counters(
            r,
            "scopegate_connection_errors_total",
            "Client connections that ended in an error, by kind; the parser's own refusals are here.",
            &["kind"],
        )?;
        let protocols = counters(
            r,
            "scopegate_connections_protocol_total",
            "Client connections by what is spoken on them.",
            &["protocol"],
        )?;
        let cache = counters(
            r,
            "scopegate_token_cache_lookups_total",
            "Look-ups of verified tokens by result.",
            &["result"],
        )?;
        let reloads =
            counters(r, "scopegate_reloads_total", "Reloads of the configuration by result.", &["result"])?;
        Ok(Self {
            connections: int_gauge(r, "scopegate_connections_open", "Open client connections.")?,
            tunnels: int_gauge(r, "scopegate_websockets_open", "WebSockets that are open.")?,
            accepted: counter(r, "scopegate_connections_accepted_total", "Accepted client connections.")?,
            connection_errors: Counters::new(&errors, &[], &Self::CONNECTION_ERRORS),
            protocols: Counters::new(&protocols, &[], &Self::PROTOCOLS),
            stalled_streams: counter(
                r,
                "scopegate_http2_streams_stalled_total",
                "Answers over HTTP/2 that were given up because the client took nothing of them.",
            )?,
            requests: int_gauge(r, "scopegate_requests_open", "Requests that are being answered.")?,
            cache: Counters::new(&cache, &[], &Self::CACHE_RESULTS),
            reloads: Counters::new(&reloads, &[], &Self::RELOAD_RESULTS),
            reload_ok: int_gauge(
                r,
                "scopegate_config_last_reload_successful",
                "1 when the file on disk is what serves, 0 after a reload that failed.",
            )?,
            panics: counter(r, "scopegate_panics_total", "Panics that were caught and answered with 500.")?,
            config: int_gauges(
                r,
                "scopegate_config_info",
                "The configuration in force, by the SHA-256 of its files; always 1.",
                &["hash"],
            )?,
            certificates: int_gauges(
                r,
                "scopegate_certificate_expiry_timestamp_seconds",
                "When a certificate of a TLS listener ends, in seconds since 1970, by its file.",
                &["file"],
            )?,
            log_dropped: counter(
                r,
                "scopegate_access_log_dropped_total",
                "Access log lines that were dropped because standard output was too slow.",
            )?,
        })
    }
}

fn entry<T>(map: &mut BTreeMap<String, Arc<T>>, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
    map.entry(name.to_owned()).or_insert_with(|| Arc::new(make())).clone()
}

fn method_index(method: &Method) -> usize {
    let other = METHODS.len() - 1;
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(other)
}
