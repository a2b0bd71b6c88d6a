//! Finding and ending the processes of a home.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Every living process that names the home in its arguments or its environment: the server and
/// the proxy are given it, and whatever runs under a shim has its mark or paths below it.
pub(crate) fn of_home(home: &Path) -> BTreeSet<u32> {
    let wanted = home.as_os_str().as_encoded_bytes();
    let mark = fs::read_to_string(home.join("units/home-id")).unwrap_or_default();
    let own = std::process::id();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && is_living(*pid))
        .filter(|pid| {
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let (arguments, environment) = (read("cmdline"), read("environ"));
            let names = |needle: &[u8]| {
                !needle.is_empty()
                    && (contains(&arguments, needle) || contains(&environment, needle))
            };
            names(wanted) || names(mark.trim().as_bytes())
        })
        .collect()
}

/// Kills what `find` finds until it finds nothing more.
pub(crate) fn kill_all(find: impl Fn() -> BTreeSet<u32>) {
    super::until("everything is dead", || {
        let found = find();
        for pid in &found {
            kill(*pid);
        }
        found.is_empty()
    });
}

/// Sends SIGKILL; that the process has gone already is as good.
pub(crate) fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let _ = kill_process(pid, Signal::KILL);
}

/// Whether a process is there and no zombie.
pub(crate) fn is_living(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}
