//! What makes the evidence valid, checked by counting every outcome; and that it is finite.

use proptest::prelude::*;

use super::*;

fn of(share: f64, candidate: u64, baseline: u64) -> Exceedances {
    Exceedances {
        share,
        candidate,
        baseline,
    }
}

/// What the evidence is expected to be after the next exceedance, if that is the candidate's with
/// a probability of `coin`.
fn expected_next(before: &[Exceedances], direction: Direction, share: f64, coin: f64) -> f64 {
    let after = |candidate, baseline| {
        let strata = [before, &[of(share, candidate, baseline)]].concat();
        log_evidence(&strata, direction, 0.0).exp()
    };
    coin * after(1, 0) + (1.0 - coin) * after(0, 1)
}

fn strata() -> impl Strategy<Value = Vec<Exceedances>> {
    let stratum = (0.001..0.999, 0..60_u64, 0..60_u64);
    let stratum = stratum.prop_map(|(share, candidate, baseline)| of(share, candidate, baseline));
    proptest::collection::vec(stratum, 0..5)
}

fn either() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::More), Just(Direction::Less)]
}

#[test]
fn nothing_says_nothing() {
    let nothing = log_evidence(&[], Direction::More, 0.0);
    assert!(nothing.abs() < 1e-12, "{nothing}");
    assert!(log_evidence_within(&[of(0.5, 0, 0)], &[0], 0.01).abs() < 1e-12);
    assert_eq!(estimate(&[]), None);
    assert_eq!(bound(&[], Direction::More, 0.05), None);
}

#[test]
fn failures_without_a_counterpart_bound_one_side_only() {
    let strata = [of(0.5, 40, 0)];
    assert!(bound(&strata, Direction::More, 0.01).unwrap() > 1.0);
    assert_eq!(bound(&strata, Direction::Less, 0.01), None);
    assert_eq!(estimate(&strata), None);
}

#[test]
fn the_estimate_is_the_ratio_of_the_odds() {
    let one = estimate(&[of(0.5, 200, 100)]).unwrap();
    assert!((one.exp() - 2.0).abs() < 1e-9, "{one}");
    let of_a_tenth = estimate(&[of(0.1, 100, 900)]).unwrap();
    assert!(of_a_tenth.abs() < 1e-9, "{of_a_tenth}");
}

/// Of requests that fail `margin` more often with the candidate, no next one is expected to raise
/// the evidence that they do not.
#[test]
fn evidence_of_a_margin_is_expected_to_stay_where_the_truth_is_at_it() {
    for (share, failing, margin) in [(0.5, 0.0, 0.005), (0.05, 0.02, 0.01), (0.9, 0.3, 0.05)] {
        let of_candidate = failing + margin * (1.0 - failing);
        let after = |candidate, baseline, succeeded: u64| {
            let strata = [of(0.3, 2, 5), of(share, candidate, baseline)];
            log_evidence_within(&strata, &[100, succeeded], margin).exp()
        };
        let expected = share
            * (of_candidate * after(1, 0, 0) + (1.0 - of_candidate) * after(0, 0, 0))
            + (1.0 - share) * (failing * after(0, 1, 0) + (1.0 - failing) * after(0, 0, 1));
        let now = after(0, 0, 0);
        assert!((expected / now - 1.0).abs() < 1e-12, "{expected} {now}");
        // And to fall where it is beyond.
        let beyond = of_candidate + 0.1 * (1.0 - of_candidate);
        let expected = share * (beyond * after(1, 0, 0) + (1.0 - beyond) * after(0, 0, 0))
            + (1.0 - share) * (failing * after(0, 1, 0) + (1.0 - failing) * after(0, 0, 1));
        assert!(expected < now, "{expected} {now}");
    }
}

proptest! {
    #[test]
    fn the_next_exceedance_is_expected_to_change_nothing_if_arms_are_alike(
        before in strata(), share in 0.001..0.999_f64, direction in either()
    ) {
        let now = log_evidence(&before, direction, 0.0).exp();
        let expected = expected_next(&before, direction, share, share);
        prop_assert!((expected / now - 1.0).abs() < 1e-9, "{now} {expected}");
    }

    #[test]
    fn it_is_expected_to_fall_if_the_candidate_is_on_the_other_side(
        before in strata(), share in 0.001..0.999_f64, part in 0.0..1.0_f64
    ) {
        let now = log_evidence(&before, Direction::More, 0.0).exp();
        let expected = expected_next(&before, Direction::More, share, share * part);
        prop_assert!(expected <= now * (1.0 + 1e-9), "{now} {expected}");
        let now = log_evidence(&before, Direction::Less, 0.0).exp();
        let coin = share + (1.0 - share) * part;
        let expected = expected_next(&before, Direction::Less, share, coin);
        prop_assert!(expected <= now * (1.0 + 1e-9), "{now} {expected}");
    }

    #[test]
    fn parts_of_a_batch_say_what_the_batch_says(
        share in 0.001..0.999_f64, arms in proptest::collection::vec(any::<bool>(), 0..50),
        direction in either()
    ) {
        let one_by_one: Vec<_> = arms.iter()
            .map(|&is_candidate| of(share, is_candidate.into(), (!is_candidate).into()))
            .collect();
        let candidate = arms.iter().filter(|is_candidate| **is_candidate).count() as u64;
        let batch = [of(share, candidate, arms.len() as u64 - candidate)];
        let [parts, whole] = [&one_by_one[..], &batch]
            .map(|strata| log_evidence(strata, direction, 0.0));
        prop_assert!((parts - whole).abs() < 1e-9, "{parts} {whole}");
    }

    #[test]
    fn evidence_is_a_number_whatever_was_counted(
        share in 1e-9..(1.0 - 1e-9_f64), candidate in any::<u64>(), baseline in any::<u64>(),
        assumed in -12.0..12.0_f64
    ) {
        let strata = [of(share, candidate, baseline)];
        for direction in [Direction::More, Direction::Less] {
            prop_assert!(log_evidence(&strata, direction, assumed).is_finite());
            prop_assert!(bound(&strata, direction, 0.01).is_none_or(f64::is_finite));
        }
        prop_assert!(log_evidence_within(&strata, &[baseline], 0.01).is_finite());
        prop_assert!(estimate(&strata).is_none_or(f64::is_finite));
    }

    #[test]
    fn a_bound_is_where_the_evidence_reaches_what_is_needed(strata in strata()) {
        let estimate = estimate(&strata);
        let [low, high] = [Direction::More, Direction::Less].map(|direction| {
            let bound = bound(&strata, direction, 0.05);
            if let Some(bound) = bound {
                let evidence = log_evidence(&strata, direction, bound);
                assert!((evidence - 20.0_f64.ln()).abs() < 1e-6, "{evidence}");
            }
            bound
        });
        if let (Some(low), Some(estimate)) = (low, estimate) {
            prop_assert!(low <= estimate);
        }
        if let (Some(estimate), Some(high)) = (estimate, high) {
            prop_assert!(estimate <= high);
        }
    }
}
