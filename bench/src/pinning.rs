//! Which core does what: proxies have one, all that drives and answers them another.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The core that proxies run on, and the one of the load and the backend.
pub(crate) const PROXY_CORE: &str = "0";
pub(crate) const LOAD_CORE: &str = "1";

/// A command on one core.
pub(crate) fn pinned(core: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]);
    command
}

/// Moves a process with all its threads to one core.
pub(crate) fn pin(pid: u32, core: &str) -> Result<()> {
    let output = Command::new("taskset")
        .args(["--all-tasks", "-c", "-p", core, &pid.to_string()])
        .output()
        .context("starting taskset")?;
    ensure!(
        output.status.success(),
        "taskset: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
