//! Processes as the kernel tells them apart: a process id alone is soon another process.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

/// A text that is new after each boot of the machine: process ids and start times mean nothing
/// across boots.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim_end()
        .to_owned())
}

/// Names one process for the whole life of a boot: the id may be given out again, but not with
/// the same start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// Clock ticks from boot to the start of the process.
    pub(crate) started: u64,
}

impl Identity {
    /// Whether this very process is there and not dead, though perhaps nobody has taken note of
    /// its end yet.
    pub(crate) fn lives(self) -> io::Result<bool> {
        let now = Status::of(self.pid)?;
        Ok(now.is_some_and(|now| now.identity == self && !now.zombie))
    }

    /// The identity of the process that has this id now; `None` if there is none.
    pub(crate) fn of(pid: u32) -> io::Result<Option<Self>> {
        Ok(Status::of(pid)?.map(|status| status.identity))
    }

    /// Holds on to the process, so that a signal reaches it or nobody; `None` if it is gone.
    pub(crate) fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let handle = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Only now can the id no longer change hands without the handle going stale.
        Ok((Self::of(self.pid)? == Some(self)).then_some(handle))
    }
}

/// Sends `signal` to a process held by `handle`; it is no error that it is gone.
pub(crate) fn signal(handle: &OwnedFd, signal: Signal) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(handle, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes the end of the process held by `handle` something to await: it is readable from then on.
/// Needs a runtime with IO enabled around it.
pub(crate) fn awaitable(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the handle is owned by what is returned, so that it stays open and the same for as
    // long as that is registered.
    Ok(unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }?)
}

/// Takes note of the end of a process that may be our child, so that none stays a zombie. It
/// becomes our child when its parent dies and we are the first process of a container or a
/// subreaper; else this does nothing.
pub(crate) fn reap(handle: &OwnedFd) {
    use std::os::fd::AsFd;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    // "Not our child" is the usual answer, and every other one leaves nothing to do either.
    let _ = rustix::process::waitid(WaitId::PidFd(handle.as_fd()), options);
}

/// A line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) identity: Identity,
    pub(crate) parent: u32,
    pub(crate) session: u32,
    /// Dead, and only waiting for its parent to take note.
    pub(crate) zombie: bool,
}

impl Status {
    /// The status of the process that has this id now; `None` if there is none.
    pub(crate) fn of(pid: u32) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{pid}/stat")) {
            Ok(line) => Ok(Self::parse(pid, &String::from_utf8_lossy(&line))),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(pid: u32, line: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may hold anything.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            identity: Identity {
                pid,
                started: fields.get(19)?.parse().ok()?,
            },
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
        })
    }
}

/// Whether an error from `/proc/PID/…` means that the process has ended meanwhile.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The ids of all processes that can be seen.
pub(crate) fn process_ids() -> io::Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(id) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            ids.push(id);
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_cannot_forge_a_status() {
        let tail = "S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 1";
        let status = Status::parse(5, &format!("5 (a) R 1 1 1 (b) {tail}")).unwrap();
        assert_eq!(
            status.identity,
            Identity {
                pid: 5,
                started: 4242
            }
        );
        assert_eq!(
            (status.parent, status.session, status.zombie),
            (7, 9, false)
        );
        assert!(Status::parse(5, "5 (a) Z 7 8 9").is_none());
    }

    #[test]
    fn a_process_is_itself_and_no_other() {
        let me = Identity::of(std::process::id()).unwrap().unwrap();
        assert!(me.open().unwrap().is_some());
        let reused = Identity {
            started: me.started + 1,
            ..me
        };
        assert!(reused.open().unwrap().is_none());
        assert!(
            Identity {
                pid: u32::MAX,
                started: 0
            }
            .open()
            .unwrap()
            .is_none()
        );
        assert!(process_ids().unwrap().contains(&me.pid));
    }

    #[test]
    fn a_boot_has_an_id() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
