//! Closed loops of load, on a core of their own.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::{HOST, Protocol, h2load, wrk};

/// What is asked, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) connections: usize,
    /// Requests at a time on each connection; more than one only in HTTP/2.
    pub(crate) streams: usize,
    pub(crate) seconds: usize,
    /// Where a message for a call of gRPC is.
    pub(crate) folder: &'a Path,
}

impl Ask<'_> {
    pub(super) fn url(&self) -> String {
        let (scheme, port) = (self.protocol.scheme(), self.address.port());
        format!("{scheme}://{HOST}:{port}{}", self.path)
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    /// Not every program says it.
    pub(crate) p99_ms: Option<f64>,
}

/// Asks for so many seconds. Every answer has to be a success.
pub(crate) fn run(ask: &Ask) -> Result<Seen> {
    match ask.protocol.is_http2() {
        true => h2load::run(ask),
        false => wrk::run(ask),
    }
}
