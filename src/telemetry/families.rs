//! The metric families of issuers and upstreams whose numbers seldom change, and the functions that
//! register such families.

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

#[derive(Debug)]
pub(super) struct Families {
    pub(super) upstream_open: IntGaugeVec,
    pub(super) upstream_opened: IntCounterVec,
    pub(super) upstream_retries: IntCounterVec,
    pub(super) upstream_resent: IntCounterVec,
    pub(super) upstream_ejections: IntCounterVec,
    pub(super) upstream_healthy: IntGaugeVec,
    pub(super) upstream_ejected: IntGaugeVec,
    pub(super) further_keys: IntCounterVec,
    pub(super) keys: IntGaugeVec,
    pub(super) key_age: GaugeVec,
}

impl Families {
    pub(super) fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            upstream_open: int_gauges(
                r,
                "scopegate_upstream_connections_open",
                "Connections to the upstream that are open, idle ones included.",
                &["upstream"],
            )?,
            upstream_opened: counters(
                r,
                "scopegate_upstream_connections_opened_total",
                "Connections to the upstream that were opened.",
                &["upstream"],
            )?,
            upstream_retries: counters(
                r,
                "scopegate_upstream_retries_total",
                "Requests that were sent to another endpoint after one had failed.",
                &["upstream"],
            )?,
            upstream_resent: counters(
                r,
                "scopegate_upstream_resent_total",
                "Requests that were sent again because the upstream had not processed them.",
                &["upstream"],
            )?,
            upstream_ejections: counters(
                r,
                "scopegate_upstream_ejections_total",
                "Ejections of endpoints after failures in a row.",
                &["upstream"],
            )?,
            upstream_healthy: int_gauges(
                r,
                "scopegate_upstream_endpoint_healthy",
                "1 if the health probes of the endpoint succeed, otherwise 0; only for endpoints \
                 with probes.",
                &["upstream", "endpoint"],
            )?,
            upstream_ejected: int_gauges(
                r,
                "scopegate_upstream_endpoint_ejected",
                "1 if the endpoint was ejected and has not answered since, otherwise 0.",
                &["upstream", "endpoint"],
            )?,
            further_keys: counters(
                r,
                "scopegate_issuer_further_keys_tried_total",
                "Keys after the first that were tried for tokens without a key id.",
                &["issuer"],
            )?,
            keys: int_gauges(
                r,
                "scopegate_issuer_keys",
                "Usable keys of the issuer.",
                &["issuer"],
            )?,
            key_age: gauges(
                r,
                "scopegate_issuer_keys_age_seconds",
                "Time since the issuer's keys were last fetched; NaN before the first time.",
                &["issuer"],
            )?,
        })
    }

    pub(super) fn remove_issuer(&self, name: &str) {
        let _ = self.further_keys.remove_label_values(&[name]);
        let _ = self.keys.remove_label_values(&[name]);
        let _ = self.key_age.remove_label_values(&[name]);
    }

    pub(super) fn remove_upstream(&self, name: &str) {
        let _ = self.upstream_open.remove_label_values(&[name]);
        for counters in [
            &self.upstream_opened,
            &self.upstream_retries,
            &self.upstream_resent,
            &self.upstream_ejections,
        ] {
            let _ = counters.remove_label_values(&[name]);
        }
    }
}

pub(super) fn counter(
    r: &Registry,
    name: &str,
    help: &str,
) -> Result<IntCounter, prometheus::Error> {
    let metric = IntCounter::new(name, help)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn int_gauge(
    r: &Registry,
    name: &str,
    help: &str,
) -> Result<IntGauge, prometheus::Error> {
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

fn gauges(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec, prometheus::Error> {
    let metric = GaugeVec::new(Opts::new(name, help), labels)?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}
