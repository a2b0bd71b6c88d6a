//! Steady load through the edge and one hop of the mesh while programs are killed and releases
//! replaced.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::{Load, Report, Running};
use serde_json::{Value, json};

use super::load::as_json;
use super::{Bench, Measure, millis, progress};
use crate::arguments::{Arguments, Common};
use crate::client::Page;
use crate::figures::{Figure, Results, Unit};
use crate::platform::{LONG, Platform, Workbench, apps};
use crate::processes::{self, Kind};

pub(crate) const BENCH: Bench = Bench {
    name: "survival",
    runs: 5,
    prepare,
};

const HOST: &str = "trivial.localhost";
/// Answered by `back` through `front`, at once.
const PATH: &str = "/via/back/";
/// The same, but some requests are always in flight.
const SLOW_PATH: &str = "/via/back/slow?ms=20";
/// How long the load goes on before anything happens, and after it.
const CALM: Duration = Duration::from_secs(1);

struct Options {
    rate: f64,
    deploys: usize,
    only: Option<String>,
}

fn prepare(arguments: &mut Arguments) -> Result<Measure, String> {
    let options = Options {
        rate: arguments.number("--rate", 500, 1..=100_000)? as f64,
        deploys: arguments.number("--deploys", 20, 1..=1000)?,
        only: arguments.value("--only")?,
    };
    if let Some(only) = &options.only
        && !SCENARIOS.iter().any(|(name, _)| name == only)
    {
        return Err("--only is server, deploys, instance or proxy".into());
    }
    Ok(Box::new(move |common, results| {
        measure(options, common, results)
    }))
}

type Scenario = fn(&Setting, &mut Results) -> Result<()>;

const SCENARIOS: [(&str, Scenario); 4] = [
    ("server", server_is_killed),
    ("deploys", releases_follow_each_other),
    ("instance", an_instance_is_killed),
    ("proxy", the_proxy_is_killed),
];

fn measure(options: Options, common: &Common, results: &mut Results) -> Result<()> {
    let workbench = Workbench::new(common.roadbed.as_deref())?;
    let app = workbench.app_folder("trivial");
    apps::copy_without_builds("trivial", &app)?;
    let setting = Setting {
        workbench,
        app,
        options,
        runs: common.runs,
    };
    for (name, scenario) in SCENARIOS {
        let only = setting.options.only.as_ref();
        if only.is_none_or(|only| only == name) {
            scenario(&setting, results).with_context(|| format!("the scenario {name:?}"))?;
        }
    }
    Ok(())
}

/// What all scenarios work with.
struct Setting {
    workbench: Workbench,
    app: PathBuf,
    options: Options,
    runs: usize,
}

impl Setting {
    /// An app that has just been started. Each run has one of its own: whoever restarts what ends
    /// again and again takes ever longer pauses.
    fn up(&self) -> Result<Platform> {
        let platform = Platform::new(&self.workbench)?;
        platform.up(&self.app)?;
        Ok(platform)
    }

    /// A load on a page that has gone on for a while.
    fn load(&self, platform: &Platform, path: &str) -> Result<Running> {
        let url = format!("http://{}{path}", platform.edge);
        let mut load = Load::new(url, self.options.rate);
        load.host = Some(HOST.into());
        load.connections = 64;
        let running = load.start()?;
        ensure!(
            running.wait(LONG, |counts| counts.succeeded >= 10),
            "no answers: {:?}",
            running.counts()
        );
        std::thread::sleep(CALM);
        Ok(running)
    }
}

/// Lets the load go on for a while, and ends it.
fn finish(load: Running) -> Report {
    std::thread::sleep(CALM);
    load.stop()
}

/// The lines of the table about the load of a scenario.
struct LoadLines {
    what: &'static str,
    failed: usize,
    gap: usize,
    slow: usize,
}

impl LoadLines {
    fn add(results: &mut Results, what: &'static str, failed: Figure) -> Self {
        Self {
            what,
            failed: results.add(failed),
            gap: results.add(Figure::new(
                format!("{what}: longest time without a success"),
                Unit::Millis,
            )),
            slow: results.add(Figure::new(
                format!("{what}: latency at p99.9"),
                Unit::Millis,
            )),
        }
    }

    fn push(&self, results: &mut Results, run: usize, report: &Report, more: Value) {
        results.push(self.failed, report.failed as f64);
        results.push(self.gap, millis(report.longest_gap.length));
        results.push(self.slow, millis(report.latency(0.999)));
        progress(&format!(
            "{}, run {run}: {} of {} requests failed {more}",
            self.what, report.failed, report.sent
        ));
        results.detail(json!({
            "scenario": self.what, "run": run, "measured": more, "load": as_json(report),
        }));
    }
}

fn none_failed(what: &str) -> Figure {
    Figure::new(format!("{what}: failed requests"), Unit::Count).each_at_most(0.0)
}

fn server_is_killed(setting: &Setting, results: &mut Results) -> Result<()> {
    let what = "server killed and restarted";
    let lines = LoadLines::add(results, what, none_failed(what));
    let adopted = Figure::new(
        "server restarted: until all instances are adopted and the proxy is connected",
        Unit::Millis,
    );
    let adopted = results.add(adopted.each_at_most(2000.0));
    for run in 1..=setting.runs {
        let mut platform = setting.up()?;
        let pids = platform.status()?.ready_pids();
        let proxy = platform.pid(Kind::Proxy)?;
        let load = setting.load(&platform, PATH)?;
        platform.kill_server()?;
        std::thread::sleep(CALM);
        let started = platform.start_server()?;
        let back = platform.until("the instances are adopted", |status| {
            status.ready_pids() == pids && status.follows(proxy)
        })?;
        let report = finish(load);
        let took = millis(back - started);
        results.push(adopted, took);
        lines.push(results, run, &report, json!({"adopted_ms": took}));
    }
    Ok(())
}

