//! What is on disk about one start of a unit: `HOME/units/UNIT.ATTEMPT/`.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `lock` | server | held by the launch and then by the shim until it dies, however it dies |
//! | `launch.json` | server | what to run, with its whole environment |
//! | `running.json` | shim | which processes run, on which boot of the machine |
//! | `exit.json` | shim, or the server where the shim was lost | how it ended |
//! | `shim.log` | shim | why the shim itself failed, which it should not |
//!
//! Whether a shim is alive is never guessed from a process id: the kernel lets the lock go when
//! the last process that holds it is gone, and not before.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Exit;
use rustix::fs::FlockOperation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::machine::Identity;
use crate::program::Program;

/// Whether the shim starts its program again when that ends without having been asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// No: its end is reported, and the server decides.
    Never,
    /// Yes, at once, so that it comes back while there is no server: after 10 ms, doubled up to
    /// 5 s while it keeps dying before it is 10 s old.
    Always,
}

/// `launch.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LaunchRecord {
    pub(crate) program: Program,
    pub(crate) stop_limit: Duration,
    pub(crate) logs: PathBuf,
    pub(crate) restart: Restart,
}

/// `running.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) boot: String,
    pub(crate) shim: Identity,
    pub(crate) child: Identity,
}

/// Keeps everybody else from taking charge of a start, until it is dropped by its last holder.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl From<Lock> for File {
    fn from(lock: Lock) -> Self {
        lock.0
    }
}

/// The folder of one start of a unit.
#[derive(Debug, Clone)]
pub(crate) struct UnitFolder {
    path: PathBuf,
}

impl UnitFolder {
    /// The folder at `path`, whether it exists or not.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Creates it; it must not exist.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock; `None` while another process holds it.
    pub(crate) fn lock(&self) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = options.open(self.path.join("lock"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn write_launch(&self, launch: &LaunchRecord) -> io::Result<()> {
        self.write("launch.json", launch, Durable::No)
    }

    pub(crate) fn launch(&self) -> io::Result<Option<LaunchRecord>> {
        self.read("launch.json")
    }

    pub(crate) fn write_running(&self, running: &Running) -> io::Result<()> {
        // Worthless after a power loss, so there is no reason to wait for the disk.
        self.write("running.json", running, Durable::No)
    }

    pub(crate) fn running(&self) -> io::Result<Option<Running>> {
        self.read("running.json")
    }

    pub(crate) fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        self.write("exit.json", exit, Durable::Yes)
    }

    pub(crate) fn exit(&self) -> io::Result<Option<Exit>> {
        self.read("exit.json")
    }

    /// A file for what the shim has to say about itself.
    pub(crate) fn create_shim_log(&self) -> io::Result<File> {
        let path = self.path.join("shim.log");
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
    }

    /// The end of what the shim had to say about itself; empty when all is well.
    pub(crate) fn shim_log(&self) -> String {
        let text = fs::read(self.path.join("shim.log")).unwrap_or_default();
        let end = &text[text.len().saturating_sub(2000)..];
        String::from_utf8_lossy(end).trim().to_owned()
    }

    /// Removes the folder and all in it; it is no error that it does not exist.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces the file `name` as a whole: a reader sees the old text or the new one.
    fn write(&self, name: &str, value: &impl Serialize, durable: Durable) -> io::Result<()> {
        let (path, new) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        if durable == Durable::Yes {
            file.sync_all()?;
        }
        fs::rename(&new, &path)?;
        if durable == Durable::Yes {
            File::open(&self.path)?.sync_all()?;
        }
        Ok(())
    }

    /// Reads the file `name`; `None` if it does not exist, or is cut off or garbled, as a power
    /// loss leaves a file that was not yet on disk: it then says as little as none.
    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match fs::read(self.path.join(name)) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use model::ExitCause;

    use super::*;

    fn exit() -> Exit {
        Exit {
            cause: ExitCause::Code(3),
            at: 7,
            last_lines: vec!["a".into()],
        }
    }

    #[test]
    fn a_record_reads_back_and_only_its_owner_can_read_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = UnitFolder::create(home.path().join("proxy.1")).unwrap();
        assert_eq!(folder.exit().unwrap(), None);
        folder.write_exit(&exit()).unwrap();
        assert_eq!(folder.exit().unwrap(), Some(exit()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("exit.json")), 0o600);
        assert!(
            UnitFolder::create(home.path().join("proxy.1")).is_err(),
            "one start, one folder"
        );
        folder.remove().unwrap();
        folder.remove().unwrap();
    }

    #[test]
    fn a_torn_record_says_as_little_as_none() {
        let home = tempfile::tempdir().unwrap();
        let folder = UnitFolder::at(home.path().to_owned());
        for torn in ["", "{\"cause\":", "[]"] {
            fs::write(home.path().join("exit.json"), torn).unwrap();
            assert_eq!(folder.exit().unwrap(), None);
        }
    }

    #[test]
    fn a_lock_has_one_holder_until_it_is_dropped() {
        let home = tempfile::tempdir().unwrap();
        let folder = UnitFolder::at(home.path().to_owned());
        let lock = folder.lock().unwrap().unwrap();
        assert!(folder.lock().unwrap().is_none());
        drop(lock);
        assert!(folder.lock().unwrap().is_some());
    }
}
