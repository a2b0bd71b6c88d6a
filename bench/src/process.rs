//! What processes use, as the kernel counts it.

use std::io;
use std::time::Duration;

/// What one process, or several together, use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes. Pages that processes share count for each of them.
    pub resident: u64,
    /// The highest resident memory so far, in bytes; of several processes, the sum.
    pub peak_resident: u64,
    /// Processor time since the start, user and system, of all threads; exact to a clock tick,
    /// which is 10 ms.
    pub cpu: Duration,
}

/// What the process `pid` uses.
///
/// # Errors
/// There is no such process, it belongs to another user, or it has ended and nobody has taken
/// note of it yet.
pub fn usage(pid: u32) -> io::Result<Usage> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    };
    let missing = |what: &str| io::Error::other(format!("/proc/{pid} does not say {what}"));
    // The sum over all mappings is exact; the counter in "status" lags behind.
    let resident = kibibytes(&read("smaps_rollup")?, "Rss:").ok_or_else(|| missing("Rss"))?;
    let peak = kibibytes(&read("status")?, "VmHWM:").ok_or_else(|| missing("VmHWM"))?;
    let ticks = cpu_ticks(&read("stat")?).ok_or_else(|| missing("its processor time"))?;
    let cpu = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(Usage {
        resident: resident * 1024,
        peak_resident: peak.max(resident) * 1024,
        cpu: Duration::from_secs_f64(cpu),
    })
}

/// What all of `pids` use together.
///
/// # Errors
/// As with [`usage`], for any of them.
pub fn total(pids: impl IntoIterator<Item = u32>) -> io::Result<Usage> {
    let mut total = Usage::default();
    for pid in pids {
        let one = usage(pid)?;
        total.resident += one.resident;
        total.peak_resident += one.peak_resident;
        total.cpu += one.cpu;
    }
    Ok(total)
}

/// The number after `label` in a text of lines like `Rss:  12 kB`.
fn kibibytes(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// User and system time in `/proc/PID/stat`, in ticks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_memory_and_time_of_this_process() {
        let pid = std::process::id();
        let before = usage(pid).unwrap();
        let memory = std::hint::black_box(vec![1u8; 64 << 20]);
        let mut sum = 0u64;
        while usage(pid).unwrap().cpu < before.cpu + Duration::from_millis(50) {
            sum = memory
                .iter()
                .fold(sum, |sum, &byte| sum.wrapping_add(byte.into()));
        }
        assert!(std::hint::black_box(sum) > 0);
        let after = usage(pid).unwrap();
        assert!(
            after.resident > before.resident + (60 << 20),
            "{before:?} {after:?}"
        );
        assert!(after.peak_resident >= after.resident);
        drop(memory);
        assert!(usage(pid).unwrap().resident < after.resident - (60 << 20));
    }

    #[test]
    fn the_total_is_a_sum_and_a_missing_process_an_error() {
        let pid = std::process::id();
        assert!(total([pid, pid]).unwrap().resident > usage(pid).unwrap().resident * 3 / 2);
        let error = total([pid, 0x7fff_fffe]).unwrap_err();
        assert!(
            error.to_string().starts_with("/proc/2147483646/"),
            "{error}"
        );
    }

    #[test]
    fn a_program_may_have_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 9 0 0 0 30 12 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(42));
    }
}
