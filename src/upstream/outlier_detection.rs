//! Outlier detection: an endpoint that fails several times in a row is ejected, and gets no
//! requests for a while.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Endpoint;
use crate::sync::{Mutex, global};

global! {
    /// Locked while it is decided whether an endpoint is ejected: two workers must not eject the
    /// last two endpoints at once. Endpoints stay the same over a reload, upstreams do not.
    static EJECTING: Mutex<()> = Mutex::new(());
}

/// The outlier detection of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// The number of failures in a row that eject an endpoint; 0 turns ejection off.
    pub failures: u32,
    /// The time of the first ejection; the nth in a row lasts n times as long.
    pub time: Duration,
    /// The most endpoints that are ejected at a time, in percent.
    pub max_percent: usize,
}

/// A request to an endpoint whose ejection has ended, which shows whether it has recovered. There
/// is one at a time: the endpoint gets its share of the requests only after it has answered.
#[derive(Debug)]
pub(super) struct HalfOpenProbe(Arc<Endpoint>);

/// The error of a second half-open probe while one is under way, or has just failed.
pub(super) struct ProbeInFlight;

impl HalfOpenProbe {
    /// Begins the half-open probe of an endpoint; `None` if it was not ejected.
    pub(super) fn begin(endpoint: &Arc<Endpoint>) -> Result<Option<Self>, ProbeInFlight> {
        let state = &endpoint.state;
        if !state.is_ejected() {
            return Ok(None);
        }
        if !state.begin_probe() {
            return Err(ProbeInFlight);
        }
        let probe = Self(endpoint.clone());
        // Another probe may have ended since this worker looked: its result counts.
        if !state.is_ejected() {
            return Ok(None);
        }
        if state.is_out() {
            return Err(ProbeInFlight);
        }
        Ok(Some(probe))
    }
}

impl Drop for HalfOpenProbe {
    fn drop(&mut self) {
        self.0.state.end_probe();
    }
}

/// Notes a failure of one of the endpoints in `all`, and ejects it after too many in a row. Returns
/// for how long, if so.
pub(super) fn note_failure(
    rule: &OutlierDetection,
    endpoint: &Endpoint,
    all: &[Arc<Endpoint>],
) -> Option<Duration> {
    let before = endpoint.state.failed(rule.failures)?;
    // The last endpoint is not ejected, whatever the percentage: no endpoint would be left.
    let limit = ((all.len() * rule.max_percent) / 100).min(all.len().saturating_sub(1));
    if limit == 0 {
        return None;
    }
    let _one_at_a_time = EJECTING.lock().unwrap_or_else(PoisonError::into_inner);
    // Unhealthy endpoints are included.
    let out = all.iter().filter(|one| one.state.is_out()).count();
    if out < limit {
        endpoint.state.eject(before, rule.time)
    } else {
        None
    }
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
        assert!(all[0].state.is_available());
        assert_eq!(
            note_failure(&rule(50), &all[0], &all),
            Some(Duration::from_secs(60))
        );
        assert!(!all[0].state.is_available());
        assert!(
            !all[0].state.succeeded(),
            "a late answer does not bring it back"
        );
        assert!(!all[0].state.is_available());
    }

    #[test]
    fn no_more_are_ejected_than_the_cap_and_never_the_last() {
        for (count, percent, expected) in [(4, 50, 2), (3, 100, 2), (1, 100, 0), (3, 10, 0)] {
            let all = endpoints(count);
            for endpoint in all.iter().chain(&all) {
                note_failure(&rule(percent), endpoint, &all);
            }
            let ejected = all.iter().filter(|one| !one.state.is_available()).count();
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
        while !state.ejection_is_over() {
            std::thread::yield_now();
        }
        assert!(state.is_available() && state.is_ejected());
        let probe = HalfOpenProbe::begin(&all[0])
            .ok()
            .flatten()
            .expect("one may try");
        assert!(!state.is_available() && HalfOpenProbe::begin(&all[0]).is_err());
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
}
