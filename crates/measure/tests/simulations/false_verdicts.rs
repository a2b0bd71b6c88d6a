//! How often a verdict is false while it is watched after every batch: at most as often as declared.

use measure::compare::{Margins, Settings, Verdict};

use crate::random::Shape;
use crate::runs::{Load, Run, Scenario, Shares, count_of_runs};

/// A chance of a false verdict at which 300 runs show whether it is kept.
const ALPHA: f64 = 0.05;

fn settings(margins: Margins) -> Settings {
    Settings::new(ALPHA, margins, 100).unwrap()
}

/// Fails if the verdict is given, at any time, in more runs than are allowed.
fn at_most_alpha(name: &str, first_seed: u64, scenario: Scenario, verdict: Verdict) {
    let count = count_of_runs();
    let is_given = |seed: &u64| {
        let mut run = Run::new(scenario, *seed);
        while run.next().is_some() {
            // WORSE is looked for after every batch by the comparison itself, and not taken back.
            if verdict != Verdict::Worse && run.verdict() == verdict {
                return true;
            }
        }
        run.verdict() == verdict
    };
    let given: Vec<u64> = (first_seed..first_seed + count).filter(is_given).collect();
    eprintln!(
        "{name}: {} in {} of {count} runs",
        verdict.name(),
        given.len()
    );
    assert!(
        given.len() as f64 <= ALPHA * count as f64,
        "{name}: {} in {} of {count} runs, with the seeds {given:?}",
        verdict.name(),
        given.len()
    );
}

fn alike() -> Scenario {
    Scenario {
        settings: settings(Margins::default()),
        batch: 300,
        ..Scenario::alike(20_000)
    }
}

fn no_alarm(name: &str, first_seed: u64, scenario: Scenario) {
    at_most_alpha(name, first_seed, scenario, Verdict::Worse);
}

#[test]
fn arms_that_are_alike_are_not_worse_while_load_drifts() {
    for (seed, load) in [(10_000, Load::Waves), (20_000, Load::Jump)] {
        no_alarm(&format!("{load:?}"), seed, Scenario { load, ..alike() });
    }
}

#[test]
fn arms_that_are_alike_are_not_worse_while_shares_change() {
    for (seed, shares) in [(30_000, Shares::Steps), (40_000, Shares::Walk)] {
        let load = Load::Waves;
        let scenario = Scenario {
            shares,
            load,
            ..alike()
        };
        no_alarm(&format!("{shares:?}"), seed, scenario);
    }
}

#[test]
fn arms_that_are_alike_are_not_worse_where_each_request_is_like_the_one_before() {
    let scenario = Scenario {
        load: Load::Correlated,
        shares: Shares::Fixed(10),
        ..alike()
    };
    no_alarm("autocorrelated", 50_000, scenario);
}

#[test]
fn arms_that_are_alike_are_not_worse_whatever_latencies_are_like() {
    let shapes = [
        Shape::Bimodal,
        Shape::Pareto(1.1),
        Shape::Steps,
        Shape::LogNormal(2.0),
    ];
    for (seed, shape) in (60_000..).step_by(10_000).zip(shapes) {
        let shares = Shares::Fixed(5);
        let scenario = Scenario {
            shape,
            shares,
            ..alike()
        };
        no_alarm(&format!("{shape:?}"), seed, scenario);
    }
}

/// A canary that gets 1 request in 50, few requests in all, in batches of a few, and many failures.
#[test]
fn arms_that_are_alike_are_not_worse_in_small_counts() {
    let scenario = Scenario {
        shares: Shares::Fixed(2),
        batch: 8,
        requests: 1_200,
        failing: 0.05,
        ..alike()
    };
    no_alarm("small counts", 100_000, scenario);
}

/// What the others would show if the guarantee did not hold: the usual test, looked at after each
/// batch, is wrong far more often than the 5 % that it declares.
#[test]
fn the_usual_test_that_is_watched_is_wrong_too_often_and_this_is_noticed() {
    let count = count_of_runs();
    let is_wrong = |seed: &u64| {
        let mut run = Run::new(alike(), *seed);
        while run.next().is_some() {
            if run.deviations() > 1.645 {
                return true;
            }
        }
        false
    };
    let wrong = (110_000..110_000 + count).filter(is_wrong).count();
    eprintln!("a z-test of p50 that is watched: false in {wrong} of {count} runs");
    assert!(
        wrong as f64 > 3.0 * ALPHA * count as f64,
        "{wrong} of {count}"
    );
}

/// One margin, so that nothing else keeps the verdict from being given.
fn only(margin: f64, errors: f64) -> Settings {
    settings(Margins {
        p50: None,
        p90: Some(margin),
        p99: None,
        p999: None,
        errors,
    })
}

#[test]
fn just_beyond_the_margin_of_latency_it_is_not_said_to_be_within() {
    let scenario = Scenario {
        slower: 1.105,
        settings: only(0.1, 0.1),
        load: Load::Waves,
        failing: 0.0,
        ..alike()
    };
    at_most_alpha("10.5 % slower", 120_000, scenario, Verdict::NotWorse);
    let shares = Shares::Steps;
    let scenario = Scenario { shares, ..scenario };
    at_most_alpha(
        "10.5 % slower, in steps",
        130_000,
        scenario,
        Verdict::NotWorse,
    );
}

#[test]
fn just_beyond_the_margin_of_errors_it_is_not_said_to_be_within() {
    let scenario = Scenario {
        failing: 0.002,
        failing_more: 0.0052,
        settings: only(1.0, 0.005),
        requests: 10_000,
        ..alike()
    };
    at_most_alpha("0.52 % more errors", 140_000, scenario, Verdict::NotWorse);
}

#[test]
fn slower_in_the_tail_alone_it_is_not_said_to_be_within() {
    let scenario = Scenario {
        slower_tail: 1.4,
        ..alike()
    };
    at_most_alpha(
        "40 % slower above p98",
        150_000,
        scenario,
        Verdict::NotWorse,
    );
}
