//! Asks an instance whether it is well.
//!
//! A probe has one deadline, from its start to its verdict: an instance that accepts connections
//! and then says nothing, or one byte a second, is as unwell as one that refuses them.

mod command;
mod grpc;
mod http;
mod http2;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::{ExitCause, Probe, Protocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::program::LaunchError;

pub use grpc::GrpcFailure;
pub use tls::Tls;

/// The instance that is asked.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// How it is verified, if it speaks that in TLS.
    pub tls: Option<Tls>,
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
    /// It does not speak TLS, or is not who it should be.
    #[error("TLS with {address} failed: {problem}")]
    Tls {
        /// The instance's address.
        address: SocketAddr,
        /// What is wrong.
        problem: String,
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
            Probe::Tcp => connect(target).await.map(drop),
            Probe::Http { path } => match target.protocol {
                Protocol::Http2 | Protocol::Grpc => http2::get(target, path).await,
                Protocol::Http | Protocol::Tcp => http::get(target, path).await,
            },
            Probe::Grpc { service } => grpc::check(target, service).await,
            Probe::Command(words) => command::run(words, target).await,
        }
    };
    match tokio::time::timeout(limit, verdict).await {
        Ok(verdict) => verdict,
        Err(_) => Err(ProbeFailure::Late(limit)),
    }
}

/// A connection to an instance.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects, and where the instance speaks TLS has it prove who it is.
async fn connect(target: &Target) -> Result<Box<dyn Stream>, ProbeFailure> {
    let address = target.address;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => ProbeFailure::Refused(address),
            _ => ProbeFailure::Connection { address, error },
        })?;
    match &target.tls {
        None => Ok(Box::new(stream)),
        Some(tls) => match tls.begin(stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(problem) => Err(ProbeFailure::Tls { address, problem }),
        },
    }
}
