//! Building an app before it is deployed, with the user's own environment and in sight.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use model::{Command, ServiceName};
use runner::Program;
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
    let status = command
        .args(&program.words[1..])
        .current_dir(&app.folder)
        .stdin(Stdio::null())
        // Standard output is for the command's own data.
        .stdout(std::io::stderr())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
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
