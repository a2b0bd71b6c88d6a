//! A unit that runs, as the server holds it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use model::{Exit, ExitCause};
use rustix::process::Signal;
use tokio::io::unix::AsyncFd;

use crate::folder::UnitFolder;
use crate::machine::{self, Identity, now};
use crate::processes::{Inner, blocking, leftovers};
use crate::unit::{Start, UnitName};

/// The pause before the system is asked again for what it could not tell.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A unit that runs under its shim. Dropping this changes nothing about the unit.
#[derive(Debug)]
pub struct Process {
    start: Start,
    shim: Identity,
    /// The shim; `None` if it had ended before it could be opened.
    handle: Option<AsyncFd<OwnedFd>>,
    inner: Arc<Inner>,
}

impl Process {
    /// Holds the shim that recorded itself as `shim`.
    pub(super) fn open(inner: Arc<Inner>, start: Start, shim: Identity) -> io::Result<Self> {
        let handle = shim.open()?.map(machine::awaitable).transpose()?;
        Ok(Self {
            start,
            shim,
            handle,
            inner,
        })
    }

    /// The unit that this is a process of.
    pub fn unit(&self) -> &UnitName {
        &self.start.unit
    }

    /// Which start of the unit this is.
    pub fn attempt(&self) -> u32 {
        self.start.attempt
    }

    /// The process id of the shim, as long as that lives.
    pub fn shim_pid(&self) -> Option<u32> {
        self.shim.lives().ok()?.then_some(self.shim.pid)
    }

    /// The process id of the program itself, as long as that lives. It changes when the shim
    /// starts the program again ([`crate::Restart::Always`]).
    pub fn child_pid(&self) -> Option<u32> {
        let child = self.folder().running().ok()??.child;
        child.lives().ok()?.then_some(child.pid)
    }

    /// Asks the program to end: SIGTERM to its process group, and SIGKILL to all that is left of
    /// it when the launch's `stop_limit` has passed.
    pub fn stop(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends the program and all that it started at once.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::USR1)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match &self.handle {
            Some(handle) => machine::signal(handle.get_ref(), signal),
            None => Ok(()),
        }
    }

    /// Waits until the program and all that it started are gone, and says how it ended. May be
    /// dropped and called again at any time. As long as the system does not let that be told, it
    /// is asked again: what may still run must not be taken for ended.
    pub async fn exited(&self) -> Exit {
        loop {
            match self.wait().await {
                Ok(exit) => return exit,
                Err(error) => {
                    let unit = &self.start.unit;
                    tracing::error!(%unit, %error, "how a unit ended cannot be told; trying on");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    }

    async fn wait(&self) -> io::Result<Exit> {
        if let Some(handle) = &self.handle {
            // A process's handle is readable once it has ended, and stays so.
            let mut guard = handle.readable().await?;
            guard.retain_ready();
            machine::reap(handle.get_ref());
        }
        let (inner, start) = (self.inner.clone(), self.start.clone());
        let concluded = blocking(move || conclude(&inner, &start)).await?;
        Ok(concluded.exit)
    }

    fn folder(&self) -> UnitFolder {
        self.inner.folder(&self.start)
    }
}

/// How a start ended.
pub(super) struct Concluded {
    pub(super) exit: Exit,
    /// Whether the shim recorded it, rather than being lost itself.
    pub(super) recorded: bool,
}

/// Says how a start ended whose shim is gone. Where the shim was lost before it could tell, ends
/// what it left behind, and records the loss.
pub(super) fn conclude(inner: &Inner, start: &Start) -> io::Result<Concluded> {
    let folder = inner.folder(start);
    if let Some(exit) = folder.exit()? {
        let recorded = exit.cause != ExitCause::Lost;
        return Ok(Concluded { exit, recorded });
    }
    let running = folder.running()?;
    leftovers::kill_all(|| leftovers::of_start(&inner.home, start, running.as_ref()))?;
    let last_lines = match folder.launch()? {
        Some(launch) => crate::logs::last_lines(&launch.logs, Exit::MOST_LINES)
            .unwrap_or_else(|error| vec![format!("roadbed: its log cannot be read: {error}")]),
        None => Vec::new(),
    };
    let mut exit = Exit {
        cause: ExitCause::Lost,
        at: now(),
        last_lines,
    };
    let shim_log = folder.shim_log();
    if !shim_log.is_empty() {
        exit.push_line(format!("roadbed: its shim failed: {shim_log}"));
    }
    // On a full disk it is told all the same. Whoever asks next finds it out anew.
    if let Err(error) = folder.write_exit(&exit) {
        exit.push_line(format!("roadbed: its end cannot be recorded: {error}"));
    }
    Ok(Concluded {
        exit,
        recorded: false,
    })
}

/// How long a shim may take from its start to a record of what became of it. It is some
/// milliseconds; a machine that swaps or starts hundreds of units may take long.
pub(super) const LONGEST_START: Duration = Duration::from_secs(30);
