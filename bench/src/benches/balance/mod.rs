//! How requests fare in front of ten instances some of which are slow, fail, flap or have just come:
//! Roadbed by each of its ways to choose, beside HAProxy and Envoy.

mod contender;
mod fleet;
mod scenario;

use std::time::Duration;

use anyhow::Result;
use bench::{Load, Report};
use serde_json::json;

use super::load::as_json;
use super::{Bench, Measure, millis, progress};
use crate::arguments::{Arguments, Common};
use crate::figures::{Figure, Results, Unit};
use crate::peers::HOST;
use crate::pinning::{LOAD_CORE, pin};
use crate::platform::{Workbench, allow_descriptors};
use contender::{ALL as CONTENDERS, Contender};
use fleet::Fleets;
use scenario::{ALL, Scenario};

pub(crate) const BENCH: Bench = Bench {
    name: "balance",
    runs: 3,
    prepare,
};

/// Open files of the load and of a proxy.
const DESCRIPTORS: usize = 16_500;

/// The same load before it counts: what a proxy has to know by then, it can.
const WARM_UP: Duration = Duration::from_secs(2);

/// What was asked for.
#[derive(Debug)]
struct Settings {
    scenarios: Vec<&'static Scenario>,
    contenders: Vec<&'static Contender>,
    seconds: usize,
}

/// The lines of one contender in one scenario.
struct Lines {
    p50: usize,
    p99: usize,
    p999: usize,
    failed: usize,
    /// Good answers a second, or what instances were asked for each request, where that is what the
    /// scenario is about.
    special: Option<usize>,
    /// The 99th percentile beside that of the healthy fleet, where that is required.
    ratio: Option<usize>,
}

fn prepare(arguments: &mut Arguments) -> Result<Measure, String> {
    let settings = settings(arguments)?;
    Ok(Box::new(move |common: &Common, results: &mut Results| {
        measure(common, &settings, results)
    }))
}

fn settings(arguments: &mut Arguments) -> Result<Settings, String> {
    let scenarios = arguments.list("--scenario")?;
    let contenders = arguments.list("--peers")?;
    Ok(Settings {
        scenarios: named(scenarios, "scenario", &ALL, |one| one.name)?,
        contenders: named(contenders, "contender", &CONTENDERS, |one| one.name)?,
        seconds: arguments.number("--seconds", 20, 2..=600)?,
    })
}

/// Those of `all` that have these names; all of them, if there are none.
fn named<T>(
    names: Option<Vec<String>>,
    what: &str,
    all: &'static [T],
    name: impl Fn(&T) -> &'static str,
) -> Result<Vec<&'static T>, String> {
    let Some(names) = names else {
        return Ok(all.iter().collect());
    };
    let find = |wanted: &String| {
        all.iter().find(|one| name(one) == wanted).ok_or_else(|| {
            let known: Vec<_> = all.iter().map(&name).collect();
            format!(
                "there is no {what} {wanted:?}; there are {}",
                known.join(", ")
            )
        })
    };
    names.iter().map(find).collect()
}

fn measure(common: &Common, settings: &Settings, results: &mut Results) -> Result<()> {
    allow_descriptors(DESCRIPTORS)?;
    contender::check(&settings.contenders)?;
    let workbench = Workbench::new(common.roadbed.as_deref())?;
    // This process is the load, and shares its core with the instances.
    pin(std::process::id(), LOAD_CORE)?;
    let fleets = Fleets::start(&workbench, &settings.contenders)?;
    // By contender, for the scenarios that are compared with it.
    let mut healthy: Vec<Vec<f64>> = vec![Vec::new(); settings.contenders.len()];
    for scenario in &settings.scenarios {
        let contenders = settings.contenders.iter();
        let lines: Vec<Lines> = contenders
            .map(|contender| lines(scenario, contender, results))
            .collect();
        for run in 0..common.runs {
            for place in 0..lines.len() {
                // Each time another one is first.
                let at = (place + run) % lines.len();
                let contender = settings.contenders[at];
                let (report, asked) = fleets.run(contender, scenario, settings.seconds)?;
                let p99 = millis(report.latency(0.99));
                if scenario.name == "healthy" {
                    healthy[at].push(p99);
                }
                push(results, &lines[at], scenario, &report, asked, &healthy[at]);
                results.detail(json!({
                    "scenario": scenario.name, "contender": contender.name, "run": run,
                    "asked": asked, "load": as_json(&report),
                }));
                progress(&format!(
                    "{}: run {} of {}: {}: p50 {:.1} ms, p99 {p99:.1} ms, {} of {} failed",
                    scenario.name,
                    run + 1,
                    common.runs,
                    contender.name,
                    millis(report.latency(0.5)),
                    report.failed,
                    report.sent,
                ));
            }
        }
    }
    Ok(())
}

