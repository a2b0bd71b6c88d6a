//! Processor time of a request, in a closed loop.

use anyhow::{Context, Result};
use bench::process::usage;
use serde_json::json;

use super::scenario::Cost;
use super::{Case, Watch};
use crate::figures::{Results, Unit};
use crate::peers::{Ask, Kind, Protocol, Proxy, Request, Stage, h2load, load};
use crate::platform::{Workbench, load_average, stolen};

pub(super) fn measure(
    case: &Case,
    about: &Cost,
    workbench: &Workbench,
    results: &mut Results,
) -> Result<()> {
    let what = "processor time of a request";
    let costs = case.lines(results, what, Unit::Micros, |_, figure| figure);
    let shares = case.shares(results, "cost", |kind, figure| {
        match about.limits.iter().find(|(limited, _)| *limited == kind) {
            Some((_, limit)) => figure.median_at_most(*limit),
            None => figure,
        }
    });
    let disturbance = case.disturbance(results);
    let stage = Stage::set(workbench, &case.kinds, case.protocol())?;
    for run in 0..case.runs {
        let mut run_costs = vec![0.0; case.kinds.len()];
        for place in case.order(run) {
            let proxy = &stage.proxies[place];
            let ask = ask(case, (about.request, about.streams), &stage, proxy);
            let (cost, waited) = once(case, &ask, proxy, run, results)
                .with_context(|| format!("load on {}", proxy.kind.name()))?;
            results.push(costs[place], cost);
            results.push(disturbance, waited);
            run_costs[place] = cost;
        }
        case.push_shares(results, &shares, &run_costs);
        case.tell(run, "", "µs", &run_costs);
    }
    Ok(())
}

/// How a load asks a proxy for so many requests at a time on each connection.
fn ask<'a>(
    case: &Case,
    (request, streams): (Request, usize),
    stage: &'a Stage,
    proxy: &Proxy,
) -> Ask<'a> {
    Ask {
        protocol: case.protocol(),
        address: proxy.address,
        request,
        connections: case.connections,
        streams,
        seconds: case.seconds,
        folder: stage.folder(),
    }
}

/// Measures one proxy once: its processor time for a request, in microseconds, and the
/// percentage of the time that it waited for its core.
fn once(
    case: &Case,
    ask: &Ask,
    proxy: &Proxy,
    run: usize,
    results: &mut Results,
) -> Result<(f64, f64)> {
    if case.protocol() == Protocol::Grpc {
        h2load::check_call(ask)?;
    }
    warm_up(case, ask)?;
    let (before, stolen_before) = (usage(proxy.pid)?, stolen());
    let watch = Watch::start(proxy.pid)?;
    let seen = load::run(ask)?;
    let waited = watch.stop()?;
    let after = usage(proxy.pid)?;
    let spent = after.cpu - before.cpu;
    let cost = spent.as_secs_f64() * 1e6 / seen.requests;
    results.detail(json!({
        "scenario": case.name(),
        "run": run,
        "proxy": proxy.kind.name(),
        "connections": ask.connections,
        "streams": ask.streams,
        "seconds": ask.seconds,
        "requests": seen.requests,
        "cpu_us": spent.as_micros() as u64,
        "cost_us": cost,
        "per_second": seen.per_second,
        "busy": cost * seen.per_second / 1e6,
        "p99_ms": seen.p99_ms,
        "resident": after.resident,
        "waited_percent": waited,
        "load_average": load_average(),
        "stolen_us": (stolen() - stolen_before).as_micros() as u64,
    }));
    Ok((cost, waited))
}

/// Opens connections to the backend and has code run before it counts.
fn warm_up(case: &Case, ask: &Ask) -> Result<()> {
    let seconds = case.warm_up;
    load::run(&Ask { seconds, ..*ask })?;
    Ok(())
}

/// What each proxy can do in a closed loop, in requests a second; the least of all but the relay.
pub(super) fn slowest(case: &Case, stage: &Stage) -> Result<f64> {
    let mut slowest = f64::INFINITY;
    for proxy in &stage.proxies {
        let ask = ask(case, (Request::Page, 1), stage, proxy);
        warm_up(case, &ask)?;
        let rate = load::run(&ask)?.per_second;
        if proxy.kind != Kind::Relay {
            slowest = slowest.min(rate);
        }
    }
    Ok(slowest)
}
