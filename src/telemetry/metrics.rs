//! The registry of the Prometheus metrics.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Registry, TextEncoder};

use super::exposition::{Exposition, ShardedFamilies};
use super::families::{Families, counter, int_gauge, int_gauges};
use super::handles::SharedHandles;
use super::{Counter, Counters, Gauge, Histogram, IssuerMetrics, RouteMetrics, UpstreamMetrics};

/// Every metric of the process. Handles for a route, an issuer or an upstream are resolved when a
/// snapshot is compiled, and stay the same across reloads.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    reasons: &'static [&'static str],
    verdicts: &'static [&'static str],
    handles: Arc<SharedHandles>,
    /// The metrics that belong to no route, issuer or upstream.
    pub gateway: Arc<GatewayMetrics>,
}

/// The metrics of the process as a whole.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// Open client connections.
    pub connections: IntGauge,
    /// Parked HTTP/1.1 connections: until their next byte, only the socket is kept.
    pub resting: IntGauge,
    /// Open WebSockets.
    pub tunnels: IntGauge,
    /// Accepted client connections.
    pub accepted: IntCounter,
    /// Client connections that ended in an error, by [`GatewayMetrics::CONNECTION_ERRORS`].
    pub connection_errors: Counters,
    /// Client connections by protocol, [`GatewayMetrics::PROTOCOLS`].
    pub protocols: Counters,
    /// HTTP/2 streams that were reset because the client did not read the response.
    pub stalled_streams: IntCounter,
    /// HTTP/2 streams that were reset because they did not carry a valid request.
    pub refused_streams: IntCounter,
    /// Requests that are being answered.
    pub requests: Gauge,
    /// Token cache look-ups, by [`GatewayMetrics::CACHE_RESULTS`].
    pub cache: Counters,
    /// Reloads, by [`GatewayMetrics::RELOAD_RESULTS`].
    pub reloads: Counters,
    /// 1 if the last reload took effect, otherwise 0.
    pub reload_ok: IntGauge,
    /// Panics that were caught and answered.
    pub panics: IntCounter,
    config: IntGaugeVec,
    certificates: IntGaugeVec,
    log_dropped: IntCounter,
}

impl GatewayMetrics {
    /// The label values of `connection_errors`, in the order of their indices.
    pub const CONNECTION_ERRORS: [&'static str; 8] = [
        "parse",
        "too_large",
        "timeout",
        "aborted",
        "other",
        "flood",
        "tls",
        "proxy_protocol",
    ];
    /// The label values of `protocols`.
    pub const PROTOCOLS: [&'static str; 2] = ["http1", "http2"];
    /// The label values of `cache`: found in the worker's cache, found in the shared cache, not
    /// found.
    pub const CACHE_RESULTS: [&'static str; 3] = ["worker_hit", "shared_hit", "miss"];
    /// The label values of `reloads`.
    pub const RELOAD_RESULTS: [&'static str; 3] = ["success", "unchanged", "failure"];

    /// Shows `hash` as the configuration that is in force.
    pub fn set_config(&self, hash: &str) {
        self.config.reset();
        self.config.with_label_values(&[hash]).set(1);
    }

    /// Shows when the certificate in each file expires, and removes the certificates of other
    /// files.
    pub fn show_certificates<'f>(&self, ends: impl Iterator<Item = (&'f str, u64)>) {
        self.certificates.reset();
        for (file, end) in ends {
            self.certificates
                .with_label_values(&[file])
                .set(i64::try_from(end).unwrap_or(i64::MAX));
        }
    }

    /// Counts lines that the access log had no room for, or could not write.
    pub fn count_dropped_lines(&self, lines: usize) {
        self.log_dropped.inc_by(lines as u64);
    }
}

/// The state of an endpoint of an upstream.
#[derive(Clone, Debug)]
pub struct EndpointState {
    /// The upstream's name in the configuration.
    pub upstream: Arc<str>,
    /// The endpoint's URL.
    pub endpoint: String,
    /// The result of its health probes; `None` without probes.
    pub healthy: Option<bool>,
    /// True from its ejection until a half-open probe has succeeded; `None` if it cannot be
    /// ejected.
    pub ejected: Option<bool>,
}

/// The labels that stay. They are sets, since a predicate that searches a list would make a reload
/// quadratic.
#[derive(Debug)]
pub struct KeptLabels<'s> {
    /// The labels of routes.
    pub routes: HashSet<&'s str>,
    /// The names of issuers.
    pub issuers: HashSet<&'s str>,
    /// The names of upstreams.
    pub upstreams: HashSet<&'s str>,
}

