//! Whether it was the kernel that killed a program, because memory ran out.
//!
//! A SIGKILL does not say who sent it. What can be asked, best first:
//! - The kernel's log names the process that it kills. Only root may read it as a rule, and a
//!   process in a container has another id there. Where it can be read, its word is final.
//! - A memory control group counts the kills in it and below. That says that a process of the
//!   program's group was killed in the program's lifetime, not which. Where every instance has a
//!   group of its own that is as good as proof; where many share one it is a strong hint, since
//!   the program did die of a SIGKILL that was not ours.
//! - The whole system's count says the same of the whole machine.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is known at a program's start, to be compared with at its end.
#[derive(Debug)]
pub(super) struct OutOfMemory {
    pid: u32,
    kernel_log: Option<File>,
    counter: Option<Counter>,
}

impl OutOfMemory {
    /// Begins to watch for the process `pid`.
    pub(super) fn watch(pid: u32) -> Self {
        Self {
            pid,
            kernel_log: open_kernel_log(),
            counter: Counter::of(pid),
        }
    }

    /// Whether the kernel killed the process for want of memory, as far as can be told. To be
    /// asked when it has just died of SIGKILL.
    pub(super) fn explains_the_kill(&self) -> bool {
        match &self.kernel_log {
            Some(log) => names_victim(log, self.pid),
            None => self.counter.as_ref().is_some_and(Counter::has_grown),
        }
    }
}

/// Opens the kernel's log at its end. `None` if it may not be read, or if its process ids are not
/// the ones that are seen here.
fn open_kernel_log() -> Option<File> {
    /// The name of the first process id namespace, fixed in the kernel.
    const FIRST_NAMESPACE: &str = "pid:[4026531836]";
    if fs::read_link("/proc/self/ns/pid").ok()? != Path::new(FIRST_NAMESPACE) {
        return None;
    }
    let mut options = OpenOptions::new();
    let mut log = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .ok()?;
    log.seek(SeekFrom::End(0)).ok()?;
    Some(log)
}

/// Reads the kernel's log from where it was opened, for the message about the end of `pid`.
fn names_victim(mut log: &File, pid: u32) -> bool {
    /// More records than the log can hold.
    const MOST_RECORDS: usize = 100_000;
    let message = format!("Killed process {pid} (");
    let mut record = [0; 8192];
    for _ in 0..MOST_RECORDS {
        match log.read(&mut record) {
            Ok(0) => return false,
            Ok(length) if contains(&record[..length], message.as_bytes()) => return true,
            Ok(_) => {}
            // Older records were overwritten; the next read goes on with the oldest there is.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => return false,
        }
    }
    false
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

/// A file with a line `oom_kill N`, and what N was.
#[derive(Debug)]
struct Counter {
    path: PathBuf,
    before: u64,
}

impl Counter {
    /// The narrowest counter that can be read for the process `pid`.
    fn of(pid: u32) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let paths = group_files(&groups)
            .into_iter()
            .chain([PathBuf::from("/proc/vmstat")]);
        paths.into_iter().find_map(|path| {
            let before = read_count(&path)?;
            Some(Self { path, before })
        })
    }

    fn has_grown(&self) -> bool {
        read_count(&self.path).is_some_and(|now| now > self.before)
    }
}

/// The files that may hold the counter of a process whose `/proc/PID/cgroup` is `groups`. The root
/// group is left out: it has no counter of its own in version 2, and in version 1 one that stays 0.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            continue;
        }
        if controllers.is_empty() {
            for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                files.push(Path::new(mount).join(path).join("memory.events"));
            }
        } else if controllers
            .split(',')
            .any(|controller| controller == "memory")
        {
            files.push(
                Path::new("/sys/fs/cgroup/memory")
                    .join(path)
                    .join("memory.oom_control"),
            );
        }
    }
    files
}

fn read_count(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_group_are_found_in_both_versions() {
        let hybrid = "4:memory:/a/b\n1:cpu,cpuacct:/\n0::/\n";
        assert_eq!(
            group_files(hybrid),
            [PathBuf::from(
                "/sys/fs/cgroup/memory/a/b/memory.oom_control"
            )]
        );
        let unified = "0::/user.slice/x:y";
        assert_eq!(
            group_files(unified),
            [
                PathBuf::from("/sys/fs/cgroup/user.slice/x:y/memory.events"),
                PathBuf::from("/sys/fs/cgroup/unified/user.slice/x:y/memory.events"),
            ]
        );
        assert_eq!(group_files("4:memory:/\nnonsense\n"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_counter_grows_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.events");
        fs::write(&path, "oom 5\noom_kill 2\noom_kill_disable 9\n").unwrap();
        let counter = Counter {
            path: path.clone(),
            before: read_count(&path).unwrap(),
        };
        assert_eq!(counter.before, 2);
        assert!(!counter.has_grown());
        fs::write(&path, "oom_kill 3\n").unwrap();
        assert!(counter.has_grown());
    }
}
