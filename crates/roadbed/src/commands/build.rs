//! Building an app before it is deployed, with the user's own environment and in sight.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use model::{Command, ServiceName};
use runner::Program;
use rustix::process::{Pid, Signal, kill_process};
use spec::Loaded;

use crate::failure::Failure;
use crate::follow::plural;
use crate::terminal::progress;

/// Runs the builds of all services one after the other, each different one once.
pub(super) async fn run(app: &Loaded) -> Result<(), Failure> {
    let mut done: BTreeSet<&[String]> = BTreeSet::new();
    for (name, service) in &app.app.services {
        if let Some(build) = &service.build
            && done.insert(build.words())
        {
            build_one(app, name, build).await?;
        }
    }
    Ok(())
}

async fn build_one(app: &Loaded, name: &ServiceName, build: &Command) -> Result<(), Failure> {
    let same = app
        .app
        .services
        .iter()
        .filter(|(_, other)| other.build.as_ref() == Some(build));
    let names: Vec<&str> = same.map(|(name, _)| name.as_str()).collect();
    progress(&format!("building {}: {build}", names.join(", ")));
    let failed = |how: String| {
        Failure::new(format!("the build of {name} failed: `{build}` {how}"))
            .hint("nothing was deployed; mend the build and try again")
    };
    // What is no text cannot be named in a command, and is passed on by inheritance alone.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let program = Program::resolve(build, &app.folder, &environment)
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let mut command = tokio::process::Command::new(&program.path);
    let mut child = command
        .args(&program.words[1..])
        .current_dir(&app.folder)
        .stdin(Stdio::null())
        // Standard output is for the command's own data.
        .stdout(std::io::stderr())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let children = Children::of(child.id());
    let status = child
        .wait()
        .await
        .map_err(|error| failed(format!("cannot be awaited: {error}")))?;
    children.have_ended();
    if status.success() {
        return Ok(());
    }
    let others = names.len() - 1;
    let failure = failed(match status.code() {
        Some(code) => format!("exited with code {code}"),
        None => format!("ended with {status}"),
    });
    Err(match others {
        0 => failure,
        _ => failure.evidence([format!(
            "{others} other {} built by it too",
            plural(others, "service")
        )]),
    })
}

/// The processes below a build, which end when it is given up. It shares the terminal with whoever
/// started it, and so cannot have a process group by which to find them.
struct Children {
    parent: Option<u32>,
}

impl Children {
    fn of(parent: Option<u32>) -> Self {
        Self { parent }
    }

    fn have_ended(mut self) {
        self.parent = None;
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        let mut found: Vec<u32> = self.parent.into_iter().collect();
        let mut looked = 0;
        while let Some(parent) = found.get(looked).copied() {
            looked += 1;
            // Each thread has the children that it has started itself.
            let threads = std::fs::read_dir(format!("/proc/{parent}/task"));
            for thread in threads.into_iter().flatten().flatten() {
                let children = std::fs::read_to_string(thread.path().join("children"));
                let children = children.unwrap_or_default();
                found.extend(
                    children
                        .split_whitespace()
                        .filter_map(|pid| pid.parse::<u32>().ok()),
                );
            }
        }
        for pid in found.into_iter().skip(1) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // One that has ended by itself meanwhile is as good.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
}