impl Metrics {
    /// Creates all metrics, with the closed lists of refusal reasons and of token verdicts.
    ///
    /// # Errors
    /// If a metric is defined twice, which a test would show.
    pub fn new(
        reasons: &'static [&'static str],
        verdicts: &'static [&'static str],
    ) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let families = Families::register(r)?;
        let gateway = Arc::new(GatewayMetrics::register(r)?);
        let build = int_gauges(
            r,
            "scopegate_build_info",
            "The version that runs; always 1.",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let handles = Arc::<SharedHandles>::default();
        let (shown, gateway_shown) = (handles.clone(), gateway.clone());
        r.register(Box::new(Exposition {
            handles: shown,
            gateway: gateway_shown,
            families: ShardedFamilies::new()?,
        }))?;
        Ok(Self {
            registry,
            families,
            reasons,
            verdicts,
            handles,
            gateway,
        })
    }

    /// Returns the handle of a route pattern.
    pub fn route(&self, pattern: &str) -> Arc<RouteMetrics> {
        entry(&mut self.handles.lock().routes, pattern, || {
            RouteMetrics::new(self.reasons)
        })
    }

    /// Returns the handle of an issuer, by its name in the configuration.
    pub fn issuer(&self, name: &str) -> Arc<IssuerMetrics> {
        let make = || IssuerMetrics {
            verifications: Counters::new(self.verdicts),
            refreshes: Counters::new(&IssuerMetrics::REFRESH_RESULTS),
            keys: self.families.keys.with_label_values(&[name]),
            age: self.families.key_age.with_label_values(&[name]),
        };
        entry(&mut self.handles.lock().issuers, name, make)
    }

    /// Returns the handle of an upstream, by its name in the configuration.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        let make = || UpstreamMetrics {
            duration: Histogram::new(),
            open: self.families.upstream_open.with_label_values(&[name]),
            opened: self.families.upstream_opened.with_label_values(&[name]),
            reused: Counter::new(),
            faults: Counters::new(&UpstreamMetrics::FAULTS),
            retries: self.families.upstream_retries.with_label_values(&[name]),
            resent: self.families.upstream_resent.with_label_values(&[name]),
            ejections: self.families.upstream_ejections.with_label_values(&[name]),
        };
        entry(&mut self.handles.lock().upstreams, name, make)
    }

    /// Removes the metrics of what a reload has removed, so that a thousand reloads do not grow the
    /// exposition.
    pub fn retain(&self, kept: &KeptLabels<'_>) {
        let mut handles = self.handles.lock();
        let families = &self.families;
        handles
            .routes
            .retain(|pattern, _| kept.routes.contains(pattern.as_str()));
        handles.issuers.retain(|name, _| {
            let keep = kept.issuers.contains(name.as_str());
            if !keep {
                families.remove_issuer(name);
            }
            keep
        });
        handles.upstreams.retain(|name, _| {
            let keep = kept.upstreams.contains(name.as_str());
            if !keep {
                families.remove_upstream(name);
            }
            keep
        });
    }

    /// Shows the states of these endpoints and no others. The states change without a notification,
    /// so this must be called before the metrics are rendered, and from one thread only.
    pub fn show_endpoints(&self, endpoints: impl Iterator<Item = EndpointState>) {
        let Families {
            upstream_healthy,
            upstream_ejected,
            ..
        } = &self.families;
        upstream_healthy.reset();
        upstream_ejected.reset();
        for EndpointState {
            upstream,
            endpoint,
            healthy,
            ejected,
        } in endpoints
        {
            for (family, value) in [(upstream_healthy, healthy), (upstream_ejected, ejected)] {
                if let Some(value) = value {
                    family
                        .with_label_values(&[&*upstream, &endpoint])
                        .set(value.into());
                }
            }
        }
    }

    /// Returns all metrics in the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// If the encoder fails, which it does only for a metric family without metrics.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl GatewayMetrics {
    fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            connections: int_gauge(r, "scopegate_connections_open", "Open client connections.")?,
            resting: int_gauge(
                r,
                "scopegate_connections_resting",
                "Idle HTTP/1.1 client connections of which only the socket is kept until their next byte.",
            )?,
            tunnels: int_gauge(r, "scopegate_websockets_open", "WebSockets that are open.")?,
            accepted: counter(
                r,
                "scopegate_connections_accepted_total",
                "Accepted client connections.",
            )?,
            connection_errors: Counters::new(&Self::CONNECTION_ERRORS),
            protocols: Counters::new(&Self::PROTOCOLS),
            stalled_streams: counter(
                r,
                "scopegate_http2_streams_stalled_total",
                "HTTP/2 responses that were given up because the client did not read them.",
            )?,
            refused_streams: counter(
                r,
                "scopegate_http2_streams_refused_total",
                "HTTP/2 streams that were reset because they did not carry a valid request.",
            )?,
            requests: Gauge::new(),
            cache: Counters::new(&Self::CACHE_RESULTS),
            reloads: Counters::new(&Self::RELOAD_RESULTS),
            reload_ok: int_gauge(
                r,
                "scopegate_config_last_reload_successful",
                "1 while the files on disk are in force, 0 while they are not.",
            )?,
            panics: counter(
                r,
                "scopegate_panics_total",
                "Panics that were caught and answered with 500.",
            )?,
            config: int_gauges(
                r,
                "scopegate_config_info",
                "The configuration in force, by the SHA-256 of its files; always 1.",
                &["hash"],
            )?,
            certificates: int_gauges(
                r,
                "scopegate_certificate_expiry_timestamp_seconds",
                "Time when a certificate of a TLS listener expires, in seconds since 1970, by its file.",
                &["file"],
            )?,
            log_dropped: counter(
                r,
                "scopegate_access_log_dropped_total",
                "Access log lines that were dropped because standard output was too slow, or failed.",
            )?,
        })
    }
}

fn entry<T>(map: &mut BTreeMap<String, Arc<T>>, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
    map.entry(name.to_owned())
        .or_insert_with(|| Arc::new(make()))
        .clone()
}
