//! The project's own chores, run as `cargo xtask COMMAND`. One file for each command.

mod bench;
mod check;
mod conformance;
mod debian;
mod fuzz;
mod generate;
mod report;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::test::TestOptions;

const USAGE: &str = "\
cargo xtask check       formatting, clippy, the crates' order, licences, sizes of files
cargo xtask setup       install and build what the tests need
cargo xtask test        the checks and every test, after setting up what they need
      --all-required      a test that is left out is a failure (what CI runs)
      --fuzz-seconds N    how long each fuzz target runs, 60 unless told otherwise
cargo xtask soak        the same tests in their long form
cargo xtask generate    write docs/roadbed.schema.json and docs/openapi.json
cargo xtask bench NAME  run a measurement of the crate `bench`
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let arguments: Vec<String> = arguments.collect();
    match command.as_deref() {
        Some("check") => check::run(),
        Some("setup") => Ok(setup::alone()),
        Some("test") => test::run(&TestOptions::parse(&arguments)?),
        Some("soak") => test::run(&TestOptions::parse_soak(&arguments)?),
        Some("generate") => generate::run(),
        Some("bench") => bench::run(&arguments),
        None | Some("help" | "--help" | "-h") => {
            eprint!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => bail!("there is no command {other:?}\n{USAGE}"),
    }
}
