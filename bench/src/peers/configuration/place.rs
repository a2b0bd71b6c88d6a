//! Where a peer stands, and how it is started there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::peers::protocol::Protocol;

/// Connections that a peer must be able to keep, on either side.
pub(super) const CONNECTIONS: usize = 8000;

/// Where a peer stands, and what it is to do there.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) backend: SocketAddr,
    pub(crate) protocol: Protocol,
    /// For its files. There are `certificate.pem`, `key.pem`, and both in `both.pem`.
    pub(crate) folder: &'a Path,
}

impl Place<'_> {
    pub(super) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// How a peer is started.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Files that it reads, with their text.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// The words after its program.
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
}
