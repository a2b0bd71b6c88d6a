//! A peer or a backend that runs, and ends with what holds it.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::interrupts;
use crate::platform::LONG;

/// It is killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a command and waits until it listens on `address`. An interrupt finds it by `folder`.
    pub(crate) fn start(command: &mut Command, address: SocketAddr, folder: &Path) -> Result<Self> {
        command.env("ROADBED_BENCH", folder);
        let mut process = Self::spawn(command)?;
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.0.try_wait()? {
                bail!("{command:?} ended with {status}");
            }
            ensure!(
                start.elapsed() < LONG,
                "{command:?} does not listen on {address}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(process)
    }

    /// Starts a command, in whose environment an interrupt finds its folder.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(interrupts::spawn(command)?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, of which the measurement has told.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
