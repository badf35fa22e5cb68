//! Endpoints that fail are left alone for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Endpoint;
use crate::clock;

/// No endpoint is left alone for longer, however often it failed.
const LONGEST: Duration = Duration::from_secs(300);

/// When an endpoint is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Failures in a row; never when 0.
    pub failures: u32,
    /// For how long the first time; n times as long the nth time in a row.
    pub time: Duration,
    /// How many of the endpoints at most, in percent.
    pub max_percent: usize,
}

/// How an endpoint does, as all workers see it. A worker writes here only when something changes:
/// an endpoint that answers costs no more than a read.
#[derive(Debug)]
pub(super) struct EndpointState {
    began: Instant,
    failures: AtomicU32,
    /// Milliseconds since `began`; 0 for one that was not ejected since it last answered.
    ejected_until: AtomicU64,
    ejections: AtomicU32,
    /// Whether a request is under way that shows whether it has recovered.
    tried: AtomicBool,
    /// What the probes say.
    unhealthy: AtomicBool,
}

/// A request to an endpoint that was ejected, which shows whether it has recovered. There is one at
/// a time: an endpoint that comes back gets its share when it has answered, not to see whether it
/// does.
#[derive(Debug)]
pub(super) struct HalfOpenProbe(Arc<Endpoint>);

/// Another request is such a trial.
pub(super) struct ProbeInFlight;

impl HalfOpenProbe {
    /// For a request to this endpoint; `None` where there is nothing to be shown.
    pub(super) fn begin(endpoint: &Arc<Endpoint>) -> Result<Option<Self>, ProbeInFlight> {
        let state = &endpoint.state;
        if !state.is_ejected() {
            return Ok(None);
        }
        if state.tried.swap(true, Ordering::Relaxed) {
            Err(ProbeInFlight)
        } else {
            Ok(Some(Self(endpoint.clone())))
        }
    }
}

impl Drop for HalfOpenProbe {
    fn drop(&mut self) {
        self.0.state.tried.store(false, Ordering::Relaxed);
    }
}

impl EndpointState {
    pub(super) fn new() -> Self {
        Self {
            began: clock::monotonic(),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            tried: AtomicBool::new(false),
            unhealthy: AtomicBool::new(false),
        }
    }

    /// Whether it may be asked.
    pub(super) fn is_fit(&self) -> bool {
        !self.is_left_alone() && !self.tried.load(Ordering::Relaxed)
    }

    /// Whether it is to get nothing, not even a trial.
    fn is_left_alone(&self) -> bool {
        !self.is_healthy() || !self.is_back()
    }

