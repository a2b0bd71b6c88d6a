//! Memory at rest, and for each connection that has had an answer and waits for more.

use std::time::Duration;

use anyhow::{Context, Result};
use bench::process::usage;
use serde_json::json;

use super::Case;
use super::scenario::MemoryLimits;
use crate::figures::{Results, Unit};
use crate::peers::{Kind, Proxy, Stage};
use crate::platform::Workbench;

mod held;

/// Requests before anything is measured, so that buffers and connections are there.
const WARM_UP: usize = 200;

/// How long connections wait before the proxy's memory is looked at.
const CALM: Duration = Duration::from_secs(3);

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn measure(
    case: &Case,
    limits: &MemoryLimits,
    workbench: &Workbench,
    results: &mut Results,
) -> Result<()> {
    let rest = case.lines(
        results,
        "memory at rest",
        Unit::Mib,
        |kind, figure| match kind {
            Kind::Roadbed => figure.median_at_most(limits.rest_mib),
            _ => figure,
        },
    );
    let what = "memory of an idle connection";
    let each = case.lines(results, what, Unit::Kib, |kind, figure| match kind {
        Kind::Roadbed => figure.median_at_most(limits.each_kib),
        _ => figure,
    });
    for run in 0..case.runs {
        // New processes each time: what one has grown to it does not grow again.
        let stage = Stage::set(workbench, &case.kinds, case.protocol())?;
        let mut run_each = vec![0.0; case.kinds.len()];
        for place in case.order(run) {
            let proxy = &stage.proxies[place];
            let (at_rest, of_each) = once(case, &stage, proxy, run, results)
                .with_context(|| format!("connections to {}", proxy.kind.name()))?;
            results.push(rest[place], at_rest);
            results.push(each[place], of_each);
            run_each[place] = of_each;
        }
        case.tell(run, "", "KiB", &run_each);
    }
    Ok(())
}

/// Measures one proxy once: MiB at rest, KiB for each connection.
fn once(
    case: &Case,
    stage: &Stage,
    proxy: &Proxy,
    run: usize,
    results: &mut Results,
) -> Result<(f64, f64)> {
    let at_rest = usage(proxy.pid)?.resident;
    let client = held::Client::new(case.protocol(), proxy.address, stage.folder())?;
    let mut first = client.open()?;
    for _ in 0..WARM_UP {
        first.ask()?;
    }
    drop(first);
    let before = usage(proxy.pid)?.resident;
    let held = client.hold(case.connections)?;
    std::thread::sleep(CALM);
    let after = usage(proxy.pid)?.resident;
    held::still_open(held)?;
    let each = (after as f64 - before as f64) / case.connections as f64;
    results.detail(json!({
        "scenario": case.name(),
        "run": run,
        "proxy": proxy.kind.name(),
        "connections": case.connections,
        "resident_at_rest": at_rest,
        "resident_before": before,
        "resident_after": after,
    }));
    Ok((at_rest as f64 / MIB, each / KIB))
}
