//! The real proxy, as its own process, between clients, backends and a server's end of the link.

mod aborts;
mod answers;
mod bodies;
mod flood;
mod grpc;
mod http;
mod http2;
mod http2_aborts;
mod http2_answers;
mod http2_bodies;
mod http2_connections;
mod http2_edges;
mod http2_retries;
mod http2_rollout;
mod long_line;
mod memory;
mod rollout;
mod snapshots;
mod stopping;
mod strict;
mod support;
mod tcp;
mod tls;
mod tls_backends;
mod tls_load;
mod websocket;
