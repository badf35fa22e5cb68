//! The trend of a measured value: whether it grows, by how much, and how sure that is.

/// The parts that a run is cut into. The median of each is one point of the line.
const POINTS: usize = 20;

/// A straight line through the medians of a series, by least squares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trend {
    /// The median of all values.
    pub(crate) level: f64,
    /// The change per value of the series.
    pub(crate) slope: f64,
    /// The standard error of the slope.
    pub(crate) error: f64,
}

impl Trend {
    /// Returns the trend of values that were taken at equal distances, or nothing if there are
    /// fewer than two for each point of the line.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let width = values.len() / POINTS;
        if width < 2 {
            return None;
        }
        let medians: Vec<_> = values
            .chunks_exact(width)
            .take(POINTS)
            .map(median)
            .collect();
        let count = medians.len() as f64;
        let middle = (count - 1.0) / 2.0;
        let mean = medians.iter().sum::<f64>() / count;
        let (mut products, mut squares) = (0.0, 0.0);
        for (number, value) in medians.iter().enumerate() {
            let distance = number as f64 - middle;
            products += distance * (value - mean);
            squares += distance * distance;
        }
        let slope = products / squares;
        let mut residues = 0.0;
        for (number, value) in medians.iter().enumerate() {
            let expected = mean + slope * (number as f64 - middle);
            residues += (value - expected).powi(2);
        }
        let error = (residues / (count - 2.0) / squares).sqrt();
        Some(Self {
            level: median(values),
            slope: slope / width as f64,
            error: error / width as f64,
        })
    }

    /// Returns whether the value grows faster than this: by more than twice the error of the slope.
    pub(crate) fn grows_beyond(&self, slope: f64) -> bool {
        self.slope - 2.0 * self.error > slope
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
