//! What TLS needs of a snapshot, made ready once for all workers: whom a client is shown for the
//! host it asks for, and whom an endpoint is verified against.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Authority, AuthorityId, Certificate, CertificateId, Host, HostPattern, SnapshotDelta};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, Ticketer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// HTTP/2 and HTTP/1.1 as TLS names them (RFC 7301 section 6).
pub(crate) const HTTP2: &[u8] = b"h2";
/// See [`HTTP2`].
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// Why a certificate or an authority cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it is not PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("there is no certificate in it")]
    Empty,
}

/// What all workers use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    server: Option<Arc<ServerConfig>>,
    certificates: Arc<Certificates>,
    authorities: BTreeMap<AuthorityId, Clients>,
}

/// How an endpoint is spoken to, by what it speaks.
#[derive(Debug, Clone)]
struct Clients {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    tcp: Arc<ClientConfig>,
}

impl Trust {
    /// How clients are accepted; none while there is no certificate to show them.
    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }

    /// How endpoints under `authority` are spoken to; none where that is unknown or unusable.
    pub(crate) fn client(
        &self,
        authority: &str,
        protocol: model::Protocol,
    ) -> Option<Arc<ClientConfig>> {
        let clients = self.authorities.get(authority)?;
        Some(match protocol {
            model::Protocol::Http => clients.http1.clone(),
            model::Protocol::Http2 | model::Protocol::Grpc => clients.http2.clone(),
            model::Protocol::Tcp => clients.tcp.clone(),
        })
    }

    /// Whether a connection that was opened for one host may carry requests for another, which
    /// has to be shown the same certificate (RFC 9110 section 7.4).
    pub(crate) fn covers(&self, opened_for: Option<&str>, host: &str) -> bool {
        let certificates = &self.certificates;
        match (certificates.find(opened_for), certificates.find(Some(host))) {
            (Some(shown), Some(wanted)) => shown.cert == wanted.cert,
            _ => false,
        }
    }
}

/// The certificates of a snapshot.
#[derive(Debug, Default)]
struct Certificates {
    by_host: HashMap<String, Arc<CertifiedKey>>,
    /// Those for all hosts with one label more than a domain.
    below: HashMap<String, Arc<CertifiedKey>>,
    /// The only one, where there is one.
    only: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// These certificates. What is a host's own goes before what names it too.
    fn of<'a>(all: impl Iterator<Item = &'a Shown> + Clone) -> Self {
        let mut certificates = Self::default();
        let only = all.clone().next().filter(|_| all.clone().count() == 1);
        certificates.only = only.map(|shown| shown.key.clone());
        for Shown { host, key, .. } in all.clone() {
            let host = host.as_str().to_owned();
            certificates.by_host.insert(host, key.clone());
        }
        for Shown { also, key, .. } in all {
            for pattern in also {
                let (map, host) = match pattern {
                    HostPattern::Exact(host) => (&mut certificates.by_host, host),
                    HostPattern::Below(domain) => (&mut certificates.below, domain),
                    HostPattern::Any => continue,
                };
                let host = host.as_str().to_owned();
                map.entry(host).or_insert_with(|| key.clone());
            }
        }
        certificates
    }

    /// What a client is shown who asks for `host`. One who asks for none, such as one that knows
    /// us by address, is shown the only one there is.
    fn find(&self, host: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let Some(host) = host else {
            return self.only.as_ref();
        };
        let host = host.to_ascii_lowercase();
        let below = || self.below.get(host.split_once('.')?.1);
        self.by_host.get(&host).or_else(below)
    }
}

/// A certificate and whose clients are shown it.
#[derive(Debug, Clone)]
struct Shown {
    host: Host,
    also: BTreeSet<HostPattern>,
    key: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}

/// Follows snapshots and makes what is new in them ready.
#[derive(Debug)]
pub(crate) struct Keeper {
    provider: Arc<CryptoProvider>,
    /// Tickets stay valid when certificates change.
    tickets: Arc<dyn ProducesTickets>,
    certificates: BTreeMap<CertificateId, Shown>,
    authorities: BTreeMap<AuthorityId, Clients>,
}

impl Keeper {
    /// Knows nothing yet.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        Ok(Self {
            provider: Arc::new(ring::default_provider()),
            tickets: Ticketer::new()?,
            certificates: BTreeMap::new(),
            authorities: BTreeMap::new(),
        })
    }

    /// Follows a change; none where it changes nothing here. What cannot be used is logged, and what
    /// was there before it stays: the server has looked at it, so nobody is told a second time.
    pub(crate) fn follow(&mut self, delta: &SnapshotDelta) -> Option<Trust> {
        if delta.certificates.is_empty() && delta.authorities.is_empty() {
            return None;
        }
        for id in &delta.certificates.removed {
            self.certificates.remove(id);
        }
        for (id, certificate) in &delta.certificates.set {
            match self.certified_key(certificate) {
                Ok(key) => {
                    let shown = Shown {
                        host: certificate.host.clone(),
                        also: certificate.also.clone(),
                        key,
                    };
                    self.certificates.insert(id.clone(), shown);
                }
                Err(error) => tracing::error!(certificate = id, %error, "cannot be used"),
            }
        }
        for id in &delta.authorities.removed {
            self.authorities.remove(id);
        }
        for (id, authority) in &delta.authorities.set {
            match self.clients(authority) {
                Ok(clients) => drop(self.authorities.insert(id.clone(), clients)),
                Err(error) => tracing::error!(authority = id, %error, "cannot be used"),
            }
        }
        Some(self.trust())
    }

    fn trust(&self) -> Trust {
        let certificates = Arc::new(Certificates::of(self.certificates.values()));
        let server = match self.certificates.is_empty() {
            true => None,
            false => match self.server_config(certificates.clone()) {
                Ok(config) => Some(config),
                Err(error) => {
                    tracing::error!(%error, "cannot accept TLS");
                    None
                }
            },
        };
        Trust {
            server,
            certificates,
            authorities: self.authorities.clone(),
        }
    }

    fn server_config(&self, shown: Arc<Certificates>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(shown);
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        config.ticketer = self.tickets.clone();
        Ok(Arc::new(config))
    }

    fn certified_key(&self, certificate: &Certificate) -> Result<Arc<CertifiedKey>, Unusable> {
        let chain = certificates(&certificate.chain)?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key.reveal().as_bytes())
            .map_err(Unusable::Pem)?;
        Ok(Arc::new(CertifiedKey::from_der(
            chain,
            key,
            &self.provider,
        )?))
    }

    fn clients(&self, authority: &Authority) -> Result<Clients, Unusable> {
        let mut roots = RootCertStore::empty();
        for root in certificates(&authority.roots)? {
            roots.add(root)?;
        }
        let roots = Arc::new(roots);
        let speaking = |protocols: &[&[u8]]| -> Result<Arc<ClientConfig>, rustls::Error> {
            let mut config = ClientConfig::builder_with_provider(self.provider.clone())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Clients {
            http1: speaking(&[HTTP1])?,
            http2: speaking(&[HTTP2])?,
            tcp: speaking(&[])?,
        })
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if all.is_empty() => Err(Unusable::Empty),
        Ok(all) => Ok(all),
        Err(error) => Err(Unusable::Pem(error)),
    }
}