fn releases_follow_each_other(setting: &Setting, results: &mut Results) -> Result<()> {
    let what = "deploys in a row";
    let lines = LoadLines::add(results, what, none_failed(what));
    let one = results.add(Figure::new("one deploy", Unit::Seconds));
    let app = setting.app.display().to_string();
    for run in 1..=setting.runs {
        let platform = setting.up()?;
        let load = setting.load(&platform, PATH)?;
        let mut took = Vec::new();
        for _ in 0..setting.options.deploys {
            let before = platform.status()?.ready_pids();
            let elapsed = platform.run(&["deploy", &app])?;
            let after = platform.status()?.ready_pids();
            ensure!(
                after.len() == before.len() && after.iter().all(|pid| !before.contains(pid)),
                "a deploy did not replace every instance: {before:?} became {after:?}"
            );
            results.push(one, elapsed.as_secs_f64());
            took.push(millis(elapsed));
        }
        let report = finish(load);
        lines.push(results, run, &report, json!({"deploys_ms": took}));
    }
    Ok(())
}

fn an_instance_is_killed(setting: &Setting, results: &mut Results) -> Result<()> {
    let quick = "one of two instances killed";
    kill_instances(setting, results, quick, PATH)?;
    let slow = "one of two instances killed, answers take 20 ms";
    kill_instances(setting, results, slow, SLOW_PATH)
}

fn kill_instances(
    setting: &Setting,
    results: &mut Results,
    what: &'static str,
    path: &str,
) -> Result<()> {
    let count = |name: &str| Figure::new(format!("{what}: {name}"), Unit::Count);
    let lines = LoadLines::add(results, what, count("failed requests"));
    let in_flight_line = results.add(count("in flight at the kill"));
    let beyond = count("failed beyond those in flight").each_at_most(0.0);
    let beyond = results.add(beyond);
    let late = count("failed of those due when it was gone").each_at_most(0.0);
    let late = results.add(late);
    let ready = format!("{what}: until it is ready again");
    let ready = results.add(Figure::new(ready, Unit::Millis));
    for run in 1..=setting.runs {
        let platform = setting.up()?;
        let name = ["trivial.back", "trivial.front"][run % 2];
        let status = platform.status()?;
        let mut instances = status.instances();
        let victim = instances.find(|instance| instance.instance.starts_with(name));
        let victim = victim.context("the app has no such instance")?.clone();
        let load = setting.load(&platform, path)?;
        let before = load.counts();
        let began = Instant::now();
        let gone = processes::kill(victim.pid.context("it has no process")?)?;
        let gone_in_load = load.elapsed();
        // All that were under way at any moment until it was gone.
        let in_flight = load.counts().sent - before.succeeded - before.failed;
        let back = platform.until("it is back", |status| {
            status.instance(&victim.instance).is_some_and(|instance| {
                instance.state == "ready" && instance.restarts > victim.restarts
            })
        })?;
        let report = finish(load);
        let after = report.failures.iter().filter(|f| f.due > gone_in_load);
        let after = after.count();
        results.push(in_flight_line, in_flight as f64);
        results.push(beyond, report.failed.saturating_sub(in_flight) as f64);
        results.push(late, after as f64);
        results.push(ready, millis(back - began));
        let more = json!({
            "instance": victim.instance, "in_flight": in_flight, "failed_later": after,
            "kill_took_ms": millis(gone - began), "gone_at_us": gone_in_load.as_micros() as u64,
            "ready_ms": millis(back - began),
        });
        lines.push(results, run, &report, more);
    }
    Ok(())
}

fn the_proxy_is_killed(setting: &Setting, results: &mut Results) -> Result<()> {
    for (what, server_lives) in [
        ("proxy killed, server alive", true),
        ("proxy killed, server dead", false),
    ] {
        let failed = Figure::new(format!("{what}: failed requests"), Unit::Count);
        let lines = LoadLines::add(results, what, failed);
        let first = Figure::new(format!("{what}: until the first success"), Unit::Millis);
        let first = results.add(first.each_at_most(300.0));
        for run in 1..=setting.runs {
            let mut platform = setting.up()?;
            let proxy = platform.pid(Kind::Proxy)?;
            let load = setting.load(&platform, PATH)?;
            if !server_lives {
                platform.kill_server()?;
                std::thread::sleep(CALM);
            }
            let page = Page {
                edge: platform.edge,
                host: HOST.into(),
                path: PATH.into(),
            };
            let began = Instant::now();
            let gone = processes::kill(proxy)?;
            let answered = page.first_success(LONG);
            let answered = answered.with_context(|| format!("no success within {LONG:?}"))?;
            let report = finish(load);
            let took = millis(answered - began);
            results.push(first, took);
            let more = json!({"first_success_ms": took, "kill_took_ms": millis(gone - began)});
            lines.push(results, run, &report, more);
        }
    }
    Ok(())
}
