//! `cargo xtask bench NAME`: a measurement, of programs that are all built with optimisation.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::report::Report;
use crate::setup;
use crate::workspace::{cargo, name, root};

/// Runs the bench with the arguments as they are; without any it lists what there is.
///
/// It takes the place of this process: what is to be cleaned up after an interrupt is its own
/// affair, and its exit code says more than whether it succeeded.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    // A load goes to any URL; all others measure what is built here.
    if arguments.first().is_some_and(|name| name != "load") {
        build()?;
    }
    if arguments
        .first()
        .is_some_and(|name| name == "proxy" || name == "balance")
    {
        // What could not be had may not be needed; if it is, the bench says so.
        setup::peers(&mut Report::default());
    }
    let mut bench = cargo(root(), "run --release --quiet --package roadbed-bench --");
    Err(bench.args(arguments).exec()).context("starting cargo")
}

fn build() -> Result<()> {
    let examples = ["examples/trivial", "examples/shop"].map(|folder| root().join(folder));
    let mut builds = vec![(root().to_owned(), "build --release --package roadbed")];
    builds.extend(examples.map(|folder| (folder, "build --release")));
    for (folder, words) in builds {
        let status = cargo(&folder, words).status().context("starting cargo")?;
        if !status.success() {
            bail!("`cargo {words}` in {} failed", name(&folder));
        }
    }
    Ok(())
}
