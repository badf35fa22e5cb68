//! The metric families that have labels of routes, issuers and upstreams, and how metrics are made.

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Seconds; from what a hot token costs to the default response timeout.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

#[derive(Debug)]
pub(super) struct Families {
    pub(super) requests: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) refusals: IntCounterVec,
    pub(super) upstream_duration: HistogramVec,
    pub(super) upstream_open: IntGaugeVec,
    pub(super) upstream_opened: IntCounterVec,
    pub(super) upstream_reused: IntCounterVec,
    pub(super) upstream_faults: IntCounterVec,
    pub(super) upstream_retries: IntCounterVec,
    pub(super) upstream_ejections: IntCounterVec,
    pub(super) upstream_healthy: IntGaugeVec,
    pub(super) upstream_ejected: IntGaugeVec,
    pub(super) verifications: IntCounterVec,
    pub(super) keys: IntGaugeVec,
    pub(super) key_age: GaugeVec,
    pub(super) refreshes: IntCounterVec,
}

impl Families {
    pub(super) fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: counters(
                r,
                "scopegate_requests_total",
                "Requests by route pattern, method and status class.",
                &["route", "method", "status"],
            )?,
            duration: histograms(
                r,
                "scopegate_request_duration_seconds",
                "From the end of the request head to the end of the response body.",
                &["route"],
            )?,
            refusals: counters(
                r,
                "scopegate_refusals_total",
                "Requests the gateway answered itself, by route pattern and reason code.",
                &["route", "reason"],
            )?,
            upstream_duration: histograms(
                r,
                "scopegate_upstream_duration_seconds",
                "From sending a request to the head of the upstream's response.",
                &["upstream"],
            )?,
            upstream_open: int_gauges(
                r,
                "scopegate_upstream_connections_open",
                "Connections to the upstream that are open, idle ones included.",
                &["upstream"],
            )?,
            upstream_opened: counters(
                r,
                "scopegate_upstream_connections_opened_total",
                "Connections to the upstream that were made.",
                &["upstream"],
            )?,
            upstream_reused: counters(
                r,
                "scopegate_upstream_connections_reused_total",
                "Requests that went over a connection that was already open.",
                &["upstream"],
            )?,
            upstream_faults: counters(
                r,
                "scopegate_upstream_faults_total",
                "Requests that the upstream did not answer, by kind of fault.",
                &["upstream", "fault"],
            )?,
            upstream_retries: counters(
                r,
                "scopegate_upstream_retries_total",
                "Requests that were sent to another endpoint after one had failed.",
                &["upstream"],
            )?,
            upstream_ejections: counters(
                r,
                "scopegate_upstream_ejections_total",
                "Endpoints that were left alone for a while after failures in a row.",
                &["upstream"],
            )?,
            upstream_healthy: int_gauges(
                r,
                "scopegate_upstream_endpoint_healthy",
                "Whether the probes of the endpoint succeed; only where it is probed.",
                &["upstream", "endpoint"],
            )?,
            upstream_ejected: int_gauges(
                r,
                "scopegate_upstream_endpoint_ejected",
                "Whether the endpoint failed again and again, and has not answered since.",
                &["upstream", "endpoint"],
            )?,
            verifications: counters(
                r,
                "scopegate_token_verifications_total",
                "Token verifications by issuer and result, cached tokens included.",
                &["issuer", "result"],
            )?,
            keys: int_gauges(r, "scopegate_issuer_keys", "Usable keys of the issuer.", &["issuer"])?,
            key_age: gauges(
                r,
                "scopegate_issuer_keys_age_seconds",
                "Time since the issuer's keys were last fetched; NaN before the first time.",
                &["issuer"],
            )?,
            refreshes: counters(
                r,
                "scopegate_issuer_refreshes_total",
                "Fetches of the issuer's keys by result.",
                &["issuer", "result"],
            )?,
        })
    }
}

pub(super) fn counter(r: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let metric = IntCounter::new(name, help)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn counters(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn int_gauge(r: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let metric = IntGauge::new(name, help)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn int_gauges(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn gauges(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec, prometheus::Error> {
    let metric = GaugeVec::new(Opts::new(name, help), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn histograms(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    let metric = HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}
