//! The arithmetic of the soak (`tests/chaos/soak.sh`), whose verdict nobody waits a day for here.

#[path = "../chaos/latency.rs"]
mod latency;
#[path = "../chaos/trend.rs"]
mod trend;

use std::time::Duration;

use latency::{Histogram, Windows};
use trend::Trend;

/// Returns a level with a slope, and noise that is the same each time.
fn series(count: usize, slope: f64, noise: f64) -> Vec<f64> {
    let value = |number: usize| {
        let chance = (number * 7919 % 101) as f64 / 101.0 - 0.5;
        20_000.0 + slope * number as f64 + noise * chance
    };
    (0..count).map(value).collect()
}

#[test]
fn a_slope_is_found_through_noise_and_noise_is_no_slope() {
    let steady = Trend::of(&series(3600, 0.0, 500.0)).unwrap();
    assert!(!steady.grows_beyond(0.0), "{steady:?}");
    assert!((steady.level - 20_000.0).abs() < 50.0, "{steady:?}");
    let leaking = Trend::of(&series(3600, 0.1, 500.0)).unwrap();
    assert!(leaking.grows_beyond(0.0), "{leaking:?}");
    assert!(leaking.grows_beyond(0.05), "{leaking:?}");
    assert!(!leaking.grows_beyond(0.1), "{leaking:?}");
    assert!((leaking.slope - 0.1).abs() < 0.02, "{leaking:?}");
    let shrinking = Trend::of(&series(3600, -0.1, 500.0)).unwrap();
    assert!(!shrinking.grows_beyond(0.0), "{shrinking:?}");
}

#[test]
fn what_was_high_for_a_moment_is_no_growth() {
    let mut values = series(3600, 0.0, 10.0);
    for value in values.iter_mut().skip(3500).step_by(10) {
        *value *= 3.0;
    }
    assert!(!Trend::of(&values).unwrap().grows_beyond(0.0));
}

#[test]
fn few_values_have_no_trend() {
    assert!(Trend::of(&series(39, 1.0, 0.0)).is_none());
    assert!(Trend::of(&series(40, 1.0, 0.0)).unwrap().grows_beyond(0.0));
}

#[test]
fn a_quantile_is_the_time_within_which_its_share_came() {
    let windows = Windows::new(Duration::from_secs(3600));
    for milliseconds in 1..=1000 {
        windows.add(false, Duration::from_millis(milliseconds));
    }
    windows.add(true, Duration::ZERO);
    windows.add(true, Duration::from_secs(3600));
    let window = windows.all().pop().unwrap();
    assert_eq!(window.forwarded.total(), 1000);
    let median = window.forwarded.quantile(0.5).as_secs_f64();
    assert!((0.5..0.53).contains(&median), "{median}");
    let late = window.forwarded.quantile(0.99).as_secs_f64();
    assert!((0.99..1.05).contains(&late), "{late}");
    assert_eq!(window.own.total(), 2);
    assert!(window.own.quantile(1.0) > Duration::from_secs(60));
    assert_eq!(Histogram::default().total(), 0);
}
