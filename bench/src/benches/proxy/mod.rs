//! What a request costs: processor time of each proxy in turn, in front of the same backend, on
//! one core, with the load and the backend on another.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bench::process::usage;
use serde_json::json;

use super::{Bench, Measure, progress};
use crate::arguments::{Arguments, Common};
use crate::figures::{Figure, Results, Unit};
use crate::peers::wrk::{self, Seen};
use crate::peers::{self, Kind, PROXY_CORE, Peer, pin};
use crate::platform::{Platform, Workbench};

pub(crate) const BENCH: Bench = Bench {
    name: "proxy",
    runs: 7,
    prepare,
};

/// The host that the backend is exposed at.
const HOST: &str = "peers.localhost";

/// The most that Roadbed may cost, as a share of what each other costs.
const LIMITS: [(Kind, f64); 2] = [(Kind::Relay, 1.25), (Kind::Haproxy, 0.80)];

#[derive(Debug, Clone, Copy)]
struct Settings {
    connections: usize,
    seconds: usize,
}

fn prepare(arguments: &mut Arguments) -> Result<Measure, String> {
    let settings = Settings {
        connections: arguments.number("--connections", 64, 1..=4096)?,
        seconds: arguments.number("--seconds", 5, 1..=600)?,
    };
    Ok(Box::new(move |common: &Common, results: &mut Results| {
        measure(common, settings, results)
    }))
}

/// The lines of one proxy in the table.
struct Lines {
    cost: usize,
    p99: usize,
    rate: usize,
}

impl Lines {
    fn of(name: &str, results: &mut Results) -> Self {
        let mut add = |what: &str, unit| results.add(Figure::new(format!("{name}: {what}"), unit));
        Self {
            cost: add("processor time of a request", Unit::Micros),
            p99: add("latency at p99, closed loop", Unit::Millis),
            rate: add("requests a second", Unit::Count),
        }
    }
}

fn measure(common: &Common, settings: Settings, results: &mut Results) -> Result<()> {
    let missing = peers::missing();
    ensure!(
        missing.is_empty(),
        "the peers are not installed; on Debian: apt-get install {}",
        missing.join(" ")
    );
    let workbench = Workbench::new(common.roadbed.as_deref())?;
    let platform = Platform::new(&workbench)?;
    let backend = start_backend(&workbench, &platform)?;
    let proxy = platform.status()?.server.proxies[0].pid;
    pin(proxy, PROXY_CORE)?;
    let folder = workbench.app_folder("peers");
    let running: Vec<Peer> = Kind::ALL
        .into_iter()
        .map(|kind| Peer::start(kind, backend, &folder))
        .collect::<Result<_>>()?;
    let own = Lines::of("roadbed", results);
    let others: Vec<Lines> = running
        .iter()
        .map(|peer| Lines::of(peer.kind.name(), results))
        .collect();
    let shares = shares(&running, results);
    for run in 1..=common.runs {
        let cost = once(results, &own, platform.edge, proxy, settings)?;
        let mut told = format!("run {run} of {}: roadbed {cost:.1} µs", common.runs);
        for ((peer, lines), share) in running.iter().zip(&others).zip(&shares) {
            let other = once(results, lines, peer.address, peer.pid(), settings)?;
            results.push(*share, cost / other);
            told += &format!(", {} {other:.1} µs", peer.kind.name());
        }
        progress(&told);
    }
    Ok(())
}

/// A line for what Roadbed costs as a share of each peer, both taken in the same run.
fn shares(running: &[Peer], results: &mut Results) -> Vec<usize> {
    let share = |peer: &Peer| {
        let figure = Figure::new(format!("roadbed / {}: cost", peer.kind.name()), Unit::Ratio);
        match LIMITS.iter().find(|(kind, _)| *kind == peer.kind) {
            Some((_, limit)) => figure.median_at_most(*limit),
            None => figure,
        }
    };
    let figures: Vec<Figure> = running.iter().map(share).collect();
    figures
        .into_iter()
        .map(|figure| results.add(figure))
        .collect()
}

/// Measures one proxy once: its processor time for a request, in microseconds.
fn once(
    results: &mut Results,
    lines: &Lines,
    address: SocketAddr,
    pid: u32,
    settings: Settings,
) -> Result<f64> {
    // Connections are opened and code is warm before it counts.
    wrk::run(address, HOST, settings.connections, 1)?;
    let before = usage(pid)?;
    let seen: Seen = wrk::run(address, HOST, settings.connections, settings.seconds)?;
    let spent = usage(pid)?.cpu - before.cpu;
    let cost = spent.as_secs_f64() * 1e6 / seen.requests;
    results.push(lines.cost, cost);
    results.push(lines.p99, seen.p99_ms);
    results.push(lines.rate, seen.per_second);
    results.detail(json!({
        "pid": pid,
        "requests": seen.requests,
        "cpu_us": spent.as_micros() as u64,
        "p99_ms": seen.p99_ms,
    }));
    Ok(cost)
}

/// Starts the backend as a service of Roadbed's, so that all proxies have the same one; where it
/// listens.
fn start_backend(workbench: &Workbench, platform: &Platform) -> Result<SocketAddr> {
    let folder = workbench.app_folder("peers");
    std::fs::create_dir(&folder)?;
    let (declaration, configuration) = peers::backend_app(&folder);
    std::fs::write(folder.join("roadbed.toml"), declaration)?;
    std::fs::write(folder.join("backend.conf"), configuration)?;
    platform.up(&folder)?;
    let status = platform.status()?;
    let address = status.instances().next().map(|instance| &instance.address);
    let address = address.context("the backend has no instance")?;
    address
        .parse()
        .with_context(|| format!("the backend's address {address:?}"))
}
