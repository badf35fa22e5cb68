use std::sync::Arc;

use loom::thread;

use super::counters::{Counter, Counters, Gauge};
use super::{CacheResult, ShardSlot};
use crate::Model;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "every_count_is_in_the_sum",
        switches: None,
        steps: every_count_is_in_the_sum,
    },
    Model {
        name: "threads_without_a_slot_share_a_shard",
        switches: None,
        steps: threads_without_a_slot_share_a_shard,
    },
    Model {
        name: "a_slot_goes_to_the_next_thread_with_its_counts",
        switches: Some(3),
        steps: a_slot_goes_to_the_next_thread_with_its_counts,
    },
    Model {
        name: "a_request_that_ends_elsewhere_is_counted_once",
        switches: None,
        steps: a_request_that_ends_elsewhere_is_counted_once,
    },
];

/// Two workers come, count and go while a scrape adds up. The scrape sees a part of the counts, and the next one all.
fn every_count_is_in_the_sum() {
    let counter = Arc::new(Counter::new());
    let mut workers = Vec::new();
    for slot in [ShardSlot::reserve(), ShardSlot::reserve()] {
        let counter = counter.clone();
        workers.push(thread::spawn(move || {
            let _guard = slot.occupy();
            counter.inc();
            counter.inc();
        }));
    }
    let first = counter.total();
    let second = counter.total();
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(first <= second, "a scrape sees {second} after {first}");
    assert_eq!(counter.total(), 4);
}

/// A worker, and two threads that are none, count the values of a label.
fn threads_without_a_slot_share_a_shard() {
    let counters = Arc::new(Counters::new());
    let slot = ShardSlot::reserve();
    let (one, other) = (counters.clone(), counters.clone());
    let worker = thread::spawn(move || {
        let _guard = slot.occupy();
        one.increment(CacheResult::Miss);
    });
    let thread = thread::spawn(move || other.increment(CacheResult::Miss));
    counters.increment(CacheResult::Miss);
    worker.join().unwrap();
    thread.join().unwrap();
    let total: u64 = counters.totals().map(|(_, total)| total).sum();
    assert_eq!(total, 3);
}

/// A slot is free when two workers of two gateways reserve, count and go, each at any time: the second may get the slot of the
/// first, or its own.
fn a_slot_goes_to_the_next_thread_with_its_counts() {
    drop(ShardSlot::reserve());
    let counter = Arc::new(Counter::new());
    let mut workers = Vec::new();
    for _ in 0..2 {
        let counter = counter.clone();
        workers.push(thread::spawn(move || {
            let guard = ShardSlot::reserve().occupy();
            counter.inc();
            drop(guard);
            // It counts as a thread without a slot.
            counter.inc();
        }));
    }
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(counter.total(), 4);
}

/// Requests that begin on one worker and end on another, or on none.
fn a_request_that_ends_elsewhere_is_counted_once() {
    let gauge = Arc::new(Gauge::new());
    let slots = [ShardSlot::reserve(), ShardSlot::reserve()];
    let steps: [fn(&Gauge); 2] = [Gauge::inc, Gauge::dec];
    let mut workers = Vec::new();
    for (slot, step) in slots.into_iter().zip(steps) {
        let gauge = gauge.clone();
        workers.push(thread::spawn(move || {
            let _guard = slot.occupy();
            step(&gauge);
        }));
    }
    gauge.inc();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(gauge.total(), 1);
}
