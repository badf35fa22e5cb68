//! Times of answers, counted in buckets, so that a day of them takes no more room than a minute.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Buckets of a twentieth of their value each: from ten microseconds to more than a minute.
const BUCKETS: usize = 330;
const GROWTH: f64 = 1.05;
const FIRST: Duration = Duration::from_micros(10);

/// The number of answers by the time that each took.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: [u32; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        let ratio = time.as_secs_f64() / FIRST.as_secs_f64();
        let bucket = ratio.max(1.0).log(GROWTH) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns the time within which this share of the answers came, to a twentieth.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.total() as f64 * share).ceil() as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        FIRST.mul_f64(GROWTH.powi(bucket.unwrap_or_default() as i32 + 1))
    }
}

/// The answers of a part of the run.
#[derive(Clone, Default)]
pub(crate) struct Window {
    /// The answers that the gateway gave itself, to requests that it refused.
    pub(crate) own: Histogram,
    /// The answers of an upstream.
    pub(crate) forwarded: Histogram,
}

/// The answers of the run, in windows of one length.
pub(crate) struct Windows {
    start: Instant,
    length: Duration,
    windows: Mutex<Vec<Window>>,
}

impl Windows {
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            start: Instant::now(),
            length,
            windows: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, is_own: bool, time: Duration) {
        let number = self.start.elapsed().as_secs_f64() / self.length.as_secs_f64();
        let mut windows = self.windows.lock().unwrap();
        while windows.len() <= number as usize {
            windows.push(Window::default());
        }
        let window = &mut windows[number as usize];
        match is_own {
            true => window.own.add(time),
            false => window.forwarded.add(time),
        }
    }

    pub(crate) fn all(&self) -> Vec<Window> {
        self.windows.lock().unwrap().clone()
    }
}
