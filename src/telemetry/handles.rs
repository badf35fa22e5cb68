//! The metrics of a route, of an issuer, of an upstream: what the other rooms hold and count with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use prometheus::{Gauge, IntCounter, IntGauge};

use super::histogram::{Buckets, Distribution};
use super::sharded::{Apart, Count, Sharded};
use super::{Counter, Counters, Histogram};

/// Methods that get a label of their own; a client can invent others without end.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER",
];

/// The ways in which requests end: with an answer, by the class of its status, or otherwise.
const ENDINGS: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "cut", "left"];

/// Those with an answer.
const CLASSES: usize = 5;

/// The way in which a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a whole answer of this status.
    Answered(u16),
    /// The answer ended early, by the upstream or by the gateway.
    Cut,
    /// The client left before the answer had ended.
    Left,
}

impl Ending {
    /// The index of its label value.
    fn index(self) -> usize {
        match self {
            Self::Answered(status) => usize::from(status / 100).saturating_sub(1).min(CLASSES - 1),
            Self::Cut => CLASSES,
            Self::Left => CLASSES + 1,
        }
    }
}

/// All handles, by the label under which they are shown. What is not here is shown no more; who
/// still holds it counts unseen.
#[derive(Debug, Default)]
pub(super) struct Handles {
    pub(super) routes: BTreeMap<String, Arc<RouteMetrics>>,
    pub(super) issuers: BTreeMap<String, Arc<IssuerMetrics>>,
    pub(super) upstreams: BTreeMap<String, Arc<UpstreamMetrics>>,
}

/// Locked when a configuration is compiled and when metrics are shown, never to count.
#[derive(Debug, Default)]
pub(super) struct SharedHandles(Mutex<Handles>);

impl SharedHandles {
    pub(super) fn lock(&self) -> MutexGuard<'_, Handles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Metrics of one route pattern.
#[derive(Debug)]
pub struct RouteMetrics {
    exchanges: Sharded<Box<Apart<Exchanges>>>,
    pub(super) refusals: Counters,
}

/// A thread's part of what every request of a route counts, in one place: requests by method and
/// ending, and how long they took.
#[derive(Debug, Default)]
struct Exchanges {
    requests: [[Count; ENDINGS.len()]; METHODS.len()],
    duration: Buckets,
}

impl RouteMetrics {
    pub(super) const fn new(reasons: &'static [&'static str]) -> Self {
        Self {
            exchanges: Sharded::new(),
            refusals: Counters::new(reasons),
        }
    }

    /// Records a finished exchange.
    pub fn record(&self, method: &Method, ending: Ending, took: Duration) {
        let (exchanges, writer) = self.exchanges.mine(Box::default);
        let row = exchanges.0.requests.get(method_index(method));
        if let Some(count) = row.and_then(|row| row.get(ending.index())) {
            count.add(1, writer);
        }
        exchanges.0.duration.observe(took, writer);
    }

    /// Counts a refusal by the index of its reason.
    pub fn refused(&self, reason: usize) {
        self.refusals.increment(reason);
    }

    /// Requests by method and ending, as far as there were any.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let mut totals = [[0_u64; ENDINGS.len()]; METHODS.len()];
        for part in self.exchanges.all() {
            for (sum, count) in totals
                .as_flattened_mut()
                .iter_mut()
                .zip(part.0.requests.as_flattened())
            {
                *sum += count.get();
            }
        }
        let rows = METHODS.into_iter().zip(totals);
        let all = rows.flat_map(|(method, row)| {
            ENDINGS
                .into_iter()
                .zip(row)
                .map(move |(e, n)| (method, e, n))
        });
        all.filter(|(.., total)| *total > 0)
    }

    pub(super) fn durations(&self) -> Distribution {
        self.exchanges.all().map(|part| &part.0.duration).collect()
    }
}

/// Metrics of one issuer.
#[derive(Debug)]
pub struct IssuerMetrics {
    /// Token verifications by the index of their verdict; a cached token's counts as well.
    pub verifications: Counters,
    /// Key fetches, by [`IssuerMetrics::REFRESH_RESULTS`].
    pub refreshes: Counters,
    pub(super) keys: IntGauge,
    pub(super) age: Gauge,
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
    pub reused: Counter,
    /// Requests the upstream did not answer, by [`UpstreamMetrics::FAULTS`].
    pub faults: Counters,
    /// Requests that were sent to another endpoint after one had failed.
    pub retries: IntCounter,
    /// Requests that were sent again because the upstream had not processed them.
    pub resent: IntCounter,
    /// Endpoints that were left alone for a while.
    pub ejections: IntCounter,
}

impl UpstreamMetrics {
    /// The label values of `faults`.
    pub const FAULTS: [&'static str; 6] = [
        "connect",
        "timeout",
        "closed",
        "protocol",
        "refused",
        "overloaded",
    ];
}

fn method_index(method: &Method) -> usize {
    let other = METHODS.len() - 1;
    METHODS
        .iter()
        .position(|known| *known == method.as_str())
        .unwrap_or(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASONS: [&str; 2] = ["missing_token", "expired"];

    #[test]
    fn a_route_that_nobody_asks_takes_next_to_no_memory() {
        let idle = RouteMetrics::new(&REASONS);
        assert!(
            size_of::<RouteMetrics>() <= 192,
            "{}",
            size_of::<RouteMetrics>()
        );
        // All that it can allocate are cells.
        assert!(idle.exchanges.is_empty() && idle.refusals.is_empty());
        assert_eq!((idle.totals().count(), idle.durations().count()), (0, 0));
        assert!(
            idle.exchanges.is_empty() && idle.refusals.is_empty(),
            "a scrape makes no cells"
        );

        idle.record(&Method::GET, Ending::Answered(200), Duration::ZERO);
        assert!(!idle.exchanges.is_empty() && idle.refusals.is_empty());
        assert!(
            size_of::<Apart<Exchanges>>() <= 640,
            "{}",
            size_of::<Apart<Exchanges>>()
        );
    }

    #[test]
    fn a_thread_that_has_left_is_still_counted() {
        let route = RouteMetrics::new(&REASONS);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let _seated = crate::telemetry::ShardSlot::reserve().occupy();
                    route.record(
                        &Method::PUT,
                        Ending::Answered(502),
                        Duration::from_millis(1),
                    );
                });
            }
        });
        route.record(
            &Method::PUT,
            Ending::Answered(502),
            Duration::from_millis(1),
        );
        assert!(route.totals().eq([("PUT", "5xx", 4)]));
        assert_eq!(route.durations().count(), 4);
    }
}
