use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::connection_limit::ConnectionLimit;
use super::outlier_detection::{HalfOpenProbe, OutlierDetection, note_failure};
use super::request_limit::RequestPermit;
use super::{Endpoint, Settings, Upstream};
use crate::{Model, clock};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "a_lower_limit_of_connections_is_kept",
        switches: None,
        steps: a_lower_limit_of_connections_is_kept,
    },
    Model {
        name: "connections_that_end_while_the_limit_changes_are_counted_once",
        switches: None,
        steps: connections_that_end_while_the_limit_changes_are_counted_once,
    },
    Model {
        name: "a_request_is_refused_only_if_others_are_under_way",
        switches: None,
        steps: a_request_is_refused_only_if_others_are_under_way,
    },
    Model {
        name: "workers_never_eject_the_last_endpoint",
        switches: None,
        steps: workers_never_eject_the_last_endpoint,
    },
    Model {
        name: "failures_at_one_time_eject_once",
        switches: None,
        steps: failures_at_one_time_eject_once,
    },
    Model {
        name: "an_answer_does_not_end_an_ejection_that_begins",
        switches: None,
        steps: an_answer_does_not_end_an_ejection_that_begins,
    },
    Model {
        name: "one_request_tries_an_endpoint_after_an_ejection",
        switches: None,
        steps: one_request_tries_an_endpoint_after_an_ejection,
    },
];

const MINUTE: Duration = Duration::from_secs(60);

fn rule() -> OutlierDetection {
    OutlierDetection {
        failures: 1,
        time: MINUTE,
        max_percent: 100,
    }
}

fn endpoints(count: usize) -> Arc<[Arc<Endpoint>]> {
    let all = (0..count).map(|_| Arc::new(Endpoint::new(())));
    all.collect()
}

/// Two connections are open when a reload lowers the limit to one, and one of them ends at any time. While the other is open
/// there is no permit for another.
fn a_lower_limit_of_connections_is_kept() {
    let limit = ConnectionLimit::new(2);
    let (one, other) = (limit.try_acquire().unwrap(), limit.try_acquire().unwrap());
    let control = {
        let limit = limit.clone();
        thread::spawn(move || limit.set_limit(1))
    };
    let worker = thread::spawn(move || drop(one));
    control.join().unwrap();
    worker.join().unwrap();
    assert!(limit.try_acquire().is_none(), "one is open and one may be");
    drop(other);
    assert_eq!(free(&limit), 1);
}

/// Reloads lower and raise the limit while a connection ends and another begins: in the end there are as many permits as the
/// limit says.
fn connections_that_end_while_the_limit_changes_are_counted_once() {
    let limit = ConnectionLimit::new(2);
    let open = limit.try_acquire().unwrap();
    let (reloaded, dialling) = (limit.clone(), limit.clone());
    let control = thread::spawn(move || {
        reloaded.set_limit(1);
        reloaded.set_limit(3);
    });
    let closing = thread::spawn(move || drop(open));
    let opened = dialling.try_acquire();
    control.join().unwrap();
    closing.join().unwrap();
    assert_eq!(free(&limit), 3 - usize::from(opened.is_some()));
    drop(opened);
    assert_eq!(free(&limit), 3);
}

/// Returns how many connections may be opened.
fn free(limit: &Arc<ConnectionLimit>) -> usize {
    let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire()).collect();
    permits.len()
}

/// One request is under way, as many as may be. While another comes at any time, it ends, and a third one comes: that one is
/// refused only if the other is under way.
fn a_request_is_refused_only_if_others_are_under_way() {
    let upstream = Arc::new(Upstream {
        settings: Settings {
            max_requests: Some(1),
        },
        connection_limit: ConnectionLimit::new(1),
    });
    let first = RequestPermit::of(&upstream).unwrap();
    let under_way = Arc::new(AtomicUsize::new(1));
    let (asked, others) = (upstream.clone(), under_way.clone());
    let worker = thread::spawn(move || {
        let permit = RequestPermit::of(&asked);
        if permit.is_ok() {
            assert_eq!(others.fetch_add(1, Ordering::Relaxed), 0);
            others.fetch_sub(1, Ordering::Relaxed);
        }
        permit.is_ok()
    });
    under_way.fetch_sub(1, Ordering::Relaxed);
    drop(first);
    let third = RequestPermit::of(&upstream).is_ok();
    assert!(worker.join().unwrap() || third, "none was under way");
    assert!(RequestPermit::of(&upstream).is_ok());
}

/// Two workers see failures of the two endpoints at the same time.
fn workers_never_eject_the_last_endpoint() {
    let all = endpoints(2);
    let other = all.clone();
    let worker = thread::spawn(move || note_failure(&rule(), &other[1], &other));
    let first = note_failure(&rule(), &all[0], &all);
    let second = worker.join().unwrap();
    assert!(first.is_some() != second.is_some(), "{first:?} {second:?}");
    let available = all.iter().filter(|one| one.state.is_available()).count();
    assert_eq!(available, 1);
}

/// Two workers see failures of one endpoint at the same time: it is ejected once, and for the time of the first ejection.
fn failures_at_one_time_eject_once() {
    let all = endpoints(3);
    let other = all.clone();
    let worker = thread::spawn(move || note_failure(&rule(), &other[0], &other));
    let first = note_failure(&rule(), &all[0], &all);
    let second = worker.join().unwrap();
    assert_eq!(
        [first, second].into_iter().flatten().collect::<Vec<_>>(),
        [MINUTE]
    );
}

/// The time of an ejection is over. One worker gets an answer while another sees a failure: either the answer is the earlier,
/// and the failure begins to count anew, or the failure ejects the endpoint again, for twice as long.
fn an_answer_does_not_end_an_ejection_that_begins() {
    let all = endpoints(2);
    note_failure(&rule(), &all[0], &all).unwrap();
    clock::set(60_000);
    let other = all.clone();
    let worker = thread::spawn(move || other[0].state.succeeded());
    let ejected = note_failure(&rule(), &all[0], &all);
    let is_back = worker.join().unwrap();
    match ejected {
        Some(time) if is_back => assert_eq!(time, MINUTE, "it had answered"),
        Some(time) => assert_eq!(time, 2 * MINUTE, "it had not answered"),
        None => assert!(is_back, "it was neither ejected nor did it answer"),
    }
    assert_eq!(all[0].state.is_available(), ejected.is_none());
}

/// Two workers find an endpoint whose ejection is over. The one that tries it sees it fail: the other does not try it as well,
/// neither at the same time nor after.
fn one_request_tries_an_endpoint_after_an_ejection() {
    let all = endpoints(2);
    note_failure(&rule(), &all[0], &all).unwrap();
    clock::set(60_000);
    let other = all.clone();
    let worker = thread::spawn(move || try_first(&other));
    let tried = usize::from(try_first(&all)) + usize::from(worker.join().unwrap());
    assert_eq!(tried, 1);
    assert!(!all[0].state.is_available());
}

/// Sends a request to the first endpoint, if it may get one. It fails.
fn try_first(all: &[Arc<Endpoint>]) -> bool {
    let endpoint = &all[0];
    if !endpoint.state.is_available() {
        return false;
    }
    let Ok(Some(_probe)) = HalfOpenProbe::begin(endpoint) else {
        return false;
    };
    assert!(note_failure(&rule(), endpoint, all).is_some());
    true
}