/// Adds the lines of a contender. Requirements are ours alone, of the way that is usual.
fn lines(scenario: &Scenario, contender: &Contender, results: &mut Results) -> Lines {
    let mut line = |what: &str, unit, required: fn(Figure) -> Figure| {
        let name = format!("{}: {}: {what}", scenario.name, contender.name);
        let figure = Figure::new(name, unit);
        results.add(match contender.is_judged() {
            true => required(figure),
            false => figure,
        })
    };
    let open: fn(Figure) -> Figure = |figure| figure;
    Lines {
        p50: line("p50", Unit::Millis, open),
        p99: line("p99", Unit::Millis, scenario.p99),
        p999: line("p99.9", Unit::Millis, open),
        failed: line("failed", Unit::Percent, scenario.failed),
        special: scenario
            .special
            .map(|special| line(special.name, special.unit, special.required)),
        ratio: scenario.beside_healthy.then(|| {
            line("p99 / healthy", Unit::Ratio, |figure| {
                figure.median_at_most(1.3)
            })
        }),
    }
}

fn push(
    results: &mut Results,
    lines: &Lines,
    scenario: &Scenario,
    report: &Report,
    asked: u64,
    healthy: &[f64],
) {
    let quantiles = [(lines.p50, 0.5), (lines.p99, 0.99), (lines.p999, 0.999)];
    for (line, quantile) in quantiles {
        results.push(line, millis(report.latency(quantile)));
    }
    let share = |count: u64| count as f64 / report.sent.max(1) as f64;
    results.push(lines.failed, share(report.failed) * 100.0);
    if let (Some(line), Some(special)) = (lines.special, scenario.special) {
        results.push(line, (special.value)(report, share(asked)));
    }
    if let (Some(line), false) = (lines.ratio, healthy.is_empty()) {
        let mean = healthy.iter().sum::<f64>() / healthy.len() as f64;
        results.push(line, millis(report.latency(0.99)) / mean);
    }
}

/// Requests of a scenario to a proxy.
fn load(port: u16, scenario: &Scenario) -> Load {
    Load {
        host: Some(HOST.to_owned()),
        connections: scenario.connections,
        ..Load::new(format!("http://127.0.0.1:{port}/"), scenario.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::MEMBERS;

    fn asked(text: &str) -> Result<Settings, String> {
        let words = text.split_whitespace().map(str::to_owned);
        settings(&mut Arguments::parse(words)?)
    }

    #[test]
    fn scenarios_and_contenders_are_chosen_by_name() {
        let all = asked("").unwrap();
        assert_eq!(
            (all.scenarios.len(), all.contenders.len()),
            (ALL.len(), CONTENDERS.len())
        );
        let some = asked("--scenario slow,overload --peers roadbed,envoy --seconds 3").unwrap();
        assert_eq!((some.scenarios.len(), some.contenders.len()), (2, 2));
        for bad in ["--scenario fast", "--peers nginx", "--peers", "--seconds 0"] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_scenario_but_the_one_about_it_asks_for_more_than_there_is() {
        for scenario in &ALL {
            let mean = scenario.conduct.mean.as_secs_f64();
            let capacity = (MEMBERS * crate::peers::member::AT_A_TIME) as f64 / mean;
            assert_eq!(scenario.rate > capacity, scenario.name == "overload");
        }
    }
}
