//! Processor time of a request, in a closed loop.

use anyhow::{Context, Result};
use bench::process::usage;
use serde_json::json;

use super::scenario::What;
use super::{Case, Watch};
use crate::figures::{Results, Unit};
use crate::peers::load::{self, Ask, Request};
use crate::peers::{Kind, Protocol, Proxy, Stage, h2load};
use crate::platform::{Workbench, load_average, stolen};

pub(super) fn measure(case: &Case, workbench: &Workbench, results: &mut Results) -> Result<()> {
    let What::Cost { limits, .. } = &case.scenario.what else {
        unreachable!("it is asked for the cost of a scenario that is about it");
    };
    let what = "processor time of a request";
    let costs = case.lines(results, what, Unit::Micros, |_, figure| figure);
    let shares = case.shares(results, "cost", |kind, figure| {
        match limits.iter().find(|(limited, _)| *limited == kind) {
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
            let (cost, waited) = once(case, &stage, proxy, run, results)
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

/// How a scenario's load asks a proxy.
fn ask<'a>(case: &Case, stage: &'a Stage, proxy: &Proxy) -> Ask<'a> {
    let What::Cost {
        request, streams, ..
    } = case.scenario.what
    else {
        unreachable!("it is asked for the cost of a scenario that is about it");
    };
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
    stage: &Stage,
    proxy: &Proxy,
    run: usize,
    results: &mut Results,
) -> Result<(f64, f64)> {
    let ask = ask(case, stage, proxy);
    if case.protocol() == Protocol::Grpc {
        h2load::check_call(&ask)?;
    }
    // Connections to the backend are opened and code is warm before it counts.
    load::run(&Ask {
        seconds: case.warm_up,
        ..ask
    })?;
    let (before, stolen_before) = (usage(proxy.pid)?, stolen());
    let watch = Watch::start(proxy.pid)?;
    let seen = load::run(&ask)?;
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

/// What each proxy can do in a closed loop, in requests a second; the least of all but the relay.
pub(super) fn slowest(case: &Case, stage: &Stage) -> Result<f64> {
    let mut slowest = f64::INFINITY;
    for proxy in &stage.proxies {
        let ask = Ask {
            protocol: case.protocol(),
            address: proxy.address,
            request: Request::Page,
            connections: case.connections,
            streams: 1,
            seconds: case.seconds,
            folder: stage.folder(),
        };
        load::run(&Ask {
            seconds: case.warm_up,
            ..ask
        })?;
        let rate = load::run(&ask)?.per_second;
        if proxy.kind != Kind::Relay {
            slowest = slowest.min(rate);
        }
    }
    Ok(slowest)
}
