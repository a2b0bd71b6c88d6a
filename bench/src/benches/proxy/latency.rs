//! Latency in an open loop: the same rate for all, which the slowest of them can just bear.

use std::time::Duration;

use anyhow::{Result, ensure};
use bench::{Load, Report};
use serde_json::json;

use super::{Case, Watch, cost};
use crate::benches::load::as_json;
use crate::benches::{millis, progress};
use crate::figures::{Results, Unit};
use crate::peers::{Kind, Proxy, Stage};
use crate::pinning::FirstInLine;
use crate::platform::{Workbench, load_average};

/// Of how many requests the latency is shown.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Which of these is compared.
const COMPARED: usize = 1;

/// The lines of one share of the slowest's capacity.
struct Lines {
    share: f64,
    quantiles: Vec<Vec<usize>>,
    compared: Vec<(Kind, usize)>,
    disturbance: usize,
}

pub(super) fn measure(
    case: &Case,
    shares: &[f64],
    workbench: &Workbench,
    results: &mut Results,
) -> Result<()> {
    let disturbance = case.disturbance(results);
    let all: Vec<Lines> = shares
        .iter()
        .map(|share| lines(case, *share, disturbance, results))
        .collect();
    let stage = Stage::set(workbench, &case.kinds, case.protocol())?;
    let capacity = cost::slowest(case, &stage)?;
    progress(&format!("the slowest does {capacity:.0} requests a second"));
    for run in 0..case.runs {
        for lines in &all {
            once(case, &stage, lines, capacity, run, results)?;
        }
    }
    Ok(())
}

fn lines(case: &Case, share: f64, disturbance: usize, results: &mut Results) -> Lines {
    let load = format!("at {:.0} % load", share * 100.0);
    let quantiles = QUANTILES.iter().map(|(name, _)| {
        case.lines(
            results,
            &format!("{name} {load}"),
            Unit::Millis,
            |_, figure| figure,
        )
    });
    let quantiles = quantiles.collect();
    let what = format!("{} {load}", QUANTILES[COMPARED].0);
    let compared = case.shares(results, &what, |kind, figure| match kind {
        // It does nothing that takes time, so nobody can be below it.
        Kind::Relay => figure,
        _ => figure.median_below(1.0),
    });
    Lines {
        share,
        quantiles,
        compared,
        disturbance,
    }
}

/// Measures all once, at one rate.
fn once(
    case: &Case,
    stage: &Stage,
    lines: &Lines,
    capacity: f64,
    run: usize,
    results: &mut Results,
) -> Result<()> {
    let rate = capacity * lines.share;
    let mut compared = vec![0.0; case.kinds.len()];
    for place in case.order(run) {
        let proxy = &stage.proxies[place];
        let watch = Watch::start(proxy.pid)?;
        let report = open_loop(case, stage, proxy, rate)?;
        let waited = watch.stop()?;
        results.push(lines.disturbance, waited);
        for (number, (_, quantile)) in QUANTILES.iter().enumerate() {
            let latency = millis(report.latency(*quantile));
            results.push(lines.quantiles[number][place], latency);
            if number == COMPARED {
                compared[place] = latency;
            }
        }
        results.detail(json!({
            "scenario": case.name(),
            "run": run,
            "proxy": proxy.kind.name(),
            "rate": rate,
            "share": lines.share,
            "waited_percent": waited,
            "load_average": load_average(),
            "report": as_json(&report),
        }));
    }
    case.push_shares(results, &lines.compared, &compared);
    let what = format!("p99 at {:.0} %: ", lines.share * 100.0);
    case.tell(run, &what, "ms", &compared);
    Ok(())
}

fn open_loop(case: &Case, stage: &Stage, proxy: &Proxy, rate: f64) -> Result<Report> {
    let url = format!("http://{}/", proxy.address);
    let load = Load {
        host: Some(crate::peers::HOST.into()),
        connections: case.connections,
        ..Load::new(url, rate)
    };
    let running = load.start()?;
    let first = FirstInLine::new(stage.pids().chain([std::process::id()]))?;
    std::thread::sleep(Duration::from_secs(case.seconds as u64));
    let report = running.stop();
    drop(first);
    ensure!(
        report.failed == 0,
        "{} of {} requests to {} failed: {:?}",
        report.failed,
        report.sent,
        proxy.kind.name(),
        report.failures.first()
    );
    Ok(report)
}
