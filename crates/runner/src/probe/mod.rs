//! Asks an instance whether it is well.
//!
//! A probe has one deadline, from its start to its verdict: an instance that accepts connections
//! and then says nothing, or one byte a second, is as unwell as one that refuses them.

mod command;
mod grpc;
mod http;
mod http2;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::{ExitCause, Probe, Protocol};
use tokio::net::TcpStream;

use crate::program::LaunchError;

pub use grpc::GrpcFailure;

/// The instance that is asked.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// What an HTTP probe names as the host.
    pub host: String,
    /// The working directory of a probe's command.
    pub folder: PathBuf,
    /// The complete environment of a probe's command. With [`crate::Processes::mark`] in it, the
    /// command does not outlive a server that is killed.
    pub environment: BTreeMap<String, String>,
}

/// Why an instance is not well.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFailure {
    /// Nobody accepts connections.
    #[error("connection refused at {0}")]
    Refused(SocketAddr),
    /// The connection failed in another way, at the start or later.
    #[error("the connection to {address} failed: {error}")]
    Connection {
        /// The instance's address.
        address: SocketAddr,
        /// The operating system's answer.
        error: io::Error,
    },
    /// There was no verdict in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The status is not from 200 to 399.
    #[error("GET {path} answered {status}")]
    Status {
        /// What was asked for.
        path: String,
        /// The answer.
        status: u16,
    },
    /// The answer is not one of HTTP/1.
    #[error("GET {path} was not answered in HTTP/1.1: {problem}")]
    NotHttp {
        /// What was asked for.
        path: String,
        /// What is wrong with the answer.
        problem: &'static str,
    },
    /// The answer is not one of HTTP/2.
    #[error("{request} was not answered in HTTP/2: {problem}")]
    NotHttp2 {
        /// What was asked for.
        request: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The health service of gRPC does not say that all is well.
    #[error(transparent)]
    Grpc(#[from] GrpcFailure),
    /// The path or host cannot stand in a request.
    #[error("{0:?} cannot be asked for: a path begins with \"/\" and has no spaces")]
    BadPath(String),
    /// The command cannot be run.
    #[error("the health command could not be started: {0}")]
    NotStarted(LaunchError),
    /// The command says no.
    #[error("the health command {command} {cause}")]
    Command {
        /// The command as declared.
        command: model::Command,
        /// How it ended.
        cause: ExitCause,
    },
}

/// Asks `target` by `probe`, and gives up after `limit`. Call it with a runtime's IO and time
/// enabled. Dropping the future ends whatever it began.
pub async fn check(probe: &Probe, target: &Target, limit: Duration) -> Result<(), ProbeFailure> {
    let verdict = async {
        match probe {
            Probe::Tcp => connect(target.address).await.map(drop),
            Probe::Http { path } => match target.protocol {
                Protocol::Http2 | Protocol::Grpc => {
                    http2::get(target.address, &target.host, path).await
                }
                Protocol::Http | Protocol::Tcp => {
                    http::get(target.address, &target.host, path).await
                }
            },
            Probe::Grpc { service } => grpc::check(target.address, &target.host, service).await,
            Probe::Command(words) => command::run(words, target).await,
        }
    };
    match tokio::time::timeout(limit, verdict).await {
        Ok(verdict) => verdict,
        Err(_) => Err(ProbeFailure::Late(limit)),
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, ProbeFailure> {
    TcpStream::connect(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => ProbeFailure::Refused(address),
            _ => ProbeFailure::Connection { address, error },
        })
}
