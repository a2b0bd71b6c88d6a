//! A histogram as Prometheus keeps native ones: buckets whose bounds grow by the same factor, of
//! which only those with anything in them take room
//! (<https://prometheus.io/docs/specs/native_histograms/>).
//!
//! All that is in one bucket of ours comes into one of these, so counts and sums are kept. A value
//! that is read back from it is off by at most a 13th of itself (7.7 %), or by 100 ns below a
//! microsecond: a 32nd is for our bucket, and a factor of 2^(1/16) for the one that it comes into.

use super::histogram::{Histogram, middle};

/// There are 2^4 buckets from a number to its double: as many as ours are. With more, each count of
/// ours would stand alone, and with fewer they would say less than is known.
pub(super) const SCHEMA: i32 = 4;

/// In seconds, what counts as nothing: all that is in the first of our buckets, up to 61 ns.
pub(super) const ZERO_THRESHOLD: f64 = 0.0005 / 8192.0;

/// So many buckets without anything are written in between rather than to begin a new span, which
/// takes more room.
const LARGEST_GAP: i32 = 2;

/// Buckets that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The number of the first; of later spans, how many there are since the end of the one before.
    pub(super) offset: i32,
    pub(super) length: u32,
}

/// A histogram in that form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Native {
    /// How many are at most [`ZERO_THRESHOLD`].
    pub(super) zeros: u64,
    pub(super) spans: Vec<Span>,
    /// The count of the first bucket, and of each next one how much more it has than the one before.
    pub(super) deltas: Vec<i64>,
}

impl Native {
    pub(super) fn of(histogram: &Histogram) -> Self {
        let mut native = Self::default();
        let (mut next, mut last) = (None, 0_i64);
        for (number, count) in merged(histogram) {
            let Some(number) = number else {
                native.zeros += count;
                continue;
            };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            match (next, native.spans.last_mut()) {
                (Some(next), Some(span)) if number - next <= LARGEST_GAP => {
                    for _ in next..number {
                        native.deltas.push(-last);
                        last = 0;
                        span.length += 1;
                    }
                    span.length += 1;
                }
                _ => native.spans.push(Span {
                    offset: number - next.unwrap_or(0),
                    length: 1,
                }),
            }
            native.deltas.push(count - last);
            (next, last) = (Some(number + 1), count);
        }
        native
    }
}

/// What there is in each bucket, by its number; none is the number of what counts as nothing.
fn merged(histogram: &Histogram) -> Vec<(Option<i32>, u64)> {
    let mut merged: Vec<(Option<i32>, u64)> = Vec::new();
    for (index, count) in histogram.filled() {
        let number = (index > 0).then(|| number(middle(index).as_secs_f64()));
        match merged.last_mut() {
            Some((last, sum)) if *last == number => *sum = sum.saturating_add(count),
            _ => merged.push((number, count)),
        }
    }
    merged
}

/// The number of the bucket of a time: it has what is above `2^((number - 1) / 16)` seconds, up to
/// `2^(number / 16)`.
fn number(seconds: f64) -> i32 {
    (seconds.log2() * f64::from(1 << SCHEMA)).ceil() as i32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::histogram::LONGEST;
    use super::*;

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &time in times {
            histogram.record(Duration::from_nanos(time));
        }
        histogram
    }

    /// Lower bound, upper bound and count of each bucket, in seconds, as a reader finds them.
    fn read(native: &Native) -> Vec<(f64, f64, u64)> {
        let bound = |number: i32| 2_f64.powf(f64::from(number) / 16.0);
        let (mut number, mut count, mut deltas) = (0, 0, native.deltas.iter());
        let mut buckets = vec![(0.0, ZERO_THRESHOLD, native.zeros)];
        for span in &native.spans {
            number += span.offset;
            for _ in 0..span.length {
                count += deltas.next().unwrap();
                buckets.push((
                    bound(number - 1),
                    bound(number),
                    u64::try_from(count).unwrap(),
                ));
                number += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        buckets
    }

    #[test]
    fn neighbours_share_a_span_and_a_gap_begins_another() {
        let times = |seconds: &[f64]| {
            let times = seconds.iter().map(|seconds| (seconds * 1e9) as u64);
            Native::of(&of(&times.collect::<Vec<_>>()))
        };
        let span = |offset, length| Span { offset, length };
        let near = times(&[1.0, 1.0, 1.06]);
        assert_eq!((near.spans, near.deltas), (vec![span(1, 2)], vec![2, -1]));
        let gap = times(&[1.0, 1.0, 1.15]);
        assert_eq!((gap.spans, gap.deltas), (vec![span(1, 3)], vec![2, -2, 1]));
        let far = times(&[1.0, 1.0, 1.3]);
        let spans = vec![span(1, 1), span(5, 1)];
        assert_eq!((far.spans, far.deltas), (spans, vec![2, -1]));
        assert_eq!(Native::of(&Histogram::default()), Native::default());
        assert_eq!(Native::of(&of(&[0, 61])).zeros, 2);
    }

    proptest! {
        #[test]
        fn counts_are_kept_and_each_time_is_within_the_bound(
            times in proptest::collection::vec((0..42_u32, any::<u64>()), 1..200),
        ) {
            let longest = LONGEST.as_nanos() as u64;
            let times = times.iter().map(|&(bits, random)| (random >> (63 - bits)).min(longest));
            let mut times: Vec<u64> = times.collect();
            let histogram = of(&times);
            let buckets = read(&Native::of(&histogram));
            let total: u64 = buckets.iter().map(|(.., count)| count).sum();
            prop_assert_eq!(total, histogram.count());
            let exact: u128 = times.iter().map(|time| u128::from(*time)).sum();
            prop_assert_eq!(histogram.sum().as_nanos(), exact);
            // Buckets are in order, and so are times: the nth time is in the bucket of the nth count.
            times.sort_unstable();
            let mut times = times.into_iter();
            for (start, end, count) in buckets {
                for time in times.by_ref().take(count as usize) {
                    let time = time as f64 / 1e9;
                    let bound = (time * 0.077).max(1e-7);
                    prop_assert!(end - time <= bound && time - start <= bound, "{start} {time} {end}");
                }
            }
        }
    }
}
