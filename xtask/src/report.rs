//! What was run and how it ended, read from the output as it streams by.
//!
//! A test that cannot run here prints a line `LEFT OUT: ` and the reason, and passes. The tests are
//! run with `--show-output`, so the line gets out, and it is counted here. An ignored test counts
//! as left out, too, unless its reason says by which test it is run.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// What begins the line of a test that cannot run here.
const LEFT_OUT: &str = "LEFT OUT: ";

/// What begins the reason of an ignored test that is a part of others.
const PART_OF_ANOTHER: &str = ", run by ";

/// How long a command's output may go on after its end.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// The sum of everything that was run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u64,
    failed: u64,
    /// The names of the steps that failed.
    failures: Vec<String>,
    left_out: Vec<String>,
}

/// What one command's output tells of tests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    passed: u64,
    failed: u64,
    left_out: Vec<String>,
}

impl Report {
    /// Runs a command that is one check: it passes or fails as a whole.
    pub(crate) fn check(&mut self, name: &str, command: &mut Command) -> bool {
        let (ended_well, seen) = stream(name, command);
        self.left_out.extend(seen.left_out);
        self.verdict(name, ended_well);
        ended_well
    }

    /// Runs a command that runs tests, and counts them.
    pub(crate) fn tests(&mut self, name: &str, command: &mut Command) {
        let (ended_well, seen) = stream(name, command);
        self.passed += seen.passed;
        self.failed += seen.failed;
        self.left_out.extend(seen.left_out);
        if !ended_well {
            self.failures.push(name.to_owned());
            // It failed in another way than by a test: it did not compile, or a test was killed.
            self.failed += u64::from(seen.failed == 0);
        }
    }

    /// Counts a check that was done without a command.
    pub(crate) fn verdict(&mut self, name: &str, good: bool) {
        if good {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
    }

    /// Notes something that could not be run here.
    pub(crate) fn leave_out(&mut self, what: String) {
        say(&format!("{LEFT_OUT}{what}"));
        self.left_out.push(what);
    }

    /// Prints what failed, what was left out, and the totals in the last line.
    pub(crate) fn close(mut self, all_required: bool) -> ExitCode {
        self.left_out.dedup();
        say("");
        for failure in &self.failures {
            say(&format!("FAILED: {failure}"));
        }
        if self.left_out.is_empty() {
            say("nothing was left out");
        }
        for reason in &self.left_out {
            say(&format!("left out: {reason}"));
        }
        if all_required && !self.left_out.is_empty() {
            say("leaving anything out is a failure here (--all-required)");
            self.failed += self.left_out.len() as u64;
        }
        say(&format!("{} passed, {} failed", self.passed, self.failed));
        if self.failed == 0 && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Prints a line at once.
pub(crate) fn say(line: &str) {
    // With nobody to read it there is nobody to tell.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Runs a command, passes its output on line by line, and reads along.
fn stream(name: &str, command: &mut Command) -> (bool, Seen) {
    say(&format!("\n==> {name}"));
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            say(&format!(
                "{name}: {:?} cannot be started: {error}",
                command.get_program()
            ));
            return (false, Seen::default());
        }
    };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (ended, ends) = mpsc::channel();
    let mut pipes = 0;
    if let Some(pipe) = child.stdout.take() {
        follow(pipe, Arc::clone(&seen), ended.clone());
        pipes += 1;
    }
    if let Some(pipe) = child.stderr.take() {
        follow(pipe, Arc::clone(&seen), ended);
        pipes += 1;
    }
    let mut ended_well = child.wait().is_ok_and(|status| status.success());
    // What the command started and left behind may hold its output open for ever.
    if (0..pipes).any(|_| ends.recv_timeout(LAST_OUTPUT).is_err()) {
        say(&format!(
            "{name}: a process that it started is still running and holds its output"
        ));
        ended_well = false;
    }
    let verdict = if ended_well { "done" } else { "FAILED" };
    say(&format!(
        "==> {name}: {verdict} after {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    (ended_well, std::mem::take(&mut *seen))
}

/// Prints and reads a pipe on a thread of its own, and tells when it has ended.
fn follow(pipe: impl Read + Send + 'static, seen: Arc<Mutex<Seen>>, ended: mpsc::Sender<()>) {
    thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        // A pipe that cannot be read any more has ended.
        while lines
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            say(text);
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .read(text.trim());
            line.clear();
        }
        // Nobody waits any more when the command's time was up.
        let _ = ended.send(());
    });
}

impl Seen {
    fn read(&mut self, line: &str) {
        // A test that runs alone has its name printed first.
        let own = line.split_once(" ... ").map_or(line, |(_, rest)| rest);
        if let Some(reason) = own.strip_prefix(LEFT_OUT).or(line.strip_prefix(LEFT_OUT)) {
            self.left_out.push(reason.to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
        } else if let Some((test, reason)) = line
            .strip_prefix("test ")
            .and_then(|test| test.split_once(" ... ignored"))
        {
            // One that other tests run, in a process of its own, is not left out.
            if !reason.starts_with(PART_OF_ANOTHER) {
                self.left_out
                    .push(format!("the ignored test {test}{reason}"));
            }
        }
    }
}

/// The number that stands before `word`; 0 where there is none.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    before
        .rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_output() {
        let mut seen = Seen::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test b ... ignored, needs two nodes",
            "test c ... ignored, run by the test d",
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out",
            "LEFT OUT: no redis-server",
            "test c ... LEFT OUT: no node",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured",
        ] {
            seen.read(line);
        }
        let left_out = [
            "the ignored test b, needs two nodes",
            "no redis-server",
            "no node",
        ];
        let left_out = left_out.map(str::to_owned).to_vec();
        assert_eq!(
            seen,
            Seen {
                passed: 14,
                failed: 3,
                left_out
            }
        );
    }

    #[test]
    fn a_command_that_fails_without_a_failed_test_counts_as_one() {
        let mut report = Report::default();
        report.tests("breaks", &mut Command::new("false"));
        report.tests("is missing", &mut Command::new("/no/such/program"));
        assert_eq!(
            (report.passed, report.failed, report.failures.len()),
            (0, 2, 2)
        );
    }
}
