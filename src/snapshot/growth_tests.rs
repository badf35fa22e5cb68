//! What a reload costs grows with the routes, and not with their square.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;

use super::{Parts, Resources, Snapshot};
use crate::config::{Config, Route};
use crate::net::Url;
use crate::route::Pattern;
use crate::telemetry::Metrics;

const TEXT: &str = r#"
[issuers.idp]
issuer = "https://idp.example.com/"
audience = "api"
[upstreams.u]
url = "http://127.0.0.1:1"
[[groups]]
public_url = "https://api.example.com/"
[[groups.routes]]
path = "/x"
upstream = "u"
scopes = "read"
"#;

/// So many routes, each to an upstream and of a resource of its own.
fn config(routes: usize, generation: &str) -> Config {
    let mut config = Config::parse(TEXT, "gateway.toml").unwrap();
    let (upstream, route) = (config.upstreams[0].clone(), config.routes[0].clone());
    let named = |number: usize| Arc::<str>::from(format!("u{number}"));
    let upstreams =
        (0..routes).map(|number| crate::upstream::Settings { name: named(number), ..upstream.clone() });
    let numbered = |number: usize| Route {
        pattern: Pattern::parse(&format!("/{generation}/{number}/{{id}}")).unwrap(),
        upstream: named(number),
        resource: Some(Url::parse(&format!("https://r{number}.example.com/")).unwrap()),
        ..route.clone()
    };
    config.upstreams = upstreams.collect();
    config.routes = (0..routes).map(numbered).collect();
    config
}

/// A part of a reload.
type Work = fn(&Stage);

/// Two configurations of so many routes that have none in common, compiled under the metrics of both.
struct Stage {
    metrics: Metrics,
    before: Snapshot,
    after: Snapshot,
}

impl Stage {
    fn new(routes: usize) -> Self {
        let metrics = Metrics::new(&[], &[]).unwrap();
        let before = Snapshot::compile(config(routes, "before"), &metrics, None).unwrap();
        let after = Snapshot::compile(config(routes, "after"), &metrics, Some(&before)).unwrap();
        Self { metrics, before, after }
    }

    /// Forgets the metrics of one, which are then there again for the next time.
    fn prune(&self) {
        self.after.prune(&self.metrics);
        self.before.routes.iter().for_each(|route| drop(self.metrics.route(&route.label)));
    }

    fn find_resources(&self) {
        assert_eq!(Resources::new(&self.after.config).list.len(), self.after.routes.len());
    }

    /// As each route does that is compiled.
    fn find_parts(&self) {
        let Snapshot { config, verifiers, upstreams, resources, .. } = &self.after;
        let parts = Parts::new(verifiers, upstreams, resources);
        for route in &config.routes {
            let (upstream, resource) = (parts.upstream(&route.upstream), route.resource.as_ref().unwrap());
            assert_eq!(upstream.unwrap().0, parts.resources.position(resource).unwrap());
        }
    }
}

/// Nanoseconds for which this thread runs, whatever else the machine does meanwhile.
fn cost(mut work: impl FnMut()) -> u64 {
    let ran = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let begun = ran();
    work();
    ran() - begun
}

// Ten times a tenth of the routes are as much work as all of them at once, where the work is not the square.
#[test]
fn what_is_done_for_each_route_looks_at_no_other() {
    const FEW: usize = 200;
    const TIMES: usize = 10;
    // Enough for the clock of threads, which ticks every few milliseconds.
    const ROUNDS: usize = 5;
    let (few, many) = (Stage::new(FEW), Stage::new(TIMES * FEW));
    let parts: [(&str, Work); 3] =
        [("metrics", Stage::prune), ("resources", Stage::find_resources), ("names", Stage::find_parts)];
    for (what, work) in parts {
        let apart = cost(|| (0..ROUNDS * TIMES).for_each(|_| work(&few)));
        let at_once = cost(|| (0..ROUNDS).for_each(|_| work(&many)));
        assert!(at_once < 3 * apart, "{what}: {at_once} ns at once, {apart} ns apart");
    }
}
