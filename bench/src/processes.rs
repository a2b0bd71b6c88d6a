//! The processes of a home: which there are, what each is, what it uses, and its end.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long killed processes may take to be gone.
const LONGEST_END: Duration = Duration::from_secs(10);

/// What a process is to its home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Server,
    Proxy,
    Shim,
    /// An instance, a command of the bench, or what one of these has started.
    Other,
}

/// A living process of a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfHome {
    pub(crate) pid: u32,
    pub(crate) kind: Kind,
}

/// Every living process that names the home in its arguments or its environment: the server and
/// the proxy are given it, and whatever runs under a shim has its mark or paths below it.
pub(crate) fn of_home(home: &Path) -> Vec<OfHome> {
    let mark = fs::read_to_string(home.join("units/home-id")).unwrap_or_default();
    let needles = [home.as_os_str().as_encoded_bytes(), mark.trim().as_bytes()];
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = std::process::id();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let of_home = |pid: u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // In this order: a process that is just being started has arguments first.
        let environment = read("environ");
        let arguments = read("cmdline");
        let named = needles.iter().any(|needle| {
            !needle.is_empty() && (contains(&arguments, needle) || contains(&environment, needle))
        });
        (named && is_living(pid)).then(|| OfHome {
            pid,
            kind: kind(&arguments),
        })
    };
    pids.filter(|pid| *pid != own).filter_map(of_home).collect()
}

/// What a process is, by its arguments as the kernel has them.
fn kind(arguments: &[u8]) -> Kind {
    let mut words = arguments.split(|byte| *byte == 0);
    if !words
        .next()
        .is_some_and(|program| program.ends_with(b"/roadbed"))
    {
        return Kind::Other;
    }
    match words.next() {
        Some(b"server") => Kind::Server,
        Some(b"proxy") => Kind::Proxy,
        Some(b"shim") => Kind::Shim,
        _ => Kind::Other,
    }
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// Whether a process is there and no zombie.
fn is_living(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    !state.is_none_or(|state| state.starts_with(['Z', 'X']))
}

/// Kills a process and waits until it is gone; when it was.
pub(crate) fn kill(pid: u32) -> Result<Instant> {
    let id = Pid::from_raw(pid.try_into()?).context("no process has the id 0")?;
    let process = pidfd_open(id, PidfdFlags::empty())
        .with_context(|| format!("the process {pid} cannot be killed"))?;
    pidfd_send_signal(&process, Signal::KILL)
        .with_context(|| format!("the process {pid} cannot be killed"))?;
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    let count = poll(&mut ended, Some(&Timespec::try_from(LONGEST_END)?))?;
    ensure!(
        count == 1,
        "the process {pid} was killed and is still there"
    );
    Ok(Instant::now())
}

/// Kills all that runs for a home, and what appears meanwhile. What the kernel does not let end is
/// left behind, and said.
pub(crate) fn kill_all_of(home: &Path) {
    let start = Instant::now();
    let mut quiet = 0;
    while quiet < 2 {
        let found = of_home(home);
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        for process in &found {
            // One that has gone by itself is as good.
            if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        if start.elapsed() > LONGEST_END {
            eprintln!("killed, and still there: {found:?}");
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Processor time that all threads of a process have used, to the nanosecond. Threads that have
/// ended are not in it.
pub(crate) fn exact_cpu(pid: u32) -> io::Result<Duration> {
    scheduled(pid, 0)
}

/// How long the threads of a process could run and did not, since others did. Threads that have
/// ended are not in it.
pub(crate) fn waited(pid: u32) -> io::Result<Duration> {
    scheduled(pid, 1)
}

/// A sum of what the scheduler counts for each thread in nanoseconds, by its place there.
fn scheduled(pid: u32, place: usize) -> io::Result<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let number = text.split(' ').nth(place);
        let number: Option<u64> = number.and_then(|word| word.parse().ok());
        total += number.ok_or_else(|| io::Error::other("schedstat has no number"))?;
    }
    Ok(Duration::from_nanos(total))
}

/// The memory of a process in bytes, where each page counts by its share among the processes that
/// have it.
pub(crate) fn proportional(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} does not say Pss"))? * 1024)
}

/// Sets a process's peak of resident memory back to what it uses now.
pub(crate) fn reset_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("writing {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_told_by_its_arguments() {
        for (arguments, expected) in [
            (&b"/x/roadbed\0server\0--home\0/h\0"[..], Kind::Server),
            (b"/x/roadbed\0proxy\0--home\0/h\0", Kind::Proxy),
            (b"/x/roadbed\0shim\0/h/units/a\0", Kind::Shim),
            (b"/x/roadbed\0up\0", Kind::Other),
            (b"/x/trivial\0server\0", Kind::Other),
            (b"", Kind::Other),
        ] {
            assert_eq!(kind(arguments), expected);
        }
    }

    #[test]
    fn what_names_a_home_is_found_and_killed() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(of_home(home.path()), []);
        let start = || {
            Command::new("/bin/cat")
                .env("ROADBED_HOME", home.path())
                .stdin(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let (mut one, mut other) = (start(), start());
        let until_found = || {
            let start = Instant::now();
            while of_home(home.path()).len() < 2 {
                assert!(start.elapsed() < LONGEST_END, "they are not found");
                thread::sleep(Duration::from_millis(5));
            }
        };
        until_found();
        assert!(exact_cpu(one.id()).is_ok() && waited(one.id()).is_ok());
        kill(one.id()).unwrap();
        assert!(!is_living(one.id()));
        let left = OfHome {
            pid: other.id(),
            kind: Kind::Other,
        };
        assert_eq!(of_home(home.path()), [left]);
        kill_all_of(home.path());
        for child in [&mut one, &mut other] {
            assert!(!child.wait().unwrap().success());
        }
        assert!(kill(one.id()).is_err(), "it is there no more");
    }
}
