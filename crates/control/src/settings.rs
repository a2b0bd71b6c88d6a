//! What a server is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use model::{Telemetry, TrustedHops};
use plan::routes::EdgeAddresses;

use crate::home::Home;
use crate::releases::KeptReleases;

/// Where the edge listens unless told otherwise.
pub const DEFAULT_EDGE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Where the edge listens for TLS unless told otherwise: beside its other address.
pub fn usual_edge_tls(edge: SocketAddr) -> SocketAddr {
    let port = match edge.port() {
        80 => 443,
        8443 => 8444,
        _ => 8443,
    };
    SocketAddr::new(edge.ip(), port)
}

/// Where the proxy shows what it measures unless told otherwise.
pub const DEFAULT_METRICS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9700);

/// The variable that says how much server and proxy log, as `info` or `warn,control=debug`.
pub const LOG_FILTER_VARIABLE: &str = "ROADBED_LOG";

/// How a server runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it keeps everything.
    pub home: Home,
    /// The socket of its API, [`Home::api_socket`] as a rule.
    pub socket: PathBuf,
    /// Where the edge listens.
    pub edge: EdgeAddresses,
    /// Whom the edge believes what they say of requests that they bring.
    pub trusted: TrustedHops,
    /// Where a proxy that is started shows what it measures.
    pub metrics: SocketAddr,
    /// What proxies say of single requests.
    pub telemetry: Telemetry,
    /// How many releases are kept.
    pub kept: KeptReleases,
    /// The `roadbed` program, which is started again as shim and as proxy.
    pub program: PathBuf,
}
