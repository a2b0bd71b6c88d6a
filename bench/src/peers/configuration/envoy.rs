//! Envoy: one worker, and limits that do not stand in the way of thousands of connections.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::place::{CONNECTIONS, Place, Start};
use crate::peers::protocol::Protocol;

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.\
    v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

pub(super) fn start(place: &Place) -> Start {
    let file = place.folder.join("envoy.json");
    let words = "--concurrency 1 --disable-hot-restart --log-level error --config-path";
    let words = words.split(' ').map(str::to_owned);
    Start {
        arguments: words.chain([file.display().to_string()]).collect(),
        files: vec![(file, format!("{:#}", configuration(place)))],
        ..Start::default()
    }
}

fn configuration(place: &Place) -> Value {
    let mut chain = json!({ "filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": connection_manager(),
    }] });
    if place.protocol.is_encrypted() {
        chain["transport_socket"] = certificate(place);
    }
    json!({ "static_resources": {
        "listeners": [{ "address": address(place.listen), "filter_chains": [chain] }],
        "clusters": [cluster(place)],
    } })
}

fn connection_manager() -> Value {
    json!({
        "@type": HTTP,
        "stat_prefix": "front",
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "back" } }],
        }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": ROUTER },
        }],
    })
}

fn certificate(place: &Place) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TLS,
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": { "filename": place.file("certificate.pem") },
                    "private_key": { "filename": place.file("key.pem") },
                }],
            },
        },
    })
}

fn cluster(place: &Place) -> Value {
    let endpoint = json!({ "endpoint": { "address": address(place.backend) } });
    let mut cluster = json!({
        "name": "back",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "back",
            "endpoints": [{ "lb_endpoints": [endpoint] }],
        },
        "circuit_breakers": { "thresholds": [{
            "max_connections": CONNECTIONS,
            "max_pending_requests": CONNECTIONS,
            "max_requests": CONNECTIONS,
        }] },
    });
    if place.protocol == Protocol::Grpc {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": UPSTREAM,
                "explicit_http_config": { "http2_protocol_options": {} },
            },
        });
    }
    cluster
}

fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": {
        "address": address.ip().to_string(),
        "port_value": address.port(),
    } })
}
