//! What every command needs to know: where the server's folder and socket are.

use std::net::SocketAddr;
use std::path::PathBuf;

use control::{DEFAULT_EDGE, DEFAULT_METRICS, EdgeAddresses, Home, usual_edge_tls};
use model::{SampledShare, Tracing};

use model::TrustedHops;

use crate::api_client::ApiClient;
use crate::arguments::{Telemetry, Traces};
use crate::failure::Failure;

/// Where things are, resolved from options and environment.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) home: Home,
    /// The socket of the server's API.
    pub(crate) socket: PathBuf,
}

impl Context {
    /// Resolves the folder: the option `--home`, else `ROADBED_HOME`, else what is usual for the
    /// user. `ROADBED_SOCKET` names another socket.
    pub(crate) fn resolve(home: Option<PathBuf>) -> Result<Self, Failure> {
        let path = match home.or_else(|| variable("ROADBED_HOME")) {
            Some(path) => path,
            None => usual_home()?,
        };
        // Everything in it is passed on to processes that work elsewhere.
        let path = std::path::absolute(&path)
            .map_err(|error| Failure::new(format!("cannot use {}: {error}", path.display())))?;
        let home = Home::new(path);
        let socket = variable("ROADBED_SOCKET").unwrap_or_else(|| home.api_socket());
        Ok(Self { home, socket })
    }

    /// Where a server that is started now has its edge, unless it is told where to have it. What is
    /// remembered for TLS belongs to the other address: where that moves, it moves along.
    pub(crate) fn edge(
        &self,
        wanted: Option<SocketAddr>,
        wanted_tls: Option<SocketAddr>,
    ) -> EdgeAddresses {
        let remembered = self.home.edge();
        let plain = wanted.or(remembered).unwrap_or(DEFAULT_EDGE);
        let remembered_tls = self.home.edge_tls().filter(|_| remembered == Some(plain));
        let tls = wanted_tls.or(remembered_tls);
        EdgeAddresses {
            plain,
            tls: tls.unwrap_or_else(|| usual_edge_tls(plain)),
        }
    }

    /// Whom the edge of a server that is started now trusts.
    pub(crate) fn trusted_hops(&self, wanted: Option<&TrustedHops>) -> TrustedHops {
        wanted.cloned().unwrap_or_else(|| self.home.trusted_hops())
    }

    /// Where the proxy of a server that is started now shows what it measures.
    pub(crate) fn metrics(&self, wanted: Option<SocketAddr>) -> SocketAddr {
        wanted
            .or_else(|| self.home.metrics())
            .unwrap_or(DEFAULT_METRICS)
    }

    /// What the proxy of a server that is started now says of single requests.
    pub(crate) fn telemetry(&self, wanted: &Telemetry) -> model::Telemetry {
        let mut telemetry = self.home.telemetry();
        if let Some(access_log) = wanted.access_log {
            telemetry.access_log = access_log;
        }
        let remembered = telemetry.tracing.as_ref().map(|tracing| tracing.share);
        let share = wanted.trace_share.or(remembered);
        let collector = match &wanted.traces {
            Some(Traces::Off) => None,
            Some(Traces::To(collector)) => Some(collector.clone()),
            None => telemetry.tracing.map(|tracing| tracing.collector),
        };
        telemetry.tracing = collector.map(|collector| Tracing {
            collector,
            share: share.unwrap_or(SampledShare::ALL),
        });
        telemetry
    }

    /// A client of the server's API.
    pub(crate) fn client(&self) -> ApiClient {
        ApiClient::new(self.socket.clone(), self.home.clone())
    }
}

/// An environment variable that is set and not empty.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn usual_home() -> Result<PathBuf, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/roadbed"));
    }
    let data = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = data.or_else(|| variable("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("roadbed")).ok_or_else(|| {
        Failure::new(
            "there is no folder for the server's state: neither HOME nor XDG_DATA_HOME is set",
        )
        .hint("name one with --home FOLDER or ROADBED_HOME")
    })
}
