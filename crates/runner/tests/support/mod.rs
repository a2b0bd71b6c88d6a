//! A home, and programs in it, for the tests of processes.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::Exit;
use runner::{Launch, Process, Processes, Restart, UnitName};

/// The binary of `tests/support/program.rs`.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_runner-test-program");

/// No condition that a test waits for takes longer, on however loaded a machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A home of its own, in which nothing is left running when the test ends, even if it fails.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) processes: Processes,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new(folder.path(), PROGRAM.into()).unwrap();
        Self { folder, processes }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The launch of a shell script.
    pub(crate) fn script(&self, name: &str, script: &str) -> Launch {
        self.command(name, &["/bin/sh", "-c", "$SCRIPT"], &[("SCRIPT", script)])
    }

    pub(crate) fn command(
        &self,
        name: &str,
        words: &[&str],
        environment: &[(&str, &str)],
    ) -> Launch {
        let words = words.iter().map(|word| word.to_string()).collect();
        let own = [
            ("PATH", "/usr/bin:/bin"),
            ("HOME_FOLDER", self.path().to_str().unwrap()),
        ];
        Launch {
            unit: unit(name),
            attempt: 1,
            command: model::Command::new(words).unwrap(),
            folder: self.path().to_owned(),
            environment: own
                .iter()
                .chain(environment)
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect::<BTreeMap<_, _>>(),
            stop_limit: Duration::from_secs(20),
            logs: self.logs(name),
            restart: Restart::Never,
        }
    }

    pub(crate) fn logs(&self, name: &str) -> PathBuf {
        self.path().join("logs").join(name)
    }

    pub(crate) async fn run(&self, name: &str, script: &str) -> Exit {
        self.launch(&self.script(name, script)).await.exited().await
    }

    pub(crate) async fn launch(&self, launch: &Launch) -> Process {
        self.processes.launch(launch).await.unwrap()
    }

    /// Waits for a file that a script writes whole, and reads it.
    pub(crate) async fn file(&self, name: &str) -> String {
        let path = self.path().join(name);
        until(&format!("{} has a line", path.display()), || {
            std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
        })
        .await;
        std::fs::read_to_string(&path)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// The number in a file that a script writes.
    pub(crate) async fn pid(&self, name: &str) -> u32 {
        self.file(name).await.parse().unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let processes = self.processes.clone();
        // A test's runtime may be the one that drops this, and cannot be blocked.
        let swept = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .unwrap()
                .block_on(processes.sweep(&Default::default()))
        });
        let swept = swept.join().unwrap();
        if !std::thread::panicking() {
            swept.unwrap();
        }
    }
}

pub(crate) fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

/// Waits until `condition` holds, and fails the test if it takes too long.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the process runs: a zombie does not, whoever forgot it.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some(None | Some('Z' | 'X')))
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Says that this machine cannot do what a test needs. Whoever runs the tests looks for this line.
pub(crate) fn left_out(reason: &str) {
    use std::io::Write;
    // Past the test harness, which keeps back what a test that passes prints.
    writeln!(std::io::stderr().lock(), "LEFT OUT: {reason}").unwrap();
}
