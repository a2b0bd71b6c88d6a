//! Load in HTTP/1.1: wrk, one thread.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::ask::{Ask, Request, Seen};
use crate::interrupts;
use crate::pinning::{LOAD_CORE, pinned};

pub(super) fn run(ask: &Ask) -> Result<Seen> {
    let mut command = pinned(LOAD_CORE);
    command
        // A slow peer keeps thousands of connections waiting for long, which is no failure.
        .args(["wrk", "-t1", "--latency", "--timeout", "30s"])
        .arg(format!("-c{}", ask.connections))
        .arg(format!("-d{}", ask.seconds));
    if ask.request == Request::Upload {
        command.arg("-s").arg(ask.folder.join("upload.lua"));
    }
    command
        .arg(ask.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let output = interrupts::spawn(&mut command)?.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk ended with {}: {text}",
        output.status
    );
    parse(&text).with_context(|| format!("wrk said: {text}"))
}

fn parse(text: &str) -> Result<Seen> {
    for bad in ["Non-2xx", "Socket errors"] {
        ensure!(!text.contains(bad), "there were failures");
    }
    let line = |end: &str| text.lines().find(|line| line.contains(end));
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let last = |line: &str| line.split_whitespace().last().map(str::to_owned);
    let requests = line(" requests in ").and_then(first);
    let per_second = line("Requests/sec:").and_then(last);
    let p99 = line(" 99%").and_then(last);
    let requests: f64 = requests.context("no number of requests")?.parse()?;
    ensure!(requests > 0.0, "there were no answers");
    Ok(Seen {
        requests,
        per_second: per_second.context("no rate")?.parse()?,
        p99_ms: millis(&p99.context("no latency")?),
    })
}

/// Reads `523.00us`, `1.20ms` or `2.00s`.
fn millis(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    let (unit, factor) = units.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Running 1s test @ http://127.0.0.1:7004/
  1 threads and 64 connections
  Latency Distribution
     50%  523.00us
     99%    1.20ms
  70123 requests in 1.00s, 10.00MB read
Requests/sec:  70100.50
";

    #[test]
    fn what_wrk_says_is_read() {
        let seen = parse(SAID).unwrap();
        assert_eq!((seen.requests, seen.per_second), (70123.0, 70100.5));
        assert!((seen.p99_ms.unwrap() - 1.2).abs() < 1e-9);
        assert_eq!(millis("2.00s"), Some(2000.0));
        assert!((millis("523.00us").unwrap() - 0.523).abs() < 1e-9);
    }

    #[test]
    fn a_load_with_failures_is_no_measurement() {
        let failed = format!("{SAID}  Non-2xx or 3xx responses: 5\n");
        assert!(parse(&failed).is_err());
    }
}
