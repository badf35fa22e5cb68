//! The registry of the Prometheus metrics.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use prometheus::{Registry, TextEncoder};

use super::exposition::{Exposition, ShardedFamilies};
use super::families::{Families, int_gauges};
use super::handles::SharedHandles;
use super::{
    Counter, Counters, GatewayMetrics, Histogram, IssuerMetrics, RouteMetrics, UpstreamMetrics,
};

/// Every metric of the process. Handles for a route, an issuer or an upstream are resolved when a
/// snapshot is compiled, and stay the same across reloads.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    reasons: &'static [&'static str],
    handles: Arc<SharedHandles>,
    /// The metrics that belong to no route, issuer or upstream.
    pub gateway: Arc<GatewayMetrics>,
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
    /// Creates all metrics, with the closed list of the reasons of refusals.
    ///
    /// # Errors
    /// If a metric is defined twice, which a test would show.
    pub fn new(reasons: &'static [&'static str]) -> Result<Self, prometheus::Error> {
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
            verifications: Counters::new(),
            refreshes: Counters::new(),
            further_keys: self.families.further_keys.with_label_values(&[name]),
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
            faults: Counters::new(),
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

fn entry<T>(map: &mut BTreeMap<String, Arc<T>>, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
    map.entry(name.to_owned())
        .or_insert_with(|| Arc::new(make()))
        .clone()
}
