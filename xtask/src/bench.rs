//! `cargo xtask bench NAME`: a measurement, built with optimisation.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::workspace::{cargo, root};

/// Runs the bench with the arguments as they are; without any it lists what there is.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let status = cargo(root(), "run --release --package roadbed-bench --")
        .args(arguments)
        .status()
        .context("starting cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
