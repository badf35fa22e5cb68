//! The Prometheus exposition of the metrics that are kept in sharded counters.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::handles::SharedHandles;
use super::histogram::Distribution;
use super::{Counters, EventLog, GatewayMetrics};

/// A collector that adds up the shards when the registry gathers the metrics.
#[derive(Debug)]
pub(super) struct Exposition {
    pub(super) handles: Arc<SharedHandles>,
    pub(super) gateway: Arc<GatewayMetrics>,
    pub(super) families: CellFamilies,
}

/// The names, help texts and labels of the metrics.
#[derive(Debug)]
pub(super) struct CellFamilies {
    requests: Family,
    duration: Family,
    refusals: Family,
    upstream_duration: Family,
    upstream_reused: Family,
    upstream_faults: Family,
    verifications: Family,
    refreshes: Family,
    connection_errors: Family,
    protocols: Family,
    requests_open: Family,
    cache: Family,
    reloads: Family,
    log_dropped: Family,
}

impl CellFamilies {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        use MetricType::{COUNTER, GAUGE, HISTOGRAM};
        Ok(Self {
            requests: Family::new(
                COUNTER,
                "scopegate_requests_total",
                "Requests by route pattern, method and status class; cut is an answer that ended early, left a client that did not wait for the end.",
                &["route", "method", "status"],
            )?,
            duration: Family::new(
                HISTOGRAM,
                "scopegate_request_duration_seconds",
                "From the end of the request head to the end of the response body.",
                &["route"],
            )?,
            refusals: Family::new(
                COUNTER,
                "scopegate_refusals_total",
                "Requests the gateway answered itself, by route pattern and reason code.",
                &["route", "reason"],
            )?,
            upstream_duration: Family::new(
                HISTOGRAM,
                "scopegate_upstream_duration_seconds",
                "From sending a request to the head of the upstream's response.",
                &["upstream"],
            )?,
            upstream_reused: Family::new(
                COUNTER,
                "scopegate_upstream_connections_reused_total",
                "Requests that went over a connection that was already open.",
                &["upstream"],
            )?,
            upstream_faults: Family::new(
                COUNTER,
                "scopegate_upstream_faults_total",
                "Requests that the upstream did not answer, by kind of fault.",
                &["upstream", "fault"],
            )?,
            verifications: Family::new(
                COUNTER,
                "scopegate_token_verifications_total",
                "Token verifications by issuer and result, cached tokens included.",
                &["issuer", "result"],
            )?,
            refreshes: Family::new(
                COUNTER,
                "scopegate_issuer_refreshes_total",
                "Fetches of the issuer's keys by result.",
                &["issuer", "result"],
            )?,
            connection_errors: Family::new(
                COUNTER,
                "scopegate_connection_errors_total",
                "Client connections that ended in an error, by kind; the parser's own refusals are here.",
                &["kind"],
            )?,
            protocols: Family::new(
                COUNTER,
                "scopegate_connections_protocol_total",
                "Client connections by what is spoken on them.",
                &["protocol"],
            )?,
            requests_open: Family::new(
                GAUGE,
                "scopegate_requests_open",
                "Requests that are being answered.",
                &[],
            )?,
            cache: Family::new(
                COUNTER,
                "scopegate_token_cache_lookups_total",
                "Look-ups of verified tokens by result.",
                &["result"],
            )?,
            reloads: Family::new(
                COUNTER,
                "scopegate_reloads_total",
                "Reloads of the configuration by result.",
                &["result"],
            )?,
            log_dropped: Family::new(
                COUNTER,
                "scopegate_log_dropped_total",
                "Lines of the gateway's own log that were dropped because standard error was not read, or failed.",
                &[],
            )?,
        })
    }
}

impl Collector for Exposition {
    fn desc(&self) -> Vec<&Desc> {
        let f = &self.families;
        let families = [
            &f.requests,
            &f.duration,
            &f.refusals,
            &f.upstream_duration,
            &f.upstream_reused,
            &f.upstream_faults,
            &f.verifications,
            &f.refreshes,
            &f.connection_errors,
            &f.protocols,
            &f.requests_open,
            &f.cache,
            &f.reloads,
            &f.log_dropped,
        ];
        families.map(|family| &family.desc).to_vec()
    }

