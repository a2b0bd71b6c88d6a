//! A scenario's proxies and their backend, all running.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::configuration::{self, Place};
use super::kind::{HOST, Kind};
use super::process::Process;
use super::protocol::Protocol;
use super::{certificate, installed};
use crate::pinning::{LOAD_CORE, PROXY_CORE, pinned};
use crate::platform::{Platform, Workbench, free_address};

/// A body of this many bytes is at `/files/mib`, and uploads have as many.
const MIB: usize = 1024 * 1024;

/// A message for a call of gRPC: its head of 5 bytes, which say that it is not compressed and has
/// 16, and these.
const MESSAGE: &[u8] = b"\0\0\0\0\x100123456789abcdef";

/// A proxy that runs.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
}

/// All proxies of a scenario, in front of one backend. They end when it is dropped.
pub(crate) struct Stage {
    pub(crate) proxies: Vec<Proxy>,
    /// Where the backend listens.
    pub(crate) backend: SocketAddr,
    backend_pid: u32,
    processes: Vec<Process>,
    _platform: Option<Platform>,
    folder: TempDir,
}

impl Stage {
    /// Starts everything. The backend is an instance of Roadbed's, if that takes part: it routes
    /// to nothing else.
    pub(crate) fn set(workbench: &Workbench, kinds: &[Kind], protocol: Protocol) -> Result<Self> {
        let folder = workbench.temporary_folder()?;
        prepare(folder.path(), protocol)?;
        let mut stage = Self {
            proxies: Vec::new(),
            backend: free_address()?,
            backend_pid: 0,
            processes: Vec::new(),
            _platform: None,
            folder,
        };
        match kinds.contains(&Kind::Roadbed) {
            true => stage.start_roadbed(workbench, protocol)?,
            false => stage.start_backend()?,
        }
        for kind in kinds.iter().filter(|kind| **kind != Kind::Roadbed) {
            stage.start_peer(*kind, protocol)?;
        }
        Ok(stage)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts Roadbed as a user does, on the proxies' core, where it takes one worker to be right.
    /// The backend is where its instance listens.
    fn start_roadbed(&mut self, workbench: &Workbench, protocol: Protocol) -> Result<()> {
        let mut platform = Platform::new(workbench)?.on_core(PROXY_CORE);
        if protocol.is_encrypted() {
            platform = platform.with_tls()?;
        }
        platform
            .up(self.folder.path())
            .with_context(|| format!("roadbed cannot serve this scenario ({protocol:?})"))?;
        let status = platform.status()?;
        let instance = status.instances().next();
        let instance = instance.context("the backend has no instance")?;
        let backend = &instance.address;
        self.backend = backend
            .parse()
            .with_context(|| format!("the backend's address {backend:?}"))?;
        self.backend_pid = instance.pid.context("the backend does not run")?;
        self.proxies.push(Proxy {
            kind: Kind::Roadbed,
            address: platform.edge_tls.unwrap_or(platform.edge),
            pid: status.server.proxies[0].pid,
        });
        self._platform = Some(platform);
        Ok(())
    }

    fn start_backend(&mut self) -> Result<()> {
        let (address, folder) = (self.backend, self.folder.path());
        let mut command = Command::new("sh");
        command.arg("backend.sh").current_dir(folder);
        command.env("PORT", address.port().to_string());
        let process = Process::start(&mut command, address, folder)?;
        self.backend_pid = process.pid();
        self.processes.push(process);
        Ok(())
    }

    /// All processes that requests pass through or end at.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        let proxies = self.proxies.iter().map(|proxy| proxy.pid);
        proxies.chain([self.backend_pid])
    }

    fn start_peer(&mut self, kind: Kind, protocol: Protocol) -> Result<()> {
        let folder = self.folder.path();
        let listen = free_address()?;
        let start = configuration::start(
            kind,
            &Place {
                listen,
                backend: self.backend,
                protocol,
                folder,
            },
        );
        for (file, text) in start.files {
            fs::write(file, text)?;
        }
        let mut command = pinned(PROXY_CORE);
        command.arg(installed::program(kind)?).args(start.arguments);
        command.envs(start.environment);
        let process = Process::start(&mut command, listen, folder)
            .with_context(|| format!("starting {}", kind.name()))?;
        self.proxies.push(Proxy {
            kind,
            address: listen,
            pid: process.pid(),
        });
        self.processes.push(process);
        Ok(())
    }
}

/// Writes the app, what its one service is told and serves, and what peers need besides.
fn prepare(folder: &Path, protocol: Protocol) -> Result<()> {
    fs::write(folder.join("roadbed.toml"), declaration(protocol))?;
    fs::write(folder.join("backend.sh"), backend(protocol)?)?;
    fs::write(folder.join("backend.conf"), configuration::backend(folder))?;
    fs::write(folder.join("mib"), vec![b'x'; MIB])?;
    fs::write(folder.join("message"), MESSAGE)?;
    let upload = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {MIB})\n");
    fs::write(folder.join("upload.lua"), upload)?;
    certificate::make(folder)
}

/// A script that starts the backend on `$PORT`, in this folder and on the load's core.
fn backend(protocol: Protocol) -> Result<String> {
    if protocol == Protocol::Grpc {
        let own = std::env::current_exe().context("finding this program")?;
        let own = own.display();
        return Ok(format!(
            "exec taskset -c {LOAD_CORE} {own} echo 127.0.0.1:$PORT\n"
        ));
    }
    Ok(format!(
        "sed s/@PORT@/$PORT/ backend.conf > running.conf\n\
         exec taskset -c {LOAD_CORE} nginx -c $(pwd)/running.conf\n"
    ))
}

/// The declaration of an app whose one service is the backend.
fn declaration(protocol: Protocol) -> String {
    let certificate = match protocol.is_encrypted() {
        true => ", certificate = \"certificate.pem\", key = \"key.pem\"",
        false => "",
    };
    let speaks = match protocol {
        Protocol::Grpc => "protocol = \"grpc\"\n",
        _ => "",
    };
    format!(
        "app = \"peers\"\n\n[services.backend]\nrun = \"sh backend.sh\"\n{speaks}\
         expose = {{ host = \"{HOST}\"{certificate} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_says_what_a_scenario_needs_and_no_more() {
        let plain = declaration(Protocol::Http1);
        assert!(!plain.contains("certificate") && !plain.contains("protocol"));
        assert_eq!(plain, declaration(Protocol::H2));
        assert!(declaration(Protocol::H2Tls).contains("key = \"key.pem\""));
        assert!(declaration(Protocol::Grpc).contains("protocol = \"grpc\""));
    }
}
