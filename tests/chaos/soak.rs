//! Moderate load for hours, with the faults of the chaos run: does anything grow, and do answers
//! become slower?

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::latency::{Window, Windows};
use crate::process::{Held, Process};
use crate::scene::Scene;
use crate::trend::Trend;
use crate::{Load, check};

/// The time between two samples of what the gateway holds.
const PERIOD: Duration = Duration::from_secs(1);

/// The longest warm-up. Half of a shorter run is its warm-up: the heap came to rest after a quarter
/// of an hour (docs/reliability.md).
const WARM_UP: Duration = Duration::from_secs(1800);

/// A run of at least this length fails if something grows beyond its bound. A shorter one only
/// prints the figures: caches and the allocator's arenas are still filling.
const JUDGED: Duration = Duration::from_secs(1800);

/// The growth of the heap in an hour that is taken for that of arenas and caches: 1 MiB
/// (docs/design/requirements.md#f15). They approach their size more and more slowly.
const HEAP_BOUND: f64 = 1024.0;

/// The growth of a number in the whole run that is taken for chance: one thread more of a pool.
const COUNT_BOUND: f64 = 2.0;

/// Runs the soak, prints its figures, and panics if something was lost, wrong, or grew.
pub(crate) fn soak(scene: &Scene, gateway: &Process, time: Duration, rate: u32) {
    let length = window_length(time);
    let windows = Arc::new(Windows::new(length));
    let pid = gateway.id();
    let sampler = thread::spawn(move || samples(pid, time));
    let load = Load {
        interval: Duration::from_secs(1) / rate.max(1),
        windows: Some(windows.clone()),
        ..Load::in_trouble(time)
    };
    let seen = load.run(scene);
    let samples = sampler.join().unwrap();
    let warm_up = (time / 2).min(WARM_UP);
    let first = (warm_up.as_secs_f64() / PERIOD.as_secs_f64()) as usize;
    let measured = samples.get(first..).unwrap_or_default();

    println!("{} requests in {} s:", seen.total(), time.as_secs());
    seen.print();
    println!("signing keys replaced: {}", scene.issuer.rotations());
    println!("after a warm-up of {} s:", warm_up.as_secs());
    let count_bound = COUNT_BOUND / (time - warm_up).as_secs_f64() * 3600.0;
    print_trend("resident memory, KiB", measured, HEAP_BOUND, |held| {
        held.memory
    });
    let heap = print_trend("its heap and stacks, KiB", measured, HEAP_BOUND, |held| {
        held.anonymous
    });
    let descriptors = print_trend("descriptors", measured, count_bound, |held| {
        held.descriptors
    });
    let threads = print_trend("threads", measured, count_bound, |held| held.threads);
    print_windows(&windows.all(), &samples, length);
    check(scene, &seen);
    if time >= JUDGED {
        assert!(!heap, "memory grows");
        assert!(!descriptors, "descriptors grow");
        assert!(!threads, "threads grow");
    }
}

/// Returns the length of a window: an hour, or a tenth of a run that is shorter than three hours.
fn window_length(time: Duration) -> Duration {
    match time.as_secs() {
        0..10_800 => time.div_f64(10.0),
        _ => Duration::from_secs(3600),
    }
}

/// Samples what the process holds, for this time.
fn samples(pid: u32, time: Duration) -> Vec<Held> {
    let until = Instant::now() + time;
    let mut samples = Vec::new();
    while Instant::now() < until {
        samples.push(Held::by(pid));
        thread::sleep(PERIOD);
    }
    samples
}

/// Prints the trend of a value, and returns whether it grows by more than `bound` in an hour.
fn print_trend(name: &str, samples: &[Held], bound: f64, value: fn(&Held) -> usize) -> bool {
    let values: Vec<_> = samples.iter().map(|held| value(held) as f64).collect();
    let Some(trend) = Trend::of(&values) else {
        println!("  {name}: too few samples");
        return false;
    };
    let hour = 3600.0 / PERIOD.as_secs_f64();
    let is_beyond = trend.grows_beyond(bound / hour);
    let verdict = match trend.grows_beyond(0.0) {
        _ if is_beyond => "GROWS",
        true => "grows within its bound",
        false => "does not grow",
    };
    println!(
        "  {name}: median {:.0}, slope {:+.1} ± {:.1} per hour: {verdict}",
        trend.level,
        trend.slope * hour,
        trend.error * hour,
    );
    is_beyond
}

/// Prints the times of answers, and what the gateway held, in each window.
fn print_windows(windows: &[Window], samples: &[Held], length: Duration) {
    println!(
        "times of answers in ms, in windows of {} s:",
        length.as_secs()
    );
    println!(
        "  window  refused    p50    p99  forwarded    p50    p99  memory    heap  descriptors"
    );
    let width = (length.as_secs_f64() / PERIOD.as_secs_f64()) as usize;
    for (number, (window, held)) in windows.iter().zip(samples.chunks(width.max(1))).enumerate() {
        let held = held[held.len() / 2];
        println!(
            "  {number:6} {:8} {:6.1} {:6.1} {:10} {:6.1} {:6.1} {:7} {:7} {:12}",
            window.own.total(),
            milliseconds(window.own.quantile(0.5)),
            milliseconds(window.own.quantile(0.99)),
            window.forwarded.total(),
            milliseconds(window.forwarded.quantile(0.5)),
            milliseconds(window.forwarded.quantile(0.99)),
            held.memory,
            held.anonymous,
            held.descriptors,
        );
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
