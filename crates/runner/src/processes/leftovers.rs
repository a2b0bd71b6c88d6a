//! Ends processes that lost their shim.
//!
//! While a shim lives, all that its program ever started is below it, and it ends them. When the
//! shim itself is killed, the kernel kills the program with it, but what the program started goes
//! on under process 1. Such processes are found by their mark, or by the program's session if they
//! overwrote their environment (as programs do that show their state in `ps`). One that did both,
//! overwrote its environment and began a session of its own, is not found.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use crate::folder::Running;
use crate::machine::{self, Identity, Status, boot_id, process_ids};
use crate::processes::mark::{HomeId, marked};
use crate::unit::Start;

/// How long processes may take to be gone after SIGKILL. One in an uninterruptible call to a
/// broken disk takes as long as it likes.
const LONGEST_DEATH: Duration = Duration::from_secs(10);

/// Finds what is left over of `start`, whose shim is gone and recorded `running` last.
pub(crate) fn of_start(
    home: &HomeId,
    start: &Start,
    running: Option<&Running>,
) -> io::Result<Vec<Identity>> {
    let mut found: Vec<Identity> = marked(home)?
        .into_iter()
        .filter(|process| process.start().as_ref() == Some(start))
        .map(|process| process.identity)
        .collect();
    if let Some(running) = running.filter(|running| boot_id().is_ok_and(|id| id == running.boot)) {
        found.extend(of_session(running.child)?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The living processes of the session that `leader` began. The kernel does not give out a process
/// id while a session goes by it, so that a session of this name whose members are no older than
/// its leader is the leader's own, unless the id went to a new leader after the session had ended:
/// that one is seen as long as it lives.
fn of_session(leader: Identity) -> io::Result<Vec<Identity>> {
    if Identity::of(leader.pid)?.is_some_and(|now| now != leader) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for pid in process_ids()? {
        let Some(status) = Status::of(pid)? else {
            continue;
        };
        let older = status.identity.started < leader.started;
        if status.session == leader.pid && !status.zombie && !older {
            found.push(status.identity);
        }
    }
    Ok(found)
}

/// Kills whatever `find` finds until it finds nothing more, and says which processes were killed.
pub(crate) fn kill_all(
    mut find: impl FnMut() -> io::Result<Vec<Identity>>,
) -> io::Result<Vec<Identity>> {
    let deadline = Instant::now() + LONGEST_DEATH;
    let mut killed = Vec::new();
    loop {
        let found = find()?;
        if found.is_empty() {
            return Ok(killed);
        }
        let Some(left) = deadline.checked_duration_since(Instant::now()) else {
            let pids: Vec<u32> = found.iter().map(|process| process.pid).collect();
            let error = format!(
                "processes {pids:?} are not gone {LONGEST_DEATH:?} after SIGKILL; see what they \
                 wait for in /proc/PID/stack"
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, error));
        };
        let mut handles = Vec::new();
        for identity in found {
            if let Some(handle) = identity.open()? {
                machine::signal(&handle, Signal::KILL)?;
                handles.push(handle);
                killed.push(identity);
            }
        }
        for handle in &handles {
            wait_for_end(handle, left)?;
            machine::reap(handle);
        }
        killed.sort_unstable();
        killed.dedup();
    }
}

/// Waits for the end of the process that `handle` holds, at most for `limit`.
fn wait_for_end(handle: &OwnedFd, limit: Duration) -> io::Result<()> {
    let mut waited = [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)];
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match rustix::event::poll(&mut waited, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
