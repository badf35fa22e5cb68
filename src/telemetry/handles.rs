//! The metrics of a route, an issuer or an upstream, which other modules hold and count with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use prometheus::{Gauge, IntCounter, IntGauge};

use super::counters::NamedCounters;
use super::histogram::{Buckets, Distribution};
use super::labels::{EndingLabel, FaultKind, MethodLabel, Refresh, Verification};
use super::sharded::{Apart, Count, Sharded};
use super::{Counter, Counters, Histogram, Label};

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
    fn label(self) -> EndingLabel {
        match self {
            Self::Answered(0..200) => EndingLabel::Informational,
            Self::Answered(200..300) => EndingLabel::Successful,
            Self::Answered(300..400) => EndingLabel::Redirection,
            Self::Answered(400..500) => EndingLabel::ClientError,
            Self::Answered(500..) => EndingLabel::ServerError,
            Self::Cut => EndingLabel::Cut,
            Self::Left => EndingLabel::Left,
        }
    }
}

impl MethodLabel {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
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
    pub(super) refusals: NamedCounters,
}

const METHODS: usize = MethodLabel::NAMES.len();
const ENDINGS: usize = EndingLabel::NAMES.len();

/// One shard of the metrics that every request of a route changes: the requests by method and
/// ending, and their durations.
#[derive(Debug, Default)]
struct Exchanges {
    requests: [[Count; ENDINGS]; METHODS],
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
    pub(super) fn new(reasons: &'static [&'static str]) -> Self {
        Self {
            exchanges: Sharded::new(),
            refusals: NamedCounters::new(reasons),
        }
    }

    /// Counts a finished request.
    pub fn record(&self, method: &Method, ending: Ending, took: Duration) {
        let (exchanges, writer) = self.exchanges.mine(Box::default);
        let row = exchanges.0.requests.get(MethodLabel::of(method).index());
        if let Some(count) = row.and_then(|row| row.get(ending.label().index())) {
            count.add(1, writer);
        }
        exchanges.0.duration.observe(took, writer);
    }

    /// Counts a refusal by its reason.
    pub fn refused(&self, reason: impl Label) {
        self.refusals.increment(reason);
    }

    /// Returns the number of requests by method and ending, without those that are 0.
    pub(super) fn totals(&self) -> Vec<RequestTotal> {
        let mut sums = [[0_u64; ENDINGS]; METHODS];
        for shard in self.exchanges.all() {
            for (row, counts) in sums.iter_mut().zip(&shard.0.requests) {
                for (sum, count) in row.iter_mut().zip(counts) {
                    *sum += count.get();
                }
            }
        }
        let mut totals = Vec::new();
        for (method, row) in MethodLabel::NAMES.iter().zip(sums) {
            for (ending, total) in EndingLabel::NAMES.iter().zip(row) {
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
    /// Token verifications by result; those of cached tokens are included.
    pub verifications: Counters<Verification>,
    /// Fetches of the keys by result.
    pub refreshes: Counters<Refresh>,
    /// Keys after the first that were tried for tokens without a `kid`.
    pub further_keys: IntCounter,
    pub(super) keys: IntGauge,
    pub(super) age: Gauge,
}

impl IssuerMetrics {
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
    /// Requests that the upstream did not answer, by kind of fault.
    pub faults: Counters<FaultKind>,
    /// Requests that were sent to another endpoint after one had failed.
    pub retries: IntCounter,
    /// Requests that were sent again because the upstream had not processed them.
    pub resent: IntCounter,
    /// Ejections of endpoints.
    pub ejections: IntCounter,
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
