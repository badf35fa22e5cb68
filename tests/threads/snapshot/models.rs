use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::Snapshot;
use super::live::{InForce, Live};
use crate::Model;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "a_worker_gets_every_swap_and_never_an_earlier_one",
        switches: None,
        steps: a_worker_gets_every_swap_and_never_an_earlier_one,
    },
    Model {
        name: "a_request_after_a_reload_is_judged_by_its_snapshot",
        switches: Some(3),
        steps: a_request_after_a_reload_is_judged_by_its_snapshot,
    },
];

/// A worker that keeps a snapshot from one request to the next, as `proxy::Worker` does.
struct Worker {
    live: Arc<Live>,
    current: InForce,
}

impl Worker {
    fn new(live: &Arc<Live>) -> Self {
        Self {
            live: live.clone(),
            current: live.in_force(),
        }
    }

    /// Returns the snapshot that the next request is judged by.
    fn next_request(&mut self) -> u64 {
        if let Some(next) = self.live.newer_than(self.current.generation) {
            self.current = next;
        }
        self.current.snapshot.0
    }
}

/// A worker starts and serves while the control thread swaps twice. Its requests see snapshots in their order, and the
/// last one when there are no swaps any more.
fn a_worker_gets_every_swap_and_never_an_earlier_one() {
    let live = Arc::new(Live::new(Snapshot(0)));
    let swapped = live.clone();
    let control = thread::spawn(move || {
        swapped.swap(Snapshot(1));
        swapped.swap(Snapshot(2));
    });
    let mut worker = Worker::new(&live);
    let first = worker.next_request();
    let second = worker.next_request();
    control.join().unwrap();
    assert!(first <= second, "{second} after {first}");
    assert_eq!(worker.next_request(), 2);
    assert_eq!(live.load().0, 2);
}

/// Two workers serve while one snapshot is swapped. A request that begins after the reload was reported is judged by it.
fn a_request_after_a_reload_is_judged_by_its_snapshot() {
    let live = Arc::new(Live::new(Snapshot(0)));
    let is_reported = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for _ in 0..2 {
        let (live, is_reported) = (live.clone(), is_reported.clone());
        workers.push(thread::spawn(move || {
            let mut worker = Worker::new(&live);
            let is_after = is_reported.load(Ordering::Acquire);
            let judged_by = worker.next_request();
            assert!(
                !is_after || judged_by == 1,
                "the request came after the reload"
            );
        }));
    }
    live.swap(Snapshot(1));
    is_reported.store(true, Ordering::Release);
    for worker in workers {
        worker.join().unwrap();
    }
}
