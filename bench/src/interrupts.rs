//! What is to be cleaned up when the bench is told to stop: nothing may be left running.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::processes;

/// The folders in use. Held for good once an interrupt has come, so that nothing new begins.
static FOLDERS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn folders() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has an interrupt remove `folder`, and end all that runs for it.
pub(crate) fn remember(folder: &Path) {
    folders().insert(folder.to_owned());
}

/// The folder has been cleaned up.
pub(crate) fn forget(folder: &Path) {
    folders().remove(folder);
}

/// Starts a program, unless an interrupt has come.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    let _not_interrupted = folders();
    let program = command.get_program().to_owned();
    command
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}

/// From now on SIGINT, SIGTERM and SIGHUP clean up and end this process.
pub(crate) fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let context = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(context);
    std::thread::Builder::new()
        .name("interrupts".into())
        .spawn(move || {
            let number = runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = hangup.recv() => SignalKind::hangup(),
                }
            });
            clean_up();
            std::process::exit(128 + number.as_raw_value());
        })?;
    Ok(())
}

fn clean_up() {
    let folders = folders();
    for folder in folders.iter() {
        processes::kill_all_of(folder);
    }
    for folder in folders.iter() {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(folder);
    }
}
