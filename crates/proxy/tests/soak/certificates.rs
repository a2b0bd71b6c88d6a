//! An authority, and who proves itself with it.

use std::sync::Arc;

use model::{Authority, Certificate, Host, Secret};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The name of every instance that speaks TLS.
pub(crate) const INSTANCE: &str = "instance.internal";

/// Signs certificates.
pub(crate) struct Signer {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority {
            roots: self.root.pem(),
        }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// What the proxy shows who asks for `host`.
    pub(crate) fn certificate(&self, host: &str) -> Certificate {
        let (certificate, key) = self.sign(host);
        Certificate {
            also: Default::default(),
            host: Host::new(host).unwrap(),
            chain: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
        }
    }

    /// How instances accept connections.
    pub(crate) fn instances(&self, protocol: &[u8]) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(INSTANCE);
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }

    /// How clients connect.
    pub(crate) fn clients(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}
