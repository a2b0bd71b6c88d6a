//! What changes cost a proxy that knows a large fleet: its requests, its memory, itself. The bench
//! stands in for the server, so that only the proxy is measured.

mod fleet;
mod link;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::process::usage;
use bench::{Load, Report};
use proxy::protocol::ToProxy;
use serde_json::json;

use self::fleet::Fleet;
use self::link::Link;
use super::{Bench, Measure, millis, progress};
use crate::arguments::{Arguments, Common};
use crate::figures::{Figure, Results, Unit};
use crate::peers::{Process, Protocol, Stage};
use crate::pinning::PROXY_CORE;
use crate::platform::{LONG, Platform, Workbench};

pub(crate) const BENCH: Bench = Bench {
    name: "snapshots",
    runs: 5,
    prepare,
};

const MIB: f64 = 1024.0 * 1024.0;
/// How many changes are made to learn what one costs.
const COSTED_CHANGES: u32 = 2000;
/// How long requests come before they are measured.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Options {
    services: usize,
    changes: usize,
    rate: usize,
    window: Duration,
}

fn prepare(arguments: &mut Arguments) -> Result<Measure, String> {
    let options = Options {
        services: arguments.number("--services", 1000, 11..=20_000)?,
        changes: arguments.number("--changes", 100, 1..=10_000)?,
        rate: arguments.number("--rate", 2000, 1..=100_000)?,
        window: Duration::from_secs(arguments.number("--seconds", 5, 1..=3600)? as u64),
    };
    Ok(Box::new(move |common, results| {
        measure(options, common, results)
    }))
}

struct Lines {
    calm: usize,
    changing: usize,
    moved: usize,
    live: usize,
    live_last: usize,
    memory: usize,
    cost: usize,
    doubled: usize,
}

impl Lines {
    fn add(options: Options, results: &mut Results) -> Self {
        let Options {
            services, changes, ..
        } = options;
        let ms = |name: &str| Figure::new(name, Unit::Millis);
        let changing = format!("p99 of requests, {changes} changes a second");
        let memory = format!("proxy with {services} services of 10 endpoints, resident");
        let doubled = format!("cost of a change, {} services / {services}", 2 * services);
        Self {
            calm: results.add(ms("p99 of requests, no change")),
            changing: results.add(ms(&changing)),
            moved: results
                .add(Figure::new("p99 with changes / without", Unit::Ratio).median_at_most(1.1)),
            live: results.add(ms("change sent to acknowledged: median").median_below(10.0)),
            live_last: results.add(ms("change sent to acknowledged: p99")),
            memory: results.add(Figure::new(memory, Unit::Mib).each_below(150.0)),
            cost: results.add(Figure::new("processor time of a change", Unit::Micros)),
            doubled: results.add(Figure::new(doubled, Unit::Ratio).median_at_most(1.1)),
        }
    }
}

fn measure(options: Options, common: &Common, results: &mut Results) -> Result<()> {
    let workbench = Workbench::new(common.roadbed.as_deref())?;
    let stage = Stage::set(&workbench, &[], Protocol::Http1)?;
    let lines = Lines::add(options, results);
    for run in 1..=common.runs {
        let mut proxy = Proxy::start(&workbench, &stage, options.services)?;
        under_load(options, &mut proxy, &lines, results)?;
        let cost = proxy.cost()?;
        drop(proxy);
        let doubled = Proxy::start(&workbench, &stage, 2 * options.services)?.cost()?;
        results.push(lines.cost, cost);
        results.push(lines.doubled, doubled / cost);
        progress(&format!(
            "run {run} of {}: a change costs {cost:.0} µs, with twice the services {doubled:.0} µs",
            common.runs
        ));
    }
    Ok(())
}

