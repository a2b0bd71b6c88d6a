//! A machine for one test: a home, an address for the edge, and whatever runs there, all of which
//! is gone when the test ends.

pub(crate) mod apps;
pub(crate) mod background;
mod finished;
pub(crate) mod http;
pub(crate) mod processes;
pub(crate) mod small_disk;
pub(crate) mod terminal;
mod traces;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use apps::AppFolder;
pub(crate) use background::Background;
pub(crate) use finished::Finished;
use small_disk::SmallDisk;

/// The program under test.
pub(crate) const ROADBED: &str = env!("CARGO_BIN_EXE_roadbed");

/// No condition that a test waits for takes longer, on however loaded a machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Whether tests run in their long form.
pub(crate) fn soak() -> bool {
    std::env::var_os("ROADBED_SOAK").is_some()
}

/// A home and an edge of its own.
pub(crate) struct Machine {
    /// The disk that the home is, where it has one of its own; unmounted before the folder goes.
    pub(crate) disk: Option<SmallDisk>,
    folder: TempDir,
    pub(crate) edge: SocketAddr,
    pub(crate) edge_tls: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Machine {
    pub(crate) fn new() -> Self {
        // Short, since a socket's path is.
        let folder = tempfile::Builder::new()
            .prefix("rb")
            .tempdir_in("/tmp")
            .unwrap();
        Self {
            disk: None,
            folder,
            edge: free_address(),
            edge_tls: free_address(),
            metrics: free_address(),
        }
    }

    /// A machine whose home is a disk of so many KiB, where this user may mount one.
    pub(crate) fn with_small_disk(kibibytes: u32) -> Option<Self> {
        let mut machine = Self::new();
        machine.disk = Some(SmallDisk::mount(machine.home(), kibibytes)?);
        Some(machine)
    }

    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    /// A command for this machine, with nothing of the tester's own settings.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(ROADBED);
        command
            .args(words)
            .env("ROADBED_HOME", self.home())
            .env_remove("ROADBED_SOCKET")
            .env_remove("ROADBED_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Finished {
        Finished::from(self.command(words).output().unwrap())
    }

    /// Starts a command that goes on meanwhile.
    pub(crate) fn spawn(&self, words: &[&str]) -> Background {
        Background::spawn(&mut self.command(words))
    }

    /// Runs a command that has to succeed; its standard output.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let finished = self.run(words);
        assert_eq!(finished.code, Some(0), "roadbed {words:?}: {finished:?}");
        finished.stdout
    }

    /// Starts an app at this machine's edge, if it can be.
    pub(crate) fn try_up(&self, app: &AppFolder) -> Finished {
        let [plain, tls] = [self.edge, self.edge_tls].map(|address| address.to_string());
        let metrics = self.metrics.to_string();
        let edges = ["--edge", &plain, "--edge-tls", &tls];
        let words = ["up", "--detach", "--metrics", &metrics];
        self.run(&[&words[..], &edges[..], &[app.path()]].concat())
    }

    /// Starts an app that stays when the command has returned.
    pub(crate) fn up(&self, app: &AppFolder) -> String {
        let finished = self.try_up(app);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    }

    /// Starts a server in the foreground.
    pub(crate) fn start_server(&self) -> Server {
        self.start_server_with(&[])
    }

    /// The same with more options.
    pub(crate) fn start_server_with(&self, options: &[&str]) -> Server {
        let [plain, tls] = [self.edge, self.edge_tls].map(|address| address.to_string());
        let metrics = self.metrics.to_string();
        let edges = ["--edge", &plain, "--edge-tls", &tls];
        let child = self
            .command(&[&["server", "--metrics", &metrics], &edges[..], options].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server(child);
        until("the server answers", || {
            self.run(&["status"]).code == Some(0)
        });
        server
    }

    /// What `status --json` says.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    /// The instances of an app, as `status --json` shows them.
    pub(crate) fn instances(&self, app: &str) -> Vec<Value> {
        let status: Value = serde_json::from_str(&self.ok(&["status", app, "--json"])).unwrap();
        let services = status["services"].as_array().unwrap().clone();
        services
            .iter()
            .flat_map(|s| s["instances"].as_array().unwrap().clone())
            .collect()
    }

    /// The process of the server, while one answers.
    pub(crate) fn server_pid(&self) -> u32 {
        self.status()["server"]["pid"]
            .as_u64()
            .unwrap()
            .try_into()
            .unwrap()
    }

    /// The process of the proxy, while it is connected.
    pub(crate) fn proxy_pid(&self) -> Option<u32> {
        self.status()["server"]["proxies"][0]["pid"]
            .as_u64()
            .map(|pid| pid.try_into().unwrap())
    }

    /// A GET through the edge.
    pub(crate) fn get(&self, host: &str, path: &str) -> http::Answer {
        http::get(self.edge, host, path)
    }

    /// Everything that runs for this home: server, proxy, shims, instances and what they started.
    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        processes::of_home(self.home())
    }

    /// Kills everything that runs for this home, all at once, as a power loss would.
    pub(crate) fn lose_power(&self) {
        processes::kill_all(|| self.processes());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.lose_power();
    }
}

/// A server in the foreground, killed when dropped.
pub(crate) struct Server(pub(crate) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says that this machine cannot do what a test needs. Whoever runs the tests looks for this line.
pub(crate) fn left_out(reason: &str) {
    use std::io::Write;
    // Past the test harness, which keeps back what a test that passes prints.
    writeln!(std::io::stderr().lock(), "LEFT OUT: {reason}").unwrap();
}

/// Waits for a condition that becomes true by itself.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An address that nobody listens on, outside the ranges of which Roadbed and the system give
/// ports away by themselves, and that no other test of this process was given.
pub(crate) fn free_address() -> SocketAddr {
    use std::hash::BuildHasher;
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let random = std::collections::hash_map::RandomState::new();
    (0u32..)
        .map(|n| 2_000 + u16::try_from(random.hash_one(n) % 6_000).unwrap())
        .filter(|port| GIVEN.lock().unwrap().insert(*port))
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap()
}
