//! `cargo xtask check`: what can be said of the code without running it.

mod crates;
mod documents;
mod files;

use std::process::ExitCode;

use anyhow::Result;

use crate::report::{Report, say};
use crate::workspace::{all as all_workspaces, cargo, name};

/// Runs all checks and reports them.
pub(crate) fn run() -> Result<ExitCode> {
    let mut report = Report::default();
    all(&mut report)?;
    Ok(report.close(false))
}

/// Runs all checks.
pub(crate) fn all(report: &mut Report) -> Result<()> {
    list(report, "rules for files", &files::problems()?);
    list(report, "what documents say", &documents::problems()?);
    list(report, "the crates' order", &crates::order_problems()?);
    for folder in all_workspaces() {
        let name = name(&folder);
        list(
            report,
            &format!("licences of {name}"),
            &crates::licence_problems(&folder)?,
        );
        report.check(
            &format!("formatting of {name}"),
            &mut cargo(&folder, "fmt --all --check"),
        );
        let clippy = "clippy --workspace --all-targets --quiet -- --deny warnings";
        report.check(&format!("clippy on {name}"), &mut cargo(&folder, clippy));
    }
    Ok(())
}

/// Counts a check that found these problems.
fn list(report: &mut Report, check: &str, problems: &[String]) {
    for problem in problems {
        say(problem);
    }
    let verdict = if problems.is_empty() {
        "done"
    } else {
        "FAILED"
    };
    say(&format!("==> {check}: {verdict}"));
    report.verdict(check, problems.is_empty());
}
