//! How long something takes, for many times that it happened: a log-linear histogram. Its buckets
//! are fixed, so histograms of threads, of processes and of intervals add up exactly.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The finest unit is half a millisecond, halved so many times: 61 ns. So half a millisecond,
/// doubled any number of times, is where a bucket ends.
const HALVINGS: u32 = 13;
/// How often half a millisecond is doubled to the longest time.
const DOUBLINGS: u32 = 23;
const HALF_A_MILLISECOND: u64 = 500_000;
/// The longest time that is told apart from longer ones, 70 minutes.
pub const LONGEST: Duration = Duration::from_nanos(HALF_A_MILLISECOND << DOUBLINGS);

/// Counts of times, with `STEPS` buckets between a time and its double: a power of two, up to 4096.
///
/// A value that is read back, such as a quantile, is off by at most 1 in `2 * STEPS` (0.4 % with 128
/// steps, 3 % with 16), or by 31 ns where it is below `STEPS` units of 61 ns. What took longer than
/// [`LONGEST`] counts as that. Nothing is allocated before the first time; then it takes
/// `8 * STEPS * (37 - log2(STEPS))` bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Sparse", into = "Sparse")]
pub struct Histogram<const STEPS: u64> {
    counts: Option<Box<[u64]>>,
    /// All times together, in nanoseconds.
    sum: u64,
}

/// The histogram to subtract has counted something that this one has not: it is no earlier state of
/// it. What counted was started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a histogram is no later state of one that has counted more")]
pub struct NotEarlier;

impl<const STEPS: u64> Histogram<STEPS> {
    const LEVELS: u32 = {
        assert!(STEPS.is_power_of_two() && STEPS <= 4096);
        STEPS.ilog2()
    };
    const BUCKETS: usize = STEPS as usize * (1 + HALVINGS + DOUBLINGS - Self::LEVELS) as usize;

    /// Counts one more.
    pub fn record(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sum = self.sum.saturating_add(nanoseconds);
        let index = Self::index(nanoseconds);
        let count = &mut self.counts_mut()[index];
        *count = count.saturating_add(1);
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        let Some(others) = &other.counts else { return };
        for (count, other) in self.counts_mut().iter_mut().zip(others.iter()) {
            *count = count.saturating_add(*other);
        }
    }

    /// What has been counted since this histogram was as `earlier` is.
    ///
    /// # Errors
    ///
    /// It never was.
    pub fn since(&self, earlier: &Self) -> Result<Self, NotEarlier> {
        let mut since = Self {
            counts: self.counts.clone(),
            sum: self.sum.checked_sub(earlier.sum).ok_or(NotEarlier)?,
        };
        for (index, count) in earlier.filled() {
            let counts = since.counts.as_mut().ok_or(NotEarlier)?;
            counts[index] = counts[index].checked_sub(count).ok_or(NotEarlier)?;
        }
        Ok(since)
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        // Saturated like all counts here: those that come from elsewhere may be any.
        let counts = self.filled().map(|(_, count)| count);
        counts.fold(0, u64::saturating_add)
    }

