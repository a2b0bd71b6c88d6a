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

/// Processes that go before all others of their core, until this is dropped. What else the
/// machine does would otherwise be taken for latency, for as long as the kernel lets it run.
#[derive(Debug)]
pub(crate) struct FirstInLine(Vec<u32>);

impl FirstInLine {
    /// Lets the threads that these processes have now go first; those that they start later do
    /// not.
    ///
    /// # Errors
    /// The user may not do that, or one of the processes has ended.
    pub(crate) fn new(pids: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut first = Self(Vec::new());
        for pid in pids {
            first.0.push(pid);
            schedule(pid, &["--fifo", "--reset-on-fork"], "1")
                .context("latency is measured as root, or with CAP_SYS_NICE")?;
        }
        Ok(first)
    }
}

impl Drop for FirstInLine {
    fn drop(&mut self) {
        for pid in &self.0 {
            if let Err(error) = schedule(*pid, &["--other"], "0") {
                eprintln!("roadbed-bench: {error:#}");
            }
        }
    }
}

fn schedule(pid: u32, policy: &[&str], priority: &str) -> Result<()> {
    let output = Command::new("chrt")
        .args(policy)
        .args(["--all-tasks", "--pid", priority, &pid.to_string()])
        .output()
        .context("starting chrt")?;
    ensure!(
        output.status.success(),
        "chrt: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
