//! What is said of two arms, from batches to table, picture and JSON. Review changed goldens with
//! `cargo insta review`.

use std::time::Duration;

use measure::Share;
use measure::compare::{
    Arms, Batch, Comparison, Lane, Latencies, MOST_SHARES, Margins, Names, Reason, Settings,
    Verdict, sentence, svg, table,
};

const NAMES: Names<'_> = Arms {
    baseline: "release 6",
    candidate: "release 7",
};

/// How fast and how well an arm is.
#[derive(Clone, Copy)]
struct Arm {
    requests: u64,
    slower: f64,
    slower_tail: f64,
    failed: u64,
}

const GOOD: Arm = Arm {
    requests: 1_000,
    slower: 1.0,
    slower_tail: 1.0,
    failed: 1,
};

/// A batch of which every latency is at another place of the same distribution.
fn batch(share: Share, baseline: Arm, candidate: Arm) -> Batch {
    let mut batch = Batch::new(share);
    for (arm, of) in [
        (&mut batch.arms.baseline, baseline),
        (&mut batch.arms.candidate, candidate),
    ] {
        arm.arrived = of.requests;
        arm.failed = of.failed;
        for index in 0..of.requests - of.failed {
            let part = (index as f64 + 0.5) / (of.requests - of.failed) as f64;
            let tail = if part > 0.985 { of.slower_tail } else { 1.0 };
            // A log-logistic distribution, 12 ms in the middle.
            let milliseconds = 12.0 * (part / (1.0 - part)).powf(0.3) * of.slower * tail;
            arm.latencies
                .record(Duration::from_secs_f64(milliseconds / 1e3));
        }
    }
    batch
}

fn after(batches: u64, share: Share, baseline: Arm, candidate: Arm) -> Comparison {
    let mut comparison = Comparison::new(Settings::default(), Latencies::default());
    for _ in 0..batches {
        comparison.observe(&batch(share, baseline, candidate));
    }
    comparison
}

fn assert_shown(name: &str, comparison: &Comparison) {
    let judgement = comparison.judgement();
    insta::assert_snapshot!(
        format!("{name}_table"),
        table(comparison, &judgement, NAMES)
    );
    insta::assert_snapshot!(format!("{name}_svg"), svg(comparison, &judgement, NAMES));
}

#[test]
fn a_slower_tail_is_worse() {
    let slower_tail = 1.4;
    let comparison = after(
        30,
        Share::EVEN,
        GOOD,
        Arm {
            slower_tail,
            ..GOOD
        },
    );
    let judgement = comparison.judgement();
    assert_eq!(judgement.verdict, Verdict::Worse);
    assert_eq!(judgement.worse.unwrap().lane, Lane::P99);
    assert_shown("worse", &comparison);
    insta::assert_json_snapshot!("worse_json", judgement);
}

#[test]
fn the_same_is_not_worse() {
    let share = Share::of_weights(25, 75).unwrap();
    let baseline = Arm {
        requests: 3_000,
        failed: 3,
        ..GOOD
    };
    let comparison = after(60, share, baseline, GOOD);
    let judgement = comparison.judgement();
    assert_eq!(judgement.verdict, Verdict::NotWorse);
    for lane in [Lane::P50, Lane::P90, Lane::P99] {
        let ratio = judgement.lane(lane).unwrap().ratio;
        assert!(
            ratio.low.unwrap() < 1.0 && ratio.high.unwrap() > 1.0,
            "{ratio:?}"
        );
        assert!((ratio.estimate.unwrap() - 1.0).abs() < 0.01, "{ratio:?}");
    }
    assert_shown("not_worse", &comparison);
}

#[test]
fn little_traffic_is_undecided() {
    let slower = 1.05;
    let comparison = after(3, Share::EVEN, GOOD, Arm { slower, ..GOOD });
    let judgement = comparison.judgement();
    assert_eq!(judgement.verdict, Verdict::Undecided);
    assert_eq!(judgement.reason, Some(Reason::LanesAreOpen));
    assert_shown("undecided", &comparison);
}

#[test]
fn no_traffic_is_no_data_and_is_never_taken_for_good() {
    let mut comparison = Comparison::new(Settings::default(), Latencies::default());
    let share = Share::of_weights(5, 95).unwrap();
    for _ in 0..10_000 {
        comparison.observe(&Batch::new(share));
        assert_eq!(comparison.verdict(), Verdict::NoData);
    }
    assert_shown("no_data", &comparison);
    // Much of the baseline's alone says nothing for the candidate.
    for _ in 0..100 {
        let mut batch = batch(share, GOOD, GOOD);
        batch.arms.candidate = measure::compare::ArmBatch::default();
        comparison.observe(&batch);
        assert_eq!(comparison.verdict(), Verdict::NoData);
    }
    assert!(
        comparison
            .judgement()
            .lanes
            .iter()
            .all(|lane| !lane.is_within)
    );
}

#[test]
fn failures_are_worse_and_told_as_failures() {
    let comparison = after(3, Share::EVEN, GOOD, Arm { failed: 40, ..GOOD });
    let judgement = comparison.judgement();
    assert_eq!(judgement.verdict, Verdict::Worse);
    insta::assert_snapshot!(sentence(&judgement, NAMES));
}

#[test]
fn shares_that_are_not_as_declared_allow_no_verdict() {
    let share = Share::of_weights(5, 95).unwrap();
    let slower = 2.0;
    let comparison = after(5, share, GOOD, Arm { slower, ..GOOD });
    let judgement = comparison.judgement();
    assert_eq!(judgement.verdict, Verdict::Undecided);
    assert_eq!(judgement.reason, Some(Reason::SharesAreBroken));
    insta::assert_snapshot!(sentence(&judgement, NAMES));
}