    /// All times together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// The time that the given share of all does not exceed, such as half of all with 0.5; none
    /// where there is no time.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        self.bucket_at(share).map(Self::middle)
    }

    /// The least threshold that at least the given share of all does not exceed.
    pub fn threshold(&self, share: f64) -> Option<Threshold<STEPS>> {
        self.bucket_at(share).map(Threshold)
    }

    /// The times that there were, shortest first, each as what all in its bucket are taken for, and
    /// how many.
    pub fn times(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.filled()
            .map(|(index, count)| (Self::middle(index), count))
    }

    /// How many exceed any threshold, counted once for many questions.
    pub fn cumulative(&self) -> Cumulative<STEPS> {
        let mut above = 0_u64;
        let counts = self.counts.iter().flat_map(|counts| counts.iter().rev());
        let mut exceeding: Vec<u64> = counts
            .map(|count| {
                let with_it = above.saturating_add(*count);
                std::mem::replace(&mut above, with_it)
            })
            .collect();
        exceeding.reverse();
        Cumulative { exceeding }
    }

    /// How many exceed a threshold.
    pub fn exceeding(&self, threshold: Threshold<STEPS>) -> u64 {
        let counts = self.counts.iter().flat_map(|counts| counts.iter());
        let above = counts.skip(threshold.0 + 1).copied();
        above.fold(0, u64::saturating_add)
    }

    fn bucket_at(&self, share: f64) -> Option<usize> {
        let rank = (share.clamp(0.0, 1.0) * self.count() as f64)
            .ceil()
            .max(1.0) as u64;
        let mut seen = 0_u64;
        self.filled().find_map(|(index, count)| {
            seen = seen.saturating_add(count);
            (seen >= rank).then_some(index)
        })
    }

    fn counts_mut(&mut self) -> &mut [u64] {
        self.counts
            .get_or_insert_with(|| vec![0; Self::BUCKETS].into())
    }

    /// Buckets with anything in them, and how much.
    fn filled(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.counts.iter().flat_map(|counts| counts.iter().copied());
        counts.enumerate().filter(|(_, count)| *count > 0)
    }

    /// The bucket of a time. It has the times from where it begins, which is not in it, to where it
    /// ends, which is.
    fn index(nanoseconds: u64) -> usize {
        let nanoseconds = nanoseconds.min(HALF_A_MILLISECOND << DOUBLINGS);
        // Half a millisecond is 2^5 * 15,625 ns.
        let units = (nanoseconds << (HALVINGS - 5)).saturating_sub(1) / 15_625;
        let shift = (units | STEPS).ilog2() - Self::LEVELS;
        (u64::from(shift) * STEPS + (units >> shift)) as usize
    }

    /// In units, where a bucket begins.
    fn units_before(index: usize) -> u64 {
        let (doubled, step) = (index as u64 / STEPS, index as u64 % STEPS);
        match doubled {
            0 => step,
            _ => (STEPS + step) << (doubled - 1),
        }
    }

    /// What the times in a bucket are taken for.
    fn middle(index: usize) -> Duration {
        let [start, end] = [index, index + 1].map(|index| nanoseconds(Self::units_before(index)));
        Duration::from_nanos(start.midpoint(end))
    }
}

fn nanoseconds(units: u64) -> u64 {
    (units * 15_625) >> (HALVINGS - 5)
}

/// A time to be above of, at the end of a bucket: whether it is exceeded is known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold<const STEPS: u64>(usize);

impl<const STEPS: u64> Threshold<STEPS> {
    /// The highest threshold that is not above this time; the lowest that there is, 61 ns, for
    /// times below that.
    pub fn not_above(time: Duration) -> Self {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let index = Histogram::<STEPS>::index(nanoseconds);
        if Self(index).nanoseconds() <= nanoseconds {
            return Self(index);
        }
        Self(index.saturating_sub(1))
    }

    /// Where it is.
    pub fn time(self) -> Duration {
        Duration::from_nanos(self.nanoseconds())
    }

    fn nanoseconds(self) -> u64 {
        nanoseconds(Histogram::<STEPS>::units_before(self.0 + 1))
    }
}

/// How many of a histogram's times exceed a threshold, at the cost of one look each.
#[derive(Debug, Clone)]
pub struct Cumulative<const STEPS: u64> {
    /// For each bucket, how many are in those above it. Empty where there is no time.
    exceeding: Vec<u64>,
}

impl<const STEPS: u64> Cumulative<STEPS> {
    /// How many exceed a threshold.
    pub fn exceeding(&self, threshold: Threshold<STEPS>) -> u64 {
        self.exceeding.get(threshold.0).copied().unwrap_or(0)
    }
}

/// A histogram as it is sent: the buckets that have anything in them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sparse {
    sum: u64,
    buckets: Vec<(usize, u64)>,
}

impl<const STEPS: u64> From<Histogram<STEPS>> for Sparse {
    fn from(histogram: Histogram<STEPS>) -> Self {
        Self {
            sum: histogram.sum,
            buckets: histogram.filled().collect(),
        }
    }
}

impl<const STEPS: u64> TryFrom<Sparse> for Histogram<STEPS> {
    type Error = &'static str;

    fn try_from(sparse: Sparse) -> Result<Self, Self::Error> {
        let mut histogram = Self {
            counts: None,
            sum: sparse.sum,
        };
        for (index, count) in sparse.buckets {
            let count_of = histogram.counts_mut().get_mut(index);
            *count_of.ok_or("a histogram has no such bucket")? = count;
        }
        Ok(histogram)
    }
}

#[cfg(test)]
#[path = "histogram/tests.rs"]
mod tests;
