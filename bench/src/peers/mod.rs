//! Other proxies, as their packages have them, each with one worker in front of the same backend.

mod configuration;
pub(crate) mod relay;
pub(crate) mod wrk;

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::interrupts;
use crate::platform::{LONG, free_address};

pub(crate) use configuration::backend_app;

/// The core that proxies run on, and the one of the load and the backend.
pub(crate) const PROXY_CORE: &str = "0";
pub(crate) const LOAD_CORE: &str = "1";

/// Whose cost is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes both ways, with no look at them: the least that any proxy can cost.
    Relay,
    Haproxy,
    Nginx,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Relay, Self::Haproxy, Self::Nginx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }
}

/// A proxy that runs. It is killed when dropped.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Peer {
    /// Starts it in front of `backend`, with its files in `folder`.
    pub(crate) fn start(kind: Kind, backend: SocketAddr, folder: &Path) -> Result<Self> {
        let address = free_address()?;
        let mut command = pinned(PROXY_CORE);
        match kind {
            Kind::Relay => {
                let own = std::env::current_exe().context("finding this program")?;
                command.arg(own).arg("relay");
                command.args([address.to_string(), backend.to_string()]);
            }
            Kind::Haproxy => {
                let file = folder.join("haproxy.cfg");
                std::fs::write(&file, configuration::haproxy(address, backend))?;
                command.args(["haproxy", "-db", "-q", "-f"]).arg(file);
            }
            Kind::Nginx => {
                let file = folder.join("nginx.conf");
                std::fs::write(&file, configuration::nginx(address, backend, folder))?;
                command.args(["nginx", "-c"]).arg(file);
            }
        }
        // By the folder's name an interrupt finds it.
        command.env("ROADBED_BENCH", folder);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = interrupts::spawn(&mut command)?;
        await_listening(&mut child, kind, address)?;
        Ok(Self {
            kind,
            address,
            child,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself, of which the measurement has told.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command on one core.
pub(crate) fn pinned(core: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]);
    command
}

/// Moves a process with all its threads to one core.
pub(crate) fn pin(pid: u32, core: &str) -> Result<()> {
    let output = Command::new("taskset")
        .args(["--all-tasks", "-c", "-p", core, &pid.to_string()])
        .output()
        .context("starting taskset")?;
    ensure!(
        output.status.success(),
        "taskset: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What is needed and not there, as Debian's packages.
pub(crate) fn missing() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| {
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into()])
            .any(|folder| folder.join(program).is_file())
    };
    [
        ("nginx", "nginx-light"),
        ("haproxy", "haproxy"),
        ("wrk", "wrk"),
        ("taskset", "util-linux"),
    ]
    .into_iter()
    .filter(|(program, _)| !is_there(program))
    .map(|(_, package)| package)
    .collect()
}

fn await_listening(child: &mut Child, kind: Kind, address: SocketAddr) -> Result<()> {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("{} ended with {status}", kind.name());
        }
        ensure!(
            start.elapsed() < LONG,
            "{} does not listen on {address}",
            kind.name()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
