//! What all clients have in common: which services they ask, what for, and over what.

use std::net::SocketAddr;

use model::Protocol;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::random::Random;
use super::stage::{Service, Stage};
use super::stream::Stream;

/// What is asked of services whose requests must not fail, besides simple ones.
const TAME: &[&str] = &[
    "echo",
    "echo",
    "upload",
    "fail",
    "socket",
    "stall",
    "silent",
    "cut-upload",
    "cut-echo",
    "torn-head",
];
/// What is asked of others besides.
const WILD: &[&str] = &["die", "half", "give-up", "timeout"];

/// What to ask a service next.
pub(crate) fn kind(random: &mut Random, service: &Service) -> &'static str {
    match () {
        () if service.is_wild && random.one_in(3) => random.pick(WILD),
        () if random.one_in(2) => "get",
        () => random.pick(TAME),
    }
}

/// Where a client connects, and whom it asks for there.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) service: Service,
    pub(crate) host: String,
    pub(crate) tls: bool,
}

impl Target {
    pub(crate) fn choose(
        stage: &Stage,
        random: &mut Random,
        tls: bool,
        fits: impl Fn(&Service) -> bool,
    ) -> Self {
        let fitting: Vec<_> = stage.services.iter().filter(|s| fits(s)).collect();
        let service = *random.pick(&fitting);
        let address = match tls {
            true => stage.edge_tls,
            false => random.pick(&[stage.edge, stage.mesh[service.name]]),
        };
        Self {
            address,
            service,
            host: format!("{}.test", service.name),
            tls,
        }
    }

    /// Connects, which never fails where the proxy listens.
    pub(crate) async fn connect(&self, stage: &Stage, is_http2: bool) -> Option<Stream> {
        let failed = |error: std::io::Error| {
            // Where nobody takes bytes, the connection is reset as soon as it is there.
            let is_reset = error.kind() == std::io::ErrorKind::ConnectionReset;
            let may_be = is_reset && self.service.is_wild && self.service.protocol == Protocol::Tcp;
            if !may_be {
                stage.violation(format!("no connection to {self:?}: {error}"));
            }
        };
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(failed).ok()?;
        // Fails where the other side has reset it already, which its use will show.
        let _ = stream.set_nodelay(true);
        if !self.tls {
            return Some(Stream::Plain(stream));
        }
        let config = match is_http2 {
            true => &stage.http2_in_tls,
            false => &stage.http1_in_tls,
        };
        let name = self.host.clone().try_into().unwrap();
        let agreed = TlsConnector::from(config.clone()).connect(name, stream);
        let agreed = agreed.await.map_err(failed).ok()?;
        Some(Stream::Tls(Box::new(agreed.into())))
    }
}
