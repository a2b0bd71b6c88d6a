//! What is looked at: four quantiles of latency, and errors. What exceeds each is counted, as it is
//! and with the candidate's latencies divided by ratios that might be the true one.

use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Arms, Latencies};
use crate::{Cumulative, Threshold};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// The median latency.
    P50,
    /// The latency that 1 request in 10 exceeds.
    P90,
    /// The latency that 1 request in 100 exceeds.
    P99,
    /// The latency that 1 request in 1,000 exceeds.
    P999,
    /// Requests that fail.
    Errors,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::P50, Self::P90, Self::P99, Self::P999, Self::Errors];
    /// Those of latency.
    pub(super) const LATENCIES: [Self; 4] = [Self::P50, Self::P90, Self::P99, Self::P999];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Errors => "errors",
        }
    }

    /// The part of requests that do not exceed it; none for errors.
    pub fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P90 => Some(0.9),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
            Self::Errors => None,
        }
    }

    /// How much of the evidence of all lanes together is this one's. Errors have as much as all
    /// latencies, since they are rare and have to be found soon; the sum is 1.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::P50 | Self::P90 | Self::P99 | Self::P999 => 0.125,
            Self::Errors => 0.5,
        }
    }
}

/// How many ratios of latencies are tried.
pub(super) const RATIOS: usize = 2 * AWAY.len() + 1;
/// How far they are from 1, as logarithms. The farthest is 8, and an eighth.
const AWAY: [f64; 22] = [
    0.01,
    0.02,
    0.03,
    0.04,
    0.05,
    0.06,
    0.08,
    0.1,
    0.12,
    0.15,
    0.19,
    0.24,
    0.3,
    0.4,
    0.5,
    0.65,
    0.85,
    1.1,
    1.4,
    1.75,
    1.9,
    3.0 * std::f64::consts::LN_2,
];
/// The one that changes nothing.
pub(super) const UNCHANGED: usize = AWAY.len();
/// A threshold is rounded by at most this part where it is multiplied, since buckets have a width.
pub(super) const ROUNDING: f64 = 1.0 / 128.0;
/// No threshold is below or above, so that those that are multiplied are where buckets are narrow.
const LOWEST_THRESHOLD: Duration = Duration::from_nanos(62_500);
const HIGHEST_THRESHOLD: Duration = Duration::from_secs(500);

/// The ratios, least first.
pub(super) fn ratios() -> &'static [f64; RATIOS] {
    static ALL: LazyLock<[f64; RATIOS]> = LazyLock::new(|| {
        std::array::from_fn(|index| match index.checked_sub(UNCHANGED + 1) {
            Some(above) => AWAY[above].exp(),
            None if index == UNCHANGED => 1.0,
            None => (-AWAY[UNCHANGED - 1 - index]).exp(),
        })
    });
    &ALL
}

/// The thresholds of the quantiles, from latencies of the past; none while there are too few of them
/// to have such a quantile.
pub(super) fn thresholds(past: &Latencies) -> [Option<Threshold<128>>; 4] {
    let count = past.count() as f64;
    Lane::LATENCIES.map(|lane| {
        let quantile = lane.quantile()?;
        // Ten of them exceed it, so it does not hang on one.
        let is_known = count * (1.0 - quantile) >= 10.0 - 1e-6;
        let threshold = is_known.then(|| past.threshold(quantile)).flatten()?;
        let [lowest, highest] = [LOWEST_THRESHOLD, HIGHEST_THRESHOLD].map(Threshold::not_above);
        Some(threshold.clamp(lowest, highest))
    })
}

/// How many latencies exceeded the thresholds of a quantile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exceeding {
    /// As they are.
    pub(super) as_is: Arms<u64>,
    /// Of the candidate's, divided by 1 and the margin.
    pub(super) within_margin: u64,
    /// Of the candidate's, divided by each ratio.
    pub(super) divided: Divided,
}

/// A count for each ratio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub(super) struct Divided(pub(super) Box<[u64; RATIOS]>);

impl Default for Exceeding {
    fn default() -> Self {
        Self {
            as_is: Arms::default(),
            within_margin: 0,
            divided: Divided(Box::new([0; RATIOS])),
        }
    }
}

impl Exceeding {
    /// Counts what exceeds a threshold that was fixed before.
    pub(super) fn count(
        &mut self,
        latencies: &Arms<Cumulative<128>>,
        threshold: Threshold<128>,
        margin: Option<f64>,
    ) {
        // Rounded down, so that the candidate seems slower: never within a margin by rounding.
        let above = |ratio: f64| {
            let multiplied = threshold.time().mul_f64(ratio);
            let multiplied = Threshold::not_above(multiplied);
            latencies.candidate.exceeding(multiplied)
        };
        self.as_is
            .add(latencies.map(|arm| arm.exceeding(threshold)));
        if let Some(margin) = margin {
            self.within_margin = self.within_margin.saturating_add(above(1.0 + margin));
        }
        for (count, ratio) in self.divided.0.iter_mut().zip(ratios()) {
            *count = count.saturating_add(above(*ratio));
        }
    }
}

impl From<Divided> for Vec<u64> {
    fn from(divided: Divided) -> Self {
        divided.0.to_vec()
    }
}

impl TryFrom<Vec<u64>> for Divided {
    type Error = String;

    fn try_from(counts: Vec<u64>) -> Result<Self, String> {
        let found = counts.len();
        let counts = counts.into_boxed_slice().try_into();
        let counts =
            counts.map_err(|_| format!("{RATIOS} counts are needed, and {found} there"))?;
        Ok(Self(counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_lanes_sum_to_one() {
        let sum: f64 = Lane::ALL.into_iter().map(Lane::weight).sum();
        assert_eq!(sum, 1.0);
    }

    #[test]
    fn ratios_are_in_order_around_one() {
        assert!(ratios().is_sorted());
        assert_eq!(ratios()[UNCHANGED], 1.0);
        assert!((ratios()[0] - 0.125).abs() < 1e-12);
        assert!((ratios()[RATIOS - 1] - 8.0).abs() < 1e-12);
    }

    #[test]
    fn a_threshold_that_is_multiplied_is_rounded_down_and_by_little() {
        for lowest in [
            LOWEST_THRESHOLD,
            Duration::from_millis(7),
            HIGHEST_THRESHOLD,
        ] {
            let threshold = Threshold::<128>::not_above(lowest);
            for ratio in ratios() {
                let exact = threshold.time().as_secs_f64() * ratio;
                let rounded = threshold.time().mul_f64(*ratio);
                let rounded = Threshold::<128>::not_above(rounded).time().as_secs_f64();
                assert!(rounded <= exact + 1e-9, "{rounded} {exact}");
                assert!(
                    rounded >= exact * (1.0 - ROUNDING) - 2e-9,
                    "{rounded} {exact}"
                );
            }
        }
    }

    #[test]
    fn a_quantile_is_looked_at_when_ten_exceed_it() {
        let mut past = Latencies::default();
        let lanes = |past: &Latencies| thresholds(past).map(|threshold| threshold.is_some());
        assert_eq!(lanes(&past), [false; 4]);
        for _ in 0..100 {
            past.record(Duration::from_millis(3));
        }
        assert_eq!(lanes(&past), [true, true, false, false]);
        for _ in 0..9_900 {
            past.record(Duration::from_millis(3));
        }
        assert_eq!(lanes(&past), [true; 4]);
    }
}
