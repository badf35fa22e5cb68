//! The Prometheus exposition of the metrics that are kept in sharded counters.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::handles::{Handles, SharedHandles};
use super::histogram::Distribution;
use super::{EventLog, GatewayMetrics};

/// A collector that adds up the shards when the registry gathers the metrics.
#[derive(Debug)]
pub(super) struct Exposition {
    pub(super) handles: Arc<SharedHandles>,
    pub(super) gateway: Arc<GatewayMetrics>,
    pub(super) families: ShardedFamilies,
}

/// The names, help texts and labels of the metrics.
#[derive(Debug)]
pub(super) struct ShardedFamilies {
    requests: Family,
    duration: Family,
    refusals: Family,
    upstream_duration: Family,
    upstream_reused: Family,
    upstream_faults: Family,
    verifications: Family,
    refreshes: Family,
    connection_errors: Family,
    refused_streams: Family,
    departures: Family,
    protocols: Family,
    requests_open: Family,
    cache: Family,
    reloads: Family,
    log_dropped: Family,
}

impl ShardedFamilies {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        use MetricType::{COUNTER, GAUGE, HISTOGRAM};
        Ok(Self {
            requests: Family::new(
                COUNTER,
                "scopegate_requests_total",
                "Requests by route pattern, method and status class; `cut`: the response ended \
                 early, `left`: the client did not wait for its end.",
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
                "Requests that were sent on a connection that was already open.",
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
                "Client connections that ended in an error, by reason; requests that the parser \
                 refuses are included.",
                &["reason"],
            )?,
            refused_streams: Family::new(
                COUNTER,
                "scopegate_http2_streams_refused_total",
                "HTTP/2 streams that the parser refused, by reason.",
                &["reason"],
            )?,
            departures: Family::new(
                COUNTER,
                "scopegate_clients_left_total",
                "Requests whose client left before the end of the answer, by the moment.",
                &["reason"],
            )?,
            protocols: Family::new(
                COUNTER,
                "scopegate_connections_protocol_total",
                "Client connections by protocol.",
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
                "Look-ups of verified tokens by result, of requests that were forwarded.",
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
                "Lines of the gateway's own log that were dropped because standard error was not \
                 read, or failed.",
                &[],
            )?,
        })
    }
}

impl Collector for Exposition {
    fn desc(&self) -> Vec<&Desc> {
        let families = &self.families;
        vec![
            &families.requests.desc,
            &families.duration.desc,
            &families.refusals.desc,
            &families.upstream_duration.desc,
            &families.upstream_reused.desc,
            &families.upstream_faults.desc,
            &families.verifications.desc,
            &families.refreshes.desc,
            &families.connection_errors.desc,
            &families.refused_streams.desc,
            &families.departures.desc,
            &families.protocols.desc,
            &families.requests_open.desc,
            &families.cache.desc,
            &families.reloads.desc,
            &families.log_dropped.desc,
        ]
    }

    /// Collects all families. The registry leaves out those without metrics, and sorts the families
    /// and their metrics.
    fn collect(&self) -> Vec<MetricFamily> {
        let handles = self.handles.lock();
        let mut collected = Vec::new();
        self.collect_routes(&handles, &mut collected);
        self.collect_issuers(&handles, &mut collected);
        self.collect_upstreams(&handles, &mut collected);
        self.collect_gateway(&mut collected);
        collected
    }
}

