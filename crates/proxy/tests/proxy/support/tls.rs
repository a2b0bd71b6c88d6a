//! Certificates, and both sides of TLS: clients that show what they have agreed on, and backends.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use model::{Certificate, EndpointTls, Host, Secret, Snapshot};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::{PATIENCE, upstream_id};

/// Whoever signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its key, both in PEM.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate for `names`.
    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_until(names, 2100)
    }

    /// One that is valid until that year.
    pub(crate) fn sign_until(&self, names: &[&str], year: i32) -> Signed {
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        Signed { chain, key }
    }
}

impl Signed {
    pub(crate) fn for_host(&self, host: &str) -> Certificate {
        Certificate {
            also: Default::default(),
            host: Host::new(host).unwrap(),
            chain: self.chain.clone(),
            key: Secret::new(self.key.clone()),
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// How clients that trust `authority` speak.
pub(crate) fn trusting(authority: &Authority, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let builder = ClientConfig::builder_with_provider(provider());
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|one| one.as_bytes().to_vec())
        .collect();
    config
}

/// How a server that shows `signed` speaks.
pub(crate) fn showing(signed: &Signed, protocols: &[&str]) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider());
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.der()], key)
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|one| one.as_bytes().to_vec())
        .collect();
    Arc::new(config)
}

/// A connection that has agreed on TLS.
pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Agrees on TLS with whoever is at `address`, as `name`.
pub(crate) fn try_agree(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Secure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config.clone(), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

pub(crate) fn agree(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Secure {
    try_agree(address, config, name).unwrap()
}

/// A connection of HTTP/2 in TLS.
pub(crate) async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> h2::client::SendRequest<bytes::Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = tokio_rustls::TlsConnector::from(config.clone());
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Takes TLS off connections and passes what is in it on to `backend`; the address where it does.
/// Each connection that was agreed on is counted.
pub(crate) fn in_front_of(
    backend: SocketAddr,
    config: Arc<ServerConfig>,
    agreed: Arc<std::sync::atomic::AtomicUsize>,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
                let agreed = agreed.clone();
                tokio::spawn(async move {
                    let Ok(mut front) = acceptor.accept(stream).await else {
                        return;
                    };
                    agreed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let mut back = tokio::net::TcpStream::connect(backend).await.unwrap();
                    back.set_nodelay(true).unwrap();
                    // Either side may fail, which is what some tests are about.
                    let _ = tokio::io::copy_bidirectional(&mut front, &mut back).await;
                });
            }
        });
    });
    address
}

/// Has the edge speak TLS and show these certificates.
pub(crate) fn secure(snapshot: &mut Snapshot, certificates: &[(&str, &Signed)]) {
    snapshot.listeners.get_mut("edge").unwrap().tls = true;
    let certificates = certificates
        .iter()
        .map(|(host, signed)| (host.to_string(), signed.for_host(host)));
    snapshot.certificates = certificates.collect();
}

/// Has every endpoint of the service speak TLS, as `name` by the word of `authority`.
pub(crate) fn verify(snapshot: &mut Snapshot, name: &str, authority: &Authority) {
    let roots = authority.pem.clone();
    let authority = model::Authority { roots };
    snapshot.authorities.insert("ca".into(), authority);
    let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
    for endpoint in web.endpoints.values_mut() {
        endpoint.tls = Some(EndpointTls {
            name: name.into(),
            authority: "ca".into(),
        });
    }
}