    /// Whether it was ejected, and has not answered since it is back.
    pub(super) fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Relaxed) != 0
    }

    /// Whether its probes succeed; as long as there are none, they do.
    pub(super) fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        self.unhealthy.store(!healthy, Ordering::Relaxed);
    }

    /// Whether it is not ejected now. The clock is read only for one that was.
    fn is_back(&self) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until == 0 || self.millis(clock::monotonic()) >= until
    }

    /// Notes an answer. Whether it ended the consequences of an ejection.
    pub(super) fn succeeded(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        // An answer that was under way when it was ejected does not bring it back.
        if self.ejected_until.load(Ordering::Relaxed) == 0 || !self.is_back() {
            return false;
        }
        self.ejections.store(0, Ordering::Relaxed);
        self.ejected_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Notes a failure. Whether there were so many now that it is to be ejected; once it came back,
    /// one is enough.
    fn failed(&self, limit: u32) -> bool {
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        limit > 0
            && self.is_back()
            && (failures >= limit || self.ejections.load(Ordering::Relaxed) > 0)
    }

    fn eject(&self, time: Duration) -> Duration {
        let times = self
            .ejections
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let time = time.saturating_mul(times).min(LONGEST.max(time));
        self.failures.store(0, Ordering::Relaxed);
        self.ejected_until.store(
            self.millis(clock::monotonic() + time).max(1),
            Ordering::Relaxed,
        );
        time
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Notes a failure of one of `all`, and ejects it if there were too many. For how long, if so.
pub(super) fn note_failure(
    rule: &OutlierDetection,
    endpoint: &Endpoint,
    all: &[Arc<Endpoint>],
) -> Option<Duration> {
    if !endpoint.state.failed(rule.failures) {
        return None;
    }
    // Those that are unhealthy are among them.
    let ejected = all.iter().filter(|one| one.state.is_left_alone()).count();
    // The last one stays, whatever the percentage: there would be nobody left to ask.
    let room = ((all.len() * rule.max_percent) / 100).min(all.len().saturating_sub(1));
    (ejected < room).then(|| endpoint.state.eject(rule.time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Url;

    fn endpoints(count: usize) -> Vec<Arc<Endpoint>> {
        let endpoint = |n| {
            Arc::new(Endpoint::new(
                Url::parse(&format!("http://10.0.0.{n}/")).unwrap(),
            ))
        };
        (1..=count).map(endpoint).collect()
    }

    fn rule(max_percent: usize) -> OutlierDetection {
        OutlierDetection {
            failures: 2,
            time: Duration::from_secs(60),
            max_percent,
        }
    }

    #[test]
    fn failures_in_a_row_eject_and_an_answer_between_them_does_not() {
        let all = endpoints(2);
        assert_eq!(note_failure(&rule(50), &all[0], &all), None);
        assert!(!all[0].state.succeeded());
        assert_eq!(note_failure(&rule(50), &all[0], &all), None);
        assert!(all[0].state.is_fit());
        assert_eq!(
            note_failure(&rule(50), &all[0], &all),
            Some(Duration::from_secs(60))
        );
        assert!(!all[0].state.is_fit());
        assert!(
            !all[0].state.succeeded(),
            "a late answer does not bring it back"
        );
        assert!(!all[0].state.is_fit());
    }

    #[test]
    fn no_more_are_ejected_than_the_cap_and_never_the_last() {
        for (count, percent, expected) in [(4, 50, 2), (3, 100, 2), (1, 100, 0), (3, 10, 0)] {
            let all = endpoints(count);
            for endpoint in all.iter().chain(&all) {
                note_failure(&rule(percent), endpoint, &all);
            }
            let ejected = all.iter().filter(|one| !one.state.is_fit()).count();
            assert_eq!(ejected, expected, "{count} at {percent}%");
        }
    }

    #[test]
    fn an_endpoint_that_comes_back_is_tried_by_one_request_at_a_time() {
        let all = endpoints(2);
        let rule = OutlierDetection {
            failures: 1,
            time: Duration::from_nanos(1),
            max_percent: 50,
        };
        let state = &all[0].state;
        assert!(
            matches!(HalfOpenProbe::begin(&all[0]), Ok(None)),
            "it did not fail yet"
        );
        assert!(note_failure(&rule, &all[0], &all).is_some());
        while !state.is_back() {
            std::thread::yield_now();
        }
        assert!(state.is_fit() && state.is_ejected());
        let probe = HalfOpenProbe::begin(&all[0])
            .ok()
            .flatten()
            .expect("one may try");
        assert!(!state.is_fit() && HalfOpenProbe::begin(&all[0]).is_err());
        drop(probe);
        let _trial = HalfOpenProbe::begin(&all[0])
            .ok()
            .flatten()
            .expect("another may");
        assert!(
            note_failure(&rule, &all[0], &all).is_some(),
            "one that fails its trial is left alone again"
        );
        while !state.succeeded() {
            std::thread::yield_now();
        }
        assert!(
            matches!(HalfOpenProbe::begin(&all[0]), Ok(None)),
            "it answered"
        );
    }

    #[test]
    fn repeated_ejections_grow_up_to_a_bound() {
        let state = EndpointState::new();
        let minute = Duration::from_secs(60);
        let times: Vec<_> = (0..7).map(|_| state.eject(minute).as_secs() / 60).collect();
        assert_eq!(times, [1, 2, 3, 4, 5, 5, 5]);
    }
}
