//! Who takes part: Roadbed with each of its ways to choose an instance, and other proxies with what
//! they have for the same purpose. Each has one worker.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::peers::{Kind, program};

/// One that takes part.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What Roadbed's service declares besides.
    pub(super) declares: &'static str,
}

/// All of them, the usual one first.
pub(super) const ALL: [Contender; 7] = [
    Contender {
        name: "roadbed",
        kind: Kind::Roadbed,
        declares: "",
    },
    Contender {
        name: "roadbed-tight",
        kind: Kind::Roadbed,
        declares: "overload = { latency = \"250ms\" }\n",
    },
    Contender {
        name: "roadbed-hedged",
        kind: Kind::Roadbed,
        declares: "hedge = { after = \"p95\" }\n",
    },
    Contender {
        name: "least-connections",
        kind: Kind::Roadbed,
        declares: "balance = \"least-connections\"\n",
    },
    Contender {
        name: "round-robin",
        kind: Kind::Roadbed,
        declares: "balance = \"round-robin\"\n",
    },
    Contender {
        name: "haproxy",
        kind: Kind::Haproxy,
        declares: "",
    },
    Contender {
        name: "envoy",
        kind: Kind::Envoy,
        declares: "",
    },
];

impl Contender {
    /// Whether what is required is required of it.
    pub(super) fn is_judged(&self) -> bool {
        self.kind == Kind::Roadbed && self.declares.is_empty()
    }
}

/// Refuses to begin while a program is missing.
pub(super) fn check(contenders: &[&Contender]) -> Result<()> {
    let missing = contenders.iter().filter(|one| program(one.kind).is_err());
    let missing: Vec<_> = missing.map(|one| one.name).collect();
    ensure!(
        missing.is_empty(),
        "not installed: {}; `cargo xtask bench balance` installs them, HAProxy as root",
        missing.join(", ")
    );
    Ok(())
}

/// HAProxy: the one with the fewest connections, one more attempt elsewhere, and whoever fails five
/// times in a row is out until a check finds it well.
pub(super) fn haproxy(listen: SocketAddr, members: &[SocketAddr]) -> String {
    let servers = members.iter().enumerate().map(|(number, address)| {
        format!(
            "  server m{number} {address} check inter 1s observe layer7 error-limit 5 \
             on-error mark-down slowstart 10s\n"
        )
    });
    format!(
        "global\n  nbthread 1\n  maxconn 8000\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 60s\n  timeout server 30s\n  \
         timeout queue 30s\n  http-reuse always\n  retries 1\n  option redispatch 1\n  \
         retry-on conn-failure empty-response response-timeout 502 503 504\n\
         frontend front\n  bind {listen}\n  default_backend back\n\
         backend back\n  balance leastconn\n{}",
        servers.collect::<String>()
    )
}

/// Envoy: least request of two, outlier detection and one retry with its budget, slow start.
pub(super) fn envoy(listen: SocketAddr, members: &[SocketAddr]) -> Value {
    const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.network.\
        http_connection_manager.v3.HttpConnectionManager";
    const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let address = |address: &SocketAddr| {
        json!({ "socket_address": {
            "address": address.ip().to_string(),
            "port_value": address.port(),
        } })
    };
    let endpoints = members
        .iter()
        .map(|member| json!({ "endpoint": { "address": address(member) } }));
    let retry = json!({
        "retry_on": "gateway-error,reset,connect-failure",
        "num_retries": 1,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.retry.host.\
                previous_hosts.v3.PreviousHostsPredicate" },
        }],
    });
    json!({ "static_resources": {
        "listeners": [{ "address": address(&listen), "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": HTTP,
                "stat_prefix": "front",
                "route_config": { "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{
                        "match": { "prefix": "/" },
                        "route": { "cluster": "back", "timeout": "30s", "retry_policy": retry },
                    }],
                }] },
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": { "@type": ROUTER },
                }],
            },
        }] }] }],
        "clusters": [{
            "name": "back",
            "type": "STATIC",
            "connect_timeout": "1s",
            "lb_policy": "LEAST_REQUEST",
            "least_request_lb_config": { "slow_start_config": { "slow_start_window": "10s" } },
            "outlier_detection": { "consecutive_gateway_failure": 5,
                "enforcing_consecutive_gateway_failure": 100, "interval": "1s" },
            "circuit_breakers": { "thresholds": [{
                "max_connections": 16000, "max_pending_requests": 16000, "max_requests": 16000,
                "retry_budget": { "budget_percent": { "value": 20.0 } },
            }] },
            "load_assignment": {
                "cluster_name": "back",
                "endpoints": [{ "lb_endpoints": endpoints.collect::<Vec<_>>() }],
            },
        }],
    } })
}

/// The words that start a proxy by its file.
pub(super) fn words(kind: Kind, file: &Path) -> Vec<String> {
    let words = match kind {
        Kind::Haproxy => "-db -q -f",
        _ => "--concurrency 1 --disable-hot-restart --log-level error --config-path",
    };
    let words = words.split(' ').map(str::to_owned);
    words.chain([file.display().to_string()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_told_of_all_members() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let members = [at(2001), at(2002)];
        for text in [
            haproxy(at(2000), &members),
            envoy(at(2000), &members).to_string(),
        ] {
            for port in ["2000", "2001", "2002"] {
                assert!(text.contains(port), "{text}");
            }
        }
    }

    #[test]
    fn what_is_required_is_required_of_one() {
        assert_eq!(ALL.iter().filter(|one| one.is_judged()).count(), 1);
    }
}