    /// Collects all families. The registry leaves out those without metrics, and sorts the families
    /// and their metrics.
    fn collect(&self) -> Vec<MetricFamily> {
        let handles = self.handles.lock();
        let (routes, issuers, upstreams) = (&handles.routes, &handles.issuers, &handles.upstreams);
        let (f, gateway) = (&self.families, &self.gateway);
        let requests = routes.iter().flat_map(|(pattern, route)| {
            route
                .totals()
                .map(move |(method, class, total)| ([&**pattern, method, class], total))
        });
        let reused = upstreams
            .iter()
            .map(|(name, upstream)| ([&**name], upstream.reused.total()));
        vec![
            f.requests.counters(requests),
            f.duration.histograms(
                routes
                    .iter()
                    .map(|(pattern, route)| (pattern, route.durations())),
            ),
            f.refusals.rows(
                routes
                    .iter()
                    .map(|(pattern, route)| (pattern, &route.refusals)),
            ),
            f.upstream_duration.histograms(
                upstreams
                    .iter()
                    .map(|(name, upstream)| (name, upstream.duration.total())),
            ),
            f.upstream_reused.counters(reused),
            f.upstream_faults.rows(
                upstreams
                    .iter()
                    .map(|(name, upstream)| (name, &upstream.faults)),
            ),
            f.verifications.rows(
                issuers
                    .iter()
                    .map(|(name, issuer)| (name, &issuer.verifications)),
            ),
            f.refreshes.rows(
                issuers
                    .iter()
                    .map(|(name, issuer)| (name, &issuer.refreshes)),
            ),
            f.connection_errors.row(&gateway.connection_errors),
            f.protocols.row(&gateway.protocols),
            f.requests_open.gauge(gateway.requests.total()),
            f.cache.row(&gateway.cache),
            f.reloads.row(&gateway.reloads),
            f.log_dropped
                .counters([([], EventLog::dropped_of_process())].into_iter()),
        ]
    }
}

/// The name, help text and labels of a metric.
#[derive(Debug)]
struct Family {
    kind: MetricType,
    desc: Desc,
}

impl Family {
    fn new(
        kind: MetricType,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Self, prometheus::Error> {
        let labels = labels.iter().map(ToString::to_string).collect();
        Ok(Self {
            kind,
            desc: Desc::new(name.into(), help.into(), labels, HashMap::new())?,
        })
    }

    fn gauge(&self, value: i64) -> MetricFamily {
        let mut gauge = Gauge::default();
        gauge.set_value(value as f64);
        self.of([Metric::from_gauge(gauge)].into_iter())
    }

    /// Returns counters, one for each pair of a value of the first label and a counted value of the
    /// second.
    fn rows<'a>(&self, rows: impl Iterator<Item = (&'a String, &'a Counters)>) -> MetricFamily {
        let series = |(name, row): (&'a String, &'a Counters)| {
            row.totals()
                .map(move |(value, total)| ([name.as_str(), value], total))
        };
        self.counters(rows.flat_map(series))
    }

    fn row(&self, row: &Counters) -> MetricFamily {
        self.counters(row.totals().map(|(value, total)| ([value], total)))
    }

    fn counters<'a, const N: usize>(
        &self,
        series: impl Iterator<Item = ([&'a str; N], u64)>,
    ) -> MetricFamily {
        self.of(series.map(|(labels, total)| {
            let mut counter = Counter::default();
            counter.set_value(total as f64);
            let mut metric = self.labelled(&labels);
            metric.set_counter(counter);
            metric
        }))
    }

    fn histograms<'a>(
        &self,
        series: impl Iterator<Item = (&'a String, Distribution)>,
    ) -> MetricFamily {
        self.of(series.map(|(name, distribution)| {
            let mut metric = self.labelled(&[name]);
            metric.set_histogram(distribution.to_proto());
            metric
        }))
    }

    /// Returns a metric with the given values of the family's labels, in the order of the labels.
    /// They are shown in the order of their names.
    fn labelled(&self, values: &[&str]) -> Metric {
        debug_assert_eq!(
            values.len(),
            self.desc.variable_labels.len(),
            "{}",
            self.desc.fq_name
        );
        let pairs = self
            .desc
            .variable_labels
            .iter()
            .zip(values)
            .map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name(name.clone());
                pair.set_value((*value).to_owned());
                pair
            });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort();
        Metric::from_label(pairs)
    }

    fn of(&self, metrics: impl Iterator<Item = Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(metrics.collect());
        family
    }
}
