//! What runs below the shim. As a subreaper it becomes the parent of every descendant whose own
//! parent ends, so that "no child is left" means that nothing is left at all.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::machine::{Status, process_ids};

/// What a look at the children that ended found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reaped {
    /// How the program itself ended, if it is among them.
    pub(super) program: Option<WaitStatus>,
    /// No child is left, ended or not.
    pub(super) none_left: bool,
}

/// Takes note of all children that ended.
pub(super) fn reap(program: u32) -> Reaped {
    let mut reaped = Reaped::default();
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if pid.as_raw_nonzero().get().cast_unsigned() == program {
                    reaped.program = Some(status);
                }
            }
            Ok(None) => return reaped,
            Err(rustix::io::Errno::INTR) => {}
            // ECHILD, the only other answer.
            Err(_) => {
                reaped.none_left = true;
                return reaped;
            }
        }
    }
}

/// Takes note of the end of a process that told that it failed, and so is ending.
pub(super) fn reap_failed(pid: u32) {
    // There is nothing to do about an error: it means that there is no such child.
    let _ = rustix::process::waitpid(to_pid(pid), WaitOptions::empty());
}

/// Sends `signal` to the program's process group. To be called only while the program has not been
/// reaped, since its id may be another's afterwards.
pub(super) fn signal_group(program: u32, signal: Signal) {
    if let Some(group) = to_pid(program) {
        // An error means that nobody is left in the group.
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Sends `signal` to all direct children. Only those, because only they cannot vanish before the
/// signal reaches them, their ids passing to strangers: nobody but the shim reaps them. Whoever
/// kills all of them, again and again, gets all their descendants too.
pub(super) fn signal_children(signal: Signal) -> io::Result<()> {
    for pid in direct_children()?.into_iter().filter_map(to_pid) {
        // Already ended, or (which SIGKILL cannot be) refused by one that changed its user.
        let _ = rustix::process::kill_process(pid, signal);
    }
    Ok(())
}

/// The ids of the shim's children.
pub(super) fn direct_children() -> io::Result<Vec<u32>> {
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => Ok(list
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(error) if error.kind() == io::ErrorKind::NotFound => search_children(),
        Err(error) => Err(error),
    }
}

fn search_children() -> io::Result<Vec<u32>> {
    let me = std::process::id();
    let mut children = Vec::new();
    for pid in process_ids()? {
        if Status::of(pid)?.is_some_and(|status| status.parent == me) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// How long descendants may take to be gone after SIGKILL.
pub(super) const LONGEST_DEATH: Duration = Duration::from_secs(10);
/// How long to wait for one child's end before all that are left are killed again.
pub(super) const NEXT_PASS: Duration = Duration::from_millis(20);

/// Ends all descendants, where nothing else is to be done meanwhile.
pub(super) fn end_all() {
    let deadline = Instant::now() + LONGEST_DEATH;
    while !reap(0).none_left && Instant::now() < deadline {
        if signal_children(Signal::KILL).is_err() {
            return;
        }
        std::thread::sleep(NEXT_PASS);
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_list_children_agree() {
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn();
        let child = child.as_mut().unwrap();
        assert!(direct_children().unwrap().contains(&child.id()));
        assert!(search_children().unwrap().contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
