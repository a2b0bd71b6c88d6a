//! Whether memory grows, by samples of it.

use std::time::Duration;

/// Samples: when each was taken, and how much memory there was, in KiB.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<(Duration, u64)>);

impl Samples {
    pub(crate) fn add(&mut self, at: Duration, kibibytes: u64) {
        self.0.push((at, kibibytes));
    }

    /// The samples that were taken at `from` or later.
    pub(crate) fn since(&self, from: Duration) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(at, _)| *at >= from)
                .copied()
                .collect(),
        )
    }

    /// By how many KiB memory grows in 10 minutes: the slope of the line with the least squares.
    pub(crate) fn slope(&self) -> f64 {
        let count = self.0.len() as f64;
        let points = self
            .0
            .iter()
            .map(|(at, size)| (at.as_secs_f64() / 600.0, *size as f64));
        let mean =
            |values: &dyn Fn((f64, f64)) -> f64| points.clone().map(values).sum::<f64>() / count;
        let (x, y) = (mean(&|(x, _)| x), mean(&|(_, y)| y));
        let covariance = mean(&|(px, py)| (px - x) * (py - y));
        covariance / mean(&|(px, _)| (px - x) * (px - x))
    }

    /// The least and the most.
    pub(crate) fn range(&self) -> (u64, u64) {
        let sizes = || self.0.iter().map(|(_, size)| *size);
        (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0))
    }

    /// Some of them, as text.
    pub(crate) fn outline(&self) -> String {
        let some = self.0.iter().step_by(self.0.len().div_ceil(25).max(1));
        let some: Vec<_> = some
            .map(|(at, size)| format!("{size} at {} s", at.as_secs()))
            .collect();
        some.join(", ")
    }

    pub(crate) fn last(&self) -> u64 {
        self.0.last().map_or(0, |(_, size)| *size)
    }
}

#[test]
fn the_slope_of_a_line_is_its_slope() {
    let mut samples = Samples::default();
    for step in 0..20 {
        let noise = if step % 2 == 0 { 1 } else { 0 };
        samples.add(Duration::from_secs(60 * step), 1000 + 30 * step + noise);
    }
    assert!((samples.slope() - 300.0).abs() < 1.0, "{}", samples.slope());
    assert_eq!(samples.range(), (1001, 1570));
    assert!(samples.since(Duration::from_secs(600)).slope() > 290.0);
}