impl Exposition {
    fn collect_routes(&self, handles: &Handles, collected: &mut Vec<MetricFamily>) {
        let (mut requests, mut durations, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        let families = &self.families;
        for (pattern, route) in &handles.routes {
            for row in route.totals() {
                let labels = [pattern, row.method, row.ending];
                requests.push(families.requests.counter(&labels, row.total));
            }
            durations.push(families.duration.histogram(pattern, &route.durations()));
            families
                .refusals
                .count(pattern, route.refusals.totals(), &mut refusals);
        }
        collected.push(families.requests.of(requests));
        collected.push(families.duration.of(durations));
        collected.push(families.refusals.of(refusals));
    }

    fn collect_issuers(&self, handles: &Handles, collected: &mut Vec<MetricFamily>) {
        let (mut verifications, mut refreshes) = (Vec::new(), Vec::new());
        let families = &self.families;
        for (name, issuer) in &handles.issuers {
            families
                .verifications
                .count(name, issuer.verifications.totals(), &mut verifications);
            families
                .refreshes
                .count(name, issuer.refreshes.totals(), &mut refreshes);
        }
        collected.push(families.verifications.of(verifications));
        collected.push(families.refreshes.of(refreshes));
    }

    fn collect_upstreams(&self, handles: &Handles, collected: &mut Vec<MetricFamily>) {
        let (mut durations, mut reused, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        let families = &self.families;
        for (name, upstream) in &handles.upstreams {
            let duration = upstream.duration.total();
            durations.push(families.upstream_duration.histogram(name, &duration));
            reused.push(
                families
                    .upstream_reused
                    .counter(&[name], upstream.reused.total()),
            );
            families
                .upstream_faults
                .count(name, upstream.faults.totals(), &mut faults);
        }
        collected.push(families.upstream_duration.of(durations));
        collected.push(families.upstream_reused.of(reused));
        collected.push(families.upstream_faults.of(faults));
    }

    fn collect_gateway(&self, collected: &mut Vec<MetricFamily>) {
        let gateway = &self.gateway;
        let families = &self.families;
        collected.push(
            families
                .connection_errors
                .counters(gateway.connection_errors.totals()),
        );
        let refused = gateway.refused_streams.totals();
        collected.push(families.refused_streams.counters(refused));
        collected.push(families.departures.counters(gateway.departures.totals()));
        collected.push(families.protocols.counters(gateway.protocols.totals()));
        collected.push(families.requests_open.gauge(gateway.requests.total()));
        collected.push(families.cache.counters(gateway.cache.totals()));
        collected.push(families.reloads.counters(gateway.reloads.totals()));
        let dropped = EventLog::dropped_of_process();
        let dropped = families.log_dropped.counter(&[], dropped);
        collected.push(families.log_dropped.of(vec![dropped]));
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
        self.of(vec![Metric::from_gauge(gauge)])
    }

    /// Returns the family of counters that have one label.
    fn counters(&self, totals: impl Iterator<Item = (&'static str, u64)>) -> MetricFamily {
        let mut metrics = Vec::new();
        for (value, total) in totals {
            metrics.push(self.counter(&[value], total));
        }
        self.of(metrics)
    }

    /// Adds a counter for each value that was counted. `first` is the value of the first label.
    fn count(
        &self,
        first: &str,
        totals: impl Iterator<Item = (&'static str, u64)>,
        metrics: &mut Vec<Metric>,
    ) {
        for (value, total) in totals {
            metrics.push(self.counter(&[first, value], total));
        }
    }

    fn counter(&self, labels: &[&str], total: u64) -> Metric {
        let mut counter = Counter::default();
        counter.set_value(total as f64);
        let mut metric = self.labelled(labels);
        metric.set_counter(counter);
        metric
    }

    fn histogram(&self, label: &str, distribution: &Distribution) -> Metric {
        let mut metric = self.labelled(&[label]);
        metric.set_histogram(distribution.to_proto());
        metric
    }

    /// Returns a metric with the given values of the family's labels, in the order of the labels.
    /// They are shown in the order of their names.
    fn labelled(&self, values: &[&str]) -> Metric {
        let names = &self.desc.variable_labels;
        debug_assert_eq!(values.len(), names.len(), "{}", self.desc.fq_name);
        let mut pairs = Vec::with_capacity(values.len());
        for (name, value) in names.iter().zip(values) {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value((*value).to_owned());
            pairs.push(pair);
        }
        pairs.sort();
        Metric::from_label(pairs)
    }

    fn of(&self, metrics: Vec<Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(metrics);
        family
    }
}
