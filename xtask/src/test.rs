//! `cargo xtask test`: sets up what the tests need, then runs every one.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::report::Report;
use crate::{check, fuzz, setup, workspace};

/// What is run, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestOptions {
    /// Whether leaving anything out is a failure.
    all_required: bool,
    /// How long each fuzz target runs.
    fuzz_seconds: u32,
    /// Whether tests run in their long form, which they see by `ROADBED_SOAK=1`.
    soak: bool,
}

impl TestOptions {
    /// The options of `test`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        Self {
            all_required: false,
            fuzz_seconds: 60,
            soak: false,
        }
        .with(arguments)
    }

    /// The options of `soak`: the same, but for longer.
    pub(crate) fn parse_soak(arguments: &[String]) -> Result<Self> {
        Self {
            all_required: false,
            fuzz_seconds: 600,
            soak: true,
        }
        .with(arguments)
    }

    fn with(mut self, arguments: &[String]) -> Result<Self> {
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--all-required" => self.all_required = true,
                "--fuzz-seconds" => {
                    let seconds = arguments.next().context("--fuzz-seconds needs a number")?;
                    self.fuzz_seconds = seconds.parse().with_context(|| {
                        format!("--fuzz-seconds needs a number, not {seconds:?}")
                    })?;
                }
                other => bail!("unknown argument {other:?}"),
            }
        }
        Ok(self)
    }
}

/// Runs everything and reports it; goes on after a failure, so that one run shows them all.
pub(crate) fn run(options: &TestOptions) -> Result<ExitCode> {
    let mut report = Report::default();
    setup::run(&mut report);
    check::all(&mut report)?;
    for folder in workspace::all() {
        // The fuzz targets are no tests, they run below.
        if folder.ends_with("fuzz") {
            continue;
        }
        let words = "test --workspace --no-fail-fast -- --show-output";
        let mut command = workspace::cargo(&folder, words);
        if options.soak {
            command.env("ROADBED_SOAK", "1");
        }
        report.tests(
            &format!("the tests of {}", workspace::name(&folder)),
            &mut command,
        );
    }
    fuzz::run(&mut report, options.fuzz_seconds)?;
    Ok(report.close(options.all_required))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let options = TestOptions::parse(&words("--all-required --fuzz-seconds 5")).unwrap();
        assert_eq!(
            options,
            TestOptions {
                all_required: true,
                fuzz_seconds: 5,
                soak: false
            }
        );
        for bad in ["--fuzz-seconds", "--fuzz-seconds x", "--all"] {
            assert!(TestOptions::parse(&words(bad)).is_err(), "{bad}");
        }
    }
}
