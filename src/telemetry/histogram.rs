//! A histogram of durations, in shards.

use std::time::Duration;

use super::sharded::{Apart, Count, Sharded, Writer};

/// The upper bounds of the buckets in nanoseconds: from the time of a request with a cached token
/// to the default response timeout.
const BOUNDS: [u64; 14] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
    30_000_000_000,
];

const NANOS_PER_SECOND: f64 = 1e9;

/// A histogram of durations.
#[derive(Debug)]
pub struct Histogram(Sharded<Box<Apart<Buckets>>>);

impl Histogram {
    pub(super) fn new() -> Self {
        Self(Sharded::new())
    }

    /// Counts a duration.
    pub fn observe(&self, took: Duration) {
        let (buckets, writer) = self.0.mine(Box::default);
        buckets.0.observe(took, writer);
    }

    pub(super) fn total(&self) -> Distribution {
        self.0.all().map(|cell| &cell.0).collect()
    }
}

/// One shard of a histogram.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// The count of each bucket; the last is for durations above the highest bound.
    counts: [Count; BOUNDS.len() + 1],
    nanos: Count,
}

impl Buckets {
    pub(super) fn observe(&self, took: Duration, writer: Writer) {
        // The maximum is 584 years.
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let index = BOUNDS
            .iter()
            .position(|bound| nanos <= *bound)
            .unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get(index) {
            count.add(1, writer);
        }
        self.nanos.add(nanos, writer);
    }
}

/// The sum of the shards of a histogram.
#[derive(Debug, Default)]
pub(super) struct Distribution {
    counts: [u64; BOUNDS.len() + 1],
    nanos: u128,
}

impl<'b> FromIterator<&'b Buckets> for Distribution {
    fn from_iter<T: IntoIterator<Item = &'b Buckets>>(parts: T) -> Self {
        let mut total = Self::default();
        for part in parts {
            for (sum, count) in total.counts.iter_mut().zip(&part.counts) {
                *sum = sum.wrapping_add(count.get());
            }
            total.nanos += u128::from(part.nanos.get());
        }
        total
    }
}

impl Distribution {
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Converts it for Prometheus. The count is the sum of the buckets, so that both agree while
    /// workers count.
    pub(super) fn to_proto(&self) -> prometheus::proto::Histogram {
        let mut below = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (bound, count) in BOUNDS.iter().zip(&self.counts) {
            below += count;
            let mut bucket = prometheus::proto::Bucket::default();
            bucket.set_upper_bound(*bound as f64 / NANOS_PER_SECOND);
            bucket.set_cumulative_count(below);
            buckets.push(bucket);
        }
        let mut histogram = prometheus::proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(self.count());
        histogram.set_sample_sum(self.nanos as f64 / NANOS_PER_SECOND);
        histogram
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use prometheus::core::Metric as _;
    use prometheus::{Histogram as Known, HistogramOpts};

    use super::*;

    /// The bounds as they are shown.
    const SECONDS: [f64; 14] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
    ];

    fn known() -> Known {
        Known::with_opts(HistogramOpts::new("known", "Known.").buckets(SECONDS.to_vec())).unwrap()
    }

    fn compare(durations: impl Iterator<Item = Duration>) {
        let (known, ours) = (known(), Histogram::new());
        for took in durations {
            known.observe(took.as_secs_f64());
            ours.observe(took);
        }
        let (known, ours) = (known.metric(), ours.total().to_proto());
        let known = known.get_histogram();
        assert_eq!(ours.get_bucket(), known.get_bucket());
        assert_eq!(ours.get_sample_count(), known.get_sample_count());
        // Sums of integers are exact; those of the other histogram lose precision with each
        // addition.
        let (sum, expected) = (ours.get_sample_sum(), known.get_sample_sum());
        assert!(
            (sum - expected).abs() <= expected * 1e-9,
            "{sum} and {expected}"
        );
    }

    #[test]
    fn durations_fall_where_those_of_the_known_histogram_do() {
        let random = RandomState::new();
        // All orders of magnitude are equally frequent.
        let nanos = (0..20_000_u64).map(|n| random.hash_one(n) >> (26 + random.hash_one(!n) % 30));
        compare(nanos.map(Duration::from_nanos));
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let around = |bound: &u64| [bound - 1, *bound, bound + 1];
        compare(BOUNDS.iter().flat_map(around).map(Duration::from_nanos));
        compare([Duration::ZERO, Duration::from_secs(86_400)].into_iter());
    }

    #[test]
    fn the_sum_of_a_histogram_is_exact() {
        let histogram = Histogram::new();
        (0..10).for_each(|_| histogram.observe(Duration::from_millis(100)));
        assert!(histogram.total().to_proto().get_sample_sum().to_string() == "1");
    }
}
