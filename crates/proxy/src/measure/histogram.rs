//! How long something takes, for many times that it happened: a log-linear histogram. It has the
//! same fixed buckets everywhere, so histograms of workers, and of proxies, add up exactly.
//!
//! A value that is read back, such as a quantile, is off by at most 1/32 of itself (3.2 %), or by
//! 31 ns where it is below a microsecond. What took longer than [`LONGEST`] counts as that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many buckets are between a time and its double.
const STEPS: u64 = 16;
/// The finest unit is half a millisecond, halved so many times: 61 ns. So half a millisecond,
/// doubled any number of times, is where a bucket ends.
const HALVINGS: u32 = 13;
/// How often half a millisecond is doubled to the longest time.
const DOUBLINGS: u32 = 23;
const HALF_A_MILLISECOND: u64 = 500_000;
/// The longest time that is told apart from longer ones, 70 minutes.
pub const LONGEST: Duration = Duration::from_nanos(HALF_A_MILLISECOND << DOUBLINGS);
/// One group up to the first 16 units, and one for each doubling from there.
const GROUPS: usize = 1 + (HALVINGS + DOUBLINGS - STEPS.ilog2()) as usize;
const BUCKETS: usize = STEPS as usize * GROUPS;

/// The counts of one group of buckets.
type Group = [u64; STEPS as usize];

/// Counts of times. Buckets take room by groups, from a time and to its double, when the first of
/// them is needed: 128 bytes each, and 4 KiB for all of them. Most services need three to six.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Sparse", into = "Sparse")]
pub struct Histogram {
    /// A bit for each group that is there.
    present: u64,
    /// Those groups, shortest times first.
    groups: Vec<Group>,
    /// All times together, in nanoseconds.
    sum: u64,
}

const _: () = assert!(GROUPS <= u64::BITS as usize, "each group has a bit");

impl Histogram {
    /// Counts one more.
    pub fn record(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sum = self.sum.saturating_add(nanoseconds);
        *self.bucket(index(nanoseconds)) += 1;
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        for (number, others) in other.numbered() {
            for (count, other) in self.group(number).iter_mut().zip(others) {
                *count = count.saturating_add(*other);
            }
        }
    }

    /// The count of a bucket that there is.
    fn bucket(&mut self, index: usize) -> &mut u64 {
        &mut self.group(index / STEPS as usize)[index % STEPS as usize]
    }

    /// A group, which is there from now on.
    fn group(&mut self, number: usize) -> &mut Group {
        let bit = 1 << number;
        let place = (self.present & (bit - 1)).count_ones() as usize;
        if self.present & bit == 0 {
            self.add_group(bit, place);
        }
        &mut self.groups[place]
    }

    #[cold]
    fn add_group(&mut self, bit: u64, place: usize) {
        // Room for exactly one more: there are many histograms, and this seldom happens.
        self.groups.reserve_exact(1);
        self.groups.insert(place, [0; STEPS as usize]);
        self.present |= bit;
    }

    /// The groups that are there, each with its number.
    fn numbered(&self) -> impl Iterator<Item = (usize, &Group)> {
        let numbers = (0..GROUPS).filter(|number| self.present & (1 << number) != 0);
        numbers.zip(&self.groups)
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.filled().map(|(_, count)| count).sum()
    }

    /// All times together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// The time that the given share of all does not exceed, such as half of all with 0.5; none
    /// where there is no time.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let rank = (share.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.filled() {
            seen += count;
            if seen >= rank {
                return Some(middle(index));
            }
        }
        None
    }

    /// The times that there were, shortest first, each as what all in its bucket are taken for, and
    /// how many.
    pub fn times(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.filled().map(|(index, count)| (middle(index), count))
    }

    /// How many times do not exceed half a millisecond, doubled so many times. This is exact.
    pub fn within(&self, doublings: u32) -> u64 {
        let end = index(HALF_A_MILLISECOND << doublings.min(DOUBLINGS));
        let within = self.filled().take_while(|(index, _)| *index <= end);
        within.map(|(_, count)| count).sum()
    }

    /// Buckets with anything in them, shortest times first, and how much.
    pub(super) fn filled(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.numbered().flat_map(|(number, group)| {
            let first = number * STEPS as usize;
            group
                .iter()
                .enumerate()
                .map(move |(step, count)| (first + step, *count))
        });
        counts.filter(|(_, count)| *count > 0)
    }
}

