//! What the peers are told: one worker, connections kept on both sides, no log of requests.
//! Everything else is as their packages have it.

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod place;
mod traefik;

use super::kind::Kind;
pub(crate) use nginx::backend;
pub(crate) use place::{Place, Start};

/// How a peer is started at its place.
///
/// # Panics
/// It is Roadbed, which is started in its own way.
pub(crate) fn start(kind: Kind, place: &Place) -> Start {
    match kind {
        Kind::Roadbed => unreachable!("Roadbed is started as a user starts it"),
        Kind::Relay => Start {
            arguments: vec![
                "relay".into(),
                place.listen.to_string(),
                place.backend.to_string(),
            ],
            ..Start::default()
        },
        Kind::Haproxy => haproxy::start(place),
        Kind::Nginx => nginx::start(place),
        Kind::Envoy => envoy::start(place),
        Kind::Caddy => caddy::start(place),
        Kind::Traefik => traefik::start(place),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::peers::protocol::Protocol;

    const ALL: [Protocol; 5] = [
        Protocol::Http1,
        Protocol::Tls,
        Protocol::H2,
        Protocol::H2Tls,
        Protocol::Grpc,
    ];

    /// Everything that a peer is told for a protocol.
    fn told(kind: Kind, protocol: Protocol) -> String {
        let place = Place {
            listen: "127.0.0.1:2001".parse().unwrap(),
            backend: "127.0.0.1:2002".parse().unwrap(),
            protocol,
            folder: Path::new("/folder"),
        };
        let start = start(kind, &place);
        let files = start.files.iter().map(|(_, text)| text.as_str());
        let words = start.arguments.iter().map(String::as_str);
        files.chain(words).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_peer_is_told_of_its_backend_and_uses_a_certificate_just_where_it_is_needed() {
        for kind in [
            Kind::Haproxy,
            Kind::Nginx,
            Kind::Envoy,
            Kind::Caddy,
            Kind::Traefik,
        ] {
            for protocol in ALL {
                let text = told(kind, protocol);
                let certificate = ["/folder/certificate.pem", "/folder/both.pem"]
                    .iter()
                    .any(|file| text.contains(file));
                assert_eq!(certificate, protocol.is_encrypted(), "{kind:?}: {text}");
                for port in ["2001", "2002"] {
                    assert!(text.contains(port), "{kind:?} {protocol:?}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_backend_for_grpc_is_spoken_to_in_http2() {
        for (kind, said) in [
            (Kind::Haproxy, "server one 127.0.0.1:2002 proto h2"),
            (Kind::Nginx, "grpc_pass grpc://back;"),
            (Kind::Envoy, "\"http2_protocol_options\""),
            (Kind::Caddy, "reverse_proxy h2c://127.0.0.1:2002"),
            (Kind::Traefik, "url: \"h2c://127.0.0.1:2002\""),
        ] {
            for protocol in ALL {
                let text = told(kind, protocol);
                let expected = protocol == Protocol::Grpc;
                assert_eq!(text.contains(said), expected, "{kind:?}: {text}");
            }
        }
    }
}
