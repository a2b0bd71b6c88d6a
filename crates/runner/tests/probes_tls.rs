//! Verdicts of probes of instances that speak TLS: whoever answers has to be the instance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Probe, Protocol};
use rcgen::{CertificateParams, KeyPair};
use runner::probe::{Target, Tls, check};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const LIMIT: Duration = Duration::from_secs(10);

/// A server of HTTP/1.1 in TLS with a certificate for `web.internal`, and that certificate.
async fn serve() -> (SocketAddr, String) {
    serve_with(|_| {}).await
}

async fn serve_with(change: impl FnOnce(&mut CertificateParams)) -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["web.internal".to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A probe that does not believe it ends the connection.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap_or(0);
            if request[..length].starts_with(b"GET /healthz HTTP/1.1\r\n") {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        }
    });
    (address, certificate.pem())
}

async fn verdict(address: SocketAddr, tls: Tls, probe: &Probe) -> Result<(), String> {
    let target = Target {
        address,
        protocol: Protocol::Http,
        tls: Some(tls),
        host: "web.localhost".to_owned(),
        folder: "/".into(),
        environment: Default::default(),
    };
    let verdict = check(probe, &target, LIMIT).await;
    verdict.map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn an_instance_that_proves_itself_is_asked_in_tls() {
    let (address, roots) = serve().await;
    let tls = Tls::new("web.internal", &roots, Protocol::Http);
    let path = "/healthz".to_owned();
    for probe in [Probe::Tcp, Probe::Http { path }] {
        assert_eq!(verdict(address, tls.clone(), &probe).await, Ok(()));
    }
}

#[tokio::test]
async fn whoever_does_not_is_unwell_whatever_is_asked() {
    let (address, roots) = serve().await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let mut sent = [0; 1024];
            let _ = stream.read(&mut sent).await;
        }
    });
    let (_, others) = serve().await;
    let authority = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let (issuer, issuers) = serve_with(|params| params.is_ca = authority).await;
    let verifier = |name: &str, roots: &str| Tls::new(name, roots, Protocol::Http);
    let cases = [
        (
            address,
            verifier("other.internal", &roots),
            "certificate not valid for name \"other.internal\"",
        ),
        (
            address,
            verifier("web.internal", &others),
            "its certificate is not signed by its authority",
        ),
        (
            address,
            verifier(
                "web.internal",
                "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
            ),
            "its authority cannot be used: ",
        ),
        (address, Tls::unknown("it is a riddle"), "it is a riddle"),
        (
            issuer,
            verifier("web.internal", &issuers),
            "its certificate is one of an authority (CA:TRUE), not of a server",
        ),
        (
            elsewhere,
            verifier("web.internal", &roots),
            "what answers does not speak TLS",
        ),
    ];
    for (address, tls, expected) in cases {
        let told = verdict(address, tls, &Probe::Tcp).await.unwrap_err();
        let beginning = format!("TLS with {address} failed: ");
        assert!(
            told.starts_with(&beginning) && told.contains(expected),
            "{told}"
        );
    }
}
