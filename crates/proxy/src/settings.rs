//! What a proxy is started with, and where its files are.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits::Limits;

/// How a proxy runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ROADBED_HOME`.
    pub home: PathBuf,
    /// Worker threads; 0 stands for one per core.
    pub workers: usize,
    /// Where the proxy shows what it measures, an address of this machine alone; none where it
    /// does not.
    pub metrics: Option<SocketAddr>,
    /// Times and sizes.
    pub limits: Limits,
}

impl Settings {
    /// A proxy for `home` with one worker per core and the usual limits.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            workers: 0,
            metrics: None,
            limits: Limits::default(),
        }
    }

    /// The socket on which the server awaits proxies.
    pub fn server_socket(&self) -> PathBuf {
        self.home.join("run/proxies.sock")
    }

    /// The folder that holds the last snapshot.
    pub fn state_folder(&self) -> PathBuf {
        self.home.join("proxy")
    }

    /// The folder of the access log.
    pub fn access_log_folder(&self) -> PathBuf {
        self.home.join("access-logs")
    }

    /// How many workers there are.
    pub(crate) fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}
