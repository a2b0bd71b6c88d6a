//! Load on a URL, and what became of it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use bench::{Load, Report};
use serde_json::{Value, json};

struct Arguments {
    load: Load,
    seconds: f64,
    json: bool,
}

/// Runs the load that the words after `load` ask for.
pub(crate) fn run(words: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    let arguments = parse(words)?;
    let running = arguments.load.start().map_err(|error| error.to_string())?;
    std::thread::sleep(Duration::from_secs_f64(arguments.seconds));
    let report = running.stop();
    let text = if arguments.json {
        format!("{}\n", as_json(&report))
    } else {
        report.to_string()
    };
    Ok(match io::stdout().write_all(text.as_bytes()) {
        Ok(()) if report.failed == 0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        load: Load::new("", 100.0),
        seconds: 10.0,
        json: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rate" => arguments.load.rate = positive(&word, words.next(), 1e6)?,
            "--connections" => {
                arguments.load.connections = value(&word, words.next())?;
                if !(1..=100_000).contains(&arguments.load.connections) {
                    return Err("--connections is from 1 to 100000".into());
                }
            }
            "--seconds" => arguments.seconds = positive(&word, words.next(), 1e6)?,
            "--timeout" => {
                let seconds = positive(&word, words.next(), 1e6)?;
                arguments.load.timeout = Duration::from_secs_f64(seconds);
            }
            "--host" => arguments.load.host = Some(value(&word, words.next())?),
            "--json" => arguments.json = true,
            url if !url.starts_with('-') && arguments.load.url.is_empty() => {
                arguments.load.url = word;
            }
            other => return Err(format!("{other:?} is not understood")),
        }
    }
    match arguments.load.url.is_empty() {
        true => Err("a URL is missing".into()),
        false => Ok(arguments),
    }
}

fn value<T: FromStr>(option: &str, word: Option<String>) -> Result<T, String> {
    let word = word.ok_or_else(|| format!("{option} needs a value"))?;
    word.parse()
        .map_err(|_| format!("{option} cannot be {word:?}"))
}

fn positive(option: &str, word: Option<String>, most: f64) -> Result<f64, String> {
    let value: f64 = value(option, word)?;
    match value > 0.0 && value <= most {
        true => Ok(value),
        false => Err(format!("{option} is more than 0 and at most {most}")),
    }
}

/// All that a report says.
pub(crate) fn as_json(report: &Report) -> Value {
    let micros = |duration: Duration| duration.as_micros() as u64;
    let by_kind: serde_json::Map<String, Value> = report
        .failed_by_kind
        .iter()
        .map(|(kind, &n)| (kind.to_string(), n.into()))
        .collect();
    let failures: Vec<Value> = report
        .failures
        .iter()
        .map(|failure| {
            json!({
                "due_us": micros(failure.due),
                "at_us": micros(failure.at),
                "kind": failure.kind.to_string(),
                "detail": failure.detail,
            })
        })
        .collect();
    json!({
        "sent": report.sent,
        "succeeded": report.succeeded,
        "failed": report.failed,
        "failed_by_kind": by_kind,
        "failures": failures,
        "duration_us": micros(report.duration),
        "latency_us": {
            "p50": micros(report.latency(0.5)),
            "p90": micros(report.latency(0.9)),
            "p99": micros(report.latency(0.99)),
            "p999": micros(report.latency(0.999)),
            "max": micros(report.latency(1.0)),
        },
        "longest_gap": {
            "at_us": micros(report.longest_gap.at),
            "length_us": micros(report.longest_gap.length),
        },
    })
}
