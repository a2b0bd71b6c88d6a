//! What the kernel says of this process.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A process at one moment; what the kernel does not say is absent.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// When it began, since the Unix epoch.
    pub(crate) started: Duration,
    /// Processor time of all its threads.
    pub(crate) cpu: Duration,
    /// Memory that it has, in bytes.
    pub(crate) resident: Option<u64>,
    /// Descriptors that it has open.
    pub(crate) descriptors: Option<usize>,
}

/// This process now, which began at `started`.
pub(crate) fn look(started: SystemTime) -> Process {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(cpu.tv_nsec).unwrap_or_default();
    Process {
        started: started.duration_since(UNIX_EPOCH).unwrap_or_default(),
        cpu: Duration::new(cpu.tv_sec.try_into().unwrap_or_default(), nanoseconds),
        resident: fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|status| resident(&status)),
        // The one that reads the folder is among them.
        descriptors: fs::read_dir("/proc/self/fd")
            .ok()
            .map(|folder| folder.count().saturating_sub(1)),
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_time_and_descriptors() {
        let process = look(SystemTime::now());
        assert!(process.resident.unwrap() > 100_000);
        assert!(process.descriptors.unwrap() >= 3);
        assert!(process.cpu > Duration::ZERO && process.started > Duration::ZERO);
        assert_eq!(resident("VmRSS:\t  12 kB\n"), Some(12 * 1024));
        assert_eq!(resident("VmRSS:\tmany\n"), None);
    }
}
