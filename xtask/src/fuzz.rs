//! Runs every fuzz target for a while.
//!
//! Sanitizers need a nightly compiler and find little in code that forbids most of `unsafe`, so the
//! targets run without them, on the compiler that builds everything else.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::report::Report;
use crate::workspace::{cargo, command, root};

/// Runs each target in `fuzz/fuzz_targets` for so many seconds, from the inputs that are kept. New
/// ones go to `target/`.
pub(crate) fn run(report: &mut Report, seconds: u32) -> Result<()> {
    let targets = targets()?;
    if targets.is_empty() {
        return Ok(());
    }
    let tools = root().join("target/tools");
    let program = tools.join("bin/cargo-fuzz");
    if !program.exists() {
        let mut install = cargo(root(), "install cargo-fuzz --locked --quiet --root");
        install
            .arg(&tools)
            .env("CARGO_TARGET_DIR", tools.join("build"));
        if !report.check("install cargo-fuzz", &mut install) {
            report.leave_out("every fuzz target, since cargo-fuzz is not to be had".to_owned());
            return Ok(());
        }
    }
    for target in targets {
        let found = root().join("target/fuzz-corpus").join(&target);
        std::fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
        // `--release` leaves it to the profile what is checked.
        let words = format!("fuzz run --release --sanitizer none {target} --target-dir");
        let mut run = command(root(), &program.to_string_lossy(), &words);
        run.arg(root().join("target/fuzz")).arg(&found);
        run.args(kept(&target));
        run.arg("--").arg(format!("-max_total_time={seconds}"));
        // Only what it found: each new input would be a line of thousands.
        run.args(["-timeout=10", "-verbosity=0", "-print_final_stats=1"]);
        report.check(&format!("fuzz {target} for {seconds} s"), &mut run);
    }
    Ok(())
}

/// Where the inputs are that a target begins with. Those of `spec` are the cases of its goldens, which
/// have every key.
fn kept(target: &str) -> Vec<PathBuf> {
    let corpus = format!("fuzz/corpus/{target}");
    let folders: &[&str] = match target {
        "spec" => &["crates/spec/tests/valid", "crates/spec/tests/invalid"],
        _ => &[&corpus],
    };
    let folders = folders.iter().map(|folder| root().join(folder));
    folders.filter(|folder| folder.exists()).collect()
}

fn targets() -> Result<Vec<String>> {
    let folder: PathBuf = root().join("fuzz/fuzz_targets");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut targets = Vec::new();
    for file in
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let path = file?.path();
        if let (Some("rs"), Some(name)) = (
            path.extension().and_then(|e| e.to_str()),
            path.file_stem().and_then(|n| n.to_str()),
        ) {
            targets.push(name.to_owned());
        }
    }
    targets.sort();
    Ok(targets)
}