#[test]
fn worse_is_not_taken_back() {
    let mut comparison = after(3, Share::EVEN, GOOD, Arm { failed: 40, ..GOOD });
    for _ in 0..50 {
        comparison.observe(&batch(Share::EVEN, Arm { failed: 20, ..GOOD }, GOOD));
    }
    assert_eq!(comparison.verdict(), Verdict::Worse);
}

/// A difference that is measured, and that was declared not to matter.
#[test]
fn slower_by_less_than_the_margin_is_not_worse_once_that_is_shown() {
    let p999 = Some(0.25);
    let margins = Margins {
        p999,
        ..Margins::default()
    };
    let settings = Settings::new(0.01, margins, 100).unwrap();
    let mut comparison = Comparison::new(settings, Latencies::default());
    let many = Arm {
        requests: 10_000,
        failed: 10,
        ..GOOD
    };
    for _ in 0..30 {
        comparison.observe(&batch(Share::EVEN, many, many));
    }
    for _ in 0..50 {
        let slower = 1.02;
        comparison.observe(&batch(Share::EVEN, many, Arm { slower, ..many }));
        assert_eq!(comparison.verdict(), Verdict::NotWorse);
    }
    let p50 = comparison.judgement().lane(Lane::P50).cloned().unwrap();
    assert!(
        p50.log10_evidence_of_worse > 3.0 && p50.is_within,
        "{p50:?}"
    );
    // Not any more once it is beyond.
    for _ in 0..50 {
        let slower = 1.5;
        comparison.observe(&batch(Share::EVEN, many, Arm { slower, ..many }));
    }
    assert_eq!(comparison.verdict(), Verdict::Worse);
}

#[test]
fn a_restart_between_any_two_batches_changes_nothing() {
    let slower = 1.1;
    let candidate = Arm { slower, ..GOOD };
    let whole = after(8, Share::EVEN, GOOD, candidate);
    let mut restarted = Comparison::new(Settings::default(), Latencies::default());
    for _ in 0..8 {
        restarted.observe(&batch(Share::EVEN, GOOD, candidate));
        let written = serde_json::to_vec(&restarted).unwrap();
        restarted = serde_json::from_slice(&written).unwrap();
    }
    assert_eq!(restarted, whole);
    assert_eq!(restarted.judgement(), whole.judgement());
}

/// A clock that jumps makes intervals empty, or as long as an hour: the same requests say the same.
#[test]
fn how_long_an_interval_was_changes_nothing() {
    let slower = 1.1;
    let candidate = Arm { slower, ..GOOD };
    let past = batch(Share::EVEN, GOOD, GOOD).arms.baseline.latencies;
    let mut steady = Comparison::new(Settings::default(), past.clone());
    let mut jumping = Comparison::new(Settings::default(), past);
    let mut long = Batch::new(Share::EVEN);
    for _ in 0..10 {
        // Thresholds stay where they are while there is the same before them.
        let interval = batch(Share::EVEN, GOOD, candidate);
        let before = steady.clone();
        steady.observe(&interval);
        let empty = Batch::new(Share::EVEN);
        let mut same = steady.clone();
        same.observe(&empty);
        assert_eq!(same, steady);
        assert_ne!(before, steady);
        long.merge(interval).unwrap();
    }
    jumping.observe(&long);
    assert_eq!(jumping.judgement().requests, steady.judgement().requests);
    let [steady, jumping] = [steady, jumping].map(|comparison| {
        let judgement = comparison.judgement();
        (judgement.verdict, judgement.lane(Lane::Errors).cloned())
    });
    assert_eq!(steady, jumping);
}

#[test]
fn parts_of_workers_are_one_batch_and_shares_are_two() {
    let mut merged = batch(Share::EVEN, GOOD, GOOD);
    merged.merge(batch(Share::EVEN, GOOD, GOOD)).unwrap();
    assert_eq!(merged.arms.candidate.arrived, 2_000);
    assert_eq!(merged.arms.candidate.ended(), 2_000);
    let other = batch(Share::of_weights(1, 3).unwrap(), GOOD, GOOD);
    assert_eq!(merged.merge(other.clone()), Err(other));
}

#[test]
fn memory_is_bounded_whatever_the_shares_are() {
    let mut comparison = Comparison::new(Settings::default(), Latencies::default());
    for weight in 1..=MOST_SHARES as u32 + 10 {
        let share = Share::of_weights(weight, 1_009).unwrap();
        comparison.observe(&batch(
            share,
            GOOD,
            Arm {
                requests: 10,
                ..GOOD
            },
        ));
    }
    let judgement = comparison.judgement();
    assert_eq!(judgement.not_judged, 10 * 1_010);
    assert_eq!(judgement.requests.baseline.ended(), 64 * 1_000);
    let written = serde_json::to_vec(&comparison).unwrap().len();
    assert!(written < 256 * 1024, "{written}");
}

#[test]
fn settings_are_read_strictly() {
    let margins = r#"{"p50":0.1,"p90":null,"p99":null,"p999":null,"errors":0.01}"#;
    let read = |text: String| serde_json::from_str::<Settings>(&text);
    let good = read(format!(
        r#"{{"alpha":0.05,"margins":{margins},"least_requests":5}}"#
    ));
    let p50 = Some(0.1);
    assert_eq!(
        good.unwrap().margins(),
        Margins {
            p50,
            p90: None,
            p99: None,
            p999: None,
            errors: 0.01
        }
    );
    let bad = read(format!(
        r#"{{"alpha":0.9,"margins":{margins},"least_requests":5}}"#
    ));
    assert!(bad.unwrap_err().to_string().contains("is 0.9"));
}
