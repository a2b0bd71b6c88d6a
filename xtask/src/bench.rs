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
    let mut arguments = arguments.to_vec();
    if arguments.first().is_some_and(|name| name == "balance") {
        simulate(&take_seed(&mut arguments)?)?;
    }
    let mut bench = cargo(root(), "run --release --quiet --package roadbed-bench --");
    Err(bench.args(arguments).exec()).context("starting cargo")
}

/// The ways to choose an instance in simulated time, which says what it found.
fn simulate(seed: &str) -> Result<()> {
    let words = "test --release --quiet --package roadbed-proxy --lib -- --nocapture \
                 simulation::comparison";
    let mut test = cargo(root(), words);
    let status = test.env("ROADBED_SIMULATION_SEED", seed).status();
    match status.context("starting cargo")?.success() {
        true => Ok(()),
        false => bail!("the simulation failed; its seed was {seed}"),
    }
}

/// Takes `--seed NUMBER` out of the arguments; what it says, or a number that the clock gives.
fn take_seed(arguments: &mut Vec<String>) -> Result<String> {
    let Some(at) = arguments.iter().position(|word| word == "--seed") else {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        return Ok(now.map_or(0, |now| now.as_secs()).to_string());
    };
    let seed = arguments
        .get(at + 1)
        .and_then(|seed| seed.parse::<u64>().ok());
    let seed = seed.context("`--seed` takes a whole number")?;
    arguments.drain(at..=at + 1);
    Ok(seed.to_string())
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

#[cfg(test)]
mod tests {
    use super::take_seed;

    #[test]
    fn a_seed_is_taken_out_of_the_arguments() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut arguments = words("balance --seed 7 --runs 1");
        assert_eq!(take_seed(&mut arguments).unwrap(), "7");
        assert_eq!(arguments, words("balance --runs 1"));
        assert!(take_seed(&mut arguments).unwrap().parse::<u64>().is_ok());
        assert!(take_seed(&mut words("balance --seed")).is_err());
        assert!(take_seed(&mut words("balance --seed many")).is_err());
    }
}
