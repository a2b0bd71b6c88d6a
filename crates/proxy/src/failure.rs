//! Why a proxy does not run.

use std::io;
use std::path::PathBuf;

/// Why the proxy cannot run, or not any longer.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder cannot be made or used.
    #[error("cannot use the proxy's state folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Another proxy uses the state folder.
    #[error("a proxy already runs for {}; stop it first", home.display())]
    AlreadyRunning {
        /// `ROADBED_HOME`.
        home: PathBuf,
    },
    /// The operating system gives no thread, descriptor or signal handler.
    #[error("cannot run the proxy: {0}")]
    Runtime(io::Error),
    /// A worker thread ended, which it never should; its panic is in the log.
    #[error("a worker thread of the proxy ended unexpectedly")]
    WorkerLost,
}
