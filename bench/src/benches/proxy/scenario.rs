//! What can be measured: each scenario as data, who takes part in it, and what is required.

use crate::peers::{Kind, Protocol, Request};

/// One way to use a proxy, and what is measured of it.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// How clients speak to the proxies.
    pub(super) protocol: Protocol,
    pub(super) what: What,
    /// Clients' connections.
    pub(super) connections: usize,
    pub(super) kinds: &'static [Kind],
}

/// What is measured.
#[derive(Debug)]
pub(super) enum What {
    /// Processor time of a request, in a closed loop.
    Cost(Cost),
    /// Latency at a fixed rate, which is a share of what the slowest can do.
    Latency { shares: &'static [f64] },
    /// Memory at rest and for each connection that waits, of which Roadbed has limits.
    Memory(MemoryLimits),
}

/// What the cost is of, and what it may be.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) request: Request,
    /// Requests at a time on each connection.
    pub(super) streams: usize,
    /// The most that Roadbed may cost, as a share of what each other costs.
    pub(super) limits: &'static [(Kind, f64)],
}

/// The most memory that Roadbed may hold.
#[derive(Debug)]
pub(super) struct MemoryLimits {
    pub(super) rest_mib: f64,
    pub(super) each_kib: f64,
}

const EVERYBODY: &[Kind] = &Kind::ALL;

/// Those that know what they proxy.
const NO_RELAY: &[Kind] = &[
    Kind::Roadbed,
    Kind::Haproxy,
    Kind::Nginx,
    Kind::Envoy,
    Kind::Caddy,
    Kind::Traefik,
];

const HTTP1_LIMITS: &[(Kind, f64)] = &[
    (Kind::Relay, 1.25),
    (Kind::Haproxy, 0.80),
    (Kind::Envoy, 0.30),
];
const TLS_LIMITS: &[(Kind, f64)] = &[(Kind::Haproxy, 0.65)];
const HTTP2_LIMITS: &[(Kind, f64)] = &[(Kind::Haproxy, 0.90)];
const GRPC_LIMITS: &[(Kind, f64)] = &[(Kind::Envoy, 0.50)];
const BODY_LIMITS: &[(Kind, f64)] = &[(Kind::Haproxy, 1.0)];
const NO_LIMITS: &[(Kind, f64)] = &[];

pub(super) const ALL: [Scenario; 15] = {
    use Protocol::{Grpc, H2, H2Tls, Http1, Tls};
    use Request::{Call, Download, Page, Upload};
    [
        cost("http1", Http1, Page, (64, 1), HTTP1_LIMITS),
        cost("http1-1", Http1, Page, (1, 1), NO_LIMITS),
        cost("http1-512", Http1, Page, (512, 1), NO_LIMITS),
        cost("http1-4096", Http1, Page, (4096, 1), NO_LIMITS),
        cost("download", Http1, Download, (16, 1), BODY_LIMITS),
        cost("upload", Http1, Upload, (16, 1), BODY_LIMITS),
        cost("tls", Tls, Page, (64, 1), TLS_LIMITS),
        cost("h2", H2, Page, (64, 1), HTTP2_LIMITS),
        cost("h2-streams", H2, Page, (64, 10), HTTP2_LIMITS),
        cost("h2-tls", H2Tls, Page, (64, 10), HTTP2_LIMITS),
        cost("grpc", Grpc, Call, (64, 1), GRPC_LIMITS),
        cost("grpc-streams", Grpc, Call, (64, 10), GRPC_LIMITS),
        latency("latency", Http1, &[0.5, 0.8]),
        memory("idle", Http1, 8.0),
        memory("idle-tls", Tls, 32.0),
    ]
};

const fn cost(
    name: &'static str,
    protocol: Protocol,
    request: Request,
    (connections, streams): (usize, usize),
    limits: &'static [(Kind, f64)],
) -> Scenario {
    Scenario {
        name,
        protocol,
        what: What::Cost(Cost {
            request,
            streams,
            limits,
        }),
        connections,
        // The relay passes on what clients send: only where the backend speaks the same is its
        // cost comparable.
        kinds: match protocol {
            Protocol::Http1 => EVERYBODY,
            _ => NO_RELAY,
        },
    }
}

const fn latency(name: &'static str, protocol: Protocol, shares: &'static [f64]) -> Scenario {
    Scenario {
        name,
        protocol,
        what: What::Latency { shares },
        connections: 64,
        kinds: EVERYBODY,
    }
}

const fn memory(name: &'static str, protocol: Protocol, each_kib: f64) -> Scenario {
    Scenario {
        name,
        protocol,
        what: What::Memory(MemoryLimits {
            rest_mib: 20.0,
            each_kib,
        }),
        connections: 2000,
        kinds: NO_RELAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_once_and_limits_are_for_those_who_take_part() {
        for (number, scenario) in ALL.iter().enumerate() {
            let same = ALL.iter().filter(|other| other.name == scenario.name);
            assert_eq!(same.count(), 1, "{}", scenario.name);
            assert_eq!(scenario.kinds[0], Kind::Roadbed, "{number}");
            if let What::Cost(Cost {
                streams, limits, ..
            }) = scenario.what
            {
                assert!(streams == 1 || scenario.protocol.is_http2());
                let takes_part = |(kind, _): &(Kind, f64)| scenario.kinds.contains(kind);
                assert!(limits.iter().all(takes_part), "{}", scenario.name);
            }
        }
    }
}
