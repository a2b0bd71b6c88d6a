//! Finds a start of a unit again, after the server that made it has gone.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Exit;

use crate::machine::{Identity, boot_id};
use crate::processes::process::{Concluded, LONGEST_START, conclude};
use crate::processes::{Inner, Process, Processes, blocking};
use crate::unit::{Start, UnitName};

/// What became of a start while nobody looked.
#[derive(Debug)]
pub enum Adopted {
    /// It runs.
    Running(Process),
    /// It ended, and its shim recorded how.
    Ended(Exit),
    /// It and its shim are gone without a record. What they left behind has been ended, and the
    /// exit carries the last lines of the log.
    Lost(Exit),
}

/// Nothing can be said about a start.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// There is no folder of it: it never began, failed to, or has been forgotten.
    #[error("nothing is recorded about {0}")]
    Unknown(String),
    /// Its shim lives and does not record what it does.
    #[error("the shim of {0} has recorded nothing for {LONGEST_START:?}")]
    Silent(String),
    /// Its folder or its processes cannot be read.
    #[error("{start} cannot be adopted: {source}")]
    Io {
        /// The start, as `UNIT.ATTEMPT`.
        start: String,
        /// The operating system's answer.
        source: io::Error,
    },
}

/// How long to wait before looking again, in the few milliseconds that a shim takes to record
/// itself, for a server killed in just these.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Processes {
    /// Takes charge of a start again. Call it with a runtime's IO enabled.
    pub async fn adopt(&self, unit: &UnitName, attempt: u32) -> Result<Adopted, AdoptError> {
        let start = Start {
            unit: unit.clone(),
            attempt,
        };
        let inner = self.inner.clone();
        if !inner.folder(&start).path().exists() {
            return Err(AdoptError::Unknown(start.to_string()));
        }
        let io = |source| AdoptError::Io {
            start: start.to_string(),
            source,
        };
        let found = {
            let (inner, start) = (inner.clone(), start.clone());
            blocking(move || look(&inner, &start)).await.map_err(io)?
        };
        match found {
            Found::Shim(shim) => Process::open(inner, start.clone(), shim)
                .map(Adopted::Running)
                .map_err(io),
            Found::End(Concluded {
                exit,
                recorded: true,
            }) => Ok(Adopted::Ended(exit)),
            Found::End(Concluded {
                exit,
                recorded: false,
            }) => Ok(Adopted::Lost(exit)),
            Found::Silence => Err(AdoptError::Silent(start.to_string())),
        }
    }
}

enum Found {
    Shim(Identity),
    End(Concluded),
    Silence,
}

fn look(inner: &Arc<Inner>, start: &Start) -> io::Result<Found> {
    let folder = inner.folder(start);
    let deadline = Instant::now() + LONGEST_START;
    while Instant::now() < deadline {
        // With the lock, no shim lives and none can come: the records are final.
        if let Some(_lock) = folder.lock()? {
            return conclude(inner, start).map(Found::End);
        }
        // Without it, a record of this boot is the living shim's own. An exit recorded already
        // means that it ends any moment now; its process is waited for like any other.
        match folder.running()? {
            Some(running) if running.boot == boot_id()? => return Ok(Found::Shim(running.shim)),
            _ => std::thread::sleep(LOOK_AGAIN),
        }
    }
    Ok(Found::Silence)
}
