//! Traefik: one processor for its goroutines, and as many idle connections to the backend as it
//! may have clients.

use super::place::{CONNECTIONS, Place, Start};
use crate::peers::protocol::Protocol;

pub(super) fn start(place: &Place) -> Start {
    let file = place.folder.join("traefik.yaml");
    let arguments = [
        format!("--entrypoints.front.address={}", place.listen),
        format!("--providers.file.filename={}", file.display()),
        "--log.level=ERROR".into(),
        "--global.checknewversion=false".into(),
        "--global.sendanonymoususage=false".into(),
    ];
    Start {
        arguments: arguments.into(),
        files: vec![(file, text(place))],
        environment: vec![("GOMAXPROCS", "1".into())],
    }
}

fn text(place: &Place) -> String {
    let (router, certificate) = match place.protocol.is_encrypted() {
        true => (
            "      tls: {}\n",
            format!(
                "tls:\n  certificates:\n    - certFile: \"{}\"\n      keyFile: \"{}\"\n",
                place.file("certificate.pem"),
                place.file("key.pem")
            ),
        ),
        false => ("", String::new()),
    };
    let scheme = match place.protocol {
        Protocol::Grpc => "h2c",
        _ => "http",
    };
    let backend = place.backend;
    format!(
        "http:\n  routers:\n    all:\n      rule: \"PathPrefix(`/`)\"\n      service: back\n{router}\
         \x20 services:\n    back:\n      loadBalancer:\n        serversTransport: kept\n        \
         servers:\n          - url: \"{scheme}://{backend}\"\n  serversTransports:\n    kept:\n      \
         maxIdleConnsPerHost: {CONNECTIONS}\n{certificate}"
    )
}
