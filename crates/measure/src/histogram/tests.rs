//! Properties of histograms, for the coarsest and the finest that are used.

use proptest::prelude::*;

use super::*;

fn of<const STEPS: u64>(times: &[u64]) -> Histogram<STEPS> {
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

fn buckets_follow_each_other<const STEPS: u64>() {
    let buckets = Histogram::<STEPS>::BUCKETS;
    let index = Histogram::<STEPS>::index;
    assert_eq!((index(0), index(1)), (0, 0));
    assert_eq!(index(u64::MAX), buckets - 1);
    for bucket in 0..buckets {
        let end = Threshold::<STEPS>(bucket).nanoseconds();
        assert_eq!(index(end), bucket, "{end} ns");
        assert_eq!(index(end + 1), (bucket + 1).min(buckets - 1), "{end} ns");
        let at = |nanoseconds| Threshold::<STEPS>::not_above(Duration::from_nanos(nanoseconds)).0;
        assert_eq!(at(end), bucket, "{end} ns");
        assert_eq!(at(end - 1), bucket.saturating_sub(1), "{end} ns");
    }
}

#[test]
fn buckets_follow_each_other_without_a_gap() {
    buckets_follow_each_other::<16>();
    buckets_follow_each_other::<128>();
}

#[test]
fn nothing_is_allocated_before_the_first_time() {
    let mut nothing = Histogram::<16>::default();
    nothing.merge(&Histogram::default());
    assert!(nothing.counts.is_none());
    assert_eq!((nothing.count(), nothing.quantile(0.5)), (0, None));
    assert_eq!(nothing.threshold(0.5), None);
    let threshold = Threshold::not_above(Duration::ZERO);
    assert_eq!(nothing.cumulative().exceeding(threshold), 0);
}

#[test]
fn a_bucket_that_does_not_exist_is_refused() {
    let sent = |bucket: usize| format!(r#"{{"sum":1,"buckets":[[{bucket},2]]}}"#);
    let last = Histogram::<128>::BUCKETS - 1;
    assert!(serde_json::from_str::<Histogram<128>>(&sent(last)).is_ok());
    assert!(serde_json::from_str::<Histogram<128>>(&sent(last + 1)).is_err());
}

#[test]
fn counts_from_elsewhere_may_be_any() {
    let sent = format!(r#"{{"sum":{0},"buckets":[[7,{0}],[9,{0}]]}}"#, u64::MAX);
    let mut most: Histogram<128> = serde_json::from_str(&sent).unwrap();
    most.record(Duration::from_nanos(600));
    most.merge(&most.clone());
    let threshold = Threshold::not_above(Duration::ZERO);
    assert_eq!(most.count(), u64::MAX);
    assert_eq!(most.exceeding(threshold), u64::MAX);
    assert_eq!(most.cumulative().exceeding(threshold), u64::MAX);
    assert!(most.quantile(0.99).is_some());
}

#[test]
fn what_was_started_anew_is_no_later_state() {
    let (before, after) = (of::<16>(&[5_000, 7_000]), of::<16>(&[7_000]));
    assert_eq!(after.since(&before), Err(NotEarlier));
    assert_eq!(Histogram::default().since(&before), Err(NotEarlier));
}

proptest! {
    #[test]
    fn a_quantile_is_off_by_as_much_as_is_said(mut times in times(), share in 0.0..=1.0_f64) {
        let (coarse, fine) = (of::<16>(&times), of::<128>(&times));
        times.sort_unstable();
        let rank = ((share * times.len() as f64).ceil() as usize).max(1);
        let exact = times[rank - 1] as f64;
        for (quantile, steps) in [(coarse.quantile(share), 16.0), (fine.quantile(share), 128.0)] {
            let quantile = quantile.unwrap().as_nanos() as f64;
            let most = (exact / (2.0 * steps)).max(31.0);
            prop_assert!((quantile - exact).abs() <= most, "{exact}: {quantile}");
        }
    }

    #[test]
    fn all_times_are_there_in_order(times in times()) {
        let histogram = of::<16>(&times);
        let counts: u64 = histogram.times().map(|(_, count)| count).sum();
        prop_assert_eq!(counts, times.len() as u64);
        prop_assert!(histogram.times().is_sorted());
        let last = histogram.times().last().map(|(time, _)| time);
        prop_assert_eq!(last, histogram.quantile(1.0));
    }

    #[test]
    fn to_merge_is_to_record_both_and_to_subtract_is_to_take_back(one in times(), two in times()) {
        let mut merged = of::<128>(&one);
        merged.merge(&of(&two));
        prop_assert_eq!(&merged, &of(&[one.clone(), two.clone()].concat()));
        prop_assert_eq!(merged.since(&of(&one)).unwrap(), of(&two));
    }

    #[test]
    fn what_exceeds_a_threshold_is_counted_exactly(times in times(), time in times()) {
        let threshold = Threshold::<128>::not_above(Duration::from_nanos(time[0]));
        let end = threshold.nanoseconds();
        let exceeding = times.iter().filter(|time| **time > end).count() as u64;
        let histogram = of::<128>(&times);
        prop_assert_eq!(histogram.exceeding(threshold), exceeding);
        prop_assert_eq!(histogram.cumulative().exceeding(threshold), exceeding);
    }

    #[test]
    fn a_histogram_reads_back_as_sent(times in times()) {
        let sent = serde_json::to_string(&of::<128>(&times)).unwrap();
        prop_assert_eq!(serde_json::from_str::<Histogram<128>>(&sent).unwrap(), of(&times));
    }
}
