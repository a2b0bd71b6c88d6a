//! The evidence and its bounds, beside what scipy makes of their definition.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::*;

/// What is asked of both.
#[derive(Debug, Serialize)]
struct Case {
    strata: Vec<Stratum>,
    succeeded: Vec<u64>,
    assumed: f64,
    margin: f64,
    alpha: f64,
}

#[derive(Debug, Serialize)]
struct Stratum {
    share: f64,
    candidate: u64,
    baseline: u64,
}

/// What scipy comes to.
#[derive(Debug, Deserialize)]
struct Answer {
    more: f64,
    less: f64,
    within: f64,
    low: Option<f64>,
    high: Option<f64>,
    estimate: Option<f64>,
    closed_form: Option<f64>,
}

/// The Python that `cargo xtask setup` gives the packages; none, and a line that says so, where it
/// is not there.
fn python() -> Option<PathBuf> {
    let path = "target/statistics/python3/bin/python";
    let python = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path);
    if python.is_file() {
        return Some(python);
    }
    // Past the test harness, which keeps back what a test that passes prints.
    writeln!(
        std::io::stderr().lock(),
        "LEFT OUT: the evidence beside scipy's, since {path} is not installed"
    )
    .unwrap();
    None
}

fn asked_of_scipy(python: &Path, cases: &[Case]) -> Vec<Answer> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scipy/evidence.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let cases = serde_json::to_vec(cases).unwrap();
    child.stdin.take().unwrap().write_all(&cases).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Sequences as a canary makes them, after each of their batches: shares in steps, and arms that
/// differ by much, by little or by nothing.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut random = 7_u64;
    let mut below = |end: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % end
    };
    for slower in [1, 2, 10] {
        let mut case = (Vec::new(), Vec::new());
        for share in [0.5, 0.05, 0.1, 0.25, 0.999] {
            let all = 40 + below(4_000);
            let candidate = ((all as f64 * share) as u64 * slower / 2 + below(20)).min(all);
            case.0.push((share, candidate, all - candidate));
            case.1.push(below(100_000));
            cases.push(case.clone());
        }
    }
    for counts in [
        (0, 0),
        (1, 0),
        (0, 1),
        (300, 0),
        (0, 300),
        (52_000, 50_000),
        (500_500, 500_000),
    ] {
        cases.push((vec![(0.5, counts.0, counts.1)], vec![counts.1 * 3]));
    }
    let strata = |(share, candidate, baseline)| Stratum {
        share,
        candidate,
        baseline,
    };
    let numbered = cases.into_iter().enumerate();
    let case = numbered.map(|(number, (counts, succeeded))| Case {
        strata: counts.into_iter().map(strata).collect(),
        succeeded,
        assumed: [0.0, 0.1, -0.7][number % 3],
        margin: [0.005, 0.02][number % 2],
        alpha: [0.01, 0.05, 0.005][number % 3],
    });
    case.collect()
}

fn assert_close(what: &str, ours: f64, scipys: f64, case: &Case) {
    // Logarithms of likelihoods are differences of what is as large as there are exceedances.
    let exceedances: u64 = case.strata.iter().map(|s| s.candidate + s.baseline).sum();
    let most = 1e-9 * scipys.abs().max(1.0) + 1e-14 * exceedances as f64;
    assert!(
        (ours - scipys).abs() <= most,
        "{what}: {ours} {scipys} {case:?}"
    );
}

fn assert_close_if_any(what: &str, ours: Option<f64>, scipys: Option<f64>, case: &Case) {
    match (ours, scipys) {
        (Some(ours), Some(scipys)) => assert_close(what, ours, scipys, case),
        (None, None) => {}
        _ => panic!("{what}: {ours:?} {scipys:?} {case:?}"),
    }
}

#[test]
fn evidence_and_bounds_are_what_scipy_comes_to() {
    let Some(python) = python() else { return };
    let cases = cases();
    let answers = asked_of_scipy(&python, &cases);
    assert_eq!(answers.len(), cases.len());
    let mut closed_forms = 0;
    for (case, answer) in cases.iter().zip(answers) {
        let strata = case.strata.iter().map(|stratum| Exceedances {
            share: stratum.share,
            candidate: stratum.candidate,
            baseline: stratum.baseline,
        });
        let strata: Vec<Exceedances> = strata.collect();
        let [more, less] = [Direction::More, Direction::Less];
        let ours = |direction| log_evidence(&strata, direction, case.assumed);
        assert_close("more", ours(more), answer.more, case);
        assert_close("less", ours(less), answer.less, case);
        let within = log_evidence_within(&strata, &case.succeeded, case.margin);
        assert_close("within", within, answer.within, case);
        let ours = |direction| bound(&strata, direction, case.alpha);
        assert_close_if_any("low", ours(more), answer.low, case);
        assert_close_if_any("high", ours(less), answer.high, case);
        assert_close_if_any("estimate", estimate(&strata), answer.estimate, case);
        // The nodes are a sum, and its integral is near where there is anything to find.
        if let Some(closed_form) = answer.closed_form.filter(|closed_form| *closed_form > 0.0) {
            let ours = log_evidence(&strata, more, 0.0);
            eprintln!("{ours} by nodes, {closed_form} by the integral: {case:?}");
            assert!(
                (ours - closed_form).abs() < (0.02 * closed_form).max(0.3),
                "{ours} {closed_form} {case:?}"
            );
            closed_forms += 1;
        }
    }
    assert!(closed_forms >= 3, "{closed_forms}");
}