/// The bucket of a time. It has the times from where it begins, which is not in it, to where it
/// ends, which is.
fn index(nanoseconds: u64) -> usize {
    let nanoseconds = nanoseconds.min(HALF_A_MILLISECOND << DOUBLINGS);
    // Half a millisecond is 2^5 * 15,625 ns.
    let units = (nanoseconds << (HALVINGS - 5)).saturating_sub(1) / 15_625;
    let shift = (units | STEPS).ilog2() - STEPS.ilog2();
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
pub(super) fn middle(index: usize) -> Duration {
    let [start, end] = [units_before(index), units_before(index + 1)].map(nanoseconds);
    Duration::from_nanos(start.midpoint(end))
}

fn nanoseconds(units: u64) -> u64 {
    (units * 15_625) >> (HALVINGS - 5)
}

/// A histogram as it is sent: the buckets that have anything in them.
#[derive(Serialize, Deserialize)]
struct Sparse {
    sum: u64,
    buckets: Vec<(usize, u64)>,
}

impl From<Histogram> for Sparse {
    fn from(histogram: Histogram) -> Self {
        Self {
            sum: histogram.sum,
            buckets: histogram.filled().collect(),
        }
    }
}

impl TryFrom<Sparse> for Histogram {
    type Error = &'static str;

    fn try_from(sparse: Sparse) -> Result<Self, Self::Error> {
        let mut histogram = Self {
            sum: sparse.sum,
            ..Self::default()
        };
        for (index, count) in sparse.buckets {
            if index >= BUCKETS {
                return Err("a histogram has no such bucket");
            }
            *histogram.bucket(index) = count;
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &time in times {
            histogram.record(Duration::from_nanos(time));
        }
        histogram
    }

    /// Times of every magnitude, up to the longest.
    fn times() -> impl Strategy<Value = Vec<u64>> {
        let longest = LONGEST.as_nanos() as u64;
        let time = (0..42_u32, any::<u64>());
        let time = time.prop_map(move |(bits, random)| (random >> (63 - bits)).min(longest));
        proptest::collection::vec(time, 1..200)
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        assert_eq!((index(0), index(1)), (0, 0));
        assert_eq!(index(u64::MAX), BUCKETS - 1);
        for bucket in 0..BUCKETS {
            let end = nanoseconds(units_before(bucket + 1));
            assert_eq!(index(end), bucket, "{end} ns");
            assert_eq!(index(end + 1), (bucket + 1).min(BUCKETS - 1), "{end} ns");
        }
    }

    #[test]
    fn only_groups_that_are_needed_take_room() {
        let mut nothing = Histogram::default();
        nothing.merge(&Histogram::default());
        assert_eq!((nothing.count(), nothing.quantile(0.5)), (0, None));
        assert_eq!(nothing.groups.capacity(), 0);
        let [one, two] = [
            of(&[1_100_000, 1_900_000]),
            of(&[1_100_000, 60_000_000_000]),
        ];
        assert_eq!((one.groups.capacity(), two.groups.capacity()), (1, 2));
        let longest = LONGEST.as_nanos() as u64;
        let all = of(&(0..u64::BITS)
            .map(|bits| longest >> bits)
            .collect::<Vec<_>>());
        assert!(all.groups.len() <= GROUPS && all.count() == u64::from(u64::BITS));
    }

    #[test]
    fn a_bucket_that_does_not_exist_is_refused() {
        let sent = |bucket: usize| format!(r#"{{"sum":1,"buckets":[[{bucket},2]]}}"#);
        assert!(serde_json::from_str::<Histogram>(&sent(BUCKETS - 1)).is_ok());
        assert!(serde_json::from_str::<Histogram>(&sent(BUCKETS)).is_err());
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_a_32nd_at_most(mut times in times(), share in 0.0..=1.0) {
            let quantile = of(&times).quantile(share).unwrap().as_nanos() as f64;
            times.sort_unstable();
            let rank = ((share * times.len() as f64).ceil() as usize).max(1);
            let exact = times[rank - 1] as f64;
            prop_assert!((quantile - exact).abs() <= (exact / 32.0).max(31.0), "{exact}: {quantile}");
        }

        #[test]
        fn all_times_are_there_in_order(times in times()) {
            let histogram = of(&times);
            let counts: u64 = histogram.times().map(|(_, count)| count).sum();
            prop_assert_eq!(counts, times.len() as u64);
            prop_assert!(histogram.times().is_sorted());
            let last = histogram.times().last().map(|(time, _)| time);
            prop_assert_eq!(last, histogram.quantile(1.0));
        }

        #[test]
        fn to_merge_is_to_record_both(one in times(), two in times()) {
            let mut merged = of(&one);
            merged.merge(&of(&two));
            prop_assert_eq!(merged, of(&[one, two].concat()));
        }

        #[test]
        fn what_is_within_a_bound_is_counted_exactly(times in times(), doublings in 0..=DOUBLINGS) {
            let bound = HALF_A_MILLISECOND << doublings;
            let within = times.iter().filter(|time| **time <= bound).count();
            prop_assert_eq!(of(&times).within(doublings), within as u64);
        }

        #[test]
        fn a_histogram_reads_back_as_sent(times in times()) {
            let sent = serde_json::to_string(&of(&times)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Histogram>(&sent).unwrap(), of(&times));
        }
    }
}
