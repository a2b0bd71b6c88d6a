//! The server's side of processes: start a unit under a shim, find it again, clear up after it.
//!
//! The server may be killed at any instant. What holds then:
//! - A start has a folder before it has a process, and the folder's lock is held from before the
//!   shim exists until the shim is dead. Hence [`Processes::adopt`] knows for sure whether a shim
//!   lives, even one that has not yet recorded itself.
//! - Everything started carries the home's mark. Hence [`Processes::sweep`] finds what nobody
//!   claims, even without a folder.

mod adopt;
mod launch;
mod leftovers;
mod mark;
mod process;
mod sweep;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use adopt::{AdoptError, Adopted};
pub use launch::Launch;
pub use mark::{MARK_VARIABLE, UNIT_VARIABLE};
pub use process::Process;
pub use sweep::Swept;

use crate::folder::UnitFolder;
use crate::unit::{Start, UnitName};
use mark::HomeId;

/// How many shims are being started at the same time. A start costs the machine some milliseconds
/// of processor time; more at once would not end sooner, but hold a thread each.
const MOST_LAUNCHES_AT_ONCE: usize = 8;

/// How often the lock of a start that is to be forgotten is tried, and the pause in between. Though
/// its shim is dead, a process that this server is just starting may hold a copy for an instant,
/// from its fork until its exec.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Starts and finds the processes of one home. Only one may exist per home at a time.
#[derive(Debug, Clone)]
pub struct Processes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    units: PathBuf,
    program: PathBuf,
    home: HomeId,
    /// Marks what this server runs besides units, so that its successor can end it.
    own_mark: String,
    launches: Semaphore,
}

impl Processes {
    /// The processes of the home at `home`, each under a shim that is `program shim FOLDER`, the
    /// program being one that calls [`crate::shim::main`].
    pub fn new(home: &Path, program: PathBuf) -> io::Result<Self> {
        // A shim works in another directory, so that its paths must not depend on this one.
        let units = std::path::absolute(home)?.join("units");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&units)?;
        let home = HomeId::read_or_create(&units.join("home-id"))?;
        let own_mark = format!("server.{}", mark::random_id()?);
        let launches = Semaphore::new(MOST_LAUNCHES_AT_ONCE);
        let program = std::path::absolute(program)?;
        Ok(Self {
            inner: Arc::new(Inner {
                units,
                program,
                home,
                own_mark,
                launches,
            }),
        })
    }

    /// The variable, name and value, that makes a process recognisable as started by this server
    /// for itself, such as the command of a probe: if the server dies, the next one's
    /// [`Self::sweep`] ends such processes.
    pub fn mark(&self) -> (&'static str, String) {
        (MARK_VARIABLE, self.inner.home.mark(&self.inner.own_mark))
    }

    /// Removes all that is on disk about a start of a unit that has ended; its logs stay. Fails
    /// while its shim lives. It is no error that there is nothing.
    pub async fn forget(&self, unit: &UnitName, attempt: u32) -> io::Result<()> {
        let folder = self.inner.folder(&Start {
            unit: unit.clone(),
            attempt,
        });
        blocking(move || {
            if !folder.path().exists() {
                return Ok(());
            }
            for _ in 0..LOCK_ATTEMPTS {
                if let Some(_lock) = folder.lock()? {
                    return folder.remove();
                }
                std::thread::sleep(LOCK_PAUSE);
            }
            let error = format!("{} still runs", folder.path().display());
            Err(io::Error::new(io::ErrorKind::ResourceBusy, error))
        })
        .await
    }
}

impl Inner {
    fn folder(&self, start: &Start) -> UnitFolder {
        UnitFolder::at(self.units.join(start.to_string()))
    }
}

/// Runs `work`, which waits for the disk or for processes, where it keeps nobody else waiting.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
