//! Connections that are held open, in clear text or in TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::Connection;
use crate::peers::{HOST, Protocol};
use crate::platform::LONG;

/// Bytes both ways, whatever is below.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A connection that is held.
pub(super) struct Held(Connection<Box<dyn Stream>>);

/// What opens connections to one proxy.
pub(super) struct Client {
    address: SocketAddr,
    /// With what it speaks TLS, if it does.
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    /// The certificate of the proxy is in `folder`, and the only one that is trusted.
    pub(super) fn new(protocol: Protocol, address: SocketAddr, folder: &Path) -> Result<Self> {
        let tls = match protocol.is_encrypted() {
            true => Some(Arc::new(trusting(&folder.join("certificate.pem"))?)),
            false => None,
        };
        Ok(Self { address, tls })
    }

    /// Opens a connection that has had one answer.
    pub(super) fn open(&self) -> Result<Held> {
        let stream = TcpStream::connect_timeout(&self.address, LONG)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONG))?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(HOST)?;
                let connection = ClientConnection::new(tls.clone(), name)?;
                Box::new(StreamOwned::new(connection, stream))
            }
            None => Box::new(stream),
        };
        let mut held = Held(Connection::new(stream));
        held.ask()?;
        Ok(held)
    }

    /// Opens so many.
    pub(super) fn hold(&self, connections: usize) -> Result<Vec<Held>> {
        (0..connections)
            .map(|number| self.open().with_context(|| format!("connection {number}")))
            .collect()
    }
}

impl Held {
    /// Makes one request.
    pub(super) fn ask(&mut self) -> Result<()> {
        let (head, _) = self.0.get(HOST, "/")?;
        ensure!(head.status == 200, "it is answered with {}", head.status);
        Ok(())
    }
}

/// Sees to it that all are as good as when they were opened: none was closed to save memory.
pub(super) fn still_open(mut held: Vec<Held>) -> Result<()> {
    for (number, connection) in held.iter_mut().enumerate() {
        let answer = connection.ask();
        answer.with_context(|| format!("connection {number} was closed while it waited"))?;
    }
    Ok(())
}

fn trusting(certificate: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let builder = ClientConfig::builder().with_root_certificates(roots);
    Ok(builder.with_no_client_auth())
}
