//! Load in HTTP/2: h2load, one thread.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::ask::{Ask, Seen};
use super::protocol::Protocol;
use crate::interrupts;
use crate::pinning::{LOAD_CORE, pinned};

pub(super) fn run(ask: &Ask) -> Result<Seen> {
    let mut command = pinned(LOAD_CORE);
    command
        .args(["h2load", "-t1"])
        .arg(format!("-c{}", ask.connections))
        .arg(format!("-m{}", ask.streams))
        .arg(format!("-D{}", ask.seconds));
    parse(&said(&mut command, ask)?)
}

/// Makes one call of gRPC and looks at its trailers, of which h2load does not tell.
pub(crate) fn check_call(ask: &Ask) -> Result<()> {
    let mut command = pinned(LOAD_CORE);
    command.args(["nghttp", "--no-dep", "--null-out", "--verbose"]);
    let text = said(&mut command, ask)?;
    let answered = text.contains(":status: 200") && text.contains("grpc-status: 0");
    ensure!(answered, "a call of gRPC was not answered: {text}");
    Ok(())
}

/// Has the command ask; what it printed.
fn said(command: &mut Command, ask: &Ask) -> Result<String> {
    if ask.protocol == Protocol::Grpc {
        command.arg("-d").arg(ask.folder.join("message"));
        command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
    }
    command
        .arg(ask.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let output = interrupts::spawn(command)?.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {text}",
        output.status
    );
    Ok(text)
}

fn parse(text: &str) -> Result<Seen> {
    // What comes before is about how far it is.
    let text = text.find("finished in ").map_or(text, |end| &text[end..]);
    read(text).with_context(|| format!("h2load said: {text}"))
}

fn read(text: &str) -> Result<Seen> {
    let requests = numbers(text, "requests: ").context("no number of requests")?;
    let codes = numbers(text, "status codes: ").context("no status codes")?;
    let [_total, _started, done, succeeded, failures @ ..] = &requests[..] else {
        bail!("fewer numbers of requests than there should be");
    };
    // Answers that come while it stops have a status and are not done.
    let [good, others @ ..] = &codes[..] else {
        bail!("no status codes");
    };
    let none = |numbers: &[f64]| numbers.iter().all(|number| *number == 0.0);
    let all_well = done == succeeded && good >= done && none(failures) && none(others);
    ensure!(all_well && *done > 0.0, "there were failures");
    let finished = text.lines().next().unwrap_or_default();
    let rate = finished.split(", ").nth(1);
    let rate = rate.and_then(|rate| rate.strip_suffix(" req/s"));
    Ok(Seen {
        requests: *done,
        per_second: rate.context("no rate")?.parse()?,
        p99_ms: None,
    })
}

/// The numbers in the line after `label`, each of which is followed by a word.
fn numbers(text: &str, label: &str) -> Option<Vec<f64>> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    let parts = line.split(", ");
    parts
        .map(|part| part.split(' ').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
progress: 93% of clients started
finished in 2.00s, 67111.00 req/s, 8.07MB/s
requests: 134222 total, 134286 started, 134222 done, 134222 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 134222 2xx, 0 3xx, 0 4xx, 0 5xx
";

    #[test]
    fn what_h2load_says_is_read() {
        let seen = parse(SAID).unwrap();
        assert_eq!(
            (seen.requests, seen.per_second, seen.p99_ms),
            (134222.0, 67111.0, None)
        );
    }

    #[test]
    fn a_load_with_failures_is_no_measurement() {
        for (good, bad) in [
            ("0 errored", "1 errored"),
            ("0 5xx", "1 5xx"),
            ("134222 succeeded", "134221 succeeded"),
            ("status codes", "codes"),
        ] {
            assert!(parse(&SAID.replace(good, bad)).is_err(), "{bad}");
        }
    }
}
