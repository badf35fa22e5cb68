//! The metrics of a route, an issuer or an upstream, which other modules hold and count with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use prometheus::{Gauge, IntCounter, IntGauge};

use super::histogram::{Buckets, Distribution};
use super::sharded::{Apart, Count, Sharded};
use super::{Counter, Counters, Histogram, Label};

/// The methods with a label of their own; a client can invent any number of others.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER",
];

/// The label values of [`Ending`]: the class of the status of a complete response, or the reason
/// for an incomplete one.
const ENDINGS: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "cut", "left"];

/// The number of status classes.
const CLASSES: usize = 5;

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The response with this status was complete.
    Answered(u16),
    /// The upstream or the gateway ended the response early.
    Cut,
    /// The client closed the connection or the stream before the end of the response.
    Left,
}

impl Ending {
    /// Returns the index of its label value.
    fn index(self) -> usize {
        match self {
            Self::Answered(status) => usize::from(status / 100).saturating_sub(1).min(CLASSES - 1),
            Self::Cut => CLASSES,
            Self::Left => CLASSES + 1,
        }
    }
}

/// All handles, by the label under which they are shown. A handle that was removed is not shown any
/// more; counting with it has no visible effect.
#[derive(Debug, Default)]
pub(super) struct Handles {
    pub(super) routes: BTreeMap<String, Arc<RouteMetrics>>,
    pub(super) issuers: BTreeMap<String, Arc<IssuerMetrics>>,
    pub(super) upstreams: BTreeMap<String, Arc<UpstreamMetrics>>,
}

/// The handles with a lock. It is taken when a configuration is compiled and when the metrics are
/// shown, but not for counting.
#[derive(Debug, Default)]
pub(super) struct SharedHandles(Mutex<Handles>);

impl SharedHandles {
    pub(super) fn lock(&self) -> MutexGuard<'_, Handles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The metrics of one route pattern.
#[derive(Debug)]
pub struct RouteMetrics {
    exchanges: Sharded<Box<Apart<Exchanges>>>,
    pub(super) refusals: Counters,
}

/// One shard of the metrics that every request of a route changes: the requests by method and
/// ending, and their durations.
#[derive(Debug, Default)]
struct Exchanges {
    requests: [[Count; ENDINGS.len()]; METHODS.len()],
    duration: Buckets,
}

/// The number of requests of a route with one method and one ending.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestTotal {
    pub(super) method: &'static str,
    pub(super) ending: &'static str,
    pub(super) total: u64,
}

impl RouteMetrics {
    pub(super) const fn new(reasons: &'static [&'static str]) -> Self {
        Self {
            exchanges: Sharded::new(),
            refusals: Counters::new(reasons),
        }
    }

    /// Counts a finished request.
    pub fn record(&self, method: &Method, ending: Ending, took: Duration) {
        let (exchanges, writer) = self.exchanges.mine(Box::default);
        let row = exchanges.0.requests.get(method_index(method));
        if let Some(count) = row.and_then(|row| row.get(ending.index())) {
            count.add(1, writer);
        }
        exchanges.0.duration.observe(took, writer);
    }

    /// Counts a refusal by its reason.
    pub fn refused(&self, reason: impl Label) {
        self.refusals.increment(reason.index());
    }

    /// Returns the number of requests by method and ending, without those that are 0.
    pub(super) fn totals(&self) -> Vec<RequestTotal> {
        let mut sums = [[0_u64; ENDINGS.len()]; METHODS.len()];
        for shard in self.exchanges.all() {
            for (row, counts) in sums.iter_mut().zip(&shard.0.requests) {
                for (sum, count) in row.iter_mut().zip(counts) {
                    *sum += count.get();
                }
            }
        }
        let mut totals = Vec::new();
        for (method, row) in METHODS.into_iter().zip(sums) {
            for (ending, total) in ENDINGS.into_iter().zip(row) {
                if total > 0 {
                    totals.push(RequestTotal {
                        method,
                        ending,
                        total,
                    });
                }
            }
        }
        totals
    }

    pub(super) fn durations(&self) -> Distribution {
        self.exchanges.all().map(|part| &part.0.duration).collect()
    }
}

/// The metrics of one issuer.
#[derive(Debug)]
pub struct IssuerMetrics {
    /// Token verifications by the index of their verdict; those of cached tokens are included.
    pub verifications: Counters,
    /// Fetches of the keys, by [`IssuerMetrics::REFRESH_RESULTS`].
    pub refreshes: Counters,
    pub(super) keys: IntGauge,
    pub(super) age: Gauge,
}

impl IssuerMetrics {
    /// The label values of `refreshes`.
    pub const REFRESH_RESULTS: [&'static str; 2] = ["success", "failure"];

    /// Sets the number of usable keys, and the time since they were last fetched.
    pub fn set_keys(&self, keys: usize, age: Option<Duration>) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.age.set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
    }
}

/// The metrics of one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// The time from sending a request to the head of its response.
    pub duration: Histogram,
    /// Connections that are open now, idle ones included.
    pub open: IntGauge,
    /// Connections that were opened.
    pub opened: IntCounter,
    /// Requests that were sent on a connection that was already open.
    pub reused: Counter,
    /// Requests that the upstream did not answer, by [`UpstreamMetrics::FAULTS`].
    pub faults: Counters,
    /// Requests that were sent to another endpoint after one had failed.
    pub retries: IntCounter,
    /// Requests that were sent again because the upstream had not processed them.
    pub resent: IntCounter,
    /// Ejections of endpoints.
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
        // It allocates nothing but shards.
        assert!(idle.exchanges.is_empty() && idle.refusals.is_empty());
        assert_eq!((idle.totals().len(), idle.durations().count()), (0, 0));
        assert!(
            idle.exchanges.is_empty() && idle.refusals.is_empty(),
            "a scrape creates no shards"
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
                    let _guard = crate::telemetry::ShardSlot::reserve().occupy();
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
        let expected = RequestTotal {
            method: "PUT",
            ending: "5xx",
            total: 4,
        };
        assert_eq!(route.totals(), [expected]);
        assert_eq!(route.durations().count(), 4);
    }
}