/// Requests without changes and with them.
fn under_load(
    options: Options,
    proxy: &mut Proxy,
    lines: &Lines,
    results: &mut Results,
) -> Result<()> {
    proxy.requests(options, WARM_UP)?;
    let calm = proxy.requests(options, options.window)?;
    let (changing, mut took) = proxy.requests_during_changes(options)?;
    took.sort_unstable();
    let live = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let p99 = |report: &Report| millis(report.latency(0.99));
    results.push(lines.calm, p99(&calm));
    results.push(lines.changing, p99(&changing));
    results.push(lines.moved, p99(&changing) / p99(&calm));
    results.push(lines.live, millis(live(0.5)));
    results.push(lines.live_last, millis(live(0.99)));
    let resident = usage(proxy.process.pid())?.resident as f64 / MIB;
    results.push(lines.memory, resident);
    results.detail(json!({
        "p99_calm_ms": p99(&calm),
        "p99_changing_ms": p99(&changing),
        "changes": took.len(),
        "requests": [calm.sent, changing.sent],
    }));
    progress(&format!(
        "p99 {:.2} ms, with {} changes {:.2} ms; a change is live after {:.2} ms; {resident:.1} MiB",
        p99(&calm),
        took.len(),
        p99(&changing),
        millis(live(0.5)),
    ));
    Ok(())
}

/// A proxy that knows a fleet.
struct Proxy {
    // Ends before its home goes.
    process: Process,
    platform: Platform,
    link: Link,
    fleet: Fleet,
}

impl Proxy {
    fn start(workbench: &Workbench, stage: &Stage, services: usize) -> Result<Self> {
        let platform = Platform::new(workbench)?.on_core(PROXY_CORE);
        let listener = link::listen(platform.home())?;
        // On one core, but with workers as on two: a change is live when both have it.
        let mut command = platform.command(&["proxy", "--workers", "2"]);
        let process = Process::spawn(&mut command)?;
        let mut link = Link::accept(&listener)?;
        let fleet = Fleet::new(services, platform.edge, stage.backend)?;
        link.change(&ToProxy::Snapshot(fleet.snapshot.clone()))
            .context("the first snapshot")?;
        Ok(Self {
            process,
            platform,
            link,
            fleet,
        })
    }

    fn change(&mut self) -> Result<Duration> {
        let delta = ToProxy::Delta(self.fleet.change()?);
        let sent = Instant::now();
        Ok(self.link.change(&delta)? - sent)
    }

    fn load(&self, options: Options) -> Load {
        Load {
            host: Some(fleet::host(0)),
            timeout: LONG,
            ..Load::new(
                format!("http://{}/", self.platform.edge),
                options.rate as f64,
            )
        }
    }

    /// Requests for so long.
    fn requests(&self, options: Options, window: Duration) -> Result<Report> {
        let running = self.load(options).start()?;
        std::thread::sleep(window);
        all_well(running.stop())
    }

    /// Requests while the fleet changes; and how long each change took to be acknowledged.
    fn requests_during_changes(&mut self, options: Options) -> Result<(Report, Vec<Duration>)> {
        let running = self.load(options).start()?;
        let over = AtomicBool::new(false);
        let took = std::thread::scope(|scope| {
            let changing = scope.spawn(|| self.changes_until(&over, options.changes));
            std::thread::sleep(options.window);
            over.store(true, Ordering::Relaxed);
            changing.join().expect("it does not panic")
        })?;
        ensure!(!took.is_empty(), "not one change was made");
        Ok((all_well(running.stop())?, took))
    }

    /// Changes at a fixed rate, each after the one before was acknowledged.
    fn changes_until(&mut self, over: &AtomicBool, rate: usize) -> Result<Vec<Duration>> {
        let (start, mut took) = (Instant::now(), Vec::new());
        while !over.load(Ordering::Relaxed) {
            let due = Duration::from_secs_f64(took.len() as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            took.push(self.change()?);
        }
        Ok(took)
    }

    /// Microseconds of processor time for one change, without requests.
    fn cost(&mut self) -> Result<f64> {
        let pid = self.process.pid();
        let before = usage(pid)?.cpu;
        for _ in 0..COSTED_CHANGES {
            self.change()?;
        }
        let used = usage(pid)?.cpu - before;
        Ok(used.as_secs_f64() * 1e6 / f64::from(COSTED_CHANGES))
    }
}

fn all_well(report: Report) -> Result<Report> {
    ensure!(
        report.failed == 0,
        "{} of {} requests failed: {:?}",
        report.failed,
        report.sent,
        report.failures.first()
    );
    Ok(report)
}
