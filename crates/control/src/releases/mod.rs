//! The files of releases on this server: kept by their content, unpacked for those that run, and
//! collected when no release needs them any more.

mod collect;
mod kept;
mod retention;
mod unpacked;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use artifacts::{ContentError, Contents};
use model::AppName;
use tokio::sync::{Notify, RwLock};

use crate::home::Home;

pub(crate) use collect::Collector;
pub use kept::KeptReleases;
pub(crate) use retention::beyond_count;
pub(crate) use unpacked::{Unpacked, restore};

/// What all who deal with files of releases share.
pub(crate) struct ReleaseFiles {
    pub(crate) contents: Contents,
    pub(crate) home: Home,
    /// Held for reading from when it is known that all contents of a release are there until the
    /// record says that they are needed, and for writing while what is not needed is removed.
    pub(crate) in_use: RwLock<()>,
    /// Has what is not needed any more removed soon.
    pub(crate) collect: Notify,
    /// Releases that take more of the disk than they may.
    beyond_budget: Mutex<BTreeSet<(AppName, u64)>>,
}

impl ReleaseFiles {
    /// Those in `home`.
    pub(crate) fn open(home: Home) -> Result<Arc<Self>, ContentError> {
        Ok(Arc::new(Self {
            contents: Contents::open_folder(&home.artifacts())?,
            home,
            in_use: RwLock::new(()),
            collect: Notify::new(),
            beyond_budget: Mutex::default(),
        }))
    }

    /// Releases that the disk's budget has no room for, as of the last look.
    pub(crate) fn beyond_budget(&self) -> BTreeSet<(AppName, u64)> {
        self.lock().clone()
    }

    fn set_beyond_budget(&self, releases: BTreeSet<(AppName, u64)>) {
        *self.lock() = releases;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(AppName, u64)>> {
        self.beyond_budget
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a folder of ours with all that is in it; what stays is removed another time.
fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "a folder stays");
        }
        _ => {}
    }
}
