//! How soon a verdict that is true is given.

use measure::compare::Verdict;

use crate::random::Shape;
use crate::runs::{Run, Scenario, Shares, count_of_runs, is_long, median};

/// The requests after which half of all runs have a verdict; that of none is later than all.
fn given_after(name: &str, first_seed: u64, scenario: Scenario, verdict: Verdict) -> u64 {
    let after = |seed| {
        let mut run = Run::new(scenario, seed);
        while let Some(requests) = run.next() {
            if run.verdict() == verdict {
                return requests;
            }
        }
        u64::MAX
    };
    let median = median((first_seed..first_seed + count_of_runs()).map(after));
    eprintln!(
        "{name}: {} after {median} requests at the median, seeds from {first_seed}",
        verdict.name()
    );
    median
}

#[test]
fn ten_percent_slower_is_found_within_20_000_requests() {
    let shapes = [
        Shape::LogNormal(0.5),
        Shape::LogNormal(1.0),
        Shape::Bimodal,
        Shape::Pareto(1.5),
    ];
    for (seed, shape) in (200_000..).step_by(10_000).zip(shapes) {
        let scenario = Scenario {
            shape,
            slower: 1.1,
            ..Scenario::alike(25_000)
        };
        let name = format!("10 % slower, {shape:?}");
        let median = given_after(&name, seed, scenario, Verdict::Worse);
        assert!(median <= 20_000, "{name}: {median}, seeds from {seed}");
    }
}

#[test]
fn one_percent_more_errors_are_found_within_5_000_requests() {
    for (seed, failing) in [(300_000, 0.0), (310_000, 0.002), (320_000, 0.005)] {
        let scenario = Scenario {
            failing,
            failing_more: 0.01,
            batch: 60,
            ..Scenario::alike(8_000)
        };
        let name = format!("1 % more errors than {failing}");
        let median = given_after(&name, seed, scenario, Verdict::Worse);
        assert!(median <= 5_000, "{name}: {median}, seeds from {seed}");
    }
}

/// Of a release that does not work at all, 5 % of traffic are enough to see it.
#[test]
fn a_candidate_that_answers_nothing_is_found_after_a_few_of_its_requests() {
    let scenario = Scenario {
        failing_more: 1.0,
        shares: Shares::Fixed(5),
        batch: 20,
        ..Scenario::alike(2_000)
    };
    let median = given_after("answers nothing", 330_000, scenario, Verdict::Worse);
    assert!(median <= 300, "{median}");
}

#[test]
fn a_candidate_that_is_alike_is_not_worse_in_the_end() {
    let scenario = Scenario {
        batch: 1_000,
        failing: 0.001,
        ..Scenario::alike(60_000)
    };
    let median = given_after("alike", 340_000, scenario, Verdict::NotWorse);
    assert!(median <= 40_000, "{median}");
}

/// What a canary with less than half of the traffic takes: figures for the documentation.
#[test]
fn smaller_shares_take_longer_and_get_there() {
    if !is_long() {
        return;
    }
    let shares = Shares::Fixed(10);
    let scenario = Scenario {
        shares,
        batch: 1_000,
        ..Scenario::alike(400_000)
    };
    let slower = 1.1;
    let worse = Scenario { slower, ..scenario };
    assert!(
        given_after(
            "10 % slower at a share of 10 %",
            350_000,
            worse,
            Verdict::Worse
        ) < 40_000
    );
    let failing_more = 0.01;
    let failing = Scenario {
        failing_more,
        ..scenario
    };
    let name = "1 % more errors at a share of 10 %";
    assert!(given_after(name, 360_000, failing, Verdict::Worse) < 20_000);
    let name = "alike at a share of 10 %";
    assert!(given_after(name, 370_000, scenario, Verdict::NotWorse) < 400_000);
}
