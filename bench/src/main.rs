//! The command `roadbed-bench`: load on a URL, and measurements of the platform as a whole.

mod arguments;
mod benches;
mod client;
mod figures;
mod interrupts;
mod link;
mod peers;
mod pinning;
mod platform;
mod processes;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::arguments::{Arguments, Common, JsonTo};
use crate::benches::{ALL, Bench, Measure};
use crate::figures::Results;
use crate::platform::load_average;

const USAGE: &str = "\
usage: roadbed-bench load URL [options]

Sends requests at a fixed rate and counts what becomes of every one. Exits with 0 if all
succeeded, 1 if any failed, 2 if it could not begin.

  --rate N          requests per second (100)
  --connections N   requests under way at once, at most (16)
  --seconds N       how long (10)
  --timeout N       seconds until a request has failed (10)
  --host NAME       the Host header, if not that of the URL
  --json            print one JSON object

usage: roadbed-bench NAME [options]

NAME is startup, survival, fleet, bodies, proxy, routes, snapshots or balance.

Measures the release build of roadbed in temporary homes and compares with what is required;
docs/benchmarks.md says what each does. Exits with 0 when everything could be measured.

  --runs N          how often each measurement is repeated (10, 5, 3, 3, 5, 9, 5, 3)
  --json [FILE]     all single runs as JSON, to a file or in place of the table
  --strict          exit with 1 if a requirement is missed
  --roadbed FILE    the program, if not target/release/roadbed

  survival: --rate N (500) requests per second, --deploys N (20) in a row,
            --only server|deploys|instance|proxy
  fleet:    --services N (200), --replicas N (2), --seconds N (30) of idling,
            --changes N (30) of endpoints, --tcp-probes instead of HTTP
  bodies:   --mib N (2048), --connections N (5000)
  snapshots: --services N (1000) of 10 endpoints, --changes N (100) per second,
            --rate N (2000) requests per second, --seconds N (5) with and without changes
  proxy:    --scenario NAME[,NAME] (all), --peers NAME[,NAME] (all, roadbed included),
            --connections N (the scenario's own), --seconds N (5) for each measurement
  balance:  --scenario NAME[,NAME] (all), --peers NAME[,NAME] (all, roadbed included),
            --seconds N (20) for each measurement; of the simulation before it,
            which cargo xtask runs: --seed N (another one each time)
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = match words.next().as_deref() {
        Some("load") => benches::load::run(words),
        // What `proxy` starts, as one of the peers and as a backend.
        Some("relay") => return peers::relay::run(words),
        Some("echo") => return peers::echo::run(words),
        // What `balance` has as an instance.
        Some("member") => return peers::member::run(),
        Some(name) => match ALL.iter().find(|bench| bench.name == name) {
            Some(bench) => prepare(bench, words).map(|(common, measure)| {
                run(bench, &common, measure).unwrap_or_else(|error| {
                    complain(&format!("{error:#}\n"));
                    ExitCode::FAILURE
                })
            }),
            None => Err(format!("there is no command {name:?}")),
        },
        None => Err("a command is missing".into()),
    };
    done.unwrap_or_else(|problem| {
        complain(&format!("{problem}\n\n{USAGE}"));
        ExitCode::from(2)
    })
}

fn complain(message: &str) {
    // Nothing is left to say it with if this fails.
    let _ = io::stderr().write_all(format!("roadbed-bench: {message}").as_bytes());
}

fn prepare(
    bench: &Bench,
    words: impl Iterator<Item = String>,
) -> Result<(Common, Measure), String> {
    let mut arguments = Arguments::parse(words)?;
    let common = arguments.common(bench.runs)?;
    let measure = (bench.prepare)(&mut arguments)?;
    arguments.finish()?;
    Ok((common, measure))
}

fn run(bench: &Bench, common: &Common, measure: Measure) -> Result<ExitCode> {
    interrupts::watch()?;
    let mut results = Results::new(bench.name);
    let before = load_average();
    let measured = measure(common, &mut results);
    // What was measured before it failed is worth showing too.
    let mut json = results.as_json();
    json["machine"] = machine(&before);
    json["error"] = measured
        .as_ref()
        .err()
        .map(|error| format!("{error:#}"))
        .into();
    let json = format!("{json:#}\n");
    let text = match &common.json {
        Some(JsonTo::Stdout) => json,
        Some(JsonTo::File(path)) => {
            std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
            results.to_string()
        }
        None => results.to_string(),
    };
    io::stdout().write_all(text.as_bytes())?;
    measured?;
    Ok(match common.strict && results.any_missed() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Where it was measured, and what else went on there.
fn machine(load_before: &str) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "cores": cores,
        "kernel": kernel.trim(),
        "load_before": load_before,
        "load_after": load_average(),
    })
}
