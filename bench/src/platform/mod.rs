//! The program under measurement: run in a folder of its own, with an edge of its own, and gone
//! without a trace afterwards.

pub(crate) mod apps;
mod machine;
mod status;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::client::Connection;
use crate::interrupts;
use crate::pinning::pinned;
use crate::processes::{self, Kind, OfHome};
pub(crate) use machine::{allow_descriptors, load_average, stolen};
pub(crate) use status::{App, Status};

/// Nothing that a bench waits for takes longer.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The pause between two looks at the status.
const LOOK: Duration = Duration::from_millis(2);

/// What all runs of a bench share: a copy of the program, which a build meanwhile does not change.
pub(crate) struct Workbench {
    folder: TempDir,
}

impl Workbench {
    /// Copies the program at `roadbed`, or the checkout's release build.
    pub(crate) fn new(roadbed: Option<&Path>) -> Result<Self> {
        let built = apps::repository().join("target/release/roadbed");
        let roadbed = roadbed.unwrap_or(&built);
        let folder = temporary_folder()?;
        std::fs::copy(roadbed, folder.path().join("roadbed")).with_context(|| {
            format!(
                "there is no {}; `cargo build --release -p roadbed` makes it",
                roadbed.display()
            )
        })?;
        Ok(Self { folder })
    }

    /// A place for an app.
    pub(crate) fn app_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder of its own that nothing outlives.
    pub(crate) fn temporary_folder(&self) -> Result<TempDir> {
        let folder = tempfile::Builder::new()
            .prefix("f")
            .tempdir_in(&self.folder);
        folder.context("making a temporary folder")
    }

    fn roadbed(&self) -> PathBuf {
        self.folder.path().join("roadbed")
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        interrupts::forget(self.folder.path());
    }
}

/// A home and an edge. Dropped, everything that runs for the home is killed.
pub(crate) struct Platform {
    home: TempDir,
    roadbed: PathBuf,
    pub(crate) edge: SocketAddr,
    /// Where the edge speaks TLS, if it is to.
    pub(crate) edge_tls: Option<SocketAddr>,
    /// The core that everything has to run on, if it is told one.
    core: Option<&'static str>,
    /// The server, where it was started by [`Platform::start_server`].
    server: Option<Child>,
}

impl Platform {
    /// An empty home and a free port.
    pub(crate) fn new(workbench: &Workbench) -> Result<Self> {
        Ok(Self {
            home: temporary_folder()?,
            roadbed: workbench.roadbed(),
            edge: free_address()?,
            edge_tls: None,
            core: None,
            server: None,
        })
    }

    /// The same with a second port, for TLS.
    pub(crate) fn with_tls(mut self) -> Result<Self> {
        self.edge_tls = Some(free_address()?);
        Ok(self)
    }

    /// The same on one core, which is all that it sees of the machine.
    pub(crate) fn on_core(mut self, core: &'static str) -> Self {
        self.core = Some(core);
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command for this home, with nothing of the user's own settings.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = match self.core {
            Some(core) => {
                let mut command = pinned(core);
                command.arg(&self.roadbed);
                command
            }
            None => Command::new(&self.roadbed),
        };
        command
            .args(words)
            .env("ROADBED_HOME", self.home())
            .env_remove("ROADBED_SOCKET")
            .env_remove("ROADBED_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that has to succeed; how long it took.
    pub(crate) fn run(&self, words: &[&str]) -> Result<Duration> {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let output = interrupts::spawn(&mut command)?.wait_with_output()?;
        let elapsed = start.elapsed();
        ensure!(
            output.status.success(),
            "`roadbed {}` ended with {}: {}{}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        Ok(elapsed)
    }

    /// Starts an app that stays; how long the command took.
    pub(crate) fn up(&self, app: &Path) -> Result<Duration> {
        let (edge, app) = (self.edge.to_string(), app.display().to_string());
        let mut words = vec!["up", "--detach", "--edge", &edge];
        let edge_tls = self.edge_tls.map(|address| address.to_string());
        if let Some(edge_tls) = &edge_tls {
            words.extend(["--edge-tls", edge_tls]);
        }
        words.push(&app);
        self.run(&words)
    }

    /// Starts a server as an init system would, and says when.
    pub(crate) fn start_server(&mut self) -> Result<Instant> {
        let edge = self.edge.to_string();
        let mut command = self.command(&["server", "--edge", &edge]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        self.server = Some(interrupts::spawn(&mut command)?);
        Ok(start)
    }

    /// What the API says at `path`.
    pub(crate) fn api<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let stream = UnixStream::connect(self.home().join("run/api.sock"))?;
        stream.set_read_timeout(Some(LONG))?;
        let (head, body) = Connection::new(stream).get("roadbed", path)?;
        ensure!(
            head.status == 200,
            "{path} is answered with {}",
            head.status
        );
        serde_json::from_slice(&body).with_context(|| format!("{path} is not as expected"))
    }

    /// The server's own status and that of all apps.
    pub(crate) fn status(&self) -> Result<Status> {
        self.api("/v1/status")
    }

    /// One app.
    pub(crate) fn app(&self, name: &str) -> Result<App> {
        self.api(&format!("/v1/apps/{name}"))
    }

    /// Looks at the status until `condition` holds; when that was.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Result<Instant> {
        let start = Instant::now();
        loop {
            // A server that is not there yet is no error.
            let status = self.status();
            if status.as_ref().is_ok_and(&condition) {
                return Ok(Instant::now());
            }
            if start.elapsed() > LONG {
                bail!("{what}: not within {LONG:?}; the last look showed {status:?}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Everything that runs for this home.
    pub(crate) fn processes(&self) -> Vec<OfHome> {
        processes::of_home(self.home())
    }

    /// The processes of one kind.
    pub(crate) fn pids(&self, kind: Kind) -> Vec<u32> {
        let all = self.processes().into_iter();
        all.filter(|process| process.kind == kind)
            .map(|process| process.pid)
            .collect()
    }

    /// The only process of its kind.
    pub(crate) fn pid(&self, kind: Kind) -> Result<u32> {
        match self.pids(kind)[..] {
            [pid] => Ok(pid),
            ref pids => bail!("{} processes are {kind:?}, not one: {pids:?}", pids.len()),
        }
    }

    /// Kills the server; when it was gone.
    pub(crate) fn kill_server(&mut self) -> Result<Instant> {
        let gone = processes::kill(self.pid(Kind::Server)?)?;
        if let Some(mut server) = self.server.take() {
            server.wait()?;
        }
        Ok(gone)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        processes::kill_all_of(self.home());
        if let Some(mut server) = self.server.take() {
            // It was killed above; this only takes note of it.
            let _ = server.wait();
        }
        interrupts::forget(self.home());
    }
}

/// A folder that an interrupt removes too. Its path is short, since those of sockets must be.
fn temporary_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("rb").tempdir();
    let folder = folder.context("making a temporary folder")?;
    interrupts::remember(folder.path());
    Ok(folder)
}

/// An address that nobody listens on, outside the ranges of which Roadbed and the system give
/// ports away by themselves.
pub(crate) fn free_address() -> Result<SocketAddr> {
    use std::hash::BuildHasher;
    let random = std::collections::hash_map::RandomState::new();
    let candidates = (0u32..1000).map(|n| 2_000 + (random.hash_one(n) % 6_000) as u16);
    candidates
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .context("no port from 2000 to 7999 is free")
}
