//! What a load is to ask a peer for, and what came of it.

use std::net::SocketAddr;
use std::path::Path;

use super::kind::HOST;
use super::protocol::Protocol;

/// What each request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// An answer of 100 bytes.
    Page,
    /// An answer of 1 MiB.
    Download,
    /// To take 1 MiB, which only clients in HTTP/1.1 send.
    Upload,
    /// A unary call of gRPC.
    Call,
}

impl Request {
    /// Where the backend answers it.
    fn path(self) -> &'static str {
        match self {
            Self::Page => "/",
            Self::Download => "/files/mib",
            Self::Upload => "/sink",
            Self::Call => "/peers.Echo/Unary",
        }
    }
}

/// What is asked, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    pub(crate) request: Request,
    pub(crate) connections: usize,
    /// Requests at a time on each connection; more than one only in HTTP/2.
    pub(crate) streams: usize,
    pub(crate) seconds: usize,
    /// Where there are a message for a call of gRPC, and a script for wrk to upload with.
    pub(crate) folder: &'a Path,
}

impl Ask<'_> {
    pub(super) fn url(&self) -> String {
        let (scheme, port) = (self.protocol.scheme(), self.address.port());
        format!("{scheme}://{HOST}:{port}{}", self.request.path())
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
