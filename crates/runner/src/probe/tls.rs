//! TLS to an instance that speaks it: whoever answers has to prove that it is the instance, as the
//! proxy will ask it to.

use std::sync::Arc;
use std::{fmt, io};

use model::Protocol;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How an instance is verified.
#[derive(Clone)]
pub struct Tls(Result<Verifier, String>);

#[derive(Clone)]
struct Verifier {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(verifier) => write!(f, "Tls({:?})", verifier.name),
            Err(problem) => write!(f, "Tls({problem})"),
        }
    }
}

impl Tls {
    /// An instance that speaks `protocol`, with a certificate for `name` that one of `roots`, in
    /// PEM, has signed. Where these cannot be used, every probe fails and says why.
    pub fn new(name: &str, roots: &str, protocol: Protocol) -> Self {
        Self(verifier(name, roots, protocol))
    }

    /// An instance that cannot be verified.
    pub fn unknown(problem: impl Into<String>) -> Self {
        Self(Err(problem.into()))
    }

    /// Has the other side prove itself.
    pub(super) async fn begin(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let Verifier { config, name } = self.0.clone()?;
        let connecting = TlsConnector::from(config).connect(name, stream);
        connecting.await.map_err(|error| explain(&error))
    }
}

/// What is wrong, in words for whoever made the certificate.
fn explain(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the connection was closed in the middle".to_owned();
    }
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(Error::InvalidMessage(_)) => "what answers does not speak TLS".to_owned(),
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "its certificate is not signed by its authority".to_owned(),
        // As `openssl req -x509` makes it by itself. The cause has no type that could be named here.
        Some(Error::InvalidCertificate(CertificateError::Other(other)))
            if format!("{other:?}").contains("CaUsedAsEndEntity") =>
        {
            "its certificate is one of an authority (CA:TRUE), not of a server".to_owned()
        }
        _ => error.to_string(),
    }
}

fn verifier(name: &str, roots: &str, protocol: Protocol) -> Result<Verifier, String> {
    let name = ServerName::try_from(name.to_owned());
    let name = name.map_err(|_| "there is no name to verify".to_owned())?;
    let bad_authority = |error: String| format!("its authority cannot be used: {error}");
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        let root = root.map_err(|error| bad_authority(error.to_string()))?;
        let added = store.add(root);
        added.map_err(|error| bad_authority(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad_authority(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Http => vec![b"http/1.1".to_vec()],
        Protocol::Http2 | Protocol::Grpc => vec![b"h2".to_vec()],
        Protocol::Tcp => Vec::new(),
    };
    Ok(Verifier {
        config: Arc::new(config),
        name,
    })
}
