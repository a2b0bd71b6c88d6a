//! Starts a unit under a new shim.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::ExitCause;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::folder::{LaunchRecord, Restart, UnitFolder};
use crate::processes::mark::{MARK_VARIABLE, UNIT_VARIABLE};
use crate::processes::process::LONGEST_START;
use crate::processes::{Inner, Process, Processes, blocking, leftovers};
use crate::program::{LaunchError, Program, failed};
use crate::unit::{Start, UnitName};

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The unit to start.
    pub unit: UnitName,
    /// Which start of it this is. Each has its own number, for good.
    pub attempt: u32,
    /// The program and its arguments, to be expanded from `environment`.
    pub command: model::Command,
    /// Its working directory, an absolute path.
    pub folder: PathBuf,
    /// Its complete environment; [`UNIT_VARIABLE`] and [`MARK_VARIABLE`] are added.
    pub environment: BTreeMap<String, String>,
    /// How long it may take to end after SIGTERM, before SIGKILL.
    pub stop_limit: Duration,
    /// The folder that its log is kept in, an absolute path.
    pub logs: PathBuf,
    /// What the shim does when it ends by itself.
    pub restart: Restart,
}

impl Processes {
    /// Starts a unit and returns once its program runs, or with the reason why it does not. Of a
    /// start that failed nothing is left. Call it with a runtime's IO and time enabled.
    pub async fn launch(&self, launch: &Launch) -> Result<Process, LaunchError> {
        let _permit = self
            .inner
            .launches
            .acquire()
            .await
            .expect("it is never closed");
        let start = Start {
            unit: launch.unit.clone(),
            attempt: launch.attempt,
        };
        let (inner, launch) = (self.inner.clone(), launch.clone());
        let spawned = blocking(move || spawn_shim(&inner, launch)).await?;
        let told = tokio::time::timeout(LONGEST_START, read_report(spawned.report)).await;
        let inner = self.inner.clone();
        match told {
            Ok(Ok(())) => blocking(move || open_started(inner, start)).await,
            Ok(Err(error)) => {
                let error = failed("its shim cannot be heard", &error);
                Err(blocking(move || undo(&inner, &start, error)).await)
            }
            Err(_) => {
                let error = format!("its shim has not started it within {LONGEST_START:?}");
                Err(blocking(move || undo(&inner, &start, LaunchError::passing(error))).await)
            }
        }
    }
}

struct Spawned {
    /// The end of the shim's report: it is closed when there is a record of what became of the
    /// start, or when the shim died.
    report: OwnedFd,
}

fn spawn_shim(inner: &Inner, launch: Launch) -> Result<Spawned, LaunchError> {
    let start = Start {
        unit: launch.unit.clone(),
        attempt: launch.attempt,
    };
    let mut environment = launch.environment;
    environment.insert(UNIT_VARIABLE.to_owned(), launch.unit.to_string());
    environment.insert(
        MARK_VARIABLE.to_owned(),
        inner.home.mark(&start.to_string()),
    );
    let record = LaunchRecord {
        program: Program::resolve(&launch.command, &launch.folder, &environment)?,
        stop_limit: launch.stop_limit,
        logs: launch.logs,
        restart: launch.restart,
    };
    let path = inner.folder(&start).path().to_owned();
    let folder = UnitFolder::create(path.clone())
        .map_err(|error| failed(&format!("its folder {} is not new", path.display()), &error))?;
    let spawned = record_and_spawn(inner, &start, &folder, &record);
    spawned.map_err(|error| undo(inner, &start, error))
}

fn record_and_spawn(
    inner: &Inner,
    start: &Start,
    folder: &UnitFolder,
    record: &LaunchRecord,
) -> Result<Spawned, LaunchError> {
    let io = |error: io::Error| {
        failed(
            &format!("its folder {} cannot be written", folder.path().display()),
            &error,
        )
    };
    let lock = folder.lock().map_err(io)?.ok_or_else(|| {
        LaunchError::passing(format!("its folder {} is in use", folder.path().display()))
    })?;
    folder.write_launch(record).map_err(io)?;
    let shim_log = folder.create_shim_log().map_err(io)?;
    let (report, shim_report) = io::pipe().map_err(|error| failed("no pipe", &error))?;
    // The shim forks and its first process ends at once, so that it is nobody's child here.
    let status = Command::new(&inner.program)
        .arg("shim")
        .arg(folder.path())
        .env_clear()
        .env(MARK_VARIABLE, inner.home.mark(&start.to_string()))
        .stdin(Stdio::from(File::from(lock)))
        .stdout(Stdio::from(OwnedFd::from(shim_report)))
        .stderr(Stdio::from(shim_log))
        .status()
        .map_err(|error| failed(&format!("its shim {}", inner.program.display()), &error))?;
    if !status.success() {
        let error = format!("its shim ended with {status}: {}", folder.shim_log());
        return Err(LaunchError::passing(error));
    }
    Ok(Spawned {
        report: report.into(),
    })
}

/// Waits for the end of a report, which has no content.
async fn read_report(report: OwnedFd) -> io::Result<()> {
    let mut report = pipe::Receiver::from_owned_fd(report)?;
    match report.read(&mut [0]).await? {
        0 => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a shim that runs",
        )),
    }
}

/// What became of a start whose shim is done with it.
fn open_started(inner: Arc<Inner>, start: Start) -> Result<Process, LaunchError> {
    let folder = inner.folder(&start);
    let read = |error: io::Error| failed(&format!("{}", folder.path().display()), &error);
    if let Some(running) = folder.running().map_err(read)? {
        return Process::open(inner.clone(), start, running.shim).map_err(read);
    }
    let error = match folder.exit().map_err(read)?.map(|exit| exit.cause) {
        Some(ExitCause::NotStarted { error, permanent }) => LaunchError { error, permanent },
        _ => LaunchError::passing(format!("its shim failed: {}", folder.shim_log())),
    };
    Err(undo(&inner, &start, error))
}

/// Leaves nothing of a start that failed with `error`, which it returns.
fn undo(inner: &Inner, start: &Start, mut error: LaunchError) -> LaunchError {
    let undone = leftovers::kill_all(|| leftovers::of_start(&inner.home, start, None))
        .and_then(|_| inner.folder(start).remove());
    if let Err(undo) = undone {
        error
            .error
            .push_str(&format!(" (and what it left could not be removed: {undo})"));
    }
    error
}
